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
ROWS_KEPT = 5_000_000
"""Of some 60 bytes each."""


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
            self._rows += found.num_rows
            while self._rows > self._most:
                self._rows -= self._tables.pop(next(iter(self._tables))).num_rows
        return found


def sealed_columns(
    model: str, environment: str, *, since: datetime, tx: Transaction, artifacts: ArtifactStore, cache: SegmentCache
) -> tuple[pa.Table, int]:
    """Return the sealed predictions that may have been given at a moment or later, and how many of them are gone.

    Those of segments that reach back further come along. Times are microseconds since 1970, UTC; of several classes the
    value is the number of the likeliest.
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
    made["value"] = _numbers(part["value"])
    moment = pa.timestamp("us", "UTC")
    made |= {name: part[name].cast(moment).cast(pa.int64()) for name in MOMENTS}
    return pa.table(made).select(list(COLUMNS)).cast(_schema())


def _schema() -> pa.Schema:
    import pyarrow as pa

    few = [(name, pa.dictionary(pa.int32(), pa.string())) for name in FEW]
    return pa.schema(
        [*few, ("entity", pa.string()), ("value", pa.float64()), *((name, pa.int64()) for name in MOMENTS)]
    )


def _numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return answers as numbers; of a list of probabilities the place of the largest."""
    import pyarrow as pa

    if not pa.types.is_list(column.type):
        return column.cast(pa.float64())
    likeliest = [
        None if each is None else float(max(range(len(each)), key=each.__getitem__)) for each in column.to_pylist()
    ]
    return pa.chunked_array([pa.array(likeliest, pa.float64())])
