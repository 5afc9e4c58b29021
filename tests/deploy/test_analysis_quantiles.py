"""Quantiles are compared exactly, whatever the distribution, ties included, and the ratio has an interval."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.deploy.analysis import log_bet, log_slower, quantile_p, ratio_bound, sorted_values
from keelway.errors import UsageError

PLANNED = (300.0, 300.0)
values = st.lists(st.integers(1, 40), min_size=1, max_size=60).map(lambda found: np.sort(np.array(found, dtype=float)))


def least_product(first: np.ndarray, second: np.ndarray, quantile: float) -> float:
    """Return the least evidence over all places, between values too, and over all ways to break ties, one by one."""
    both = np.unique(np.concatenate([first, second]))
    places = np.concatenate([both, (both[1:] + both[:-1]) / 2, [both[0] - 1, both[-1] + 1]])
    totals = []
    for place in places:
        bets = [
            min(
                float(log_bet(count, len(arm), quantile, planned=300.0))
                for count in range(int((arm < place).sum()), int((arm <= place).sum()) + 1)
            )
            for arm in (first, second)
        ]
        totals.append(sum(bets))
    return min(totals)


@settings(max_examples=20, deadline=None)
@given(values, values, st.sampled_from([0.5, 0.9]))
def test_the_evidence_is_the_least_over_all_places(first: np.ndarray, second: np.ndarray, quantile: float) -> None:
    found = max(log_slower(*pair, quantile=quantile, planned=PLANNED) for pair in ((first, second), (second, first)))
    assert max(found, 0.0) == pytest.approx(max(least_product(first, second, quantile), 0.0), abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(values)
def test_an_arm_is_not_slower_than_itself(found: np.ndarray) -> None:
    assert log_slower(found, found, quantile=0.5, planned=PLANNED) <= 0.0
    assert quantile_p(found, found, quantile=0.5, planned=300) == 1.0


def test_only_the_slower_arm_is_slower() -> None:
    draw = np.random.default_rng(1)
    slow, fast = np.sort(3 * draw.lognormal(0, 0.5, 300)), np.sort(draw.lognormal(0, 0.5, 3_000))
    assert log_slower(slow, fast, quantile=0.95, planned=PLANNED) > 50
    assert log_slower(slow, fast, 1.5, quantile=0.95, planned=PLANNED) > -math.log(0.05)
    assert log_slower(fast, slow, quantile=0.95, planned=PLANNED) == 0.0


def test_the_ends_of_the_ratio_hold_it_and_are_where_the_evidence_is_just_enough() -> None:
    draw = np.random.default_rng(2)
    slow, fast = np.sort(3 * draw.lognormal(0, 0.5, 400)), np.sort(draw.lognormal(0, 0.5, 3_600))
    low, high = (
        ratio_bound(slow, fast, quantile=0.9, alpha=0.05, planned=PLANNED, side=side) for side in ("low", "high")
    )
    assert 1 < low < 3 < high < 10
    bar = -math.log(0.05)
    assert log_slower(slow, fast, low * 0.999, quantile=0.9, planned=PLANNED) > bar
    assert log_slower(slow, fast, low * 1.001, quantile=0.9, planned=PLANNED) <= bar
    assert ratio_bound(fast, slow, quantile=0.9, alpha=0.05, planned=PLANNED[::-1], side="high") == pytest.approx(
        1 / low
    )


def test_few_values_bound_nothing() -> None:
    few = np.array([1.0, 2.0])
    ends = [ratio_bound(few, few, quantile=0.95, alpha=0.05, planned=PLANNED, side=side) for side in ("low", "high")]
    assert ends == [0.0, math.inf]
    assert log_slower(np.array([]), few, quantile=0.95, planned=PLANNED) == 0.0


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_what_is_no_number_has_no_quantile(wrong: float) -> None:
    with pytest.raises(UsageError, match="finite values"):
        sorted_values([1.0, wrong])


def test_values_are_sorted_whatever_they_come_in() -> None:
    assert sorted_values([3, 1, 2]).tolist() == [1.0, 2.0, 3.0]
    assert sorted_values([]).tolist() == []
