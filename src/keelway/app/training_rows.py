"""Rows that a version was trained on: a few of them, read from its feature table; they never leave the process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keelway.errors import IntegrityError

if TYPE_CHECKING:
    from keelway.app.wire import Workspace
    from keelway.register import ModelVersion

PART_ROWS = 65_536
BUFFER_BYTES = 1 << 16
"""With a buffer a column is read as far as it is needed, instead of as a whole."""


def training_rows(version: ModelVersion, *, at: Workspace, limit: int, spread: bool) -> list[list[Any]]:
    """Return features of some rows of the table that a version was trained on, in the version's order.

    Args:
        limit: How many rows at most.
        spread: Whether they are taken from the whole table, at equal distances; else they are the first.

    Raises:
        MissingRecordError: The table is gone.
        IntegrityError: Its bytes are altered, or are no table.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from keelway.features import FeatureTable, columns_for_scoring

    with at.state.snapshot() as tx:
        table = tx.by_digest(FeatureTable, version.feature_table)
    names = [each.name for each in version.features]
    found: list[list[Any]] = []
    try:
        with pq.ParquetFile(at.artifacts.path_of(table.data), pre_buffer=False, buffer_size=BUFFER_BYTES) as file:
            step = max(1, file.metadata.num_rows // limit) if spread else 1
            size = PART_ROWS if spread else limit
            begin = 0
            for batch in file.iter_batches(batch_size=size, columns=names, use_threads=False):
                wanted = range(-begin % step, batch.num_rows, step)
                begin += batch.num_rows
                part = pa.Table.from_batches([batch])
                if step > 1:  # by slices: to take rows by a list, Arrow would load pandas into the server
                    part = pa.concat_tables([part.slice(place, 1) for place in wanted] or [part.slice(0, 0)])
                columns = columns_for_scoring(part, version.features)
                found += map(list, zip(*(columns[name] for name in names), strict=True))
                if len(found) >= limit:
                    break
    except pa.ArrowException as error:
        raise IntegrityError(
            "A feature table cannot be read", expected="a Parquet file", found=type(error).__name__
        ) from error
    finally:
        pa.default_memory_pool().release_unused()  # a server keeps little
    return found[:limit]
