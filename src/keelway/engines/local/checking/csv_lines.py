"""Reads CSV files as rows: each keeps its number, its text and its fields, whatever is wrong with it.

Lines without quotes, the usual case, stay whole: DuckDB splits them, in parallel. A line with a quote begins a
record that may go on over several lines; those go through Python's csv module, one record at a time, as strictly
as it can.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keelway.contract import Contract
from keelway.engines.local.checking.opening import Layout, Told
from keelway.engines.local.checking.text_blocks import Lines, lines_of

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    Indices = np.ndarray[Any, np.dtype[np.intp]]
    Places = np.ndarray[Any, np.dtype[np.int64]]

FEW = 10
"""Where one line of so many has a quote, the whole block goes through the csv module."""
RECORD_CHARACTERS = 8_000_000
"""A record that goes on for longer has a quote that is never closed."""
OPEN_QUOTE = "a quote is never closed"
STRAY_TEXT = "text stands outside its quotes"


@dataclass(frozen=True, slots=True)
class Record:
    """One row that was read on its own.

    Attributes:
        row: Number of its first line.
        raw: Its text, without the last line end.
        fields: Its fields; None where they cannot be told apart.
        problem: Why they cannot.
        cut: Whether the file ends with it, without a line end.
    """

    row: int
    raw: str
    fields: list[str] | None
    problem: str | None = None
    cut: bool = False


def header_of(path: Path, compression: str, contract: Contract, told: Told) -> list[str]:
    """Return the names in the first line that is not blank; none for a file without one."""
    reader = _Reader(lines_of(path, compression, contract.encoding, told), contract, told)
    reader.skip(contract.skip_lines)
    return reader.header()


def csv_rows(layout: Layout, contract: Contract, told: Told) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a CSV file below what stands above them, in order; blank lines are left out."""
    blocks = lines_of(layout.path, layout.compression, contract.encoding, told)
    reader = _Reader(blocks, contract, told)
    reader.skip(contract.skip_lines)
    if contract.has_header:
        reader.header()
    for batch in reader.batches(layout.number):
        if batch.num_rows:
            told.rows += batch.num_rows
            yield batch


class _EndlessError(Exception):
    """A record goes on for too long."""


class _Reader:
    """Goes over the lines of a file and tells plain lines from records with quotes."""

    def __init__(self, blocks: Iterator[Lines], contract: Contract, told: Told) -> None:
        csv.field_size_limit(2**31 - 1)  # an open quote makes one field of the rest of the file
        self._blocks = blocks
        self._told = told
        self._quote = contract.quote
        self._block: Lines | None = None
        self._at = 0  # the next line of the block
        self._text: list[str] = []
        quotes = {"quotechar": contract.quote} if contract.quote else {"quoting": csv.QUOTE_NONE, "quotechar": None}
        self._how: dict[str, Any] = {"delimiter": contract.delimiter, **quotes}
        self._csv = csv.reader(self._feed(), strict=True, **self._how)

    def skip(self, count: int) -> None:
        """Pass over the lines above, whatever stands in them; quotes mean nothing there."""
        left = count
        while left and (block := self._next_block()):
            step = min(left, len(block) - self._at)
            self._at += step
            left -= step
        if left:
            self._told.problems.append(f"the file ends within the {count} lines that are passed over")

    def header(self) -> list[str]:
        """Return the names in the first line that is not blank, and go on behind it."""
        while block := self._next_block():
            filled = [index for index in range(self._at, min(len(block), self._at + 1000)) if _filled(block, index)]
            self._at = filled[0] if filled else min(len(block), self._at + 1000)
            if filled:
                return [name.strip() for name in self._record().fields or []]
        return []

    def batches(self, number: int) -> Iterator[pa.RecordBatch]:
        """Yield the rows of the file with this number, block by block."""
        while block := self._next_block():
            quoted = _lines_with(self._quote, block)
            if len(quoted) * FEW > len(block):
                yield self._in_one_go(number, block)
                quoted = quoted[quoted >= self._at]
            if self._at < len(block):
                yield self._one_by_one(number, block, quoted)

    def _in_one_go(self, number: int, block: Lines) -> pa.RecordBatch:
        """Return the rows of a block up to the first that is broken, or goes on behind the block."""
        start = self._at
        text = io.StringIO(block.data[block.starts[start] :].decode(), newline="")
        reader = csv.reader(text, strict=True, **self._how)
        fields: list[list[str]] = []
        ends = [start]
        try:
            for record in reader:
                fields.append(record)
                ends.append(start + reader.line_num)
        except csv.Error:
            pass  # that record is read once more, on its own
        self._at = ends[-1]
        return _read_batch(number, block, fields, ends)

    def _one_by_one(self, number: int, block: Lines, quoted: Indices) -> pa.RecordBatch:
        """Return the rows of a block: lines without quotes as they are, and the records with quotes."""
        import numpy as np

        plain = block.ends > block.starts
        plain[: self._at] = False
        records = []
        for index in quoted:
            if self._block is not block or not self._quote:
                break
            if index >= self._at:
                self._at = int(index)
                records.append(self._record())
                plain[index : self._at if self._block is block else len(block)] = False
        if self._block is block:
            self._at = len(block)
        batch = plain_batch(number, block, np.flatnonzero(plain))
        return _merged(batch, record_batch(number, records)) if records else batch

    def _next_block(self) -> Lines | None:
        """Return the block with the next line, or None at the end."""
        while self._block is None or self._at >= len(self._block):
            self._block, self._at = next(self._blocks, None), 0
            if self._block is None:
                return None
        return self._block

    def _feed(self) -> Iterator[str]:
        """Yield the lines that the csv module asks for, and remember them."""
        size = 0
        while block := self._next_block():
            size = size if self._text else 0
            line = block.text(self._at)
            self._at += 1
            self._text.append(line)
            size += len(line)
            if size > RECORD_CHARACTERS:
                raise _EndlessError
            yield line

    def _record(self) -> Record:
        block = self._block
        assert block is not None
        row = block.first + self._at
        self._text.clear()
        fields, problem = None, None
        try:
            fields = next(self._csv)
        except csv.Error as error:
            problem = OPEN_QUOTE if "end of data" in str(error) else STRAY_TEXT
        except _EndlessError:
            problem, self._quote = OPEN_QUOTE, ""
            self._told.problems.append(f"line {row}: {OPEN_QUOTE}")
        raw = "".join(self._text)
        return Record(row, raw.removesuffix("\n").removesuffix("\r"), fields, problem, raw[-1:] not in ("\r", "\n"))


def _filled(block: Lines, index: int) -> bool:
    return bool(block.ends[index] > block.starts[index])


def _lines_with(quote: str, block: Lines) -> Indices:
    """Return the lines of a block in which a character stands."""
    import numpy as np

    mark = quote.encode()
    if not mark or mark not in block.data:
        return np.zeros(0, np.intp)
    # The first byte of a character of several may be another's too: such a line is looked at without need.
    found = np.flatnonzero(np.frombuffer(block.data, np.uint8) == mark[0])
    lines = np.searchsorted(block.starts, found, side="right") - 1
    first: Indices = lines[np.append(True, lines[1:] != lines[:-1])]
    return first


def plain_batch(number: int, lines: Lines, chosen: Indices) -> pa.RecordBatch:
    """Return some lines of a block as rows that are still to be split."""
    import numpy as np
    import pyarrow as pa

    count = len(chosen)
    cut = np.zeros(count, np.bool_)
    if count and lines.cut and chosen[-1] == len(lines) - 1:
        cut[-1] = True
    texts = pa.list_(pa.string())
    raw = texts_of(lines)
    columns = [
        pa.array(np.full(count, number, np.int32)),
        pa.array(lines.first + chosen, pa.int64()),
        raw if count == len(lines) else raw.take(pa.array(chosen)),
        pa.nulls(count, texts),
        pa.nulls(count, texts),
        pa.nulls(count, pa.string()),
        pa.array(cut),
    ]
    return pa.record_batch(columns, schema=rows_schema())


def _read_batch(number: int, lines: Lines, fields: list[list[str]], ends: list[int]) -> pa.RecordBatch:
    """Return records as rows.

    Args:
        ends: The line that the first record begins with, then the line behind each.
    """
    import numpy as np
    import pyarrow as pa

    sizes = np.array([len(record) for record in fields], np.int32)
    filled = np.flatnonzero(sizes > 0)  # a blank line is no record
    begins, behind = np.array(ends[:-1], np.int64)[filled], np.array(ends[1:], np.int64)[filled]
    count = len(filled)
    offsets = np.zeros(count + 1, np.int32)
    np.cumsum(sizes[filled], out=offsets[1:])
    cells = pa.array(list(itertools.chain.from_iterable(fields)), pa.string())
    cut = np.zeros(count, np.bool_)
    if count and lines.cut and behind[-1] == len(lines):
        cut[-1] = True
    columns = [
        pa.array(np.full(count, number, np.int32)),
        pa.array(lines.first + begins, pa.int64()),
        _raw_records(lines, begins, behind),
        pa.ListArray.from_arrays(offsets, cells),
        pa.nulls(count, pa.list_(pa.string())),
        pa.nulls(count, pa.string()),
        pa.array(cut),
    ]
    return pa.record_batch(columns, schema=rows_schema())


def _raw_records(lines: Lines, begins: Places, behind: Places) -> pa.Array:
    """Return the texts of records, without the last line end."""
    import pyarrow as pa

    if (behind - begins <= 1).all():
        return texts_of(lines).take(pa.array(begins))
    starts, stops = lines.starts[begins], lines.ends[behind - 1]
    data = lines.data
    texts = [data[start:stop].decode() for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)]
    return pa.array(texts, pa.string())


def texts_of(lines: Lines) -> pa.StringArray:
    """Return all lines of a block without their ends."""
    import numpy as np
    import pyarrow as pa

    offsets = np.zeros(len(lines) + 1, np.int32)
    np.cumsum(lines.ends - lines.starts, out=offsets[1:])
    data = lines.data.translate(None, b"\r\n")  # every one of them ends a line
    return pa.StringArray.from_buffers(len(lines), pa.py_buffer(offsets), pa.py_buffer(data))


def record_batch(number: int, records: list[Record]) -> pa.RecordBatch:
    """Return rows whose fields are known."""
    import pyarrow as pa

    columns = {
        "file": [number] * len(records),
        "row": [record.row for record in records],
        "raw": [record.raw for record in records],
        "fields": [record.fields for record in records],
        "renames": [None] * len(records),
        "problem": [record.problem for record in records],
        "cut": [record.cut for record in records],
    }
    return pa.RecordBatch.from_pydict(columns, schema=rows_schema())


def _merged(one: pa.RecordBatch, other: pa.RecordBatch) -> pa.RecordBatch:
    """Return the rows of both in the order of their numbers."""
    import pyarrow as pa

    table = pa.Table.from_batches([one, other]).sort_by("row").combine_chunks()
    return table.to_batches()[0] if table.num_rows else one


def rows_schema() -> pa.Schema:
    """Return the schema of rows of text: `fields` is null for a line that is still to be split."""
    import pyarrow as pa

    texts = pa.list_(pa.string())
    return pa.schema(
        [
            ("file", pa.int32()),
            ("row", pa.int64()),
            ("raw", pa.string()),
            ("fields", texts),
            ("renames", texts),
            ("problem", pa.string()),
            ("cut", pa.bool_()),
        ]
    )
