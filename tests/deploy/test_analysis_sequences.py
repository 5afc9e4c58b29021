"""Moments add up, intervals and e-values say the same, and what was known before takes variance out and nothing else."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.deploy.analysis import (
    Contrast,
    Moments,
    NormalMixture,
    always_valid_p,
    best_rho,
    boundary,
    log_evidence,
    mean_difference_sequence,
    mean_gap,
    mean_sequence,
    moments_of,
    pooled_theta,
    rate_moments,
    reach,
)
from keelway.errors import UsageError

numbers = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30)
progresses = st.floats(1e-3, 1e3)
alphas = st.floats(1e-4, 0.3)


@settings(max_examples=50)
@given(numbers, numbers, st.randoms(use_true_random=False))
def test_moments_of_parts_are_those_of_the_whole(first: list[float], second: list[float], random) -> None:
    both = [*first, *second]
    before = [random.uniform(-5, 5) for _ in both]
    whole = moments_of(both, before)
    parts = moments_of(first, before[: len(first)]).merged(moments_of(second, before[len(first) :]))
    scale = max(1.0, *map(abs, both))
    assert parts.count == whole.count
    assert parts.mean == pytest.approx(whole.mean, abs=1e-9 * scale)
    assert parts.squares == pytest.approx(whole.squares, rel=1e-9, abs=1e-6 * scale)
    assert parts.before_squares == pytest.approx(whole.before_squares, rel=1e-9, abs=1e-9)
    assert parts.products == pytest.approx(whole.products, rel=1e-9, abs=1e-6 * scale)


def test_nothing_merged_changes_nothing() -> None:
    known = moments_of([1.0, 2.0, 4.0])
    assert known.merged(Moments()) == known == Moments().merged(known)
    assert moments_of([]) == Moments()


def test_moments_are_those_of_numpy() -> None:
    draw = np.random.default_rng(1)
    values, before = draw.normal(1e6, 1, 500), draw.normal(size=500)
    found = moments_of(values, before)
    assert found.variance == pytest.approx(values.var(ddof=1), rel=1e-9)
    assert found.products / 499 == pytest.approx(np.cov(values, before)[0, 1], rel=1e-6)
    assert math.isnan(moments_of([1.0]).variance)


def test_values_and_covariate_have_to_fit() -> None:
    with pytest.raises(UsageError, match="do not fit"):
        moments_of([1.0, 2.0], [1.0])


@settings(max_examples=40)
@given(progresses, alphas, st.sampled_from([1, 2]))
def test_the_reach_is_the_boundary_of_the_normal_mixture(progress: float, alpha: float, sides) -> None:
    mixture = NormalMixture(best_rho(100, alpha=alpha, sides=sides), sides)
    expected = boundary(mixture, 100 * progress, alpha=alpha) / math.sqrt(100 * progress)
    assert float(reach(progress, alpha=alpha, sides=sides)) == pytest.approx(expected, rel=1e-7)


@settings(max_examples=40)
@given(progresses, alphas, st.sampled_from([1, 2]))
def test_the_e_value_reaches_one_over_alpha_where_the_interval_ends(progress: float, alpha: float, sides) -> None:
    end = float(reach(progress, alpha=alpha, sides=sides))
    assert float(log_evidence(end, progress, alpha=alpha, sides=sides)) == pytest.approx(-math.log(alpha), rel=1e-7)
    assert always_valid_p(float(log_evidence(end, progress, alpha=alpha, sides=sides))) == pytest.approx(alpha)


def test_the_reach_is_smallest_about_the_planned_size_and_never_as_small_as_a_single_looks() -> None:
    sizes = np.geomspace(1e-3, 1e3, 601)
    for sides, single in ((2, 1.959964), (1, 1.644854)):
        error = reach(sizes, alpha=0.05, sides=sides) / np.sqrt(sizes)
        assert (np.diff(error) < 0).all()  # more rows never say less
        boundary_at_one = reach(sizes / sizes[300], alpha=0.05, sides=sides)[300]
        others = [reach(1.0 * other, alpha=0.05, sides=sides) for other in (0.05, 20.0)]
        assert boundary_at_one < min(others)
        assert (reach(sizes, alpha=0.05, sides=sides) > single).all()


def test_one_side_reaches_less_far_than_two() -> None:
    sizes = np.geomspace(0.01, 100, 50)
    assert (reach(sizes, alpha=0.05, sides=1) < reach(sizes, alpha=0.05, sides=2)).all()


def test_no_evidence_is_a_p_value_of_one() -> None:
    assert always_valid_p(0.0) == always_valid_p(-5.0) == 1.0
    assert always_valid_p(2000.0) == 0.0


def test_a_mean_is_inside_its_interval_and_more_rows_narrow_it() -> None:
    draw = np.random.default_rng(2)
    values = draw.normal(3, 2, 4_000)
    widths = []
    for rows in (500, 1_000, 4_000):
        found = mean_sequence(moments_of(values[:rows]), level=0.95, planned=1_000)
        assert found.low < found.value < found.high
        widths.append(found.high - found.low)
    assert widths == sorted(widths, reverse=True)
    ordinary = 2 * 1.959964 * values[:1_000].std(ddof=1) / math.sqrt(1_000)
    assert widths[1] == pytest.approx(ordinary * 3.0352090 / 1.959964, rel=1e-6)


def test_values_that_do_not_vary_tell_nothing() -> None:
    still = moments_of([0.0] * 500)
    assert mean_sequence(still, level=0.95, planned=500).high == math.inf
    gap = mean_gap(still, still, planned=(500, 500))
    assert (gap.error, gap.log_evidence(-1.0), gap.log_evidence(1.0)) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    "values", [[], [1.0], [1.0, math.nan], [1.0, math.inf]], ids=["none", "one", "nan", "infinite"]
)
def test_what_has_no_variance_has_no_interval(values: list[float]) -> None:
    with pytest.raises(UsageError, match="no interval"):
        mean_sequence(moments_of(values), level=0.95, planned=10)
    with pytest.raises(UsageError, match="no interval"):
        mean_gap(moments_of([1.0, 2.0]), moments_of(values), planned=(10, 10))


def test_the_difference_of_means_has_the_error_of_welch() -> None:
    draw = np.random.default_rng(3)
    first, second = draw.normal(1, 2, 300), draw.normal(0, 1, 900)
    gap = mean_gap(moments_of(first), moments_of(second), planned=(600, 1_800))
    assert gap.value == pytest.approx(first.mean() - second.mean())
    assert gap.error == pytest.approx(math.sqrt(first.var(ddof=1) / 300 + second.var(ddof=1) / 900))
    assert gap.progress == pytest.approx(0.5)
    found = mean_difference_sequence(moments_of(first), moments_of(second), level=0.95, planned=(600, 1_800))
    assert (found.high - found.value) / gap.error == pytest.approx(float(reach(0.5, alpha=0.05)))


def test_an_interval_and_the_evidence_of_a_gap_agree() -> None:
    gap = Contrast(0.5, 0.1, 0.08)
    low = gap.interval(level=0.95, sides=1).low
    assert gap.log_evidence(low) == pytest.approx(-math.log(0.05))
    assert gap.log_evidence(low - 0.01) > -math.log(0.05) > gap.log_evidence(low + 0.01)


def experiment(
    draw: np.random.Generator, correlation: float, rows: int = 400, effect: float = 0.3
) -> tuple[Moments, Moments]:
    """Return two arms whose values go with what was known before as closely as `correlation` says."""
    arms = []
    for shift in (effect, 0.0):
        before = draw.normal(5, 1, rows)
        noise = draw.normal(0, math.sqrt(1 - correlation**2), rows)
        arms.append(moments_of(shift + correlation * before + noise, before))
    return arms[0], arms[1]


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9, -0.8])
def test_what_was_known_before_takes_its_squared_correlation_out_of_the_variance(correlation: float) -> None:
    draw = np.random.default_rng(4)
    adjusted, plain = [], []
    for _ in range(1_000):
        first, second = experiment(draw, correlation)
        adjusted.append(mean_gap(first, second, planned=(400, 400)).value)
        plain.append(mean_gap(first, second, planned=(400, 400), adjust=False).value)
    error = np.std(adjusted) / math.sqrt(len(adjusted))
    assert abs(np.mean(adjusted) - 0.3) < 4 * error  # unbiased
    assert np.var(adjusted) / np.var(plain) == pytest.approx(1 - correlation**2, rel=0.15, abs=0.01)


def test_the_error_of_an_adjusted_difference_is_what_it_says() -> None:
    draw = np.random.default_rng(5)
    gaps = [mean_gap(*experiment(draw, 0.8), planned=(400, 400)) for _ in range(1_000)]
    assert np.std([gap.value for gap in gaps]) == pytest.approx(np.mean([gap.error for gap in gaps]), rel=0.08)


def test_theta_is_the_slope_within_the_arms_and_ignores_what_lies_between_them() -> None:
    before = np.arange(50.0)
    first, second = moments_of(2 * before + 100, before), moments_of(2 * before, before - 30)
    assert pooled_theta(first, second) == pytest.approx(2.0)
    assert pooled_theta(moments_of([1.0, 2.0]), moments_of([3.0, 5.0])) == 0.0


def test_without_a_covariate_nothing_is_adjusted() -> None:
    first, second = moments_of([1.0, 2.0, 4.0]), moments_of([2.0, 2.0, 5.0])
    assert mean_gap(first, second, planned=(9, 9)) == mean_gap(first, second, planned=(9, 9), adjust=False)


@settings(max_examples=50)
@given(st.integers(0, 500), st.integers(2, 500))
def test_rates_have_the_moments_of_their_coins_and_always_a_spread(count: int, rows: int) -> None:
    found = rate_moments(min(count, rows), rows)
    assert found.mean == min(count, rows) / rows
    assert found.variance > 0
    assert found.variance == pytest.approx(found.mean * (1 - found.mean), abs=1.5 / (rows + 2))
