"""The rows of a feature table as a stream: read from its file a part at a time, however many there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from keelway.errors import FeatureError

if TYPE_CHECKING:
    import pyarrow as pa

    from keelway.core import ArtifactStore
    from keelway.features import FeatureColumn, FeatureTable

PART_ROWS = 10_000
PART_BYTES = 64_000_000
"""A part of rows that are wide, such as long texts, is cut further."""


def stream_rows(
    table: FeatureTable,
    features: Sequence[FeatureColumn],
    *,
    artifacts: ArtifactStore,
    limit: int = 0,
) -> Iterator[pa.Table]:
    """Yield the entity and the features of all rows, in the table's order; the file's bytes are checked first.

    Args:
        limit: How many rows at most; 0 for all.

    Raises:
        FeatureError: The table lacks a feature.
        IntegrityError: The bytes are altered.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    # Read ahead, a file keeps all that was read until it is closed.
    with pq.ParquetFile(artifacts.path_of(table.data), pre_buffer=False) as file:
        wanted = _wanted(file.schema_arrow.names, features)
        left = limit or file.metadata.num_rows
        for batch in file.iter_batches(batch_size=PART_ROWS, columns=wanted, use_threads=False):
            part = pa.Table.from_batches([batch]).slice(0, left)
            left -= part.num_rows
            yield from _cut(part.select(wanted))
            if not left:
                return


def _wanted(names: Sequence[str], features: Sequence[FeatureColumn]) -> list[str]:
    for feature in features:
        if feature.name not in names:
            raise FeatureError(
                f"The table has no feature {feature.name!r}", expected=feature.name, found=", ".join(names)
            )
    return ["entity", *(feature.name for feature in features)]


def _cut(part: pa.Table) -> Iterator[pa.Table]:
    """Yield a part in pieces that are not too large."""
    size = max(1, part.num_rows * PART_BYTES // max(part.nbytes, PART_BYTES))
    for start in range(0, part.num_rows, size):
        yield part.slice(start, size)
