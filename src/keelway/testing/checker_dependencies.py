"""What every checker must make of a functional dependency; inherit it and give the fixture `checker`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keelway.contract import Against, Checker, Column, Rule, RuleKind, Severity
from keelway.testing.checker_rules import HEAD, KNOWN, ONCE, POSITIVE, body, orders
from keelway.testing.checks import DAY, CheckRoom, contract_of, kept, quarantined

ONE_PRICE = Rule(RuleKind.FUNCTIONAL_DEPENDENCY, ("shop", "amount"), "amount: does not follow from shop")
ONE_PAIR = Rule(RuleKind.FUNCTIONAL_DEPENDENCY, ("id", "shop", "amount"), "amount: does not follow from id, shop")


def of_another_value(rows: Sequence[tuple[object, ...]]) -> list[int]:
    """Return the places of the rows that break a functional dependency, told row by row.

    >>> of_another_value([("x", 1), ("x", 1), ("x", 2), ("y", 1), ("y", 2), ("z", None)])
    [2, 3, 4]

    Args:
        rows: The values of the determinant, and last that of the dependent; None is a missing one.
    """
    broken = []
    for place, row in enumerate(rows):
        if None in row:
            continue
        counts = Counter(other[-1] for other in rows if other[:-1] == row[:-1] and other[-1] is not None)
        most = [value for value, count in counts.items() if count == max(counts.values())]
        if most != [row[-1]]:
            broken.append(place)
    return broken


class CheckerDependencies:
    """Promises of `Checker` about functional dependencies. Subclasses give the fixture `checker`."""

    @pytest.fixture
    def room(self, checker: Checker, tmp_path: Path) -> CheckRoom:
        """A folder to check files in."""
        return CheckRoom(checker, tmp_path)

    def test_the_most_frequent_value_is_right(self, room: CheckRoom) -> None:
        files = {"a.csv": body("1,x,5", "2,x,6", "3,y,6"), "b.csv": body("4,x,5", "5,y,6")}
        found = room.check(orders(ONE_PRICE), files)
        assert kept(found, "id") == [1, 3, 4, 5]
        assert quarantined(found) == [(3, "2,x,6,2026-03-01", (ONE_PRICE.reason,))]

    def test_it_need_not_be_that_of_more_than_half(self, room: CheckRoom) -> None:
        found = room.check(orders(ONE_PRICE), {"a.csv": body("1,x,5", "2,x,5", "3,x,6", "4,x,7", "5,x,8")})
        assert kept(found, "id") == [1, 2]

    def test_where_values_tie_no_row_of_them_is_kept(self, room: CheckRoom) -> None:
        tied = body("1,x,5", "2,x,5", "3,x,6", "4,x,6", "5,x,7", "6,y,5")
        assert kept(room.check(orders(ONE_PRICE), {"a.csv": tied}), "id") == [6]

    def test_a_missing_value_neither_counts_nor_breaks(self, room: CheckRoom) -> None:
        found = room.check(orders(ONE_PRICE), {"a.csv": body("1,x,", "2,x,", "3,x,5", "4,,1", "5,,2", "6,,2")})
        assert (kept(found, "id"), found.reasons) == ([1, 2, 3, 4, 5, 6], {})

    def test_a_determinant_of_several_columns_is_compared_as_a_whole(self, room: CheckRoom) -> None:
        found = room.check(orders(ONE_PAIR), {"a.csv": body("1,x,5", "1,y,6", "2,x,7", "1,x,8", "1,,9", "2,x,7")})
        assert kept(found, "amount") == [6.0, 7.0, 9.0, 7.0]

    def test_rows_that_break_another_rule_count_too(self, room: CheckRoom) -> None:
        shops = Against(references={"shops": room.version("shops", {"name": ["q"]})})
        files = {"a.csv": body("1,x,-5", "2,x,-5", "3,x,6")}
        found = room.check(orders(POSITIVE, KNOWN, ONE_PRICE), files, against=shops)
        assert [why for _, _, why in quarantined(found)] == [
            (POSITIVE.reason, KNOWN.reason),
            (POSITIVE.reason, KNOWN.reason),
            (KNOWN.reason, ONE_PRICE.reason),
        ]

    def test_a_row_that_cannot_be_read_does_not_count(self, room: CheckRoom) -> None:
        other = "2,x,6,2026-03-01,more\n"
        for files in ({"a.csv": body("1,x,5") + other + other}, {"a.csv": body("1,x,5"), "b.csv": HEAD + other}):
            found = room.check(orders(ONE_PRICE), files)
            assert kept(found, "id") == [1]
            assert ONE_PRICE.reason not in found.reasons

    def test_a_value_that_is_none_of_its_type_does_not_count(self, room: CheckRoom) -> None:
        found = room.check(orders(ONE_PRICE), {"a.csv": body("1,x,5", "2,x,none", "3,x,none")})
        assert (kept(found, "id"), found.reasons) == ([1], {"amount: not number": 2})

    def test_a_file_that_cannot_be_read_does_not_count(self, room: CheckRoom) -> None:
        contract = contract_of(
            Column("id", "integer", required=True), Column("shop", "string"), Column("amount", "number"), DAY,
            rules=(ONE_PRICE,),
        )  # fmt: skip
        without = "shop,amount,day\n" + "x,6,2026-03-01\n" * 3
        found = room.check(contract, {"a.csv": body("1,x,5"), "b.csv": without})
        assert kept(found, "amount") == [5.0]
        assert set(found.reasons) == {"column id is missing"}

    def test_a_key_is_asked_of_the_rows_that_follow(self, room: CheckRoom) -> None:
        found = room.check(orders(ONCE, ONE_PRICE), {"a.csv": body("1,x,6", "1,x,5", "2,x,5")})
        assert kept(found, "amount") == [5.0, 5.0]
        assert found.reasons == {ONE_PRICE.reason: 1}

    def test_a_warning_counts_and_keeps_the_rows(self, room: CheckRoom) -> None:
        found = room.check(orders(replace(ONE_PRICE, severity=Severity.WARN)), {"a.csv": body("1,x,5", "2,x,6")})
        assert (kept(found, "id"), found.warnings) == ([1, 2], {ONE_PRICE.reason: 2})

    def test_it_can_stop_the_load(self, room: CheckRoom) -> None:
        found = room.check(orders(replace(ONE_PRICE, severity=Severity.STOP)), {"a.csv": body("1,x,5", "2,x,6")})
        assert found.stops == (f"{ONE_PRICE.reason}: 2 of 2 rows",)

    @pytest.mark.parametrize("turned", [False, True])
    def test_files_that_are_kept_out_whole_count_whichever_rule_is_first(self, room: CheckRoom, turned: bool) -> None:
        against_files = replace(ONE_PRICE, severity=Severity.FILE)
        back = Rule(RuleKind.FUNCTIONAL_DEPENDENCY, ("amount", "shop"), "shop: does not follow from amount")
        rules = (back, against_files) if turned else (against_files, back)
        files = {"a.csv": body("1,x,5", "2,y,7"), "b.csv": body("3,x,5", "4,y,7"), "c.csv": body("5,x,6", "6,z,7")}
        found = room.check(orders(*rules), files)
        assert kept(found, "id") == [1, 2, 3, 4]
        assert found.files[2].reasons == (f"the file: {ONE_PRICE.reason}",)

    def test_a_waived_dependency_is_not_held_against_a_row(self, room: CheckRoom) -> None:
        found = room.check(orders(ONE_PRICE), {"a.csv": body("1,x,5", "2,x,6")}, waived=[ONE_PRICE.reason])
        assert kept(found, "id") == [1, 2]

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        rows=st.lists(
            st.tuples(
                st.sampled_from([1, 2, None]), st.sampled_from(["x", "y", None]), st.sampled_from([1.0, 2.5, 3.0, None])
            ),
            min_size=1, max_size=14,
        ),
        cut=st.integers(0, 14), order=st.randoms(use_true_random=False),
    )  # fmt: skip
    def test_any_rows_break_it_as_told_row_by_row_in_any_order_and_cut(
        self, room: CheckRoom, rows: list[tuple[int | None, str | None, float | None]], cut: int, order: Random
    ) -> None:
        expected = {
            ONE_PRICE.reason: len(of_another_value([row[1:] for row in rows])),
            ONE_PAIR.reason: len(of_another_value(rows)),
        }
        good = [row for place, row in enumerate(rows) if place not in of_another_value([row[1:] for row in rows])]
        order.shuffle(rows)
        lines = [",".join("" if value is None else str(value) for value in row) for row in rows]
        given = {"a.csv": body(*lines[:cut]), "b.csv": body(*lines[cut:])}
        found = room.check(orders(ONE_PRICE, ONE_PAIR), given)
        assert found.reasons == {reason: count for reason, count in expected.items() if count}
        alone = room.check(orders(ONE_PRICE), given)
        assert Counter(kept(alone, "id", "shop", "amount")) == Counter(good)
