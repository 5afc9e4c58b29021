"""Delta tables in folders of this machine."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.core import digest_file
from keelway.engines.delta import DeltaTables
from keelway.engines.delta import tables as module
from keelway.errors import ConflictError, EngineError, MissingRecordError, StorageError
from keelway.testing.tables import NO_TABLE, NOW, Orders, TableStoreConformance


@pytest.fixture
def tables(tmp_path: Path) -> DeltaTables:
    return DeltaTables.below(tmp_path / "tables")


@pytest.fixture
def orders(tables: DeltaTables, tmp_path: Path) -> Orders:
    return Orders(tables, tmp_path / "rows")


def log_lines(folder: Path, version: int) -> list[dict]:
    return [json.loads(line) for line in (folder / f"_delta_log/{version:020d}.json").read_text().splitlines()]


def numbers(folder: Path, version: int | None = None) -> list[int]:
    return sorted(DeltaTable(folder, version=version).to_pyarrow_table()["number"].to_pylist())


class TestLocalDeltaTables(TableStoreConformance):
    @pytest.fixture
    def tables(self, tmp_path: Path) -> DeltaTables:
        return DeltaTables.below(tmp_path / "tables")


def test_a_plain_delta_reader_sees_the_rows_of_each_version(orders: Orders, tmp_path: Path) -> None:
    first, second = orders.append(1, 2), orders.append(3)
    folder = tmp_path / "tables/orders"
    assert numbers(folder, first) == [1, 2]
    assert numbers(folder, second) == [1, 2, 3]


def test_a_plain_delta_reader_sees_files_with_other_columns_as_one_table(orders: Orders, tmp_path: Path) -> None:
    orders.append(1)
    orders.columns = {"number": "int64", "kind": "string"}
    orders.append(2)
    table = DeltaTable(tmp_path / "tables/orders").to_pyarrow_table()
    assert sorted(table.to_pylist(), key=lambda row: row["number"]) == [
        {"number": 1, "kind": None},
        {"number": 2, "kind": None},
    ]


def test_another_writer_of_delta_goes_on_where_we_stopped(orders: Orders, tmp_path: Path) -> None:
    orders.append(1)
    orders.append(2)
    theirs = DeltaTable(tmp_path / "tables/orders")
    theirs.optimize.compact()
    assert numbers(tmp_path / "tables/orders") == [1, 2]
    orders.append(3)
    assert numbers(tmp_path / "tables/orders") == [1, 2, 3]
    assert len(DeltaTable(tmp_path / "tables/orders").file_uris()) == 3, "the table holds our files again"


def test_a_rewritten_file_changes_no_data(orders: Orders, tmp_path: Path) -> None:
    orders.append(1)
    orders.append(2)
    both = orders.staged(1, 2)
    version = orders.commit(both, rewritten=(both.path,))
    lines = log_lines(tmp_path / "tables/orders", version)
    actions = [line.get("add") or line.get("remove") for line in lines if "commitInfo" not in line]
    assert [action["dataChange"] for action in actions] == [False, False, False]
    assert lines[0]["commitInfo"]["operation"] == "OPTIMIZE"
    assert numbers(tmp_path / "tables/orders", version) == [1, 2]


def test_a_mended_table_says_that_data_changed(orders: Orders, tmp_path: Path) -> None:
    orders.append(1)
    seen = orders.seen
    orders.append(66)
    orders.seen = seen
    version = orders.append(2)
    (removed,) = [line["remove"] for line in log_lines(tmp_path / "tables/orders", version) if "remove" in line]
    assert removed["dataChange"] is True


def test_the_same_history_gives_the_same_bytes(tmp_path: Path) -> None:
    written = []
    for name in ("one", "other"):
        orders = Orders(DeltaTables.below(tmp_path / name), tmp_path / "rows")
        orders.append(1)
        orders.append(2, 3)
        folder = tmp_path / name / "orders"
        written.append({path.relative_to(folder): digest_file(path) for path in folder.rglob("*") if path.is_file()})
    assert written[0] == written[1]
    assert len(written[0]) == 4


def test_a_commit_does_not_read_the_table_where_nobody_came_between(
    orders: Orders, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*given: object) -> None:
        pytest.fail("the table was read")

    monkeypatch.setattr(module, "_opened", never)
    orders.append(1)
    assert orders.append(2) == 1


def test_checkpoints_are_written_now_and_then_and_are_read(
    orders: Orders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHECKPOINT_EVERY", 3)
    for number in range(8):
        orders.append(number)
    folder = tmp_path / "tables/orders"
    found = sorted(path.name for path in (folder / "_delta_log").glob("*.checkpoint.parquet"))
    assert found == [f"{version:020d}.checkpoint.parquet" for version in (3, 6)]
    assert numbers(folder) == list(range(8))
    for version in range(6):  # the newest checkpoint alone tells of these
        (folder / f"_delta_log/{version:020d}.json").unlink()
    assert numbers(folder) == list(range(8))


def test_a_full_disk_leaves_the_table_as_it_was(
    orders: Orders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders.append(1)
    folder = tmp_path / "tables/orders"
    before = sorted(path.relative_to(folder) for path in folder.rglob("*"))

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        orders.append(2)
    assert sorted(path.relative_to(folder) for path in folder.rglob("*")) == before


def test_a_file_where_the_table_should_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "tables").write_text("not a folder")
    with pytest.raises(StorageError):
        Orders(DeltaTables.below(tmp_path / "tables"), tmp_path / "rows").append(1)


def test_a_log_that_is_no_delta_log_is_told(orders: Orders, tmp_path: Path) -> None:
    log = tmp_path / "tables/orders/_delta_log"
    log.mkdir(parents=True)
    (log / f"{0:020d}.json").write_text('{"not": "delta"}\n')
    with pytest.raises((EngineError, MissingRecordError)):
        orders.append(1)


def test_two_writers_of_the_very_same_version_cannot_both_win(orders: Orders, monkeypatch: pytest.MonkeyPatch) -> None:
    orders.append(1)
    late = Orders(orders.tables, orders.folder, orders.seen)
    orders.append(2)
    held = module._held

    def overtaken(table: DeltaTable) -> dict[str, int]:
        found = held(table)
        if len(found) == 2:  # between the look at the table and the commit, somebody commits
            orders.append(3)
        return found

    monkeypatch.setattr(module, "_held", overtaken)
    with pytest.raises(ConflictError):
        late.append(4)
    assert len(orders.tables.files("orders")) == 3


@settings(max_examples=25, deadline=None)
@given(history=st.lists(st.lists(st.integers(0, 5), max_size=4, unique=True), min_size=1, max_size=6), lost=st.data())
def test_whatever_was_committed_the_table_holds_what_the_last_one_said(
    tmp_path_factory: pytest.TempPathFactory, history: list[list[int]], lost: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("history")
    orders = Orders(DeltaTables.below(folder), folder / "rows")
    files = [orders.staged(number) for number in range(6)]
    orders.commit(files[0])
    for wanted in history:
        seen = orders.seen
        version = orders.commit(*(files[number] for number in wanted))
        assert orders.tables.files("orders", version) == sorted(files[number].path for number in wanted)
        if lost.draw(st.booleans(), label="the writer is killed before it can say so"):
            orders.seen = seen
    if wanted:
        assert numbers(folder / "orders", version) == sorted(wanted)


def test_the_rows_of_a_file_are_counted_in_the_log(orders: Orders, tmp_path: Path) -> None:
    orders.append(1, 2, 3)
    table = DeltaTable(tmp_path / "tables/orders")
    assert table.get_add_actions().column("num_records").to_pylist() == [3]
    assert pc.sum(table.to_pyarrow_table()["number"]).as_py() == 6
    assert table.protocol().min_reader_version == 1


def test_the_times_in_the_log_are_those_given(orders: Orders, tmp_path: Path) -> None:
    orders.append(1)
    (info, *_) = log_lines(tmp_path / "tables/orders", 0)
    assert info["commitInfo"]["timestamp"] == NOW.timestamp() * 1000


def test_a_first_commit_knows_no_table(orders: Orders) -> None:
    assert orders.seen == NO_TABLE
    assert orders.append(1) == 0
