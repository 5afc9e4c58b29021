"""Boundaries are crossed no more often than they say, by the walks that they are for, and have the shape that they should."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.deploy.analysis import (
    BetaBinomialMixture,
    GammaExponentialMixture,
    GammaPoissonMixture,
    Mixture,
    NormalMixture,
    best_rho,
    boundary,
    stitched_boundary,
)
from keelway.errors import UsageError

ONE_SIDED = best_rho(100, sides=1)
ALL: dict[str, Mixture] = {
    "normal, two sides": NormalMixture(best_rho(100)),
    "normal, one side": NormalMixture(ONE_SIDED, sides=1),
    "gamma-exponential": GammaExponentialMixture(ONE_SIDED, 2),
    "gamma-Poisson": GammaPoissonMixture(ONE_SIDED, 2),
    "beta-binomial, two sides": BetaBinomialMixture.tightest_at(100, below=0.2, above=0.8, alpha=0.05),
    "beta-binomial, one side": BetaBinomialMixture.tightest_at(100, below=0.2, above=0.8, alpha=0.05, sides=1),
}
RUNS, STEPS = 2_000, 200
LOOKS = (5, 10, 20, 40, 80, 120, 160, 200)
ALPHA = 0.1


def crossings(walk: np.ndarray, times: np.ndarray, mixture: Mixture, sides: int = 1) -> float:
    """Return the share of the walks that were beyond the boundary at any look."""
    bounds = np.array([boundary(mixture, float(times[look - 1]), alpha=ALPHA) for look in LOOKS])
    seen = walk[:, [look - 1 for look in LOOKS]]
    return float(((np.abs(seen) if sides == 2 else seen) >= bounds).any(axis=1).mean())


def allowed(runs: int) -> float:
    return ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / runs)


@pytest.mark.parametrize("sides", [1, 2])
def test_normal_walks_stay_within_the_normal_mixture(sides) -> None:
    steps = np.random.default_rng(1).normal(size=(RUNS, STEPS))
    mixture = NormalMixture(best_rho(50, alpha=ALPHA, sides=sides), sides)
    share = crossings(steps.cumsum(axis=1), np.arange(1.0, STEPS + 1), mixture, sides)
    assert 0.01 < share <= allowed(RUNS)


def test_exponential_steps_stay_within_the_gamma_exponential_mixture() -> None:
    steps = np.random.default_rng(2).exponential(size=(RUNS, STEPS)) - 1
    mixture = GammaExponentialMixture(best_rho(50, alpha=ALPHA, sides=1), 1.0)
    share = crossings(steps.cumsum(axis=1), np.arange(1.0, STEPS + 1), mixture)
    assert 0.01 < share <= allowed(RUNS)


def test_counts_stay_within_the_gamma_poisson_mixture() -> None:
    steps = np.random.default_rng(3).poisson(0.5, (RUNS, STEPS)) - 0.5
    mixture = GammaPoissonMixture(best_rho(25, alpha=ALPHA, sides=1), 1.0)
    share = crossings(steps.cumsum(axis=1), 0.5 * np.arange(1.0, STEPS + 1), mixture)
    assert 0.01 < share <= allowed(RUNS)


@pytest.mark.parametrize("sides", [1, 2])
def test_coins_stay_within_the_beta_binomial_mixture(sides) -> None:
    steps = (np.random.default_rng(4).random((RUNS, STEPS)) < 0.2) - 0.2
    mixture = BetaBinomialMixture.tightest_at(8, below=0.2, above=0.8, alpha=ALPHA, sides=sides)
    share = crossings(steps.cumsum(axis=1), 0.16 * np.arange(1.0, STEPS + 1), mixture, sides)
    assert 0.005 < share <= allowed(RUNS)


def test_normal_walks_stay_within_the_stitched_boundary() -> None:
    walk = np.random.default_rng(5).normal(size=(RUNS, STEPS)).cumsum(axis=1)
    bounds = np.array([stitched_boundary(float(time), alpha=ALPHA, earliest=5) for time in range(1, STEPS + 1)])
    assert float((walk >= bounds).any(axis=1).mean()) <= allowed(RUNS)


@pytest.mark.parametrize("name", ALL)
def test_a_boundary_is_where_the_mixture_is_one_over_alpha(name: str) -> None:
    for alpha in (0.2, 0.05, 0.001):
        for time in (20, 100, 700):
            found = boundary(ALL[name], time, alpha=alpha)
            assert ALL[name].log_value(found, time) == pytest.approx(-math.log(alpha), rel=1e-9)


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=15, deadline=None)
@given(time=st.floats(5, 5_000), longer=st.floats(1.1, 10), alpha=st.floats(0.001, 0.2))
def test_a_boundary_rises_with_time_more_slowly_than_time_itself(
    name: str, time: float, longer: float, alpha: float
) -> None:
    early, late = (boundary(ALL[name], each, alpha=alpha) for each in (time, time * longer))
    assert early < late
    assert late / (time * longer) < early / time * (1 + 1e-9)
    assert boundary(ALL[name], time, alpha=alpha / 2) >= early


def test_one_side_is_crossed_sooner_than_two() -> None:
    assert boundary(ALL["normal, one side"], 100, alpha=0.05) < boundary(ALL["normal, two sides"], 100, alpha=0.05)
    one, two = ALL["beta-binomial, one side"], ALL["beta-binomial, two sides"]
    assert boundary(one, 100, alpha=0.05) < boundary(two, 100, alpha=0.05)


def test_a_small_scale_makes_heavy_tails_normal() -> None:
    normal = boundary(NormalMixture(ONE_SIDED, sides=1), 100, alpha=0.05)
    assert boundary(GammaExponentialMixture(ONE_SIDED, 0.05), 100, alpha=0.05) == pytest.approx(normal, rel=0.01)
    assert boundary(GammaPoissonMixture(ONE_SIDED, 0.05), 100, alpha=0.05) == pytest.approx(normal, rel=0.01)
    assert stitched_boundary(100, alpha=0.05, earliest=10) < stitched_boundary(100, alpha=0.05, earliest=10, scale=1)


def test_a_walk_cannot_leave_what_it_can_reach() -> None:
    mixture = BetaBinomialMixture.tightest_at(0.16, below=0.2, above=0.8, alpha=0.001)
    assert boundary(mixture, 0.16, alpha=0.001) == pytest.approx(0.8)  # one step up, and that is no surprise
    assert mixture.steepest == 5.0


def test_the_best_rho_is_best() -> None:
    for sides in (1, 2):
        best = best_rho(100, sides=sides)
        bounds = {
            times: boundary(NormalMixture(best * times, sides), 100, alpha=0.05) for times in (0.3, 0.9, 1.0, 1.1, 3.0)
        }
        assert bounds[1.0] < min(bounds[0.3], bounds[3.0])
        assert bounds[1.0] == pytest.approx(min(bounds.values()), rel=1e-3)  # the formula is nearly the best one


def test_the_stitched_boundary_waits_for_its_earliest_time() -> None:
    assert stitched_boundary(1, alpha=0.05, earliest=10) == stitched_boundary(10, alpha=0.05, earliest=10)


@pytest.mark.parametrize(
    ("v", "alpha", "sides"), [(0, 0.05, 2), (-1, 0.05, 2), (9, 0, 2), (9, 1, 2), (9, 0.5, 1), (math.nan, 0.1, 2)]
)
def test_no_mixture_is_tight_nowhere(v: float, alpha: float, sides) -> None:
    with pytest.raises(UsageError, match="tight there"):
        best_rho(v, alpha=alpha, sides=sides)


def test_a_boundary_that_is_never_reached_is_refused() -> None:
    with pytest.raises(UsageError, match="never gets that far"):
        boundary(NormalMixture(math.inf), 1.0, alpha=0.05)
