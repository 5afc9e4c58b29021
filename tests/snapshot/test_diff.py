"""What differs between two versions, against a count by hand; and shifts that are none are not told."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.errors import MissingRecordError, UsageError
from keelway.snapshot import ColumnShift, Snapshot, SnapshotDiff, diff
from keelway.snapshot.distribution import _edges
from keelway.testing.versions import Versions


def compared(orders: Versions, before: Snapshot, after: Snapshot) -> SnapshotDiff:
    return diff(before, after, tables=orders.tables, artifacts=orders.artifacts, state=orders.state)


def two(
    root: Path, before: list[dict], after: list[dict], *, key: tuple[str, ...] = (), **columns: str
) -> SnapshotDiff:
    """Compare two datasets' rows as if they were versions of one: so that rows can also go and change."""
    orders = Versions.open(root, key=key, columns=columns or {"id": "int64", "amount": "double"})
    other = Versions.open(root, name="others", key=key, columns=dict(orders.columns))
    one, late = orders.add(before), other.add(after)
    folder = root / "tables"
    (folder / "orders").mkdir(parents=True, exist_ok=True)
    for path in (folder / "others").glob("*.parquet"):
        path.rename(folder / "orders" / path.name)
    facts = {name: getattr(late, name) for name in late.__slots__} | {"dataset": "orders", "number": 2}
    return compared(orders, one, Snapshot(**facts))


def shift(found: SnapshotDiff, name: str) -> ColumnShift:
    (one,) = [each for each in found.columns if each.name == name]
    return one


def test_rows_that_came_are_counted(tmp_path: Path) -> None:
    orders = Versions.open(tmp_path)
    first = orders.numbers(1, 2)
    second = orders.numbers(3)
    found = compared(orders, first, second)
    assert (found.rows.added, found.rows.removed, found.rows.changed, found.rows.same) == (1, 0, 0, 2)
    assert (found.rows_before, found.rows_after) == (2, 3)
    back = compared(orders, second, first)
    assert (back.rows.added, back.rows.removed, back.rows.same) == (0, 1, 2)


def test_a_compaction_changes_no_row(tmp_path: Path) -> None:
    orders = Versions.open(tmp_path)
    orders.numbers(1, 2)
    last = orders.numbers(3)
    found = compared(orders, last, orders.compact())
    assert (found.rows.added, found.rows.removed, found.rows.same) == (0, 0, 3)
    assert [each.shifted for each in found.columns] == [False, False]


def test_a_version_differs_from_itself_in_nothing(tmp_path: Path) -> None:
    orders = Versions.open(tmp_path)
    first = orders.numbers(1, 2)
    found = compared(orders, first, first)
    assert (found.rows.added, found.rows.removed, found.rows.same) == (0, 0, 2)
    assert all(each.psi == 0 for each in found.columns)


def test_where_a_row_came_from_is_no_difference(tmp_path: Path) -> None:
    found = two(tmp_path, [{"id": 1, "amount": 1.0}], [{"id": 1, "amount": 1.0}])
    assert (found.rows.added, found.rows.removed, found.rows.same) == (0, 0, 1)


def test_without_a_key_a_changed_row_is_one_that_went_and_one_that_came(tmp_path: Path) -> None:
    found = two(tmp_path, [{"id": 1, "amount": 1.0}], [{"id": 1, "amount": 2.0}])
    assert (found.rows.added, found.rows.removed, found.rows.changed) == (1, 1, 0)
    assert found.rows.key == ()


def test_with_a_key_it_is_one_changed_row_and_the_column_is_named(tmp_path: Path) -> None:
    before = [{"id": number, "amount": 1.0, "plan": "a"} for number in range(1, 5)]
    after = [
        {"id": 1, "amount": 1.0, "plan": "a"},
        {"id": 2, "amount": 2.0, "plan": "a"},
        {"id": 3, "amount": None, "plan": "b"},
        {"id": 9, "amount": 1.0, "plan": "a"},
    ]
    found = two(tmp_path, before, after, key=("id",), id="int64", amount="double", plan="string")
    rows = found.rows
    assert (rows.added, rows.removed, rows.changed, rows.same) == (1, 1, 2, 1)
    assert rows.columns_changed == {"amount": 2, "plan": 1}
    assert rows.key == ("id",)


def test_a_key_of_two_columns_with_a_missing_part(tmp_path: Path) -> None:
    columns = {"a": "string", "b": "int64", "amount": "double"}
    before = [{"a": None, "b": 1, "amount": 1.0}, {"a": "x", "b": 1, "amount": 1.0}]
    after = [{"a": None, "b": 1, "amount": 2.0}, {"a": "x", "b": 2, "amount": 1.0}]
    found = two(tmp_path, before, after, key=("a", "b"), **columns)
    assert (found.rows.added, found.rows.removed, found.rows.changed) == (1, 1, 1)


def test_the_same_row_several_times_counts_as_often(tmp_path: Path) -> None:
    row = {"id": 1, "amount": 1.0}
    found = two(tmp_path, [row] * 5, [row] * 3)
    assert (found.rows.added, found.rows.removed, found.rows.same) == (0, 2, 3)


VALUES = st.one_of(st.none(), st.integers(0, 3))


@settings(max_examples=25, deadline=None)
@given(
    before=st.lists(st.tuples(VALUES, VALUES), max_size=8),
    after=st.lists(st.tuples(VALUES, VALUES), max_size=8),
    keyed=st.booleans(),
)
def test_counts_are_those_of_multisets(
    tmp_path_factory: pytest.TempPathFactory, before: list[tuple], after: list[tuple], keyed: bool
) -> None:
    old, new = ([{"id": one, "amount": other} for one, other in rows] for rows in (before, after))
    found = two(
        tmp_path_factory.mktemp("diff"), old, new, key=("id",) if keyed else (), id="int64", amount="double"
    ).rows
    came, went = Counter(after) - Counter(before), Counter(before) - Counter(after)
    changed = 0
    if keyed:
        by_key = [Counter(key for key, _ in part.elements()) for part in (came, went)]
        changed = (by_key[0] & by_key[1]).total()
    assert found.changed == changed
    assert (found.added, found.removed) == (came.total() - changed, went.total() - changed)
    assert found.same == len(after) - came.total()


def test_columns_that_came_and_widened_are_told(tmp_path: Path) -> None:
    orders = Versions.open(tmp_path, columns={"id": "int64", "amount": "int64"})
    first = orders.add([{"id": 1, "amount": 1}])
    second = orders.add([{"id": 2, "amount": 2.5, "plan": "gold"}], amount="double", plan="string")
    found = compared(orders, first, second)
    assert found.columns_added == ("plan",)
    assert found.columns_removed == ()
    assert found.columns_retyped == {"amount": ("int64", "double")}
    assert (found.rows.added, found.rows.removed) == (1, 0), "an earlier row is the same row with a wider type"
    back = compared(orders, second, first)
    assert back.columns_removed == ("plan",)
    assert (back.rows.added, back.rows.removed) == (0, 1)


def test_the_spread_of_a_column_is_that_of_its_values(tmp_path: Path) -> None:
    amounts = [float(number) for number in range(1, 101)]
    before = [{"id": number, "amount": amount} for number, amount in enumerate(amounts)]
    after = [{**row, "amount": None if row["id"] < 25 else row["amount"] + 1} for row in before]
    found = shift(two(tmp_path, before, after), "amount")
    assert (found.before.rows, found.before.nulls, found.before.mean) == (100, 0, 50.5)
    assert (found.after.rows, found.after.nulls, found.after.mean) == (100, 25, 64.0)
    assert found.before.quantiles == pytest.approx((5.5, 25.5, 50.5, 75.5, 95.5), abs=1)
    assert found.shifted


def test_psi_is_that_of_the_deciles(tmp_path: Path) -> None:
    before = [{"id": 0, "amount": float(number % 10)} for number in range(1000)]
    after = [{"id": 0, "amount": float(number % 5)} for number in range(1000)]
    found = shift(two(tmp_path, before, after), "amount")
    assert found.psi is not None
    assert found.psi > 1
    assert found.chance is not None
    assert found.chance < 0.1


@pytest.mark.parametrize("seed", range(3))
def test_a_fresh_sample_of_the_same_world_is_no_shift(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)

    def sample() -> list[dict[str, Any]]:
        return [
            {"id": number, "amount": chance.gauss(100, 15), "plan": chance.choice("abc"), "good": chance.random() < 0.3}
            for number in range(400)
        ]

    found = two(tmp_path, sample(), sample(), id="int64", amount="double", plan="string", good="bool")
    assert not [each.name for each in found.columns if each.shifted]
    assert found.rows.added == 400


def test_few_rows_never_make_a_shift(tmp_path: Path) -> None:
    before = [{"id": 1, "amount": float(number)} for number in range(8)]
    after = [{"id": 1, "amount": float(number) + 3} for number in range(8)]
    found = shift(two(tmp_path, before, after), "amount")
    assert found.psi is not None
    assert found.psi > 0.1
    assert not found.shifted, "eight rows say nothing: chance reaches farther"


def test_a_text_that_is_new_is_a_shift(tmp_path: Path) -> None:
    columns = {"id": "int64", "plan": "string"}
    before = [{"id": number, "plan": "gold" if number % 2 else "free"} for number in range(500)]
    after = [{"id": number, "plan": "silver" if number % 2 else "free"} for number in range(500)]
    assert shift(two(tmp_path, before, after, **columns), "plan").shifted


def test_times_days_and_truth_values_have_a_spread(tmp_path: Path) -> None:
    columns = {"at": "timestamp[us, tz=UTC]", "day": "date32[day]", "good": "bool"}
    start = datetime(2026, 1, 1, tzinfo=UTC)
    before = [
        {"at": start + timedelta(hours=n), "day": date(2026, 1, 1 + n % 28), "good": n % 2 == 0} for n in range(300)
    ]
    after = [{**row, "at": row["at"] + timedelta(days=30), "good": True} for row in before]
    found = two(tmp_path, before, after, **columns)
    assert {each.name: each.shifted for each in found.columns} == {"at": True, "day": False, "good": True}
    assert shift(found, "at").before.mean == pytest.approx((start + timedelta(hours=149.5)).timestamp())
    assert shift(found, "good").before.mean is None


def test_values_that_are_no_number_count_as_missing(tmp_path: Path) -> None:
    before = [{"id": 1, "amount": value} for value in (1.0, 2.0, float("nan"), float("inf"))]
    found = shift(two(tmp_path, before, before), "amount")
    assert (found.before.nulls, found.before.mean) == (2, 1.5)
    assert found.psi == 0


def test_an_empty_version_has_no_spread(tmp_path: Path) -> None:
    found = two(tmp_path, [{"id": 1, "amount": 1.0}], [])
    assert (shift(found, "amount").psi, shift(found, "amount").shifted) == (None, True)
    assert (found.rows.removed, found.rows.same) == (1, 0)


def test_a_column_of_one_value_shows_a_move_either_way(tmp_path: Path) -> None:
    before = [{"id": 1, "amount": 5.0}] * 300
    for number, moved in enumerate((4.0, 6.0)):
        assert shift(two(tmp_path / str(number), before, [{"id": 1, "amount": moved}] * 300), "amount").shifted
    assert len(_edges([5.0, 5.0])) == 2


def test_a_diff_repeats_itself(tmp_path: Path) -> None:
    orders = Versions.open(tmp_path)
    first = orders.numbers(*range(500))
    second = orders.numbers(*range(500, 700))
    assert compared(orders, first, second) == compared(orders, first, second)


def test_versions_of_different_datasets_are_not_compared(tmp_path: Path) -> None:
    one, other = Versions.open(tmp_path).numbers(1), Versions.open(tmp_path, name="others").numbers(1)
    with pytest.raises(UsageError, match="different datasets"):
        compared(Versions.open(tmp_path), one, other)


def test_an_expired_version_is_not_compared(tmp_path: Path) -> None:
    orders = Versions.open(tmp_path)
    first = orders.numbers(1)
    last = orders.numbers(2)
    orders.vacuum()
    with pytest.raises(MissingRecordError, match="no longer kept"):
        compared(orders, first, last)
