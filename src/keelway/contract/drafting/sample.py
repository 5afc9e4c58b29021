"""Reads sample files of which nobody said how they are written, to draft a contract from them.

Format and compression go by the file's name. A CSV file's encoding is UTF-8 where its bytes are, else the likeliest;
its delimiter and quote are those under which the most lines have the same number of fields. Its first line is its
header, unless every field of it is plainly a value of its column.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from keelway.contract.drafting.guess_reading import guess_reading, is_value_of
from keelway.errors import ContractError, StorageError

MAX_ROWS = 1_000_000
"""Rows of all samples together that are looked at."""
SNIFFED_LINES = 300
MULTILINE = 0.8
"""Records a line below which a quote is not believed: it swallows line ends."""
TELLING_BYTES = 50
"""Bytes beyond ASCII below which nothing but the commonest encoding is guessed."""
ROWS_BELOW = 1_000
"""Rows that the first line is compared with, to tell whether it is one of them."""
YEARS = range(1900, 2101)
"""Whole numbers that may be the names of columns."""
DELIMITERS = (",", ";", "\t", "|", "^", ":")
QUOTES = ('"', "'", "")
_Columns = list[tuple[str, list[Any]]]
"""The names of a file's columns, each with its values row by row."""
_NUMBER_OR_DATE = re.compile(r"[+-]?[0-9]+([.,][0-9]+)?|[0-9]{1,4}[-./][0-9]{1,2}[-./][0-9]{1,4}.*")


@dataclass(frozen=True, slots=True)
class SampleLayout:
    """How a sample is written: `csv`, `jsonl` or `parquet`, and for CSV the rest; `header` as the contract has it."""

    format: str
    delimiter: str = ","
    quote: str = '"'
    encoding: str = "utf-8"
    final_newline: bool = True
    header: str = "first line"


@dataclass(slots=True)
class SampledColumn:
    """The values of one column, each with how often it came; None stands for no value.

    Attributes:
        values: Texts of a CSV file, typed values of the other formats.
        ordered: The values row by row, for finding keys.
    """

    name: str
    values: Counter[Any] = field(default_factory=Counter)
    ordered: list[Any] = field(default_factory=list)

    def add(self, found: Iterable[Any]) -> None:
        """Take the values of more rows."""
        more = list(found)
        self.values.update(more)
        self.ordered += more


@dataclass(frozen=True, slots=True)
class Sample:
    """What was read of all samples: one layout, the columns by name, and how many rows were looked at."""

    layout: SampleLayout
    columns: tuple[SampledColumn, ...]
    rows: int
    nameless: int
    cut_short: bool


def read_sample(paths: Sequence[Path]) -> Sample:
    """Read sample files that are written alike.

    Raises:
        ContractError: A file is of no known format, has no header or no rows, or is written otherwise than the first.
        StorageError: A file cannot be read.
    """
    if not paths:
        raise ContractError("There is no sample", expected="one file or more", found="none")
    layouts: list[SampleLayout] = []
    columns: dict[str, SampledColumn] = {}
    rows = nameless = 0
    cut_short = False
    for path in paths:
        layout, found = _opened(path)
        layouts.append(layout)
        _must_be_alike(layouts[0], layout, path)
        held = max((len(values) for _, values in found), default=0)
        taken = min(held, MAX_ROWS - rows)
        cut_short = cut_short or taken < held
        nameless = max(nameless, sum(not name for name, _ in found))
        _take(columns, {name: values[:taken] for name, values in found if name}, before=rows, more=taken)
        rows += taken
    if not rows:
        raise ContractError("The samples hold no rows", expected="one row or more", found="none")
    ends = all(layout.final_newline for layout in layouts)
    first = layouts[0]
    whole = replace(first, encoding=_shared_encoding(layouts), final_newline=ends)
    return Sample(whole, tuple(columns.values()), rows, nameless, cut_short)


def _take(columns: dict[str, SampledColumn], found: dict[str, list[Any]], *, before: int, more: int) -> None:
    """Add rows to the columns; a column that a file does not have is without a value there."""
    for name in found:
        if name not in columns:
            columns[name] = SampledColumn(name)
            columns[name].add([None] * before)
    for name, column in columns.items():
        column.add(found.get(name) or [None] * more)


def _must_be_alike(first: SampleLayout, other: SampleLayout, path: Path) -> None:
    for name in ("format", "delimiter", "quote", "header"):
        expected, found = getattr(first, name), getattr(other, name)
        if expected != found:
            raise ContractError(
                f"The samples are not written alike: {path.name}",
                expected=f"{name} {expected!r}, as in the first",
                found=repr(found),
                fix="Draft from files of one kind; a contract describes one way of writing.",
            )


def _shared_encoding(layouts: Sequence[SampleLayout]) -> str:
    """Return the one encoding that reads all samples; plain ASCII is read by any."""
    found = sorted({layout.encoding for layout in layouts} - {"ascii"})
    if len(found) > 1:
        raise ContractError("The samples have several encodings", expected="one", found=", ".join(found))
    return found[0] if found else "utf-8"


def _opened(path: Path) -> tuple[SampleLayout, _Columns]:
    """Return a file's layout and its columns."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    inner = suffixes[-2:-1] if suffixes[-1:] in ([".gz"], [".zst"]) else suffixes[-1:]
    if inner in ([".parquet"], [".pq"]):
        return _parquet(path)
    data = _bytes(path)
    if inner in ([".jsonl"], [".ndjson"], [".json"]):
        return _json_lines(path, data)
    return _csv(path, data)


def _bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        if path.suffix.lower() == ".gz":
            return gzip.decompress(data)
        if path.suffix.lower() == ".zst":
            import pyarrow as pa

            with pa.CompressedInputStream(pa.BufferReader(data), "zstd") as stream:
                return bytes(stream.read())
    except (EOFError, gzip.BadGzipFile) as error:
        raise ContractError(f"{path.name} cannot be unpacked", found=str(error)) from error
    except OSError as error:
        raise StorageError(f"{path.name} cannot be read", found=error.strerror or str(error)) from error
    return data


def _parquet(path: Path) -> tuple[SampleLayout, _Columns]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except pa.ArrowInvalid as error:
        raise ContractError(f"{path.name} is no Parquet file", found=str(error).splitlines()[0]) from error
    except OSError as error:
        raise StorageError(f"{path.name} cannot be read", found=str(error)) from error
    table = table.slice(0, MAX_ROWS + 1)
    found = [
        (name, _hashable(values.to_pylist()) if pa.types.is_nested(values.type) else values.to_pylist())
        for name, values in zip(table.column_names, table.columns, strict=True)
    ]
    return SampleLayout("parquet"), found


def _json_lines(path: Path, data: bytes) -> tuple[SampleLayout, _Columns]:
    records: list[dict[str, Any]] = []
    for number, line in enumerate(data.decode("utf-8-sig", "replace").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise ContractError(f"{path.name}, line {number} is no JSON", found=str(error)) from error
        if not isinstance(record, dict):
            raise ContractError(f"{path.name}, line {number}", expected="an object", found=type(record).__name__)
        records.append(record)
    names = dict.fromkeys(name for record in records for name in record)
    found = [(name, _hashable([record.get(name) for record in records])) for name in names]
    return SampleLayout("jsonl", final_newline=data.endswith(b"\n")), found


def _hashable(values: list[Any]) -> list[Any]:
    """Return values that can be counted: lists and objects as their JSON."""
    return [json.dumps(value, default=str) if isinstance(value, (list, dict)) else value for value in values]


def _csv(path: Path, data: bytes) -> tuple[SampleLayout, _Columns]:
    encoding = sniff_encoding(data)
    text = data.decode("utf-8-sig" if encoding == "utf-8" else encoding)
    delimiter, quote = sniff_delimiter(text)
    records = _records(io.StringIO(text, newline=""), delimiter, quote)
    first: list[str] = next(records, [])
    names = [name.strip() for name in first]
    if not any(names):
        raise ContractError(f"{path.name} has no header", expected="names in its first line", found="an empty line")
    rows = [record for record in records if record]
    header = "first line"
    if _is_row(names, rows):
        rows, names = [first, *rows], [f"column_{number}" for number in range(1, len(names) + 1)]
        header = "none"
    else:
        _must_be_header(names, rows, path)
    found = [(name, [row[at] if at < len(row) else None for row in rows]) for at, name in enumerate(names)]
    return SampleLayout("csv", delimiter, quote, encoding, text.endswith("\n"), header), found


def _is_row(first: list[str], rows: list[list[str]]) -> bool:
    """Return whether the first line is plainly one of the rows: each field is read like those below it.

    Texts fit below any name, so at least one field must be a number, a date or the like. Numbers that count columns or
    years (`0,1,2` or `country,1990,2000`) are taken for names.
    """
    below = [row for row in rows[:ROWS_BELOW] if len(row) == len(first)]
    if not below or 2 * len(below) <= len(rows[:ROWS_BELOW]):
        return False
    columns = [{row[at] for row in below} for at in range(len(first))]
    if not all(is_value_of(text, texts) for text, texts in zip(first, columns, strict=True)):
        return False
    typed = [text for text, texts in zip(first, columns, strict=True) if text and guess_reading(texts).kind != "string"]
    return bool(typed) and not _may_count(typed, len(first))


def _may_count(typed: list[str], width: int) -> bool:
    """Return whether several different fields may be the numbers of columns, from 0, or years."""
    if len(typed) < 2 or len(set(typed)) < len(typed) or not all(text.isdecimal() for text in typed):
        return False
    numbers = [int(text) for text in typed]
    return numbers == list(range(width)) or all(number in YEARS for number in numbers)


def _records(lines: Iterable[str], delimiter: str, quote: str) -> Any:
    csv.field_size_limit(2**31 - 1)  # an open quote makes one field of the rest of the file
    if quote:
        return csv.reader(lines, delimiter=delimiter, quotechar=quote)
    return csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)


def _must_be_header(names: list[str], rows: list[list[str]], path: Path) -> None:
    named = [name for name in names if name]
    values = [name for name in named if _NUMBER_OR_DATE.fullmatch(name)]
    for at, name in enumerate(names):
        if name and sum(1 for row in rows if at < len(row) and row[at].strip() == name) > 1:
            values.append(name)
    if values:
        raise ContractError(
            f"{path.name} has no header",
            expected="names in its first line",
            found=f"what looks like values: {', '.join(values[:5])}",
            fix="Put a line with the names on top, or write a contract that says `header: none`.",
        )
    twice = sorted({name for name in named if named.count(name) > 1})
    if twice:
        raise ContractError(f"{path.name} has a column twice", expected="each name once", found=", ".join(twice))


def sniff_encoding(data: bytes) -> str:
    """Return the encoding of a text: ASCII or UTF-8 where it is that, else the likeliest.

    >>> sniff_encoding(b"a,b"), sniff_encoding("Müller".encode()), sniff_encoding("Müller".encode("utf-16"))
    ('ascii', 'utf-8', 'utf-16')
    """
    from charset_normalizer import from_bytes

    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if data.isascii():
        return "ascii"
    if _decodes(data, "utf-8"):
        return "utf-8"
    western = "cp1252" if _decodes(data, "cp1252") else "latin-1"
    telling = data.translate(None, bytes(range(128)))
    if len(telling) < TELLING_BYTES:
        return western
    best = from_bytes(data[: 1 << 20]).best()
    likely = best.encoding if best is not None else western
    return western if likely in _WESTERN or not _decodes(data, likely) else likely


_WESTERN = frozenset({"latin_1", "cp1252", "iso8859_15", "iso8859_9", "cp1250", "cp1254", "iso8859_2", "mac_roman"})
"""Encodings that are hard to tell apart; cp1252 is by far the most frequent of them."""


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return False
    return True


def sniff_delimiter(text: str) -> tuple[str, str]:
    r"""Return delimiter and quote under which the lines are most alike.

    >>> sniff_delimiter("a;b;c\n1;2,5;x\n2;3,5;y\n")
    (';', '"')
    """
    head = list(islice(io.StringIO(text, newline=""), SNIFFED_LINES))
    best, chosen = (0.0, False, 0, 0), (",", '"')
    for rank, quote in enumerate(QUOTES):
        if quote == "'" and not any(f"'{edge}" in line for line in head for edge in DELIMITERS):
            continue
        for delimiter in DELIMITERS:
            widths = [len(record) for record in _records(head, delimiter, quote) if record]
            width, lines = Counter(widths).most_common(1)[0] if widths else (1, 0)
            records = max(1, len(widths), MULTILINE * len(head))
            alike = round(lines / records, 2) * (width > 1)
            headed = widths[:1] == [width]  # a time holds as many colons in each row, and a header none
            score = (alike, headed, -rank, width)
            if score > best:
                best, chosen = score, (delimiter, quote)
    return chosen
