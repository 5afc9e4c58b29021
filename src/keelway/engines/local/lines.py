"""Reads CSV files as lines: each keeps its number, its text and its fields, whatever is wrong with it.

A file without quotes, the usual case, is split in Arrow, in chunks of bounded size. A file with quotes goes
through Python's csv module, because a quoted field may hold delimiters and line ends.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.contract import Contract
from keelway.ingest import RawFile

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK_CHARACTERS = 4_000_000
"""Characters of a file held at once."""
QUOTED_ROWS = 50_000
"""Rows of a quoted file held at once."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What a file's header says, and how its columns map to the contract's.

    Attributes:
        positions: For each column of the contract its field, counted from 1, or None.
        quoted: Whether a quote stands anywhere in the file.
        ends_in_newline: Whether the last line has a line end.
        problems: Why the whole file is quarantined, or empty.
    """

    file: RawFile
    path: Path
    encoding: str
    fields: int
    positions: tuple[int | None, ...]
    renamed: dict[str, str]
    extra: tuple[str, ...]
    missing: tuple[str, ...]
    quoted: bool
    ends_in_newline: bool
    problems: tuple[str, ...]


def layout_of(file: RawFile, path: Path, contract: Contract) -> Layout:
    """Return the layout of a file after one look at all of its bytes."""
    encoding = "utf-8-sig" if contract.encoding == "utf-8" else contract.encoding
    problems: list[str] = []
    quoted, newline, bad_byte = _scan(path, encoding)
    if bad_byte is not None:
        problems.append(f"the file is not {contract.encoding}: byte {bad_byte}")
    header = _header(path, encoding, contract.delimiter)
    positions, renamed, extra, twice = _matched(header, contract)
    problems += [f"column {name} stands twice" for name in twice]
    missing = tuple(column.name for column, at in zip(contract.columns, positions, strict=True) if at is None)
    required = {column.name for column in contract.columns if column.required and column.default is None}
    problems += [f"column {name} is missing" for name in missing if name in required]
    if extra and contract.unknown_columns == "quarantine":
        problems += [f"unknown column {name}" for name in extra]
    return Layout(
        file=file,
        path=path,
        encoding=encoding,
        fields=len(header),
        positions=positions,
        renamed=renamed,
        extra=extra,
        missing=missing,
        quoted=quoted,
        ends_in_newline=newline,
        problems=tuple(problems),
    )


def _scan(path: Path, encoding: str) -> tuple[bool, bool, int | None]:
    """Return whether a file has quotes, whether it ends in a line end, and its first byte that cannot be read."""
    import codecs

    decoder = codecs.getincrementaldecoder(encoding)()
    quoted, last, offset, bad = False, "", 0, None
    with path.open("rb") as stream:
        while block := stream.read(CHUNK_CHARACTERS):
            if bad is None:
                held = len(decoder.getstate()[0])
                try:
                    text = decoder.decode(block)
                except UnicodeDecodeError as error:
                    bad = offset - held + error.start
                    text = block.decode("latin-1")
            else:
                text = block.decode("latin-1")
            quoted = quoted or '"' in text
            last = text[-1:] or last
            offset += len(block)
    if bad is None and decoder.getstate()[0]:
        bad = offset - len(decoder.getstate()[0])
    return quoted, last == "\n", bad


def _header(path: Path, encoding: str, delimiter: str) -> list[str]:
    with path.open(encoding=encoding, errors="replace", newline="\n") as stream:
        line = stream.readline(CHUNK_CHARACTERS).rstrip("\r\n")
    return [name.strip() for name in next(csv.reader([line], delimiter=delimiter), [])]


def _matched(
    header: Sequence[str], contract: Contract
) -> tuple[tuple[int | None, ...], dict[str, str], tuple[str, ...], list[str]]:
    """Return positions by column, renamed headers, unknown headers, and columns that stand twice."""
    found: dict[str, int] = {}
    renamed: dict[str, str] = {}
    extra: list[str] = []
    twice: list[str] = []
    for number, name in enumerate(header, start=1):
        column = contract.column_named_in_file(name)
        if column is None:
            extra.append(name)
        elif column.name in found:
            twice.append(column.name)
        else:
            found[column.name] = number
            if name != column.name:
                renamed[name] = column.name
    return tuple(found.get(column.name) for column in contract.columns), renamed, tuple(extra), twice


def lines_schema() -> pa.Schema:
    """Return the schema of the batches that `lines_of` yields."""
    import pyarrow as pa

    return pa.schema(
        [
            ("file", pa.int32()),
            ("row", pa.int64()),
            ("raw", pa.string()),
            ("fields", pa.list_(pa.string())),
            ("cut", pa.bool_()),
        ]
    )


def lines_of(layouts: Sequence[Layout], delimiter: str) -> Iterator[pa.RecordBatch]:
    """Yield the lines of files below their headers, in order; blank lines are left out."""
    for number, layout in enumerate(layouts):
        if layout.quoted:
            yield from _quoted_lines(number, layout, delimiter)
        else:
            yield from _plain_lines(number, layout, delimiter)


def _plain_lines(number: int, layout: Layout, delimiter: str) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa
    import pyarrow.compute as pc

    row = 1  # of the chunk's first line
    for lines, last in _chunks(layout):
        raw = pa.array(lines, pa.string())
        rows = pa.array(range(row, row + len(lines)), pa.int64())
        row += len(lines)
        keep = pc.and_(pc.not_equal(raw, ""), pc.greater(rows, 1))
        raw, rows = raw.filter(keep), rows.filter(keep)
        if len(raw):
            cut = last and not layout.ends_in_newline
            yield _batch(number, rows, raw, pc.split_pattern(raw, delimiter), cut=cut)


def _chunks(layout: Layout) -> Iterator[tuple[list[str], bool]]:
    """Yield whole lines without their ends, and whether they are the last of the file."""
    held = ""
    with layout.path.open(encoding=layout.encoding, errors="replace", newline="") as stream:
        while block := stream.read(CHUNK_CHARACTERS):
            whole, end, rest = (held + block).rpartition("\n")
            if end and len(block) == CHUNK_CHARACTERS:
                yield _without_returns(whole), False
                held = rest
            else:
                held += block
    lines = _without_returns(held)
    if lines and not lines[-1]:
        lines.pop()
    yield lines, True


def _without_returns(text: str) -> list[str]:
    if "\r" in text:
        return [line.removesuffix("\r") for line in text.split("\n")]
    return text.split("\n")


def _batch(number: int, rows: pa.Array, raw: pa.Array, fields: pa.Array, *, cut: bool) -> pa.RecordBatch:
    import pyarrow as pa

    count = len(raw)
    cuts = pa.array([False] * (count - 1) + [cut], pa.bool_())
    files = pa.array([number] * count, pa.int32())
    return pa.record_batch([files, rows, raw, fields.cast(pa.list_(pa.string())), cuts], schema=lines_schema())


def _quoted_lines(number: int, layout: Layout, delimiter: str) -> Iterator[pa.RecordBatch]:
    """Yield the records of a file with quotes; a record's number is that of its first line."""
    import pyarrow as pa

    rows: list[int] = []
    raw: list[str] = []
    fields: list[list[str]] = []
    with layout.path.open(encoding=layout.encoding, errors="replace", newline="") as stream:
        kept = _Echo(stream)
        for record, line, text in kept.records(delimiter):
            if line == 1 or not record:
                continue
            if len(rows) == QUOTED_ROWS:
                yield _batch(number, pa.array(rows, pa.int64()), pa.array(raw), pa.array(fields), cut=False)
                rows, raw, fields = [], [], []
            rows.append(line)
            raw.append(text)
            fields.append(record)
    if rows:
        lists = pa.array(fields, pa.list_(pa.string()))
        cut = not layout.ends_in_newline
        yield _batch(number, pa.array(rows, pa.int64()), pa.array(raw, pa.string()), lists, cut=cut)


class _Echo:
    """Feeds a csv reader line by line and remembers the text of the record it is in."""

    def __init__(self, stream: io.TextIOBase) -> None:
        self._stream = stream
        self._text: list[str] = []

    def __iter__(self) -> Iterator[str]:
        for line in self._stream:
            self._text.append(line)
            yield line

    def records(self, delimiter: str) -> Iterator[tuple[list[str], int, str]]:
        """Yield each record with the number of its first line and its text."""
        csv.field_size_limit(2**31 - 1)  # an open quote makes one field of the rest of the file
        reader = csv.reader(iter(self), delimiter=delimiter)
        line = 1
        for record in reader:
            yield record, line, "".join(self._text).rstrip("\r\n")
            line = reader.line_num + 1
            self._text.clear()
