"""Delta tables on a real S3 server: the same promises, conditional writes, checked local copies, other readers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import obstore
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from keelway.core import digest_file
from keelway.engines.delta import DeltaTables
from keelway.engines.delta import tables as module
from keelway.engines.delta.folders import ObjectFolder
from keelway.engines.obstore import open_store
from keelway.errors import ConflictError, IntegrityError, StorageError
from keelway.snapshot import newest
from keelway.testing.seaweed import SeaweedServer, seaweed
from keelway.testing.tables import NOW, NUMBERS, Orders, TableStoreConformance
from keelway.testing.versions import Versions

RACERS = 12

__all__ = ["seaweed"]  # the fixture


@pytest.fixture
def url(seaweed: SeaweedServer) -> str:
    bucket = seaweed.bucket()
    obstore.put(
        open_store(f"s3://{bucket}", seaweed.options).client, "ready", b""
    )  # a bucket comes with its first object
    return f"s3://{bucket}/tables"


@pytest.fixture
def tables(seaweed: SeaweedServer, url: str, tmp_path: Path) -> DeltaTables:
    return tables_at(url, seaweed.options, tmp_path / "cache")


@pytest.fixture
def orders(tables: DeltaTables, tmp_path: Path) -> Orders:
    return Orders(tables, tmp_path / "rows")


def tables_at(url: str, options: dict[str, str], cache: Path) -> DeltaTables:
    return DeltaTables.at(url, open_store(url, options).client, options=options, cache=cache)


def plain(url: str, seaweed: SeaweedServer, table: str = "orders") -> DeltaTable:
    return DeltaTable(f"{url}/{table}", storage_options={**seaweed.options, "allow_http": "true"})


class TestObjectDeltaTables(TableStoreConformance):
    @pytest.fixture
    def tables(self, seaweed: SeaweedServer, url: str, tmp_path: Path) -> DeltaTables:
        return tables_at(url, seaweed.options, tmp_path / "cache")


def test_of_twelve_racing_writers_one_wins(seaweed: SeaweedServer, url: str, orders: Orders, tmp_path: Path) -> None:
    orders.append(0)
    racers = [
        Orders(tables_at(url, seaweed.options, tmp_path / "cache"), tmp_path / str(number)) for number in range(RACERS)
    ]
    files = [racer.staged(number + 1) for number, racer in enumerate(racers)]
    store = open_store(url, seaweed.options).client
    folder = ObjectFolder(url, "orders", store, options={}, cache=tmp_path / "cache")

    def put(number: int) -> bool:
        return folder.put_new("_delta_log/00000000000000000001.json", f"{number}".encode())

    with ThreadPoolExecutor(RACERS) as pool:
        won = list(pool.map(put, range(RACERS)))
    assert won.count(True) == 1
    held = bytes(obstore.get(store, "orders/_delta_log/00000000000000000001.json").bytes())
    assert held == f"{won.index(True)}".encode()
    assert len({file.path for file in files}) == RACERS


def test_racing_commits_leave_one_whole_table(seaweed: SeaweedServer, url: str, orders: Orders, tmp_path: Path) -> None:
    orders.append(0)

    def commit(number: int) -> int | None:
        own = tables_at(url, seaweed.options, tmp_path / "cache")
        racer = Orders(own, tmp_path / str(number), orders.seen)
        try:
            return racer.append(number + 1)
        except ConflictError:
            return None

    with ThreadPoolExecutor(RACERS) as pool:
        versions = [version for version in pool.map(commit, range(RACERS)) if version is not None]
    assert len(set(versions)) == len(versions) >= 1
    assert len(orders.tables.files("orders")) == 2
    assert plain(url, seaweed).to_pyarrow_table().num_rows == 2


def test_of_twelve_racing_takes_of_one_batch_one_wins(tables: DeltaTables, tmp_path: Path) -> None:
    orders = Versions.open(tmp_path / "here", tables=tables)
    orders.numbers(1)
    checked = orders.checked([{"customer": "c2", "amount": 2.0}])

    def take(number: int) -> str:
        racer = Versions.open(tmp_path / "here", tables=tables)
        racer.now = mine = orders.now + timedelta(seconds=number)
        try:
            return "won" if racer.take(checked).taken_at == mine else "late"
        except ConflictError:
            return "lost"

    with ThreadPoolExecutor(RACERS) as pool:
        ends = list(pool.map(take, range(RACERS)))
    assert ends.count("won") == 1
    assert len(ends) == RACERS
    with orders.state.snapshot() as tx:
        last = newest("orders", tx)
    assert last is not None
    assert (last.number, last.table_version) == (2, 1)
    assert [row["amount"] for row in orders.rows(last)] == [1, 2]


def test_a_plain_delta_reader_sees_each_version(seaweed: SeaweedServer, url: str, orders: Orders) -> None:
    first, second = orders.append(1, 2), orders.append(3)
    table = plain(url, seaweed)
    assert sorted(table.to_pyarrow_table()["number"].to_pylist()) == [1, 2, 3]
    table.load_as_version(first)
    assert sorted(table.to_pyarrow_table()["number"].to_pylist()) == [1, 2]
    assert second == 1


def test_checkpoints_are_written_to_the_store(
    seaweed: SeaweedServer, url: str, orders: Orders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHECKPOINT_EVERY", 2)
    for number in range(4):
        orders.append(number)
    store = open_store(f"{url}/orders", seaweed.options).client
    names = [found["path"] for page in obstore.list(store, "_delta_log") for found in page]
    assert [name for name in names if name.endswith(".checkpoint.parquet")] == [
        "_delta_log/00000000000000000002.checkpoint.parquet"
    ]
    assert plain(url, seaweed).to_pyarrow_table().num_rows == 4


def test_what_is_read_is_kept_here_under_its_digest(orders: Orders, tmp_path: Path) -> None:
    file = orders.staged(1)
    first = orders.tables.path_of("orders", file.path, digest=file.digest)
    assert first.is_relative_to(tmp_path / "cache")
    before = first.stat().st_mtime_ns
    assert orders.tables.path_of("orders", file.path, digest=file.digest) == first
    assert first.stat().st_mtime_ns == before, "it was not fetched again"
    assert [path.name for path in first.parent.iterdir()] == [first.name], "nothing half is left"


def test_a_copy_that_was_altered_is_fetched_anew(orders: Orders) -> None:
    file = orders.staged(1)
    copy = orders.tables.path_of("orders", file.path, digest=file.digest)
    copy.write_bytes(b"something else")
    assert digest_file(orders.tables.path_of("orders", file.path, digest=file.digest)) == file.digest


def test_altered_bytes_on_the_store_are_refused(seaweed: SeaweedServer, url: str, orders: Orders) -> None:
    file = orders.staged(1)
    obstore.put(open_store(f"{url}/orders", seaweed.options).client, file.path, b"something else")
    with pytest.raises(IntegrityError, match="was altered"):
        orders.tables.path_of("orders", file.path, digest=file.digest)


def test_a_table_does_not_see_the_files_of_one_whose_name_begins_alike(orders: Orders) -> None:
    file = orders.staged(1)
    beside = Orders(orders.tables, orders.folder / "beside", name="orders2")
    beside.staged(2)
    orders.append(3)
    assert len(list(orders.tables.stored("orders"))) == 2
    assert [found.path for found in orders.tables.stored("orders2")] == [beside.staged(2).path]
    orders.tables.remove("orders2", [file.path])
    assert file.path in [found.path for found in orders.tables.stored("orders")]


def test_versions_live_on_the_store(seaweed: SeaweedServer, url: str, tables: DeltaTables, tmp_path: Path) -> None:
    orders = Versions.open(tmp_path / "here", tables=tables)
    first, second = orders.numbers(1), orders.add([{"customer": "c2", "amount": 2.0, "plan": "x"}], plan="string")
    made = orders.compact()
    assert [row["amount"] for row in orders.rows(made)] == [1, 2]
    assert (first.table_version, second.table_version, made.table_version) == (0, 1, 2)
    table = plain(url, seaweed).to_pyarrow_table()
    assert sorted(table.select(["amount", "plan"]).to_pylist(), key=str) == [
        {"amount": 1.0, "plan": None},
        {"amount": 2.0, "plan": "x"},
    ]
    assert orders.vacuum().expired == (1, 2)
    assert {file.path for file in tables.stored("orders")} == set(tables.files("orders"))
    assert [row["amount"] for row in orders.rows(made)] == [1, 2]


def test_another_machine_reads_what_this_one_wrote(
    seaweed: SeaweedServer, url: str, orders: Orders, tmp_path: Path
) -> None:
    orders.append(1, 2)
    (file,) = orders.seen.files
    elsewhere = tables_at(url, seaweed.options, tmp_path / "elsewhere")
    assert elsewhere.files("orders") == [file.path]
    assert digest_file(elsewhere.path_of("orders", file.path, digest=file.digest)) == file.digest


def test_a_store_that_cannot_be_reached_is_told(tmp_path: Path) -> None:
    options = {"endpoint": "http://127.0.0.1:9", "access_key_id": "x", "secret_access_key": "x", "region": "us-east-1"}
    tables = tables_at("s3://nowhere/tables", options, tmp_path)
    with pytest.raises(StorageError):
        list(tables.stored("orders"))


def test_wrong_credentials_are_told(seaweed: SeaweedServer, url: str, orders: Orders, tmp_path: Path) -> None:
    orders.append(1)
    options = {**seaweed.options, "secret_access_key": "wrong"}
    stranger = Orders(tables_at(url, options, tmp_path / "stranger"), tmp_path / "rows")
    with pytest.raises(StorageError):
        stranger.append(2)
    assert len(orders.tables.files("orders")) == 1


def test_the_schema_on_the_store_is_the_one_given(seaweed: SeaweedServer, url: str, orders: Orders) -> None:
    orders.append(1)
    assert orders.columns == NUMBERS
    assert pa.schema(plain(url, seaweed).schema().to_arrow()).names == ["number"]
    assert NOW.timestamp() * 1000 == plain(url, seaweed).history()[0]["timestamp"]
