"""Compaction: the same rows in fewer files, and not an id changes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from deltalake import DeltaTable

from keelway.core import Action, digest_file, digest_of
from keelway.errors import ConflictError, IntegrityError, MissingRecordError
from keelway.ledger import decisions
from keelway.snapshot import files_of, newest, snapshots
from keelway.snapshot.merge import neighbours
from keelway.testing.versions import Versions


@pytest.fixture
def orders(tmp_path: Path) -> Versions:
    made = Versions.open(tmp_path)
    for number in range(1, 6):
        made.numbers(number, number + 0.5)
    return made


def history(orders: Versions) -> dict[int, tuple[str, list[str], list[dict]]]:
    with orders.state.snapshot() as tx:
        every = snapshots("orders", tx)
    return {
        each.number: (digest_of(each), [digest_file(path) for path in orders.read(each)], orders.rows(each))
        for each in every
    }


def test_the_rows_are_the_same_in_the_same_order(orders: Versions) -> None:
    with orders.state.snapshot() as tx:
        before = newest("orders", tx)
    assert before is not None
    made = orders.compact()
    assert orders.rows(made) == orders.rows(before)
    assert len(orders.read(made)) == 1
    assert (made.rows, made.rows_added, made.number) == (before.rows, 0, before.number + 1)
    assert made.compacted == made.parent == digest_of(before)
    assert made.columns == before.columns
    assert made.watermark == before.watermark


def test_no_earlier_version_changes(orders: Versions) -> None:
    before = history(orders)
    orders.compact()
    after = history(orders)
    assert {number: after[number] for number in before} == before


def test_where_rows_came_from_is_kept(orders: Versions) -> None:
    import pyarrow.parquet as pq

    made = orders.compact()
    (path,) = orders.read(made)
    table = pq.read_table(path)
    assert table["_file"].to_pylist() == [f"file {number}" for number in range(1, 6) for _ in range(2)]
    assert str(table.schema.field("_known_at").type) == "timestamp[us, tz=UTC]"


def test_a_plain_delta_reader_sees_the_same_rows_and_that_no_data_changed(orders: Versions) -> None:
    folder = orders.root / "tables/orders"
    before = DeltaTable(folder).to_pyarrow_table().sort_by("amount").to_pylist()
    made = orders.compact()
    table = DeltaTable(folder)
    assert table.version() == made.table_version
    assert len(table.file_uris()) == 1
    assert table.to_pyarrow_table().sort_by("amount").to_pylist() == before
    log = (folder / f"_delta_log/{made.table_version:020d}.json").read_text().splitlines()
    lines = [json.loads(line) for line in log]
    changed = [(line.get("add") or line["remove"])["dataChange"] for line in lines if "commitInfo" not in line]
    assert changed == [False] * 6


def test_compacting_again_changes_nothing(orders: Versions) -> None:
    made = orders.compact()
    assert orders.compact() == made


def test_it_goes_on_growing_and_is_compacted_again(orders: Versions) -> None:
    orders.compact()
    grown = orders.numbers(9)
    assert len(orders.read(grown)) == 2
    again = orders.compact()
    assert len(orders.read(again)) == 1
    assert orders.rows(again) == orders.rows(grown)


def test_large_files_stay_as_they_are(orders: Versions) -> None:
    with orders.state.snapshot() as tx:
        last = newest("orders", tx)
    assert last is not None
    sizes = [file.size_bytes for file in files_of(last, orders.artifacts)]
    made = orders.compact(target_bytes=2 * max(sizes))
    files = files_of(made, orders.artifacts)
    assert [file.rows for file in files] == [4, 4, 2]
    assert files[2] in files_of(last, orders.artifacts)


def test_groups_are_neighbours_and_nothing_is_lost(orders: Versions) -> None:
    with orders.state.snapshot() as tx:
        last = newest("orders", tx)
    assert last is not None
    files = files_of(last, orders.artifacts)
    for target in (0, 1, files[0].size_bytes, 3 * files[0].size_bytes, 10**9):
        groups = neighbours(files, target_bytes=target)
        assert [file for group in groups for file in group] == list(files)
        assert all(len(group) == 1 or sum(file.size_bytes for file in group) <= target for group in groups)


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    ids = []
    for name in ("one", "other"):
        made = Versions.open(tmp_path / name)
        made.numbers(1, 2)
        made.numbers(3)
        ids.append(made.compact().snapshot_id)
    assert ids[0] == ids[1]


def test_a_batch_that_was_taken_before_is_found_again_after_a_compaction(tmp_path: Path) -> None:
    orders = Versions.open(tmp_path)
    orders.numbers(1)
    checked = orders.checked([{"customer": "c2", "amount": 2.0}])
    taken = orders.take(checked)
    orders.compact()
    assert orders.take(checked) == taken


def test_the_decision_names_both_versions(orders: Versions) -> None:
    with orders.state.snapshot() as tx:
        before = newest("orders", tx)
    made = orders.compact()
    with orders.state.snapshot() as tx:
        *_, (_, last) = decisions(tx)
    assert last.action is Action.COMPACT
    assert last.evidence["snapshot"] == digest_of(made)
    assert last.evidence["compacted"] == digest_of(before)
    assert last.comment == "snapshot 6: 5 files in 1"


def test_altered_rows_are_not_compacted(orders: Versions) -> None:
    path = min((orders.root / "tables/orders").glob("*.parquet"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(IntegrityError):
        orders.compact()
    with orders.state.snapshot() as tx:
        assert len(snapshots("orders", tx)) == 5


def test_there_must_be_something_to_compact(tmp_path: Path) -> None:
    with pytest.raises(MissingRecordError):
        Versions.open(tmp_path).compact()


def test_a_version_that_comes_between_wins(orders: Versions) -> None:
    class Slow:
        """Tables into which somebody loads while the compacted file is put in."""

        def __init__(self) -> None:
            self.hurried = Versions.open(orders.root)

        def stage(self, table: str, rows: Path, *, path: str) -> None:
            orders.tables.stage(table, rows, path=path)
            self.hurried.numbers(77)

        def __getattr__(self, name: str) -> object:
            return getattr(orders.tables, name)

    with pytest.raises(ConflictError):
        orders.through(tables=Slow()).compact()
    with orders.state.snapshot() as tx:
        last = newest("orders", tx)
    assert last is not None
    assert orders.rows(last)[-1]["amount"] == 77
    assert sorted(path.name for path in orders.read(last)) == orders.tables.files("orders")
    assert len(orders.rows(Versions.open(orders.root).compact())) == 11


def test_wide_types_are_compacted_too(tmp_path: Path) -> None:
    orders = Versions.open(tmp_path)
    orders.add([{"customer": "c1", "amount": 1}], amount="int64")
    orders.add([{"customer": "c2", "amount": 2.5, "plan": "gold"}], amount="double", plan="string")
    last = orders.numbers(3)
    made = orders.compact()
    assert orders.rows(made) == orders.rows(last)
    assert len(orders.read(made)) == 1


def test_rows_keep_their_order_across_row_groups(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    orders = Versions.open(tmp_path, columns={"n": "int64"})
    for turn in range(2):
        orders.add([{"n": (number * 7919) % 70_000} for number in range(turn, 70_000 + turn)])
    (path,) = orders.read(orders.compact())
    assert pq.read_table(path)["_row"].to_pylist() == [*range(70_000), *range(70_000)]
    groups = pq.ParquetFile(path).metadata
    assert [groups.row_group(index).num_rows for index in range(groups.num_row_groups)] == [131_072, 8_928]
