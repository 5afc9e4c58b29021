"""A column's distribution is compared over bins of the version before."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import permutations
from typing import Any

import duckdb
import ibis
import numpy as np
import pyarrow as pa
import pytest
import sqlglot
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from keelway.contract.rules.distribution import BINS, NUDGE, VALUES, bins_of, psi
from keelway.core import memory_duckdb

Counts = dict[int | None, tuple[int, int]]
NUMBER, TEXT = pa.float64(), pa.string()


@pytest.fixture(scope="module")
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    with memory_duckdb(threads=1) as connection:
        yield connection


@cache
def query_of(kind: pa.DataType, at_once: bool) -> str:
    before, after = (ibis.table({"v": ibis.dtype(kind)}, name=name) for name in ("before", "after"))
    query = bins_of(before, after, "v", at_once=at_once)
    assert query is not None
    return str(ibis.to_sql(query, dialect="duckdb"))


def counted(
    duck: duckdb.DuckDBPyConnection,
    before: list[Any],
    after: list[Any],
    kind: pa.DataType = NUMBER,
    *,
    at_once: bool = True,
) -> Counts:
    """Return how many rows of both tables fall into each bin."""
    for name, values in (("before", before), ("after", after)):
        duck.register(name, pa.table({"v": pa.array(values, kind)}))
    return {place: (old, new) for place, old, new in duck.execute(query_of(kind, at_once)).fetchall()}


def test_ten_bins_of_a_spread_number_hold_a_tenth_each(duck: duckdb.DuckDBPyConnection) -> None:
    assert counted(duck, [float(n) for n in range(1000)], []) == dict.fromkeys(range(BINS), (100, 0))


def test_a_missing_number_has_a_bin_of_its_own(duck: duckdb.DuckDBPyConnection) -> None:
    found = counted(duck, [1.0, 2.0, None, None], [None, 5.0])
    assert found.pop(None) == (2, 1)
    assert [sum(side) for side in zip(*found.values(), strict=True)] == [2, 1]


@pytest.mark.parametrize("value", [0.1, -7.3, 0.0, 1e300])
def test_a_number_that_is_always_the_same_stays_in_one_bin(duck: duckdb.DuckDBPyConnection, value: float) -> None:
    assert counted(duck, [value] * 7, [value]) == {0: (7, 1)}
    assert counted(duck, [value] * 7, [abs(value) * 2 + 1]) == {0: (7, 0), BINS - 1: (0, 1)}


def test_whole_numbers_are_binned_as_numbers(duck: duckdb.DuckDBPyConnection) -> None:
    assert counted(duck, [1, 1, 1, 2, 3], [4], pa.int64()) == {0: (3, 0), 7: (1, 0), BINS - 1: (1, 1)}


@pytest.mark.parametrize("at_once", [True, False])
@settings(max_examples=25, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(st.lists(st.floats(-1e6, 1e6) | st.none(), min_size=1, max_size=60), st.lists(st.floats(-1e6, 1e6), max_size=60))
def test_every_row_falls_into_one_bin(
    duck: duckdb.DuckDBPyConnection, at_once: bool, before: list[float | None], after: list[float]
) -> None:
    found = counted(duck, before, after, at_once=at_once).values()
    assert [sum(counts[side] for counts in found) for side in (0, 1)] == [len(before), len(after)]


def by_hand(before: list[Any], after: list[Any], *, numbers: bool) -> Counts:
    """Return the same, value by value."""
    present = [value for value in before if value is not None]
    frequent = sorted(Counter(present).items(), key=lambda pair: (-pair[1], pair[0]))[:VALUES]
    places = {value: place for place, (value, _) in enumerate(frequent)}
    tenths = np.quantile(present, [step / BINS for step in range(1, BINS)]) if numbers and present else []
    edges = [float(tenth) + abs(float(tenth)) * NUDGE for tenth in tenths]

    def place_of(value: Any) -> int | None:
        if value is None:
            return None
        if not numbers:
            return places.get(value, VALUES)
        return bisect_left(edges, value) if edges else BINS - 1

    sides = [Counter(place_of(value) for value in side) for side in (before, after)]
    return {place: (sides[0][place], sides[1][place]) for place in set(sides[0]) | set(sides[1])}


QUARTERS = st.lists(st.none() | st.integers(-40, 40).map(lambda n: n / 4), max_size=50)
WORDS = st.lists(st.none() | st.sampled_from([f"w{n}" for n in range(70)] + ["", "Ä", "\U0001f600"]), max_size=120)


@settings(max_examples=40, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(st.tuples(QUARTERS, QUARTERS), st.booleans())
def test_numbers_are_counted_as_by_hand(
    duck: duckdb.DuckDBPyConnection, sides: tuple[list[Any], list[Any]], at_once: bool
) -> None:
    assert counted(duck, *sides, at_once=at_once) == by_hand(*sides, numbers=True)


@settings(max_examples=40, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(st.tuples(WORDS, WORDS))
def test_texts_are_counted_as_by_hand(duck: duckdb.DuckDBPyConnection, sides: tuple[list[Any], list[Any]]) -> None:
    assert counted(duck, *sides, TEXT) == by_hand(*sides, numbers=False)


def test_texts_are_counted_by_value(duck: duckdb.DuckDBPyConnection) -> None:
    found = counted(duck, ["b", "a", "b", None], ["c", "a", None, None], TEXT)
    assert found == {0: (2, 0), 1: (1, 1), VALUES: (0, 1), None: (1, 2)}


def test_the_fifty_most_frequent_texts_have_bins(duck: duckdb.DuckDBPyConnection) -> None:
    values = [f"v{n:03}" for n in range(80) for _ in range(100 - n)]
    found = counted(duck, values, ["v000", "v049", "v050"], TEXT)
    others = sum(count for name, count in Counter(values).items() if name >= "v050")
    assert found == {n: (100 - n, int(n in (0, 49))) for n in range(VALUES)} | {VALUES: (others, 1)}


def test_truths_are_counted_by_value(duck: duckdb.DuckDBPyConnection) -> None:
    found = counted(duck, [True, False, False, None], [True], pa.bool_())
    assert found == {0: (2, 0), 1: (1, 1), None: (1, 0)}


@pytest.mark.parametrize(("kind", "value", "place"), [(NUMBER, 1.0, BINS - 1), (TEXT, "1", VALUES)])
def test_a_column_that_was_always_empty_has_two_bins(
    duck: duckdb.DuckDBPyConnection, kind: pa.DataType, value: Any, place: int
) -> None:
    assert counted(duck, [None, None], [None, None], kind) == {None: (2, 2)}
    assert counted(duck, [None, None], [None, value], kind) == {None: (2, 1), place: (0, 1)}


@pytest.mark.parametrize(
    ("before", "after", "is_compared"),
    [
        ("string", "float64", False), ("float64", "string", False), ("float64", "boolean", False),
        ("boolean", "string", False), ("int64", "float64", True), ("!string", "string", True),
        ("decimal(10, 2)", "int32", True), ("string(20)", "string", True), ("date", "string", False),
    ],
)  # fmt: skip
def test_only_what_was_of_the_same_kind_is_compared(before: str, after: str, is_compared: bool) -> None:
    old, new = ibis.table({"v": before}, name="before"), ibis.table({"v": after}, name="after")
    assert (bins_of(old, new, "v", at_once=True) is not None) is is_compared
    assert bins_of(old.rename(other="v"), new, "v", at_once=True) is None


@pytest.mark.parametrize("dialect", ["snowflake", "databricks"])
@pytest.mark.parametrize("kind", ["float64", "int64", "decimal(10, 2)", "string", "boolean"])
def test_bins_compile_for_a_warehouse(kind: str, dialect: str) -> None:
    old, new = (ibis.table({"v": kind}, name=name) for name in ("before", "after"))
    query = str(ibis.to_sql(bins_of(old, new, "v", at_once=False), dialect=dialect))
    assert sqlglot.parse_one(query, read=dialect)


def test_the_same_distribution_has_no_psi() -> None:
    assert psi([(0, 10, 100), (1, 20, 200), (None, 0, 0)]) == 0.0


def test_a_moved_distribution_has_some() -> None:
    value = psi([(0, 500, 100), (1, 500, 900)])
    assert value is not None
    assert value > 0.8


def test_psi_is_the_same_however_an_engine_orders_rows() -> None:
    bins = [(0, 13, 7), (1, 11, 17), (2, 3, 5), (None, 2, 1)]
    assert {psi(order) for order in permutations(bins)} == {psi(bins)}


@pytest.mark.parametrize(("before", "after"), [((), ()), ((0, 0), (1, 1)), ((1, 1), (0, 0))])
def test_without_rows_there_is_no_claim(before: tuple[int, ...], after: tuple[int, ...]) -> None:
    assert psi(zip(range(len(before)), before, after, strict=True)) is None
