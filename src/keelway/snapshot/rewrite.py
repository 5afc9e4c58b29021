"""Writes the rows of several files into one, in the order of the files and with one set of columns.

The same files give the same bytes: rows keep their order and every row group has the same number of rows, on any
number of threads. Memory does not grow with the number of rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keelway.core import digest_file, memory_duckdb
from keelway.errors import EngineError, StorageError
from keelway.snapshot.manifest import ManifestFile
from keelway.snapshot.schema import select_rows

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

ROW_GROUP = 131_072
"""Rows in one row group of the Parquet files."""
MEMORY_LIMIT = "400MB"


def rewrite(paths: Sequence[Path], columns: Mapping[str, str], *, target: Path) -> ManifestFile:
    """Write the rows of Parquet files into one and return what a manifest says of it; its path is the target's name.

    Raises:
        StorageError: The disk is full.
    """
    import pyarrow.parquet as pq

    rows = 0
    with opened_duckdb(target.parent) as connection:
        reader = connection.sql(select_rows(paths, columns)).to_arrow_reader(ROW_GROUP)
        with pq.ParquetWriter(target, reader.schema, compression="zstd") as writer:
            for part in _groups(reader):
                writer.write_table(part, row_group_size=ROW_GROUP)
                rows += part.num_rows
    return ManifestFile(target.name, target.stat().st_size, digest_file(target), rows)


@contextmanager
def opened_duckdb(folder: Path, *, threads: int = 0) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open DuckDB with bounded memory; beyond that it writes into a folder.

    Raises:
        StorageError: A file cannot be read, or the disk is full.
    """
    import duckdb

    config: dict[str, Any] = {"memory_limit": MEMORY_LIMIT, "temp_directory": str(folder / "spill")}
    if threads:
        config["threads"] = threads
    try:
        with memory_duckdb(**config) as connection:
            yield connection
    except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
        raise StorageError("Rows cannot be read or written", found=str(error).splitlines()[0]) from error
    except duckdb.Error as error:
        raise EngineError("DuckDB cannot read the rows", found=str(error).splitlines()[0]) from error
    except OSError as error:
        raise StorageError("Rows cannot be written", found=error.strerror or str(error)) from error


def _groups(reader: pa.RecordBatchReader) -> Iterator[pa.Table]:
    """Yield the rows in tables of exactly `ROW_GROUP` rows, the last one shorter."""
    import pyarrow as pa

    held: list[pa.RecordBatch] = []
    count = 0
    for batch in reader:
        held.append(batch)
        count += batch.num_rows
        while count >= ROW_GROUP:
            table = pa.Table.from_batches(held, schema=reader.schema).combine_chunks()
            yield table.slice(0, ROW_GROUP)
            held, count = table.slice(ROW_GROUP).to_batches(), count - ROW_GROUP
    if count:
        yield pa.Table.from_batches(held, schema=reader.schema).combine_chunks()
