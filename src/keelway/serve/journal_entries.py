"""What a journal keeps: canonical lines, or the rows of a large request as they are, whose lines are written when they are sealed.

    entries = entries_of(writers, ids, rows, texts, at=at, marks=marks)
    lines = list(lines_in(entries.splitlines(keepends=True)))

A caller waits for the journal, but not for its lines, and writing those takes as long as scoring the rows.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from keelway.serve.line import UNMARKED, LineWriter, RequestMark, WriterParts, lines_of
from keelway.serve.log_columns import damaged_journal

if TYPE_CHECKING:
    from keelway.serve.wire.columns import Row

BLOCK_FROM = 256
"""So many rows of one request are kept as they are."""
_BEGINS = b'{"rows":'
_MICROSECONDS = 1e6


class _RowBlock(msgspec.Struct, frozen=True, gc=False):
    """The rows of one request that one version answered; the first field tells it from a line.

    Attributes:
        rows: The features of each row, in the model's order.
        event_time: When they were answered, as lines have it.
        as_of: Of each row, or one that all have.
        values: What was answered to each row, as JSON.
    """

    rows: Sequence[Sequence[Any]]
    writer: WriterParts
    event_time: str
    as_of: Sequence[datetime]
    latency_us: int | None
    request_id: str
    ids: Sequence[str]
    entities: Sequence[str]
    values: Sequence[str]

    def lines(self) -> bytes:
        """Return their lines, each with its line feed; raises ValueError or TypeError where its parts do not fit."""
        count = len(self.rows)
        moments = self.as_of if len(self.as_of) == count else [*self.as_of] * count
        mark = RequestMark(self.request_id, None if self.latency_us is None else 0.0)
        return LineWriter(self.writer).lines(
            self.ids,
            [(*each[:2], list(each[2])) for each in zip(self.entities, moments, self.rows, strict=True)],
            self.values,
            at=self.event_time,
            marks=[mark] * count,
            now=(self.latency_us or 0) / _MICROSECONDS,
        )


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
    if len(rows) < BLOCK_FROM or writers.count(writers[0]) < len(rows) or marks.count(marks[0]) < len(rows):
        return lines_of(writers, ids, rows, texts, at=at, marks=marks)
    entities, moments, values = zip(*rows, strict=True)
    block = _RowBlock(
        values,
        writers[0].parts,
        at,
        moments[:1] if moments.count(moments[0]) == len(moments) else moments,
        marks[0].latency_us(time.perf_counter()),
        marks[0].request_id,
        ids,
        entities,
        texts,
    )
    return _ENCODER.encode(block) + b"\n"


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
