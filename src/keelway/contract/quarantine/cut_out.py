"""Cuts single rows out of a raw file, byte by byte as they stood, into a smaller file of the same kind.

A CSV file keeps its header and the lines above it, and its last row stays without a line end where it had none: what was wrong with the
file's form is still wrong with the part, so that a check of the part says the same of each row.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from keelway.contract.contract import Contract
from keelway.errors import DataError

if TYPE_CHECKING:
    from typing import TextIO

PACKED = (".gz", ".gzip", ".zst", ".zstd")
MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
FORMATS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".parq": "parquet", ".pq": "parquet"}
WIDE = ("utf-16", "utf-32", "utf_16", "utf_32")
"""Encodings in which the byte of a line end also stands inside of other characters."""
HEADER_LINES = 1_000
"""Lines in which the header is looked for."""


@dataclass(frozen=True, slots=True)
class RowPlace:
    """Where a row stands in a file.

    Attributes:
        position: Its position in the quarantine of its batch.
        line: Its first line (for Parquet its number), as the quarantine has it.
        lines: How many lines it has; more than one where a quoted field holds line ends.
    """

    position: int
    line: int
    lines: int


def format_of(name: str, contract: Contract) -> str:
    """Return `csv`, `jsonl` or `parquet`: what a contract takes a file for. Any other ending, or none, is CSV.

    >>> from types import SimpleNamespace
    >>> format_of("raw/orders.jsonl.gz", SimpleNamespace(format=""))
    'jsonl'
    """
    return contract.format or FORMATS.get(PurePosixPath(unpacked_name(name).lower()).suffix, "csv")


def unpacked_name(name: str) -> str:
    """Return the name of a file without the ending that says it is packed.

    >>> unpacked_name("raw/orders.csv.gz")
    'raw/orders.csv'
    """
    path = PurePosixPath(name)
    return str(path.with_suffix("")) if path.suffix.lower() in PACKED else name


def cut_out(name: str, source: Path, rows: Sequence[RowPlace], target: Path, *, contract: Contract) -> dict[int, int]:
    """Write rows of a file, given in order, into another one; return each new line (or number) with its position.

    Args:
        name: The file's name, which says its format unless the contract does.
        contract: The contract that it was checked by.

    Raises:
        DataError: The file has no such lines.
    """
    kind = format_of(name, contract)
    if kind == "parquet":
        return _cut_parquet(source, rows, target)
    encoding = contract.encoding if contract.encoding.startswith(WIDE) else "latin-1"  # each byte one character
    with _text(source, encoding) as lines, target.open("w", encoding=encoding, newline="") as out:
        return _cut_lines(lines, rows, out, above=contract if kind == "csv" else None)


def _cut_lines(lines: TextIO, rows: Sequence[RowPlace], out: TextIO, *, above: Contract | None) -> dict[int, int]:
    """Copy what the contract says stands above the rows (None: nothing), and the lines of rows."""
    numbered = enumerate(lines, start=1)
    head = _above(_until(numbered, rows[0].line - 1), above) if above else []
    out.writelines(head)
    written = len(head)
    places: dict[int, int] = {}
    for row in rows:
        text = [line for number, line in _until(numbered, row.line + row.lines - 1) if number >= row.line]
        if len(text) != row.lines:
            raise DataError("A quarantined row is not in its file", expected=f"line {row.line}", found="the end")
        places[written + 1] = row.position
        out.writelines(text)
        written += len(text)
    return places


def _above(lines: Iterator[tuple[int, str]], contract: Contract) -> list[str]:
    """Return the lines that are passed over, and those of the header where there is one."""
    passed = [line for _, line in islice(lines, contract.skip_lines)]
    return passed + (_header(lines, contract.quote) if contract.has_header else [])


def _header(lines: Iterable[tuple[int, str]], quote: str) -> list[str]:
    """Return the lines of the first record that is not blank: more than one where a quoted name holds a line end."""
    head: list[str] = []
    for number, (_, line) in enumerate(lines, start=1):
        if number <= HEADER_LINES and (head or line.strip("\r\n")) and not _is_whole(head, quote):
            head.append(line)
    return head if _is_whole(head, quote) else head[:1]


def _is_whole(lines: Sequence[str], quote: str) -> bool:
    return bool(lines) and (not quote or sum(line.count(quote) for line in lines) % 2 == 0)


def _until(numbered: Iterator[tuple[int, str]], last: int) -> Iterator[tuple[int, str]]:
    """Yield lines up to a number, and take no further one."""
    if last < 1:
        return
    for number, line in numbered:
        yield number, line
        if number >= last:
            return


def _cut_parquet(source: Path, rows: Sequence[RowPlace], target: Path) -> dict[int, int]:
    """Copy rows, numbered from 1, in parts of bounded size."""
    import pyarrow.parquet as pq

    wanted = iter([*rows, None])
    row, before = next(wanted), 0
    places: dict[int, int] = {}
    with pq.ParquetFile(source) as stored, pq.ParquetWriter(target, stored.schema_arrow) as out:
        for part in stored.iter_batches():
            taken: list[int] = []
            while row is not None and row.line <= before + part.num_rows:
                taken.append(row.line - before - 1)
                places[len(places) + 1] = row.position
                row = next(wanted)
            if taken:
                out.write_batch(part.take(taken))
            before += part.num_rows
    if row is not None:
        raise DataError("A quarantined row is not in its file", expected=f"row {row.line}", found=f"{before} rows")
    return places


def _text(source: Path, encoding: str) -> Any:
    """Open a file as text, unpacked, with every line end as it is."""
    import pyarrow as pa

    with source.open("rb") as stream:
        start = stream.read(4)
    packed = next((kind for magic, kind in MAGIC.items() if start.startswith(magic)), None)
    return io.TextIOWrapper(pa.input_stream(str(source), compression=packed), encoding=encoding, newline="")
