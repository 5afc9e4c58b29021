"""A quantile sketch is small, loses little, and forgets neither a value nor where most of them are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.core import canonical_json, parse_json, revive
from keelway.features import QuantileSketch, quantile_of
from keelway.features.sketch import MOST_BINS, merged_sketch, ranks, sketch_of

SHARES = (0.0, 0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1.0)
numbers = st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=300)
few = st.lists(st.integers(-5, 5).map(float), max_size=200)


def sketched(values: list[float]) -> QuantileSketch:
    return sketch_of([np.sort(np.array(values, np.float64))], len(values))


@given(numbers)
def test_no_number_is_forgotten(values: list[float]) -> None:
    sketch = sketched(values)
    assert sum(sketch.counts) == len(values)
    assert len(sketch.counts) <= MOST_BINS
    assert revive(parse_json(canonical_json(sketch)), QuantileSketch) == sketch
    if values:
        assert (quantile_of(sketch, 0.0), quantile_of(sketch, 1.0)) == (min(values), max(values))
        assert ranks(sketch, [max(values)]) == [len(values)]
    else:
        assert quantile_of(sketch, 0.5) is None
        assert ranks(sketch, [0.0]) == [0.0]


@given(numbers | few, st.lists(st.integers(0, 300), max_size=6))
def test_numbers_that_come_in_parts_have_the_same_sketch(values: list[float], cuts: list[int]) -> None:
    parts = np.split(np.sort(np.array(values, np.float64)), sorted(min(cut, len(values)) for cut in cuts))
    assert sketch_of(parts, len(values)) == sketched(values)


@given(few)
def test_few_different_numbers_are_told_exactly(values: list[float]) -> None:
    edges = [-6.0, -2.5, 0.0, 3.0, 9.0]
    assert ranks(sketched(values), edges) == [sum(value <= edge for value in values) for edge in edges]


@given(numbers, st.lists(st.integers(0, 3), min_size=300, max_size=300))
def test_the_order_of_merging_does_not_matter(values: list[float], parts: list[int]) -> None:
    sketches = [
        sketched([value for value, part in zip(values, parts, strict=False) if part == own]) for own in range(4)
    ]
    merged = merged_sketch(sketches)
    assert merged == merged_sketch(sketches[::-1])
    assert sum(merged.counts) == len(values)
    assert len(merged.counts) <= MOST_BINS


@given(few, few)
def test_sketches_of_few_numbers_merge_to_that_of_all(left: list[float], right: list[float]) -> None:
    assert merged_sketch([sketched(left), sketched(right)]) == sketched(left + right)


SHAPES: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "even": lambda random, size: random.uniform(0, 1, size),
    "normal": lambda random, size: random.normal(1e6, 1, size),
    "heavy tail": lambda random, size: random.lognormal(0, 3, size),
    "most are one": lambda random, size: np.where(random.random(size) < 0.8, 0.0, random.normal(0, 5, size)),
    "two heaps": lambda random, size: np.where(random.random(size) < 0.5, random.normal(-9, 1, size), 4.0),
    "counts": lambda random, size: random.poisson(30, size).astype(float),
}


def rank_error(values: np.ndarray, sketch: QuantileSketch) -> float:
    """Return how far ranks are off at the deciles and the tails, as a share of all."""
    ordered = np.sort(values)
    edges = np.quantile(ordered, SHARES)
    exact = np.searchsorted(ordered, edges, side="right")
    return float(np.abs(exact - np.array(ranks(sketch, list(edges)))).max() / len(values))


@pytest.mark.parametrize("shape", SHAPES)
def test_ranks_are_right_to_half_a_percent(shape: str) -> None:
    values = SHAPES[shape](np.random.default_rng(7), 50_000)
    assert rank_error(values, sketched(list(values))) < 0.005


@pytest.mark.parametrize("shape", SHAPES)
def test_ranks_of_merged_sketches_are_right_to_one_and_a_half_percent(shape: str) -> None:
    random = np.random.default_rng(11)
    parts = [SHAPES[shape](random, 4_000) + shift for shift in (0.0, 0.0, 0.3, 2.0)] * 3
    merged = merged_sketch([sketched(list(part)) for part in parts])
    assert rank_error(np.concatenate(parts), merged) < 0.015


@pytest.mark.parametrize("shape", SHAPES)
def test_quantiles_rise_and_lie_where_the_ranks_say(shape: str) -> None:
    values = np.sort(SHAPES[shape](np.random.default_rng(3), 20_000))
    sketch = sketch_of([values], len(values))
    found = [quantile_of(sketch, share) for share in SHARES]
    assert found == sorted(found)
    for share, value in zip(SHARES, found, strict=True):
        low, high = (np.searchsorted(values, value, side=side) / len(values) for side in ("left", "right"))
        assert low - 0.005 <= share <= high + 0.005


def test_a_share_out_of_range_is_an_end() -> None:
    sketch = sketched([1.0, 2.0])
    assert (quantile_of(sketch, -1.0), quantile_of(sketch, 2.0)) == (1.0, 2.0)
