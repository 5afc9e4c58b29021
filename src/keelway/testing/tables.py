"""What every table store must do; inherit it and give the fixture `tables`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keelway.core import Digest, digest_file
from keelway.errors import ConflictError, EngineError, KeelwayError, MissingRecordError
from keelway.snapshot import ManifestFile, TableContent, TableStore

NOW = datetime(1999, 1, 1, tzinfo=UTC)
NUMBERS = {"number": "int64"}
NO_TABLE = TableContent(-1, (), {})


def parquet(path: Path, *values: int) -> tuple[Path, Digest, int]:
    """Write a small Parquet file and return it with its digest and number of rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"number": pa.array(values, pa.int64())}), path)
    return path, digest_file(path), len(values)


@dataclass
class Orders:
    """Somebody who writes the table `orders` and remembers what they last saw of it."""

    tables: TableStore
    folder: Path
    seen: TableContent = NO_TABLE
    name: str = "orders"
    columns: dict[str, str] = field(default_factory=lambda: dict(NUMBERS))

    def staged(self, *values: int) -> ManifestFile:
        """Put a file with numbers into the table's folder."""
        path, digest, count = parquet(self.folder / "staged.parquet", *values)
        name = f"rows-{digest.removeprefix('sha256:')}.parquet"
        self.tables.stage(self.name, path, path=name)
        return ManifestFile(name, path.stat().st_size, digest, count)

    def commit(self, *files: ManifestFile, rewritten: tuple[str, ...] = ()) -> int:
        """Make the table hold exactly these files."""
        version = self.tables.commit(
            self.name, files, columns=self.columns, after=self.seen, rewritten=rewritten, at=NOW
        )
        self.tables.tidy(self.name, version)
        self.seen = TableContent(version, files, dict(self.columns))
        return version

    def append(self, *values: int) -> int:
        """Add a file of numbers to what the table held when last seen."""
        return self.commit(*self.seen.files, self.staged(*values))


class TableStoreConformance:
    """Promises of `TableStore`. Subclasses give the fixture `tables`."""

    @pytest.fixture
    def orders(self, tables: TableStore, tmp_path: Path) -> Orders:
        return Orders(tables, tmp_path / "rows")

    def test_a_staged_file_keeps_its_bytes(self, orders: Orders) -> None:
        file = orders.staged(1, 2)
        stored = orders.tables.path_of("orders", file.path, digest=file.digest)
        assert stored.read_bytes() == (orders.folder / "staged.parquet").read_bytes()

    def test_a_staged_file_is_in_no_version_until_it_is_committed(self, orders: Orders) -> None:
        assert orders.tables.files("orders") == []
        file = orders.staged(1)
        assert orders.tables.files("orders") == []
        orders.commit(file)
        assert orders.tables.files("orders") == [file.path]

    def test_a_table_that_is_tidied_or_not_says_the_same(self, orders: Orders) -> None:
        first = orders.append(1)
        before = orders.tables.files("orders", first)
        orders.tables.tidy("orders", -1)
        orders.tables.tidy("orders", first)
        orders.tables.tidy("orders", first)
        assert orders.tables.files("orders") == before
        assert orders.append(2) == first + 1

    def test_versions_count_up_and_each_holds_the_files_it_was_given(self, orders: Orders) -> None:
        versions = [orders.append(1), orders.append(2), orders.append(3)]
        assert versions == [0, 1, 2]
        assert [len(orders.tables.files("orders", version)) for version in versions] == [1, 2, 3]

    def test_an_older_version_never_changes(self, orders: Orders) -> None:
        first = orders.append(1)
        before = orders.tables.files("orders", first)
        orders.append(2)
        orders.commit(orders.staged(1, 2))
        assert orders.tables.files("orders", first) == before

    def test_the_same_commit_again_is_the_same_version(self, orders: Orders) -> None:
        orders.append(1)
        seen, file = orders.seen, orders.staged(2)
        first = orders.commit(*seen.files, file)
        orders.seen = seen
        assert orders.commit(*seen.files, file) == first
        assert orders.commit(*orders.seen.files) == first
        assert orders.tables.files("orders") == orders.tables.files("orders", first)

    def test_what_a_killed_writer_left_behind_is_mended(self, orders: Orders) -> None:
        orders.append(1)
        seen = orders.seen
        orders.commit(*seen.files, orders.staged(66))  # the writer is killed before it can say so
        orders.seen = seen
        version = orders.append(2)
        assert orders.tables.files("orders") == sorted(file.path for file in orders.seen.files)
        assert version == 2

    def test_what_a_killed_writer_took_away_comes_back(self, orders: Orders) -> None:
        orders.append(1)
        orders.append(2)
        seen = orders.seen
        orders.commit(orders.staged(1, 2))
        orders.seen = seen
        orders.append(3)
        assert len(orders.tables.files("orders")) == 3

    def test_a_first_commit_that_was_never_told_of_is_mended(self, orders: Orders) -> None:
        orders.append(66)
        orders.seen = NO_TABLE
        file = orders.staged(1)
        assert orders.commit(file) == 1
        assert orders.tables.files("orders") == [file.path]

    def test_columns_come_and_take_in_more(self, orders: Orders) -> None:
        orders.append(1)
        orders.columns = {"number": "double", "kind": "string"}
        version = orders.append(2)
        assert orders.commit(*orders.seen.files) == version
        assert orders.append(3) == version + 1

    def test_columns_change_without_a_new_file(self, orders: Orders) -> None:
        first = orders.append(1)
        orders.columns = {"number": "int64", "kind": "string"}
        assert orders.commit(*orders.seen.files) == first + 1

    def test_a_type_that_no_version_has_is_refused(self, orders: Orders) -> None:
        orders.columns = {"number": "decimal128(9, 2)"}
        with pytest.raises(EngineError, match="number"):
            orders.append(1)
        assert orders.tables.files("orders") == []

    def test_one_of_many_writers_wins(self, orders: Orders, tmp_path: Path) -> None:
        orders.append(0)
        writers = [Orders(orders.tables, tmp_path / str(number), orders.seen) for number in range(4)]

        def write(number: int) -> int | None:
            try:
                return writers[number].append(number + 1)
            except ConflictError:
                return None

        with ThreadPoolExecutor(len(writers)) as pool:
            versions = [version for version in pool.map(write, range(len(writers))) if version is not None]
        assert versions
        assert len(set(versions)) == len(versions), "no two writers made one version"
        assert len(orders.tables.files("orders")) == 2, "the last one made the table what it says"

    def test_stored_files_are_listed_with_their_age(self, orders: Orders) -> None:
        assert list(orders.tables.stored("orders")) == []
        orders.append(1)
        stray = orders.staged(2)
        stored = {file.path: file for file in orders.tables.stored("orders")}
        assert stored.keys() == {stray.path, *orders.tables.files("orders")}
        assert stored[stray.path].size_bytes == stray.size_bytes
        assert abs(datetime.now(UTC) - stored[stray.path].modified_at) < timedelta(minutes=5)

    def test_a_removed_file_is_gone_and_no_other(self, orders: Orders) -> None:
        orders.append(1)
        stray = orders.staged(2)
        orders.tables.remove("orders", [stray.path])
        orders.tables.remove("orders", [stray.path])
        assert [file.path for file in orders.tables.stored("orders")] == orders.tables.files("orders")

    def test_a_path_leads_nowhere_else(self, orders: Orders) -> None:
        file = orders.staged(1)
        for path in ("../orders/" + file.path, "_delta_log/00000000000000000000.json", ""):
            with pytest.raises(MissingRecordError):
                orders.tables.path_of("orders", path, digest=file.digest)

    @pytest.mark.parametrize("name", ["", "..", "a/b", "Orders"])
    def test_a_table_has_a_plain_name(self, tables: TableStore, name: str) -> None:
        with pytest.raises(KeelwayError):
            tables.files(name)

    def test_tables_do_not_see_each_other(self, orders: Orders, tmp_path: Path) -> None:
        orders.append(1)
        others = Orders(orders.tables, tmp_path / "others", name="others")
        assert others.append(1) == 0
        others.append(2)
        assert len(orders.tables.files("orders")) == 1

    def test_what_is_not_there_is_missing(self, orders: Orders) -> None:
        orders.append(1)
        [file] = orders.seen.files
        with pytest.raises(MissingRecordError):
            orders.tables.path_of("orders", "gone.parquet", digest=Digest(f"sha256:{'0' * 64}"))
        with pytest.raises(MissingRecordError):
            orders.tables.files("orders", 99)
        assert orders.tables.path_of("orders", file.path, digest=file.digest).is_file()
