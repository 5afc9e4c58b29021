"""Sums, means, extremes and counts of different values are the true ones, rounded once, in any order and on any threads."""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import ibis
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keelway.features.exact import MOST_VALUES, Exact
from keelway.features.execute import QueryEngine

# Ibis 12 calls a method that DuckDB 2.0 has renamed; the answer is the same.

CENTS = st.integers(-(10**9), 10**9).map(lambda cents: cents / 100)
SPREADS = {
    "whole": st.integers(-(2**52), 2**52).map(float),
    "cents": CENTS,
    "shares": st.floats(0, 1, allow_subnormal=False).filter(lambda share: share == 0 or share > 1e-6),
    "any": st.floats(allow_nan=False, allow_infinity=False),
    "tiny": st.floats(-1e-300, 1e-300),
    "large": st.floats(1e290, 1.7e308),
}
DRAWN: dict[str, Callable[[random.Random], float]] = {
    "whole": lambda chance: float(chance.randrange(10**6)),
    "cents": lambda chance: chance.randrange(10**6) / 100,
    "shares": lambda chance: chance.random(),
    "any": lambda chance: chance.choice([1, -1]) * 2.0 ** chance.uniform(-900, 900),
    "tiny": lambda chance: chance.random() * 1e-310,
    "large": lambda chance: chance.random() * 1e300,
}
numbers = st.sampled_from([*SPREADS.values()]).flatmap(lambda one: st.lists(st.none() | one, max_size=30))


@dataclass
class Rows:
    """Tables of groups and numbers on one connection, each under a name of its own."""

    connection: Any
    exact: Exact
    made: int = 0

    def table(self, values: Sequence[Any], kind: Any = "float64", *, groups: Sequence[int] = ()) -> Any:
        """Return a table with the columns `g` and `x`."""
        self.made += 1
        given = pa.table({"g": pa.array(groups or [0] * len(values), "int64"), "x": pa.array(values, kind)})
        with self.connection.con.cursor() as cursor:
            cursor.register("given", given)
            cursor.execute(f"CREATE TABLE given_{self.made} AS FROM given").fetchall()
        return self.connection.table(f"given_{self.made}")

    def asked(self, table: Any, summary: Any) -> Any:
        """Return one summary of all rows."""
        return self.rows(table.aggregate(answer=summary))[0]["answer"]

    def rows(self, query: Any) -> list[dict[str, Any]]:
        """Return the answers of a query that was made exact."""
        found: list[dict[str, Any]] = self.exact.rewritten(query).to_pyarrow().to_pylist()
        return found


@pytest.fixture(scope="module")
def given_rows() -> Iterator[Rows]:
    opened = ibis.duckdb.connect(":memory:", threads=2)
    yield Rows(opened, Exact(opened))
    opened.disconnect()


def bits(number: float | None) -> bytes | None:
    return None if number is None else struct.pack("<d", number)


def true_sum(values: Sequence[float | None]) -> float | None:
    """The sum by fractions, which know no rounding."""
    known = [Fraction(value) for value in values if value is not None]
    if not known:
        return None
    try:
        return float(sum(known)) + 0.0
    except OverflowError:
        return math.inf if sum(known) > 0 else -math.inf


@settings(max_examples=60, deadline=None)
@given(values=numbers)
@example(values=[1e16, 1.0, -1e16])
@example(values=[0.1] * 10)
@example(values=[5e-324, 5e-324, -5e-324])
@example(values=[1.7e308, 1.7e308, -1.7e308])
@example(values=[2.0**53, 1.0, 1.0])
@example(values=[-0.0, None])
@example(values=[2.0**80, 1.0])
def test_a_sum_is_the_true_sum_rounded_once(values: list[float | None], given_rows: Rows) -> None:
    table = given_rows.table(values)
    assert bits(given_rows.asked(table, table.x.sum())) == bits(true_sum(values))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([math.inf, 1e-300], math.inf),
        ([-math.inf, 1.0, None], -math.inf),
        ([math.inf, -math.inf], math.nan),
        ([math.nan, 1.0], math.nan),
        ([1.7e308, 1.7e308], math.inf),
        ([-1.7e308, -1.7e308, 1e-300], -math.inf),
    ],
)
def test_what_is_not_finite_sums_as_anywhere(values: list[float], expected: float, given_rows: Rows) -> None:
    table = given_rows.table(values)
    assert str(given_rows.asked(table, table.x.sum())) == str(expected)


@pytest.mark.parametrize("spread", DRAWN)
def test_the_order_of_rows_does_not_change_a_bit(given_rows: Rows, spread: str) -> None:
    chance = random.Random(spread)
    pairs = [(place % 7, DRAWN[spread](chance)) for place in range(5_000)]

    def summed() -> list[dict[str, Any]]:
        table = given_rows.table([value for _, value in pairs], groups=[group for group, _ in pairs])
        grouped = table.group_by("g").agg(
            total=table.x.sum(), mean=table.x.mean(), part=table.x.sum(where=table.x > 0.5)
        )
        return given_rows.rows(grouped.order_by("g"))

    first = summed()
    chance.shuffle(pairs)
    assert summed() == first
    assert [row["total"] for row in first] == [math.fsum(x for g, x in pairs if g == group) for group in range(7)]


@settings(max_examples=15, deadline=None)
@given(values=st.lists(st.none() | CENTS, max_size=20))
def test_a_mean_is_the_true_sum_by_the_number_of_values(values: list[float | None], given_rows: Rows) -> None:
    known, table = [value for value in values if value is not None], given_rows.table(values)
    assert given_rows.asked(table, table.x.mean()) == (math.fsum(known) / len(known) if known else None)


@pytest.mark.parametrize("values", [[0.0, -0.0], [-0.0, 0.0], [-0.0]])
@pytest.mark.parametrize("summary", ["max", "min", "median"])
def test_an_extreme_is_never_minus_zero(given_rows: Rows, values: list[float], summary: str) -> None:
    table = given_rows.table(values)
    assert bits(given_rows.asked(table, getattr(table.x, summary)())) == bits(0.0)


@pytest.mark.parametrize("values", [[0.0, -0.0, 1.5], [-0.0, 0.0, 1.5]])
def test_a_group_is_never_minus_zero(given_rows: Rows, values: list[float]) -> None:
    table = given_rows.table(values)
    found = given_rows.rows(table.group_by("x").agg(n=table.count()).order_by("x"))
    assert [(bits(row["x"]), row["n"]) for row in found] == [(bits(0.0), 2), (bits(1.5), 1)]


@settings(max_examples=15, deadline=None)
@given(
    values=st.lists(st.none() | st.integers(0, MOST_VALUES + 1).map(str), max_size=90)
    | st.permutations([*map(str, range(MOST_VALUES + 2))])
)
@example(values=[])
@example(values=[None])
@example(values=["", "'", "a'b"])
@example(values=[*map(str, range(MOST_VALUES))])
@example(values=[*map(str, range(MOST_VALUES + 1))])
def test_different_texts_are_counted(values: list[str | None], given_rows: Rows) -> None:
    table = given_rows.table(values, "string", groups=[place % 2 for place in range(len(values))])
    known = {value for value in values if value is not None}
    assert given_rows.asked(table, table.x.nunique()) == len(known)
    assert given_rows.asked(table, table.x.nunique(where=table.x > "3")) == len({each for each in known if each > "3"})
    found = given_rows.rows(table.group_by("g").agg(n=table.x.nunique()).order_by("g"))
    assert [row["n"] for row in found] == [len({*values[group::2]} - {None}) for group in range(min(2, len(values)))]


def test_different_integers_are_counted_and_fractions_as_ever(given_rows: Rows) -> None:
    whole, fractions = given_rows.table([1, -(2**63), 1, None], "int64"), given_rows.table([0.0, -0.0, 1.5])
    assert given_rows.asked(whole, whole.x.nunique()) == 2
    assert given_rows.asked(fractions, fractions.x.nunique()) == 2


def test_sums_of_sums_joins_and_products_are_exact_too(given_rows: Rows) -> None:
    values = [place / 10 for place in range(200)]
    table = given_rows.table(values, groups=[place % 3 for place in range(200)])
    inner = table.group_by("g").agg(total=table.x.sum())
    other = table.view().select(key="g", y="x")
    both = table.join(other, table.g == other.key)
    groups = [values[group::3] for group in range(3)]

    assert given_rows.asked(inner, inner.total.sum()) == math.fsum(math.fsum(each) for each in groups)
    assert given_rows.asked(table, (table.x * 3).sum()) == math.fsum(x * 3 for x in values)
    assert given_rows.asked(both, (both.x * both.y).sum()) == math.fsum(
        x * y for each in groups for x in each for y in each
    )


@pytest.mark.parametrize(
    ("values", "way"),
    [
        ([0.01, 9_999_999.99], "keelway_whole"),
        ([1e300, 1e299], "keelway_whole"),
        ([1.0, 2.0**70], "keelway_whole"),
        ([1e-12, 1e12], "keelway_fsum"),
        ([1.0, math.inf], "keelway_fsum"),
    ],
)
def test_numbers_that_lie_close_are_added_by_the_engine_itself(given_rows: Rows, values: list[float], way: str) -> None:
    table = given_rows.table(values)
    query = given_rows.exact.rewritten(table.aggregate(answer=table.x.sum()))
    assert way in str(ibis.to_sql(query, dialect="duckdb")).lower()


def test_what_a_cut_date_hides_is_measured_too(given_rows: Rows) -> None:
    """Rows that are hidden at one cut date are there at the next; a number below all that were measured would be lost."""
    table = given_rows.table([1e-9, 1.0, 2.0**20])
    shown = table.filter(table.x >= 1)
    assert given_rows.asked(shown, shown.x.sum()) == 2.0**20 + 1
    assert given_rows.asked(table, table.x.sum()) == 2.0**20 + 1 + 1e-9


def test_what_the_order_decides_is_left_as_it_is() -> None:
    opened = ibis.duckdb.connect(":memory:")
    opened.con.execute("CREATE TABLE given AS SELECT range AS g, range / 7 AS x FROM range(50)").fetchall()
    engine, table = QueryEngine(opened, {"given": "g"}), opened.table("given")
    spread = table.aggregate(spread=table.x.std(), first=table.x.first(order_by=table.g))

    assert engine.exact(spread) is spread
    assert engine.rows(spread).to_pylist() == [{"spread": pytest.approx(2.0824828), "first": 0.0}]
    opened.disconnect()
