"""Profiles of parts put together tell what the profile of the whole tells, and drift can be read from them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.core import psi
from keelway.errors import FeatureError
from keelway.features import ColumnProfile, FeatureColumn, Profile, merged_profile, profile_of, recounted
from keelway.monitor import histograms

X, K, T = FeatureColumn("x", "numeric"), FeatureColumn("k", "categorical"), FeatureColumn("t", "text")
rows = st.lists(
    st.tuples(st.none() | st.floats(-1e6, 1e6), st.sampled_from(["", "a", "b", "c"]), st.text("ab", max_size=4)),
    max_size=40,
)


def table(values: list[tuple[float | None, str, str]]) -> pa.Table:
    xs, ks, ts = zip(*values, strict=True) if values else ((), (), ())
    return pa.table({"x": pa.array(xs, pa.float64()), "k": pa.array(ks, pa.string()), "t": pa.array(ts, pa.string())})


def profile(values: list[tuple[float | None, str, str]]) -> Profile:
    return profile_of(table(values), [X, K, T])


def numbers(values: np.ndarray, reference: Profile | None = None) -> Profile:
    return profile_of(pa.table({"x": pa.array(values, pa.float64())}), [X], reference)


@settings(deadline=None, max_examples=60)
@given(st.lists(rows, min_size=1, max_size=4))
def test_what_is_added_up_is_exact(parts: list[list[tuple[float | None, str, str]]]) -> None:
    merged, whole = merged_profile([profile(part) for part in parts]), profile([row for part in parts for row in part])
    assert merged.rows == whole.rows
    assert merged.columns["k"] == whole.columns["k"]
    for name in ("x", "t"):
        found, told = merged.columns[name], whole.columns[name]
        exact = ("kind", "count", "nulls", "zeros", "minimum", "maximum")
        assert {each: getattr(found, each) for each in exact} == {each: getattr(told, each) for each in exact}
        assert sum(found.counts) == found.count
        if told.mean is not None and told.std is not None:
            scale = max(abs(told.minimum or 0.0), abs(told.maximum or 0.0), 1.0)
            assert found.mean == pytest.approx(told.mean, rel=1e-9, abs=1e-9 * scale)
            assert found.std == pytest.approx(told.std, rel=1e-6, abs=1e-6 * scale)


def test_one_profile_stays_as_it_is() -> None:
    only = profile([(1.5, "a", "x"), (None, "", "")])
    assert merged_profile([only]) == only


def test_bins_of_merged_profiles_are_nearly_those_of_the_whole() -> None:
    random = np.random.default_rng(5)
    parts = [random.normal(shift, 1, 5_000) for shift in (0.0, 0.5, 1.0)]
    merged = merged_profile([numbers(part) for part in parts]).columns["x"]
    shares = np.array(merged.counts) / merged.count
    assert len(shares) == 10
    assert np.abs(shares - 0.1).max() < 0.01
    exact = numbers(np.concatenate(parts), Profile(0, {"x": merged})).columns["x"]
    assert np.abs(np.array(exact.counts) - np.array(merged.counts)).max() < 0.01 * merged.count


def test_parts_with_the_same_bins_are_counted_exactly() -> None:
    first = numbers(np.arange(100.0))
    second = numbers(np.arange(50.0, 80.0), first)
    merged = merged_profile([first, second]).columns["x"]
    assert merged.edges == first.columns["x"].edges
    assert merged.counts == tuple(map(sum, zip(first.columns["x"].counts, second.columns["x"].counts, strict=True)))


def test_rare_levels_are_counted_together_again() -> None:
    parts = [[(None, f"l{number:02}", "")] * (number + 1) for number in range(60)]
    merged = merged_profile([profile(part) for part in parts]).columns["k"]
    assert len(merged.levels) == 51
    assert merged.levels["l59"] == 60
    assert merged.levels["__other__"] == sum(range(1, 11))
    assert sum(merged.levels.values()) == merged.count


def test_parts_without_values_add_none() -> None:
    empty, filled = profile([(None, "", "")] * 3), profile([(2.0, "a", "xy"), (4.0, "a", "xyz")])
    merged = merged_profile([empty, filled, empty]).columns["x"]
    assert (merged.count, merged.nulls, merged.mean, merged.std) == (2, 6, 3.0, 1.0)
    assert merged.edges == filled.columns["x"].edges
    nothing = merged_profile([empty, empty]).columns["x"]
    assert (nothing.count, nothing.nulls, nothing.mean, nothing.edges, nothing.counts) == (0, 6, None, (), (0,))


@pytest.mark.parametrize("profiles", [[], [profile([]), Profile(0, {})]], ids=["none", "other columns"])
def test_what_does_not_fit_is_refused(profiles: list[Profile]) -> None:
    with pytest.raises(FeatureError, match="cannot be merged"):
        merged_profile(profiles)


def test_a_profile_of_an_earlier_version_is_told() -> None:
    old = Profile(2, {"x": replace(numbers(np.array([1.0, 2.0])).columns["x"], sketch=None)})
    with pytest.raises(FeatureError, match="no quantile sketch"):
        merged_profile([old, numbers(np.array([5.0]))])
    assert recounted(old, old) == old


@pytest.mark.parametrize("shift", [0.0, 0.2, 1.0])
def test_drift_read_from_profiles_is_that_of_the_rows(shift: float) -> None:
    random = np.random.default_rng(1)
    before, after = random.normal(0, 1, 20_000), random.normal(shift, 1, 20_000)
    reference = numbers(before)
    counted = recounted(numbers(after), reference)
    exact = psi(*histograms("x", reference.columns["x"], numbers(after, reference).columns["x"]))
    told = psi(*histograms("x", reference.columns["x"], counted.columns["x"]))
    assert told == pytest.approx(exact, rel=0.1, abs=0.003)
    assert sum(counted.columns["x"].counts) == 20_000


def test_a_heap_of_zeros_is_counted_where_it_is() -> None:
    random = np.random.default_rng(2)
    made = [np.where(random.random(9_000) < 0.7, 0.0, random.normal(0, 3, 9_000)) for _ in range(2)]
    reference, exact = numbers(made[0]), numbers(made[1], numbers(made[0]))
    counted = recounted(numbers(made[1]), reference)
    off = np.abs(np.array(counted.columns["x"].counts) - np.array(exact.columns["x"].counts))
    assert off.max() < 0.01 * 9_000


def test_levels_are_counted_into_those_of_a_reference() -> None:
    reference = profile([(None, "a", ""), (None, "b", "")])
    counted = recounted(profile([(None, "a", ""), (None, "z", "")]), reference).columns["k"]
    assert counted.levels == {"a": 1, "b": 0, "__other__": 1}


def test_columns_that_the_reference_lacks_stay() -> None:
    mine = profile([(1.0, "a", "x")])
    assert recounted(mine, Profile(0, {"x": ColumnProfile("categorical", 0, 0)})) == mine


def test_numbers_near_the_end_of_their_range_are_merged() -> None:
    huge = [numbers(np.array([sign * 1.7e308, sign * 1e308])) for sign in (1.0, -1.0)]
    merged = merged_profile(huge).columns["x"]
    assert merged.mean is not None
    assert merged.std is not None
    assert math.isfinite(merged.mean)
    assert (merged.minimum, merged.maximum, sum(merged.counts)) == (-1.7e308, 1.7e308, 4)
