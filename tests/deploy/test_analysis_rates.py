"""Tests of two rates are exact, find the shared rate that speaks most against them, and agree with their intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keelway.deploy.analysis import RateCounts, excess_bound, log_bet, log_excess, rate_sequence
from keelway.errors import UsageError

PLANNED = (500.0, 800.0)
tallies = st.integers(1, 2_000).flatmap(lambda rows: st.builds(RateCounts, st.integers(0, rows), st.just(rows)))
margins = st.floats(-0.5, 0.5)


@pytest.mark.parametrize("wrong", [(-1, 5), (6, 5), (1, 0)])
def test_a_tally_counts_some_of_its_rows(wrong: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="no tally"):
        RateCounts(*wrong)


def test_a_tally_without_rows_has_no_rate() -> None:
    assert math.isnan(RateCounts(0, 0).rate)
    assert RateCounts(1, 4).rate == 0.25


@pytest.mark.parametrize("rate", [0.001, 0.1, 0.5, 0.97])
@pytest.mark.parametrize("planned", [1.0, 50.0, 5_000.0])
def test_a_bet_against_the_truth_is_fair(rate: float, planned: float) -> None:
    rows = 40
    counts = np.arange(rows + 1)
    chances = np.array([math.comb(rows, k) * rate**k * (1 - rate) ** (rows - k) for k in range(rows + 1)])
    assert float((chances * np.exp(log_bet(counts, rows, rate, planned=planned))).sum()) == pytest.approx(1.0, rel=1e-9)


def test_a_bet_grows_one_row_at_a_time_and_stays_fair() -> None:
    before = np.exp(log_bet(7, 30, 0.2, planned=100))
    after = np.exp(log_bet([8, 7], 31, 0.2, planned=100))
    assert 0.2 * after[0] + 0.8 * after[1] == pytest.approx(float(before), rel=1e-12)


def test_no_rows_bet_nothing() -> None:
    assert float(log_bet(0, 0, 0.3, planned=100)) == pytest.approx(0.0, abs=1e-12)
    assert float(log_excess((0, 0), (0, 0), planned=PLANNED)) <= 0.0


@settings(max_examples=20, deadline=None)
@given(tallies, tallies, margins)
def test_the_evidence_is_the_least_over_every_rate_that_they_could_share(
    first: RateCounts, second: RateCounts, margin: float
) -> None:
    found = float(log_excess((first.count, first.rows), (second.count, second.rows), margin, planned=PLANNED))
    lowest, highest = max(0.0, -margin), min(1.0, 1 - margin)
    for _ in range(2):  # a grid, and a finer one about its smallest value
        shared = np.linspace(lowest, highest, 4_001)
        bets = log_bet(first.count, first.rows, shared + margin, planned=PLANNED[0])
        bets = bets + log_bet(second.count, second.rows, shared, planned=PLANNED[1])
        least = int(bets.argmin())
        lowest, highest = float(shared[max(least - 1, 0)]), float(shared[min(least + 1, 4_000)])
    if first.rate - margin > second.rate:
        assert found == pytest.approx(float(bets.min()), rel=1e-3, abs=1e-3)
    else:
        assert found <= 0.0


@settings(max_examples=25, deadline=None)
@given(tallies, tallies, st.floats(-0.4, 0.4), st.floats(0.001, 0.3))
@example(RateCounts(0, 198), RateCounts(0, 1), -0.375, 0.25)
def test_a_larger_margin_is_harder_to_be_above(
    first: RateCounts, second: RateCounts, margin: float, more: float
) -> None:
    """The smallest evidence is searched for to a thousandth, as the test before this one says."""
    counts = (first.count, first.rows), (second.count, second.rows)
    smaller = max(float(log_excess(*counts, margin, planned=PLANNED)), 0.0)
    assert max(float(log_excess(*counts, margin + more, planned=PLANNED)), 0.0) <= smaller + 1e-3


@settings(max_examples=8, deadline=None)
@given(tallies, tallies, st.sampled_from([0.05, 0.01]))
def test_an_end_of_the_difference_is_where_the_evidence_is_just_enough(
    first: RateCounts, second: RateCounts, alpha: float
) -> None:
    low, high = (excess_bound(first, second, alpha=alpha, planned=PLANNED, side=side) for side in ("low", "high"))
    assert -1 <= low <= first.rate - second.rate <= high <= 1
    counts = (first.count, first.rows), (second.count, second.rows)
    shown = [
        float(log_excess(*counts, margin, planned=PLANNED, alpha=alpha)) > -math.log(alpha)
        for margin in (low - 1e-3, low + 1e-3)
    ]
    assert shown == [low > -1 + 1e-3, False]


def test_the_two_ends_mirror_each_other() -> None:
    first, second = RateCounts(30, 400), RateCounts(12, 900)
    low = excess_bound(first, second, alpha=0.05, planned=PLANNED, side="low")
    assert excess_bound(second, first, alpha=0.05, planned=PLANNED[::-1], side="high") == -low


def test_without_rows_a_difference_can_be_anything() -> None:
    ends = [
        excess_bound(RateCounts(0, 0), RateCounts(3, 9), alpha=0.05, planned=PLANNED, side=side)
        for side in ("low", "high")
    ]
    assert ends == [-1.0, 1.0]


def test_nothing_found_in_many_rows_bounds_the_difference_from_above() -> None:
    high = excess_bound(RateCounts(0, 3_000), RateCounts(0, 30_000), alpha=0.05, planned=(2_000, 20_000), side="high")
    assert 0 < high < 0.003


def test_counts_of_many_looks_are_tested_at_once() -> None:
    counts, rows = np.array([[1, 5], [30, 60]]), np.array([100, 200])
    found = log_excess((counts, rows), (np.ones((2, 2)), rows), 0.01, planned=PLANNED)
    one_by_one = [
        [float(log_excess((counts[i, j], rows[j]), (1, rows[j]), 0.01, planned=PLANNED)) for j in (0, 1)]
        for i in (0, 1)
    ]
    assert found == pytest.approx(np.array(one_by_one), abs=1e-6)


def test_a_sequence_is_wider_than_an_interval_that_is_read_once_and_holds_its_rate() -> None:
    for count, rows in ((0, 20), (5, 20), (20, 20), (300, 3_000)):
        found = rate_sequence(count, rows, level=0.95, planned=100)
        assert 0 <= found.low <= count / rows <= found.high <= 1
        assert found.high - found.low > 1.96 * math.sqrt(found.value * (1 - found.value) / rows)


def test_a_rate_needs_rows() -> None:
    with pytest.raises(UsageError, match="needs rows"):
        rate_sequence(0, 0, level=0.95, planned=100)
