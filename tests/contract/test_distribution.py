"""A column's distribution is compared over bins of the version before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import ibis
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from keelway.contract.rules.distribution import BINS, VALUES, bins_of, psi

# Ibis 12 calls a method that DuckDB 2.0 has renamed; the answer is the same.
Put = Callable[[list[Any], pa.DataType], ibis.Table]


@pytest.fixture(scope="module")
def put() -> Iterator[Put]:
    connection = ibis.duckdb.connect()

    def put_into(values: list[Any], kind: pa.DataType) -> ibis.Table:
        connection.con.register("arrow", pa.table({"v": pa.array(values, kind)}))
        connection.con.execute("CREATE OR REPLACE TABLE given AS SELECT * FROM arrow")
        return connection.table("given")

    yield put_into
    connection.disconnect()


NUMBER, TEXT = pa.float64(), pa.string()


def test_ten_bins_of_a_spread_number_hold_a_tenth_each(put: Put) -> None:
    table = put([float(n) for n in range(1000)], NUMBER)
    bins = bins_of(table, "v")
    assert len(bins.edges) == BINS - 1
    assert bins.counts(table) == [100] * BINS + [0]


def test_a_missing_number_has_a_bin_of_its_own(put: Put) -> None:
    table = put([1.0, 2.0, None, None], NUMBER)
    *numbers, missing = bins_of(table, "v").counts(table)
    assert (sum(numbers), missing) == (2, 2)


@pytest.mark.parametrize("value", [0.1, -7.3, 0.0, 1e300])
def test_a_number_that_is_always_the_same_stays_in_one_bin(put: Put, value: float) -> None:
    table = put([value] * 7, NUMBER)
    bins = bins_of(table, "v")
    assert bins.counts(table) == [7, 0, 0]
    assert bins.counts(put([abs(value) * 2 + 1], NUMBER)) == [0, 1, 0]


def test_whole_numbers_are_binned_as_numbers(put: Put) -> None:
    table = put([1, 1, 1, 2, 3], pa.int64())
    bins = bins_of(table, "v")
    assert bins.values == ()
    assert sum(bins.counts(table)) == 5


@settings(max_examples=25, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(st.lists(st.floats(-1e6, 1e6) | st.none(), min_size=1, max_size=60), st.lists(st.floats(-1e6, 1e6), max_size=60))
def test_every_row_falls_into_one_bin(put: Put, before: list[float | None], after: list[float]) -> None:
    bins = bins_of(put(before, NUMBER), "v")
    assert sum(bins.counts(put(after, NUMBER))) == len(after)
    assert all(count >= 0 for count in bins.counts(put(before, NUMBER)))


def test_texts_are_counted_by_value(put: Put) -> None:
    table = put(["b", "a", "b", None], TEXT)
    bins = bins_of(table, "v")
    assert bins.values == ("b", "a")
    assert bins.counts(table) == [2, 1, 0, 1]
    assert bins.counts(put(["c", "a", None, None], TEXT)) == [0, 1, 1, 2]


def test_the_fifty_most_frequent_texts_have_bins(put: Put) -> None:
    values = [f"v{n:03}" for n in range(80) for _ in range(100 - n)]
    bins = bins_of(put(values, TEXT), "v")
    assert bins.values == tuple(f"v{n:03}" for n in range(VALUES))
    *_, others, missing = bins.counts(put(values, TEXT))
    assert (others, missing) == (sum(count for name, count in Counter(values).items() if name >= "v050"), 0)


def test_truths_are_counted_by_value(put: Put) -> None:
    table = put([True, False, False, None], pa.bool_())
    bins = bins_of(table, "v")
    assert bins.values == (False, True)
    assert bins.counts(table) == [2, 1, 0, 1]


@pytest.mark.parametrize("kind", [NUMBER, TEXT])
def test_a_column_that_was_always_empty_has_two_bins(put: Put, kind: pa.DataType) -> None:
    bins = bins_of(put([None, None], kind), "v")
    assert bins.counts(put([None, None], kind)) == [0, 2]
    assert bins.counts(put([None, "1" if kind == TEXT else 1.0], kind)) == [1, 1]


def test_an_engine_that_knows_one_quantile_at_a_time_gives_the_same_bins(
    put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = put([n**1.5 for n in range(100)], NUMBER)
    at_once = bins_of(table, "v")
    monkeypatch.setattr(type(table.get_backend()), "has_operation", lambda *_: False)
    assert bins_of(table, "v") == at_once


def test_the_same_distribution_has_no_psi() -> None:
    assert psi([10, 20, 0], [100, 200, 0]) == 0.0


def test_a_moved_distribution_has_some() -> None:
    value = psi([500, 500], [100, 900])
    assert value is not None
    assert value > 0.8


@pytest.mark.parametrize(("before", "after"), [([], []), ([0, 0], [1, 1]), ([1, 1], [0, 0])])
def test_without_rows_there_is_no_claim(before: list[int], after: list[int]) -> None:
    assert psi(before, after) is None
