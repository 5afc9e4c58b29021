"""Intervals cover the truth as often as they say, and the paired test of two AUCs is the documented one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from keelway.errors import TrainingError
from keelway.evaluate import (
    Interval,
    auc_interval,
    bootstrap_interval,
    compare_aucs,
    mean_interval,
    newcombe_interval,
    wilson_interval,
)

SIMULATIONS = 500


def coverage(truth: float, interval_of: Callable[[np.random.Generator, int], Interval], seed: int = 11) -> float:
    """Return how often the interval of fresh data holds the truth."""
    draw = np.random.default_rng(seed)
    found = [interval_of(draw, number) for number in range(SIMULATIONS)]
    return sum(each.low <= truth <= each.high for each in found) / SIMULATIONS


def mean_of_rows(draw: np.random.Generator, seed: int) -> Interval:
    return mean_interval(draw.normal(3, 2, 60), seed=seed, resamples=250)


def rows_by_percentile(draw: np.random.Generator, seed: int) -> Interval:
    rows = draw.normal(3, 2, (60, 1))
    return bootstrap_interval(rows, lambda r: float(np.mean(r)), seed=seed, resamples=200, corrected=False)


def auc_of_rows(draw: np.random.Generator, seed: int) -> Interval:
    labels = np.repeat([0, 1], [60, 40])
    return auc_interval(labels, draw.normal(size=100) + labels)


def rate_of_rows(draw: np.random.Generator, seed: int) -> Interval:
    return wilson_interval(int(draw.binomial(40, 0.2)), 40)


def difference_of_rates(draw: np.random.Generator, seed: int) -> Interval:
    return newcombe_interval((int(draw.binomial(50, 0.3)), 50), (int(draw.binomial(60, 0.1)), 60))


def difference_of_aucs(draw: np.random.Generator, seed: int) -> Interval:
    labels = np.repeat([0, 1], [60, 40])
    common = draw.normal(size=100)
    strong, weak = (common + draw.normal(size=100) + each * labels for each in (2.0, 1.0))
    return compare_aucs(labels, strong, weak, against="weak").difference


def normal_auc(shift: float, variance: float) -> float:
    return float(stats.norm.cdf(shift / math.sqrt(2 * variance)))


@pytest.mark.parametrize(
    ("truth", "interval_of"),
    [
        (3.0, mean_of_rows),
        (3.0, rows_by_percentile),
        (normal_auc(1, 1), auc_of_rows),
        (0.2, rate_of_rows),
        (0.2, difference_of_rates),
        (normal_auc(2, 2) - normal_auc(1, 2), difference_of_aucs),
    ],
    ids=["mean-bca", "percentile", "auc", "wilson", "newcombe", "auc-difference"],
)
def test_a_95_percent_interval_covers_the_truth_in_93_to_97_of_100_cases(
    truth: float, interval_of: Callable[[np.random.Generator, int], Interval]
) -> None:
    assert 0.93 <= coverage(truth, interval_of) <= 0.97


def naive_test(labels: Any, first: Any, second: Any) -> tuple[float, float, float]:
    """Return the difference of two AUCs, its standard error and p-value, as DeLong et al. (1988) write them."""
    v10: list[list[float]] = []
    v01: list[list[float]] = []
    for scores in (first, second):
        positive = [s for s, y in zip(scores, labels, strict=True) if y == 1]
        negative = [s for s, y in zip(scores, labels, strict=True) if y == 0]
        psi = [[1.0 if x > y else 0.5 if x == y else 0.0 for y in negative] for x in positive]
        v10.append([sum(row) / len(negative) for row in psi])
        v01.append([sum(column) / len(positive) for column in zip(*psi, strict=True)])
    areas = [sum(each) / len(each) for each in v10]

    def covariance(components: list[list[float]], r: int, s: int) -> float:
        pairs = zip(components[r], components[s], strict=True)
        return sum((a - areas[r]) * (b - areas[s]) for a, b in pairs) / (len(components[r]) - 1)

    def sigma(r: int, s: int) -> float:
        return covariance(v10, r, s) / len(v10[0]) + covariance(v01, r, s) / len(v01[0])

    error = math.sqrt(sigma(0, 0) + sigma(1, 1) - 2 * sigma(0, 1))
    gap = areas[0] - areas[1]
    return gap, error, float(2 * stats.norm.sf(abs(gap) / error))


@pytest.mark.parametrize("seed", range(6))
def test_the_paired_test_is_that_of_delong(seed: int) -> None:
    draw = np.random.default_rng(seed)
    labels = np.repeat([0, 1], [72, 41])  # as many as in pROC's example
    shared = draw.normal(size=113)
    first, second = (np.round(shared + draw.normal(size=113) + weight * labels, 1) for weight in (1.6, 0.7))
    gap, error, p_value = naive_test(labels, first, second)
    found = compare_aucs(labels, first, second, against="other")
    assert found.difference.value == pytest.approx(gap, abs=1e-12)
    assert found.p_value == pytest.approx(p_value, rel=1e-9)
    half = float(stats.norm.ppf(0.975)) * error
    assert (found.difference.low, found.difference.high) == pytest.approx((gap - half, gap + half), rel=1e-9)
    swapped = compare_aucs(labels, second, first, against="other")
    assert swapped.difference.value == pytest.approx(-gap, abs=1e-12)
    assert {found.verdict, swapped.verdict} in ({"better", "worse"}, {"no difference shown"})


def test_without_a_difference_every_p_value_is_as_likely() -> None:
    draw = np.random.default_rng(2)
    labels = np.repeat([0, 1], [60, 40])
    p_values = []
    for _ in range(SIMULATIONS):
        shared = draw.normal(size=100) + labels
        first, second = (shared + draw.normal(size=100) for _ in range(2))
        p_values.append(compare_aucs(labels, first, second, against="other").p_value)
    assert stats.kstest(p_values, "uniform").pvalue > 0.001
    assert np.mean(np.array(p_values) < 0.05) < 0.05 + 3 * math.sqrt(0.05 * 0.95 / SIMULATIONS)


scores_and_labels = st.lists(st.tuples(st.integers(-5, 5), st.booleans()), min_size=4, max_size=40).filter(
    lambda rows: 2 <= sum(label for _, label in rows) <= len(rows) - 2
)


@settings(max_examples=100, deadline=None)
@given(scores_and_labels, st.randoms(use_true_random=False))
def test_an_auc_depends_on_ranks_only(rows: list[tuple[int, bool]], random: Any) -> None:
    scores, labels = zip(*rows, strict=True)
    area = auc_interval(labels, scores)
    assert auc_interval(labels, [math.exp(each) for each in scores]) == area
    assert auc_interval(labels, [-each for each in scores]).value == pytest.approx(1 - area.value)
    mixed = random.sample(rows, len(rows))
    assert auc_interval([y for _, y in mixed], [x for x, _ in mixed]).value == pytest.approx(area.value)
    assert compare_aucs(labels, scores, [3 * each + 1 for each in scores], against="itself").p_value == 1.0
    assert 0 <= area.low <= area.value <= area.high <= 1


def test_scores_that_part_the_classes_perfectly_are_certain() -> None:
    labels, perfect, wrong = [0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9], [0.9, 0.8, 0.2, 0.1]
    assert (auc_interval(labels, perfect).low, auc_interval(labels, perfect).high) == (1.0, 1.0)
    found = compare_aucs(labels, perfect, wrong, against="wrong")
    assert (found.difference.value, found.p_value, found.verdict) == (1.0, 0.0, "better")


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 1], []], ids=["none", "all", "one", "empty"])
def test_an_auc_needs_two_rows_of_each_class(labels: list[int]) -> None:
    with pytest.raises(TrainingError, match="two or more of each"):
        auc_interval(labels, [0.5] * len(labels))
