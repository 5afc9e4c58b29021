"""Profiles count every value into one bin or level."""

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.core import canonical_json, parse_json, revive
from keelway.features import FeatureColumn, Profile, profile_of

X, K = FeatureColumn("x", "numeric"), FeatureColumn("k", "categorical")
numbers = st.lists(st.none() | st.floats(-1e9, 1e9, allow_nan=False))


def table(values: list[float | None], levels: list[str] | None = None) -> pa.Table:
    names = levels if levels is not None else ["a"] * len(values)
    return pa.table({"x": pa.array(values, pa.float64()), "k": pa.array(names, pa.string())})


@settings(deadline=None, max_examples=50)
@given(numbers, numbers)
def test_every_value_is_counted_once(first: list[float | None], second: list[float | None]) -> None:
    profile = profile_of(table(first), [X, K])
    later = profile_of(table(second), [X, K], reference=profile).columns["x"]

    assert revive(parse_json(canonical_json(profile)), Profile) == profile
    assert sum(profile.columns["x"].counts) + profile.columns["x"].nulls == len(first)
    assert sum(later.counts) + later.nulls == len(second)
    assert later.edges == profile.columns["x"].edges


def test_a_constant_column_shows_a_move_either_way() -> None:
    constant = profile_of(table([3.0] * 9), [X])

    assert constant.columns["x"].counts == (0, 9, 0)
    assert profile_of(table([2.0, 4.0, 4.0]), [X], reference=constant).columns["x"].counts == (1, 0, 2)


def test_rare_levels_are_counted_together() -> None:
    levels = [f"l{number:02}" for number in range(60)] + ["l00", ""]
    column = profile_of(table([None] * 62, levels), [X, K]).columns["k"]

    assert column.levels["l00"] == 2
    assert len(column.levels) == 51
    assert column.nulls == 1
    assert sum(column.levels.values()) == 62


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(1e300, 1.7e308) | st.floats(-1.7e308, -1e300), min_size=2))
def test_numbers_near_the_end_of_their_range_have_a_profile(values: list[float]) -> None:
    column = profile_of(table(values), [X]).columns["x"]

    assert revive(parse_json(canonical_json(column)), type(column)) == column
    assert column.mean is not None
    assert min(values) / 1e300 - 1 <= column.mean / 1e300 <= max(values) / 1e300 + 1
    assert sum(column.counts) == len(values)
