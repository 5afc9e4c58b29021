"""Shares that are not the declared ones show, predictions that differ show, and chance does not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.deploy.analysis import Phase, ks_distance, ks_null_quantile, log_mismatch, log_unlike, mismatch_p
from keelway.errors import UsageError

HALF = {"a": 0.5, "b": 0.5}
histograms = st.lists(st.integers(0, 50), min_size=2, max_size=12).filter(any)


def test_the_odds_against_the_declared_shares_are_fair() -> None:
    before = np.exp(log_mismatch([12, 30, 8], [1, 2, 1]))
    after = np.exp(log_mismatch([[13, 30, 8], [12, 31, 8], [12, 30, 9]], [1, 2, 1]))
    assert (after * [0.25, 0.5, 0.25]).sum() == pytest.approx(float(before), rel=1e-12)
    assert float(log_mismatch([0, 0], [1, 1])) == pytest.approx(0.0, abs=1e-12)


def test_shares_need_not_sum_to_one() -> None:
    assert float(log_mismatch([40, 160], [20, 80])) == float(log_mismatch([40, 160], [0.2, 0.8]))


def test_phases_with_other_shares_are_judged_by_their_own() -> None:
    early, late = Phase({"a": 99, "b": 1}, {"a": 9_900, "b": 100}), Phase(HALF, {"a": 5_000, "b": 5_000})
    assert mismatch_p([early, late]) == 1.0
    assert mismatch_p([Phase(HALF, {"a": 14_900, "b": 5_100})]) < 1e-12


def test_what_is_lost_in_each_of_many_phases_adds_up() -> None:
    phase = Phase(HALF, {"a": 10_000, "b": 9_650})
    assert mismatch_p([phase]) > 0.001 > mismatch_p([phase] * 12)


def test_no_entities_are_no_mismatch() -> None:
    assert mismatch_p([Phase(HALF, {"a": 0, "b": 0})]) == pytest.approx(1.0)
    assert mismatch_p([]) == 1.0


@pytest.mark.parametrize(
    ("shares", "counts"),
    [({"a": 1.0}, {"a": 5}), (HALF, {"a": 5}), ({"a": 0.0, "b": 1.0}, {"a": 1, "b": 1}), (HALF, {"a": -1, "b": 1})],
    ids=["one arm", "an arm without a count", "no share", "a negative count"],
)
def test_counts_without_fitting_shares_are_refused(shares: dict, counts: dict) -> None:
    with pytest.raises(UsageError, match="do not fit"):
        Phase(shares, counts)


@settings(max_examples=40, deadline=None)
@given(histograms, histograms)
def test_the_distance_of_two_histograms_is_symmetric_and_at_most_one(first: list[int], second: list[int]) -> None:
    size = max(len(first), len(second))
    first, second = first + [0] * (size - len(first)), second + [0] * (size - len(second))
    found = ks_distance(first, second)
    assert found == ks_distance(second, first)
    assert 0 <= found <= 1
    assert ks_distance(first, first) == 0
    assert ks_distance(first, [3 * each for each in first]) == pytest.approx(0, abs=1e-12)


def test_distributions_without_overlap_are_one_apart() -> None:
    assert ks_distance([5, 0], [0, 9]) == 1.0


def test_chance_reaches_less_far_the_more_rows_there_are() -> None:
    reaches = [ks_null_quantile(rows, rows, level=0.95) for rows in (10, 100, 1_000)]
    assert reaches == sorted(reaches, reverse=True)
    draw = np.random.default_rng(1)
    edges = np.linspace(0, 1, 201)
    found = [ks_distance(*(np.histogram(draw.random(300), edges)[0].tolist() for _ in range(2))) for _ in range(1_000)]
    assert np.mean(np.array(found) > ks_null_quantile(300, 300, level=0.95)) < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1_000)


@pytest.mark.parametrize("wrong", [([1, 2], [1]), ([0, 0], [1, 1]), ([1], [])])
def test_histograms_that_cannot_be_compared_are_refused(wrong: tuple[list[int], list[int]]) -> None:
    with pytest.raises(UsageError, match="cannot be compared"):
        ks_distance(*wrong)
    with pytest.raises(UsageError, match="cannot be compared"):
        log_unlike(*wrong, share=0.5, planned=100)


def test_alike_histograms_are_no_evidence_and_unlike_ones_are() -> None:
    alike = log_unlike([10, 20, 30], [90, 180, 270], share=0.1, planned=1_000)
    assert alike < 0
    assert log_unlike([30, 20, 10], [90, 180, 270], share=0.1, planned=1_000) > -math.log(0.001)
    assert log_unlike([60, 0, 0], [90, 180, 270], share=0.1, planned=1_000) > 20


def test_another_share_than_the_declared_one_is_no_difference_between_predictions() -> None:
    assert log_unlike([300, 300, 300], [300, 300, 300], share=0.1, planned=1_000) < math.log(20)
