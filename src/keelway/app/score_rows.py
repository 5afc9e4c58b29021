"""The rows of a feature table as a stream: read from its file a part at a time, however many there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keelway.core import ArtifactStore
    from keelway.features import FeatureColumn, FeatureTable
    from keelway.serve import Row

PART_ROWS = 10_000


def stream_rows(
    table: FeatureTable,
    features: Sequence[FeatureColumn],
    *,
    as_of: datetime,
    artifacts: ArtifactStore,
    limit: int = 0,
) -> Iterator[Row]:
    """Yield entity, moment and features of each row, in the table's order; the file's bytes are checked first.

    Args:
        limit: How many rows at most; 0 for all.

    Raises:
        FeatureError: The table lacks a feature.
        IntegrityError: The bytes are altered.
    """
    found = _all_rows(table, features, as_of=as_of, artifacts=artifacts)
    return islice(found, limit) if limit else found


def _all_rows(
    table: FeatureTable, features: Sequence[FeatureColumn], *, as_of: datetime, artifacts: ArtifactStore
) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from keelway.features import columns_for_scoring

    # Read ahead, a file keeps all that was read until it is closed.
    with pq.ParquetFile(artifacts.path_of(table.data), pre_buffer=False) as file:
        for batch in file.iter_batches(batch_size=PART_ROWS, use_threads=False):
            part = pa.Table.from_batches([batch])
            columns = columns_for_scoring(part, features)
            values = zip(*(columns[each.name] for each in features), strict=True)
            for entity, row in zip(part["entity"].to_pylist(), values, strict=True):
                yield entity, as_of, list(row)
