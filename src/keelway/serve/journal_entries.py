"""What a journal keeps: canonical lines, or rows answered together as they are, whose lines are written when they are sealed.

    entries = entries_of(writers, ids, rows, texts, at=at, marks=marks)
    lines = list(lines_in(entries.splitlines(keepends=True)))

Callers wait for the journal, but not for its lines, and writing those takes as long as scoring the rows.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from keelway.serve.line import UNMARKED, LineWriter, RequestMark, WriterParts, lines_of
from keelway.serve.log_columns import damaged_journal

if TYPE_CHECKING:
    from keelway.serve.wire.columns import Row

BLOCK_FROM = 8
"""So many rows that one version answers at once are kept as they are."""
_BEGINS = b'{"rows":'
_MICROSECONDS = 1e6
_T = TypeVar("_T")


class _RowBlock(msgspec.Struct, frozen=True, gc=False):
    """Rows that one version answered at once; the first field tells them from a line.

    Attributes:
        rows: The features of each row, in the model's order.
        event_time: When they were answered, as lines have it.
        as_of: Of each row, or one that all have; so are those of the requests.
        values: What was answered to each row, as JSON.
    """

    rows: Sequence[Sequence[Any]]
    writer: WriterParts
    event_time: str
    as_of: Sequence[datetime]
    latencies_us: Sequence[int | None]
    request_ids: Sequence[str]
    ids: Sequence[str]
    entities: Sequence[str]
    values: Sequence[str]

    def lines(self) -> bytes:
        """Return their lines, each with its line feed; raises ValueError or TypeError where the parts do not fit."""
        if {*map(len, self.rows)} != {len(self.writer.features)}:
            raise ValueError("a row of another length than the features")
        marks = [
            RequestMark(name, None if latency_us is None else -latency_us / _MICROSECONDS)
            for name, latency_us in zip(self.request_ids, self.latencies_us, strict=True)
        ]
        moments, asked = self._of_all(self.as_of), self._of_all(marks)
        rows = [(*each[:2], list(each[2])) for each in zip(self.entities, moments, self.rows, strict=True)]
        return _writer_of(self.writer).lines(self.ids, rows, self.values, at=self.event_time, marks=asked, now=0.0)

    def _of_all(self, values: Sequence[_T]) -> list[_T]:
        """Return a value for each row, where there may be one that all have."""
        return [*values] * len(self.rows) if len(values) == 1 else [*values]


@lru_cache(maxsize=64)
def _writer_of(parts: WriterParts) -> LineWriter:
    return LineWriter(parts)


_ENCODER = msgspec.json.Encoder(enc_hook=float)
_DECODER = msgspec.json.Decoder(_RowBlock)


def entries_of(
    writers: Sequence[LineWriter],
    ids: Sequence[str],
    rows: Sequence[Row],
    texts: Sequence[str],
    *,
    at: str,
    marks: Sequence[RequestMark] = (),
) -> bytes:
    """Return what a journal keeps of predictions; see `lines_of`."""
    marks = marks or [UNMARKED] * len(rows)
    if len(rows) < BLOCK_FROM or writers.count(writers[0]) < len(rows):
        return lines_of(writers, ids, rows, texts, at=at, marks=marks)
    entities, moments, values = zip(*rows, strict=True)
    marks, now = _one_or_all(marks), time.perf_counter()
    block = _RowBlock(
        values,
        writers[0].parts,
        at,
        _one_or_all(moments),
        [mark.latency_us(now) for mark in marks],
        [mark.request_id for mark in marks],
        ids,
        entities,
        texts,
    )
    return _ENCODER.encode(block) + b"\n"


def _one_or_all(values: Sequence[_T]) -> Sequence[_T]:
    return values[:1] if values.count(values[0]) == len(values) else values


def lines_in(entries: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of what a journal kept, each with its line feed.

    Raises:
        IntegrityError: An entry begins as a block, and is none.
    """
    for entry in entries:
        if not entry.startswith(_BEGINS):
            yield entry
            continue
        try:
            lines = _DECODER.decode(entry).lines()
        except (msgspec.DecodeError, ValueError, TypeError) as error:
            raise damaged_journal(str(error)) from error
        yield from io.BytesIO(lines)
