"""Columns come and types widen; every reader sees one table, and no earlier version changes."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import ibis
import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.core import digest_file
from keelway.errors import ContractError, DataError
from keelway.snapshot import Snapshot, SnapshotRows, newest
from keelway.snapshot.schema import WIDER, select_rows, sql_type, widened
from keelway.testing.versions import Versions


@pytest.fixture
def orders(tmp_path: Path) -> Versions:
    return Versions.open(tmp_path)


def delta_rows(orders: Versions, snapshot: Snapshot) -> list[dict[str, Any]]:
    table = DeltaTable(orders.root / "tables/orders", version=snapshot.table_version).to_pyarrow_table()
    own = [name for name in snapshot.columns if not name.startswith("_")]
    return sorted(table.select(own).to_pylist(), key=str)


def test_a_new_column_is_null_in_earlier_rows(orders: Versions) -> None:
    orders.numbers(1.5)
    second = orders.add([{"customer": "c2", "amount": 2.5, "plan": "gold"}], plan="string")
    assert orders.rows(second) == [
        {"customer": "c1.5", "amount": 1.5, "plan": None},
        {"customer": "c2", "amount": 2.5, "plan": "gold"},
    ]
    assert delta_rows(orders, second) == orders.rows(second)


def test_an_earlier_version_keeps_its_id_its_columns_and_its_bytes(orders: Versions) -> None:
    first = orders.add([{"customer": "c1", "amount": 1}], amount="int64")
    before = [digest_file(path) for path in orders.read(first)]
    orders.add([{"customer": "c2", "amount": 2.5, "plan": "gold"}], amount="double", plan="string")
    assert [digest_file(path) for path in orders.read(first)] == before
    assert orders.rows(first) == [{"customer": "c1", "amount": 1}]
    assert delta_rows(orders, first) == [{"customer": "c1", "amount": 1}]


def test_an_integer_that_becomes_a_number_is_a_number_in_every_row(orders: Versions) -> None:
    orders.add([{"customer": "c1", "amount": 1}], amount="int64")
    second = orders.add([{"customer": "c2", "amount": 2.5}], amount="double")
    assert orders.rows(second) == [{"customer": "c1", "amount": 1.0}, {"customer": "c2", "amount": 2.5}]
    assert delta_rows(orders, second) == orders.rows(second)
    assert DeltaTable(orders.root / "tables/orders").schema().fields[0].type.type == "double"


def test_a_date_that_becomes_a_time_is_midnight_utc(orders: Versions) -> None:
    orders.add([{"day": date(2026, 1, 2)}], day="date32[day]")
    noon = datetime(2026, 1, 3, 12, tzinfo=UTC)
    second = orders.add([{"day": noon}], day="timestamp[us, tz=UTC]")
    assert [row["day"] for row in orders.rows(second)] == [datetime(2026, 1, 2, tzinfo=UTC), noon]
    assert [row["day"] for row in delta_rows(orders, second)] == [datetime(2026, 1, 2, tzinfo=UTC), noon]


def test_a_widened_table_goes_on_growing(orders: Versions) -> None:
    orders.add([{"customer": "c1", "amount": 1}], amount="int64")
    orders.add([{"customer": "c2", "amount": 2.5}], amount="double")
    third = orders.numbers(3.5)
    assert [row["amount"] for row in orders.rows(third)] == [1.0, 2.5, 3.5]
    assert (third.rows, third.rows_added) == (3, 1)


def test_widening_and_a_new_column_are_one_commit(orders: Versions) -> None:
    first = orders.add([{"customer": "c1", "amount": 1}], amount="int64")
    second = orders.add([{"customer": "c2", "amount": 2.5, "plan": "x"}], amount="double", plan="string")
    assert second.table_version == first.table_version + 1


def test_a_column_comes_with_a_batch_that_has_no_rows(orders: Versions) -> None:
    orders.numbers(1.5)
    second = orders.add([], plan="string")
    assert orders.rows(second) == [{"customer": "c1.5", "amount": 1.5, "plan": None}]
    assert delta_rows(orders, second) == orders.rows(second)


def test_a_type_widens_before_there_are_any_rows(orders: Versions) -> None:
    orders.add([], amount="int64")
    second = orders.add([{"customer": "c1.5", "amount": 1.5}], amount="double")
    assert orders.rows(second) == [{"customer": "c1.5", "amount": 1.5}]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"amount": "string"}, "amount was double, is string"),
        ({"amount": "int64"}, "amount was double, is int64"),
        ({"amount": ""}, "amount is gone"),
    ],
    ids=["another type", "a narrower type", "gone"],
)
def test_what_would_change_earlier_versions_is_refused(orders: Versions, change: dict[str, str], told: str) -> None:
    first = orders.numbers(1.5)
    with pytest.raises(ContractError, match="do not fit") as refused:
        orders.add([], **change)
    assert told in refused.value.found
    assert refused.value.fix
    with orders.state.snapshot() as tx:
        assert newest("orders", tx) == first
    assert len(orders.tables.files("orders")) == 1


def test_every_wrong_column_is_told_at_once() -> None:
    before = {"a": "int64", "b": "string", "c": "double", "d": "date32[day]"}
    with pytest.raises(ContractError) as refused:
        widened(before, {"a": "string", "c": "int64", "d": "timestamp[us, tz=UTC]"}, dataset="orders")
    assert refused.value.found == "b is gone; a was int64, is string; c was double, is int64"


def test_a_reader_through_ibis_sees_the_same_table(orders: Versions) -> None:
    orders.add([{"customer": "c1", "amount": 1}], amount="int64")
    second = orders.add([{"customer": "c2", "amount": 2.5, "plan": "gold"}], amount="double", plan="string")
    connection = ibis.duckdb.connect()
    try:
        rows = SnapshotRows(tuple(orders.read(second)), second.columns)
        connection.raw_sql(f"CREATE VIEW orders AS {rows.sql}")
        schema = connection.table("orders").schema()
    finally:
        connection.disconnect()
    assert list(schema.names) == ["amount", "customer", "plan", "_file", "_known_at", "_row"]
    assert str(schema["amount"]) == "float64"


def test_a_view_over_no_files_has_the_columns(orders: Versions) -> None:
    first = orders.add([], plan="string")
    assert first.table_version == -1
    assert orders.rows(first) == []


def test_names_and_paths_are_quoted(orders: Versions, tmp_path: Path) -> None:
    moved = Versions.open(tmp_path / "it's [here]*?")
    taken = moved.add([{'a "b" c': "x", "select": 1}], **{'a "b" c': "string", "select": "int64"})
    assert moved.rows(taken) == [{"customer": None, "amount": None, 'a "b" c': "x", "select": 1}]


def test_a_type_that_no_version_has_is_refused() -> None:
    with pytest.raises(DataError, match="type"):
        sql_type("decimal128(9, 2)")


def test_a_select_casts_every_column() -> None:
    told = select_rows([Path("x")], {"n": "double", "day": "date32[day]"})
    assert told.count('AS DOUBLE) AS "n"') == 2
    assert told.count('AS DATE) AS "day"') == 2


KINDS = ["int64", "double", "string", "date32[day]"]
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "int64": st.integers(-(2**50), 2**50),
    "double": st.floats(allow_nan=False, allow_infinity=False),
    "string": st.text(max_size=5).filter(lambda text: "\x00" not in text),
    "date32[day]": st.dates(date(1970, 1, 1), date(2100, 1, 1)),
}


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_any_history_of_additions_and_widenings_reads_as_one_table(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    orders = Versions.open(tmp_path_factory.mktemp("history"), columns={"n": "int64"})
    kinds, expected = {"n": "int64"}, []
    for turn in range(data.draw(st.integers(1, 4))):
        change = data.draw(st.sampled_from(["nothing", "add", "widen"]))
        if change == "add":
            kinds[f"x{turn}"] = data.draw(st.sampled_from(KINDS))
        elif change == "widen" and kinds["n"] == "int64":
            kinds["n"] = "double"
        rows = data.draw(
            st.lists(
                st.fixed_dictionaries({name: st.none() | VALUES[kind] for name, kind in kinds.items()}), max_size=3
            )
        )
        taken = orders.add(rows, **kinds)
        expected += rows
        wanted = [{name: row.get(name) for name in kinds} for row in expected]
        assert orders.rows(taken) == wanted
        if taken.table_version >= 0:
            assert len(delta_rows(orders, taken)) == len(wanted)
    assert kinds["n"] == "int64" or ("int64", kinds["n"]) in WIDER
