"""Delta tables in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from deltalake import DeltaTable

from keelway.engines.local.tables import LocalTables
from keelway.testing.tables import TableStoreConformance, append


class TestLocalTables(TableStoreConformance):
    @pytest.fixture
    def tables(self, tmp_path: Path) -> LocalTables:
        return LocalTables(tmp_path / "tables")

    def test_a_plain_delta_reader_sees_the_rows_of_each_version(self, tables: LocalTables, tmp_path: Path) -> None:
        first = append(tables, tmp_path, "first", 1, 2)
        second = append(tables, tmp_path, "second", 3)
        folder = tmp_path / "tables/orders"
        at = {f.version: DeltaTable(folder, version=f.version).to_pyarrow_table() for f in (first, second)}
        assert sorted(at[first.version]["number"].to_pylist()) == [1, 2]
        assert sorted(at[second.version]["number"].to_pylist()) == [1, 2, 3]
