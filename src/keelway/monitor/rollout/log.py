"""Reads the sealed predictions that a rollout may have given, in the columns that it is judged by.

A segment never changes, so what was read of one is kept for the next look: a look every ten seconds reads what was sealed
since the last one.

    log = SegmentCache()
    table, gone = sealed_columns("churn", "prod", since=began, tx=tx, artifacts=artifacts, cache=log)
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from keelway.errors import ErasedError
from keelway.serve import PredictionSegment, columns_in, live_segments

if TYPE_CHECKING:
    import pyarrow as pa

    from keelway.core import ArtifactStore, Digest
    from keelway.ledger import Transaction

MOMENTS = ("as_of", "event_time")
FEW = ("version", "deployment", "arm")
"""Columns with few values."""
COLUMNS = (*FEW, "entity", "value", *MOMENTS)
"""What is read of a segment."""
ROWS_KEPT = 5_000_000
"""Of some 60 bytes each; the probabilities of eight classes count as one more row."""
CLASSES_A_ROW = 8


class SegmentCache:
    """Keeps the columns of segments, the newest ones of at most so many rows."""

    def __init__(self, rows: int = ROWS_KEPT) -> None:
        self._most = rows
        self._rows = 0
        self._tables: dict[Digest, pa.Table] = {}

    def columns_of(self, segment: PredictionSegment, artifacts: ArtifactStore) -> pa.Table:
        """Return the columns of a segment.

        Raises:
            ErasedError: Its retention time was over.
        """
        found = self._tables.get(segment.data)
        if found is None:
            found = rollout_columns(columns_in(segment, COLUMNS, artifacts=artifacts))
            self._tables[segment.data] = found
            self._rows += _size(found)
            while self._rows > self._most:
                self._rows -= _size(self._tables.pop(next(iter(self._tables))))
        return found


def sealed_columns(
    model: str, environment: str, *, since: datetime, tx: Transaction, artifacts: ArtifactStore, cache: SegmentCache
) -> tuple[pa.Table, int]:
    """Return the sealed predictions that may have been given at a moment or later, and how many of them are gone.

    Those of segments that reach back further come along. Times are microseconds since 1970, UTC. An answer is in `value`
    where it is a number, and in `shares` where it is a probability of each class, in the order of its version.
    """
    import pyarrow as pa

    parts, gone = [_schema().empty_table()], 0
    for segment in live_segments(model, environment, tx, since=since):
        if segment.last_event is not None and segment.last_event < since:
            continue
        try:
            parts.append(cache.columns_of(segment, artifacts))
        except ErasedError:
            gone += segment.count
    return pa.concat_tables(parts).unify_dictionaries(), gone


def rollout_columns(part: pa.Table) -> pa.Table:
    """Return a table of predictions in the types that all segments have here."""
    import pyarrow as pa
    import pyarrow.compute as pc

    made = {name: pc.dictionary_encode(part[name].cast(pa.string())) for name in FEW}
    made["entity"] = part["entity"].cast(pa.string())
    made["value"], made["shares"] = _answers(part["value"])
    moment = pa.timestamp("us", "UTC")
    made |= {name: part[name].cast(moment).cast(pa.int64()) for name in MOMENTS}
    return pa.table(made).select(_schema().names).cast(_schema())


def _schema() -> pa.Schema:
    import pyarrow as pa

    few = [(name, pa.dictionary(pa.int32(), pa.string())) for name in FEW]
    answers = [("value", pa.float64()), ("shares", pa.list_(pa.float64()))]
    return pa.schema([*few, ("entity", pa.string()), *answers, *((name, pa.int64()) for name in MOMENTS)])


def _answers(column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """Return answers as numbers and as probabilities of classes; where they are the one they are not the other."""
    import pyarrow as pa

    number, shares = pa.float64(), pa.list_(pa.float64())
    if pa.types.is_list(column.type):
        return pa.chunked_array([pa.nulls(len(column), number)]), column.cast(shares)
    return column.cast(number), pa.chunked_array([pa.nulls(len(column), shares)])


def _size(table: pa.Table) -> int:
    """Return how many rows a table counts for."""
    import pyarrow.compute as pc

    classes = pc.sum(pc.list_value_length(table["shares"])).as_py() or 0
    return int(table.num_rows + classes // CLASSES_A_ROW)
