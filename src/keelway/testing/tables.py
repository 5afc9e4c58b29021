"""What every table store must do; inherit it and give the fixture `tables`."""

from __future__ import annotations

from pathlib import Path

import pytest

from keelway.core import Digest, digest_file
from keelway.errors import MissingRecordError
from keelway.snapshot import TableFile, TableStore


def parquet(path: Path, *values: int) -> tuple[Path, Digest, int]:
    """Write a small Parquet file and return it with its digest and number of rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"number": pa.array(values, pa.int64())}), path)
    return path, digest_file(path), len(values)


def append(tables: TableStore, folder: Path, transaction: str, *values: int) -> TableFile:
    """Append numbers to the table `orders`."""
    path, digest, count = parquet(folder / f"{transaction}.parquet", *values)
    return tables.append("orders", path, digest=digest, count=count, transaction=transaction)


class TableStoreConformance:
    """Promises of `TableStore`. Subclasses give the fixture `tables`."""

    def test_an_appended_file_keeps_its_bytes(self, tables: TableStore, tmp_path: Path) -> None:
        added = append(tables, tmp_path, "first", 1, 2)
        stored = tables.path_of("orders", added.path)
        assert stored.read_bytes() == (tmp_path / "first.parquet").read_bytes()

    def test_an_append_happens_once_for_each_transaction(self, tables: TableStore, tmp_path: Path) -> None:
        first = append(tables, tmp_path, "first", 1, 2)
        second = append(tables, tmp_path, "second", 3)
        assert append(tables, tmp_path, "first", 1, 2) == first
        assert len(tables.files("orders", second.version)) == 2

    def test_an_older_version_never_changes(self, tables: TableStore, tmp_path: Path) -> None:
        first = append(tables, tmp_path, "first", 1)
        append(tables, tmp_path, "second", 2)
        assert tables.files("orders", first.version) == [first.path]

    def test_what_is_not_there_is_missing(self, tables: TableStore, tmp_path: Path) -> None:
        append(tables, tmp_path, "first", 1)
        with pytest.raises(MissingRecordError):
            tables.path_of("orders", "gone.parquet")
        with pytest.raises(MissingRecordError):
            tables.files("orders", 99)
