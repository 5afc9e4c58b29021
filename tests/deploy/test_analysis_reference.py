"""Boundaries, sequences and looks agree with the values that their authors publish, and with R."""

from __future__ import annotations

import math

import numpy as np
import pytest

from keelway.core import psi, psi_null_mean, psi_null_quantile
from keelway.deploy.analysis import (
    BetaBinomialMixture,
    ExperimentQuestion,
    GammaExponentialMixture,
    GammaPoissonMixture,
    NormalMixture,
    Phase,
    best_rho,
    boundary,
    crossing_chances,
    experiment_plan,
    ks_distance,
    ks_null_quantile,
    mismatch_p,
    quantile_p,
    rate_sequence,
    reach,
    stitched_boundary,
)
from keelway.evaluate import shares_test

TIME, ALPHA = 100, 0.05
ONE_SIDED = best_rho(TIME, sides=1)
MIXTURES = {
    "normal, two sides": (NormalMixture(best_rho(TIME)), -0.6510052, 30.35209),
    "normal, one side": (NormalMixture(ONE_SIDED, sides=1), -0.06502391, 27.66071),
    "gamma-exponential": (GammaExponentialMixture(ONE_SIDED, 2), -0.2490165, 33.02017),
    "gamma-Poisson": (GammaPoissonMixture(ONE_SIDED, 2), -0.06991219, 30.1949),
    "beta-binomial, two sides": (
        BetaBinomialMixture.tightest_at(TIME, below=0.2, above=0.8, alpha=ALPHA),
        -0.6941012,
        31.4308,
    ),
    "beta-binomial, one side": (
        BetaBinomialMixture.tightest_at(TIME, below=0.2, above=0.8, alpha=ALPHA, sides=1),
        -0.07134019,
        28.41238,
    ),
}
"""Each mixture with its logarithm at a walk of 10 and its boundary, from the tests of Howard et al.'s confseq."""


def test_the_best_rho_is_that_of_howard_et_al() -> None:
    assert best_rho(100) == pytest.approx(12.60056, rel=1e-6)


@pytest.mark.parametrize("name", MIXTURES)
def test_mixtures_and_their_boundaries_are_those_of_howard_et_al(name: str) -> None:
    mixture, value, bound = MIXTURES[name]
    assert mixture.log_value(10, TIME) == pytest.approx(value, rel=1e-6)
    assert boundary(mixture, TIME, alpha=ALPHA) == pytest.approx(bound, rel=1e-6)


@pytest.mark.parametrize(("scale", "bound"), [(3, 64.48755), (-1, 28.99389)])
def test_the_stitched_boundary_is_that_of_howard_et_al(scale: float, bound: float) -> None:
    assert stitched_boundary(100, alpha=0.05, earliest=10, scale=scale) == pytest.approx(bound, rel=1e-6)


@pytest.mark.parametrize(
    ("count", "rows", "planned", "low", "high"),
    [
        (700, 1000, 100, 0.651629, 0.745949),
        (15, 50, 50, 0.129556, 0.511896),
        (5, 50, 50, 0.013021, 0.269264),
        (1, 50, 50, 0.0, 0.13489),
        (1, 2, 50, 0.0, 1.0),
        (100, 200, 1, 0.328923, 0.671076),
        (0, 1, 50, 0.0, 1.0),
        (1, 1, 50, 0.0, 1.0),
    ],
)
def test_rates_have_the_intervals_of_confseq(count: int, rows: int, planned: int, low: float, high: float) -> None:
    found = rate_sequence(count, rows, level=0.95, planned=planned)
    assert (found.low, found.high) == pytest.approx((low, high), abs=2e-6)


@pytest.mark.parametrize(
    ("quantile", "offset", "p_value"),
    [(0.5, 70, 0.814704), (0.5, 85, 0.0838055), (0.5, 100, 0.0054947), (0.9, 55, 0.0340463)],
)
def test_quantiles_have_the_p_values_of_confseq(quantile: float, offset: int, p_value: float) -> None:
    first, second = np.arange(1000), np.arange(1000) + offset
    assert quantile_p(first, second, quantile=quantile, planned=100) == pytest.approx(p_value, rel=1e-5)
    assert quantile_p(second, first, quantile=quantile, planned=100) == pytest.approx(p_value, rel=1e-5)


@pytest.mark.parametrize(
    ("looks", "armitage", "chance"), [(5, 0.142, 0.1418), (10, 0.193, 0.1946), (50, 0.320, 0.3201)]
)
def test_peeking_inflates_as_armitage_found(looks: int, armitage: float, chance: float) -> None:
    found = float(crossing_chances([1.959964] * looks)[-1])
    assert found == pytest.approx(armitage, abs=6e-4)
    assert found == pytest.approx(chance, abs=3 * math.sqrt(0.2 / 40_000))  # that one was simulated


def test_group_sequential_constants_are_those_of_jennison_and_turnbull() -> None:
    assert crossing_chances([2.413] * 5)[-1] == pytest.approx(0.05, abs=3e-4)
    fleming = [2.040 * math.sqrt(5 / look) for look in range(1, 6)]
    assert crossing_chances(fleming)[-1] == pytest.approx(0.05, abs=3e-4)


def test_the_reach_of_a_sequence_is_the_boundary_of_its_mixture() -> None:
    assert float(reach(1.0, alpha=0.05)) * 10 == pytest.approx(30.35209, rel=1e-6)
    assert float(reach(1.0, alpha=0.05, sides=1)) * 10 == pytest.approx(27.66071, rel=1e-6)


def test_kohavis_split_alarms_by_the_sequential_test_too() -> None:
    assert shares_test([821_588, 815_482], [1, 1]).p_value == pytest.approx(1.82179e-06, rel=1e-5)
    half = {"a": 0.5, "b": 0.5}
    assert mismatch_p([Phase(half, {"a": 821_588, "b": 815_482})]) < 0.001
    assert mismatch_p([Phase(half, {"a": 600, "b": 400})]) < 0.001
    assert mismatch_p([Phase(half, {"a": 1000, "b": 1100})]) > 0.0290963  # it pays for looking at all times


def test_drift_measures_are_those_of_the_books() -> None:
    assert psi([0.1] * 10, [0.05, 0.05, *[0.1] * 6, 0.15, 0.15]) == pytest.approx(0.1098612, abs=5e-8)
    assert psi_null_mean(1000, 1000, 10) == pytest.approx(0.018)
    assert psi_null_quantile(1000, 1000, 10, level=0.95) == pytest.approx(0.0338380, abs=5e-8)
    assert ks_null_quantile(2, 2, level=0.95) == pytest.approx(1.3581015, abs=5e-8)
    assert ks_distance([2, 1, 1, 1, 1, 0, 0], [0, 0, 0, 0, 2, 2, 2]) == pytest.approx(5 / 6)


def test_the_distance_of_two_shifted_normals_is_the_textbooks() -> None:
    edges = np.linspace(-9, 10, 20_001)
    normal = np.vectorize(math.erf)(edges / math.sqrt(2)) / 2
    shifted = np.vectorize(math.erf)((edges - 1) / math.sqrt(2)) / 2
    assert ks_distance(np.diff(normal), np.diff(shifted)) == pytest.approx(0.3829249, abs=5e-7)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("question", "rows"),
    [
        ({"effect": 0.25, "baseline": 0.5, "power": 0.9}, 77),
        ({"effect": 0.05, "baseline": 0.20}, 1094),
        ({"effect": 1.0, "baseline": 0.0, "kind": "mean", "deviation": 1.0, "power": 0.9}, 23),
        ({"effect": 0.5, "baseline": 0.0, "kind": "mean", "deviation": 1.0}, 64),
        ({"effect": 0.2, "baseline": 0.0, "kind": "mean", "deviation": 1.0}, 394),
    ],
)
def test_a_plan_that_is_read_once_has_rs_rows(question: dict, rows: int) -> None:
    assert experiment_plan(ExperimentQuestion(per_day=100, **question)).rows_fixed == (rows, rows)
