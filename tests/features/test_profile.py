"""Profiles count every value into one bin or level."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from keelway.core import canonical_json, parse_json, revive
from keelway.features import (
    OTHER_LEVELS,
    FeatureColumn,
    Profile,
    ascending,
    coded_texts,
    counted_levels,
    profile_of,
    table_file,
)
from keelway.features import profile as profiling
from keelway.features.incremental import read_rows
from keelway.features.profile import DECILES, sorted_deciles

X, K = FeatureColumn("x", "numeric"), FeatureColumn("k", "categorical")
texts = st.lists(st.none() | st.sampled_from(["", "a", "b", "ü"]), max_size=30)
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


@settings(deadline=None, max_examples=50)
@given(texts, texts)
def test_a_coded_column_is_counted_as_the_texts_are(first: list[str | None], second: list[str | None]) -> None:
    """Its parts may have codes of their own, and texts that stand in no row."""
    parts = [pa.array(each, pa.string()) for each in (first, second)]
    own = [pa.array([*part.to_pylist(), "never", None]).dictionary_encode()[:-2] for part in parts]
    plain, coded = pa.chunked_array(parts), pa.chunked_array(own)
    expected = [each or "" for each in (*first, *second)]

    for column in (plain, coded):
        codes, distinct = coded_texts(column)
        assert [distinct[code] for code in codes.tolist()] == expected
        assert len(set(distinct)) == len(distinct)
        assert counted_levels(column) == {text: expected.count(text) for text in expected}
    assert profile_of(pa.table({"k": plain}), [K]) == profile_of(pa.table({"k": coded}), [K])


def test_a_file_of_several_parts_gives_the_same_rows_coded_or_not() -> None:
    rows = pa.table({"k": ["a", None, "b", "", "b", "ü"], "dotted.name": list("xyzxyz"), "x": [1.0] * 6})
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, row_group_size=2)
    data = bytes(sink.getvalue())

    coded = read_rows(data, coded=["k", "dotted.name"])
    assert [pa.types.is_dictionary(each.type) for each in coded.schema] == [True, True, False]
    assert coded.to_pylist() == read_rows(data).to_pylist() == rows.to_pylist()
    assert read_rows(data, without=["k"]).to_pylist() == rows.drop_columns(["k"]).to_pylist()
    assert counted_levels(coded["k"]) == counted_levels(rows["k"]) == {"a": 1, "": 2, "b": 2, "ü": 1}


@given(st.lists(st.floats(-1e100, 1e100), min_size=1).map(sorted))
@example([0.0, 5e-324])
@example([-1.0, -0.0, 0.0, 1.0])
@example([float(number) for number in range(11)])
def test_deciles_are_those_of_numpy_to_the_last_bit(values: list[float]) -> None:
    assert np.array_equal(sorted_deciles(np.array(values)), np.quantile(values, DECILES))


TEXT, PAIR = FeatureColumn("t", "text"), FeatureColumn("p", "array", 2)


@pytest.mark.parametrize("held", [2, 1_000], ids=["texts in files", "texts in memory"])
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.none() | st.sampled_from([0.0, 2.5]) | st.floats(-1e300, 1e300),
            st.sampled_from(["", "a", "b", "ü", OTHER_LEVELS]) | st.text("xyz", min_size=3, max_size=3),
        ),
        min_size=1,
        max_size=60,
    ).map(lambda drawn: drawn * 8)
)
def test_the_profile_of_a_file_is_that_of_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int, drawn: list[tuple[float | None, str]]
) -> None:
    for where, name, count in (
        (ascending, "HELD", 150), (ascending, "RUN", 130), (table_file, "PART_ROWS", 40),
        (profiling, "MOST_HELD", held),
    ):  # fmt: skip
        monkeypatch.setattr(where, name, count)
    values, texts = (list(each) for each in zip(*drawn, strict=True))
    pairs = pa.array([[value or 0.0, 1.0] for value in values], pa.list_(pa.float64()))
    rows = table(values, texts).append_column("t", pa.array(texts)).append_column("p", pairs)
    pq.write_table(rows, tmp_path / "rows.parquet", row_group_size=70)
    columns = [X, K, TEXT, PAIR]
    assert profiling.profile_of_file(tmp_path / "rows.parquet", columns, folder=tmp_path) == profile_of(rows, columns)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.none() | st.just(float("nan")) | st.floats(-1e9, 1e9), max_size=20))
def test_nan_counts_as_missing(values: list[float | None]) -> None:
    present = [value for value in values if value is not None and value == value]
    column = profile_of(table(values), [X]).columns["x"]

    assert column == replace(profile_of(table(present), [X]).columns["x"], nulls=len(values) - len(present))
    assert (column.minimum, column.maximum) == ((min(present), max(present)) if present else (None, None))
