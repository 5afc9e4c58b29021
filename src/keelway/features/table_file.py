"""The Parquet file of a feature table, written a part at a time: the same rows give the same bytes, however they come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.errors import StorageError
from keelway.features.names import ENTITY

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

ROW_GROUP = 1 << 20
"""Rows of a group, which decide about the bytes; so many are held."""
PART_ROWS = 1 << 16
"""Rows that are read at a time."""


class TableFile:
    """Takes rows in parts of any size; a file is whole once the block of `table_file` has ended."""

    def __init__(self, writer: pq.ParquetWriter, schema: pa.Schema) -> None:
        self._writer, self._schema = writer, schema
        self._held: list[pa.Table] = []
        self._count = 0
        self.rows = 0

    def add(self, rows: pa.Table) -> None:
        """Write rows behind those before."""
        rows = rows.cast(self._schema)
        self.rows += rows.num_rows
        while self._count + rows.num_rows >= ROW_GROUP:
            fitting = ROW_GROUP - self._count
            self._held.append(rows.slice(0, fitting))
            self._write()
            rows = rows.slice(fitting)
        if rows.num_rows:
            self._held.append(rows)
            self._count += rows.num_rows

    def end(self) -> None:
        """Write what is held; a file without rows has one group without any."""
        if self._held or not self.rows:
            self._write()

    def _write(self) -> None:
        import pyarrow as pa

        group = pa.concat_tables([self._schema.empty_table(), *self._held]).combine_chunks()
        self._held, self._count = [], 0
        self._writer.write_table(group, row_group_size=ROW_GROUP)


@contextmanager
def table_file(path: Path, schema: pa.Schema) -> Iterator[TableFile]:
    """Open a new file for rows that can be cast to some columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    plain = _plain(schema)
    with pq.ParquetWriter(
        path,
        plain,
        version="2.6",
        data_page_version="1.0",
        compression="zstd",
        compression_level=3,
        use_dictionary=[field.name for field in plain if pa.types.is_string(field.type) and field.name != ENTITY],
        store_schema=False,
    ) as writer:
        file = TableFile(writer, plain)
        yield file
        file.end()


@contextmanager
def scratch_files(folder: Path) -> Iterator[None]:
    """Translate what goes wrong with files that are on their way into the store.

    Raises:
        StorageError: One cannot be written or read.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(
            "The rows of a feature table cannot be written or read",
            expected=f"room and the right to write in {folder.parent}",
            found=error.strerror or str(error),
            fix="Free some space, then run the command again: nothing was half-written.",
        ) from error


def parts_of(path: Path, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Yield the rows of a file, some at a time.

    Args:
        columns: The ones to read; None for all.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    # Read ahead, a file keeps all that was read until it is closed.
    with pq.ParquetFile(path, pre_buffer=False) as file:
        for batch in file.iter_batches(PART_ROWS, columns=columns, use_threads=False):
            part = pa.Table.from_batches([batch])
            yield part if columns is None else part.select(list(columns))


def schema_of(path: Path) -> pa.Schema:
    """Return the columns of a file."""
    import pyarrow.parquet as pq

    return pq.read_schema(path)


def _plain(schema: pa.Schema) -> pa.Schema:
    """Return names and types without what a file or an engine added to them."""
    import pyarrow as pa

    return pa.schema(
        [
            (field.name, pa.list_(field.type.value_type) if pa.types.is_list(field.type) else field.type)
            for field in schema
        ]
    )
