"""Tests, intervals, corrections and sample sizes agree with R 4.2.2, scipy and the papers they come from."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import bootstrap

from keelway.core import js_distance, psi, psi_null_mean, psi_null_quantile
from keelway.errors import TrainingError
from keelway.evaluate import (
    adjusted,
    binomial_test,
    effect_of_rates,
    exact_interval,
    fisher_test,
    independence_test,
    mcnemar,
    measure,
    newcombe_interval,
    paired_test,
    power_of_means,
    power_of_rates,
    proportions_test,
    rank_sum_test,
    ratio_interval,
    rows_for_means,
    rows_for_rates,
    shares_test,
    signed_rank_test,
    wald_interval,
    welch_test,
    wilson_interval,
)
from keelway.evaluate.figures import Sums
from keelway.evaluate.uncertainty import draws_of, intervals_of, standard_errors

NEAR = {"rel": 1e-6}
SLEEP = (
    [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0],
    [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4],
)
BENJAMINI_1995 = [
    0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0,
]  # fmt: skip


def test_several_rates_as_in_rs_smokers() -> None:
    found = proportions_test([(83, 86), (90, 93), (129, 136), (70, 82)])
    assert (found.statistic, found.freedom) == (pytest.approx(12.600411, **NEAR), 3)
    assert found.p_value == pytest.approx(0.0055854767, **NEAR)
    assert found.difference is None


def test_two_rates_as_in_the_aspirin_trial() -> None:
    found = proportions_test([(104, 11037), (189, 11034)])
    assert found.statistic == pytest.approx(-5.0013882, **NEAR)
    assert found.p_value == pytest.approx(5.69190e-07, rel=1e-5)
    assert found.difference is not None
    assert (found.difference.low, found.difference.high) == pytest.approx((-0.0107243, -0.0046878), abs=5e-8)


def test_differences_of_rates_as_in_newcombe() -> None:
    newcombe, wald = newcombe_interval((56, 70), (48, 80)), wald_interval((56, 70), (48, 80))
    assert (newcombe.low, newcombe.high) == pytest.approx((0.0524315, 0.3338727), abs=5e-8)
    assert (wald.low, wald.high) == pytest.approx((0.0575049, 0.3424951), abs=5e-8)


@pytest.mark.parametrize(
    ("interval_of", "successes", "trials", "low", "high"),
    [
        (wilson_interval, 81, 263, 0.2552885, 0.3662096),
        (wilson_interval, 15, 148, 0.0623864, 0.1604872),
        (wilson_interval, 0, 20, 0.0, 0.1611252),
        (exact_interval, 81, 263, 0.2527367, 0.3676219),
        (exact_interval, 682, 925, 0.7076683, 0.7654066),
    ],
)
def test_rates_as_in_newcombe_and_r(interval_of, successes: int, trials: int, low: float, high: float) -> None:
    found = interval_of(successes, trials)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-8)


def test_an_exact_interval_reaches_to_the_ends() -> None:
    assert (exact_interval(0, 7).low, exact_interval(7, 7).high) == (0.0, 1.0)


@pytest.mark.parametrize("interval_of", [wilson_interval, exact_interval])
@pytest.mark.parametrize("counts", [(0, 0), (3, 2), (-1, 5)])
def test_a_rate_needs_trials(interval_of, counts: tuple[int, int]) -> None:
    with pytest.raises(TrainingError, match="A rate needs trials"):
        interval_of(*counts)


def test_the_ratio_of_rates_is_the_textbooks() -> None:
    found = ratio_interval((104, 11037), (189, 11034))
    error = math.sqrt(1 / 104 - 1 / 11037 + 1 / 189 - 1 / 11034)
    assert found.value == pytest.approx((104 / 11037) / (189 / 11034))
    assert math.log(found.high / found.value) == pytest.approx(1.959963985 * error, rel=1e-8)
    none = ratio_interval((0, 50), (10, 50))
    assert (none.value, none.low) == (0.0, 0.0)
    assert 0 < none.high < 1
    with pytest.raises(TrainingError, match="second rate above 0"):
        ratio_interval((3, 50), (0, 50))


def test_the_lady_tasting_tea() -> None:
    ratio, p_value = fisher_test([[3, 1], [1, 3]])
    assert (ratio, p_value) == (pytest.approx(6.4083089, rel=2e-6), pytest.approx(0.4857143, abs=5e-8))  # R stops early
    assert ratio**4 - 36 * ratio**2 - 32 * ratio == pytest.approx(3, abs=1e-6)  # where three cups are expected right
    assert fisher_test([[3, 1], [1, 3]], alternative="greater")[1] == pytest.approx(0.2428571, abs=5e-8)
    few = proportions_test([(3, 4), (1, 4)])
    assert (few.method, few.p_value) == ("Fisher exact", p_value)


def test_counts_as_in_mendels_peas_and_rs_parties() -> None:
    peas = shares_test([315, 101, 108, 32], [9, 3, 3, 1])
    assert peas.statistic == pytest.approx(0.4700240, abs=5e-8)
    assert peas.p_value == pytest.approx(0.9254259, abs=5e-8)
    party = independence_test([[762, 327, 468], [484, 239, 477]])
    assert (party.statistic, party.p_value) == (pytest.approx(30.070149, **NEAR), pytest.approx(2.9535892e-07, **NEAR))


@pytest.mark.parametrize(
    ("counts", "p_value", "near"),
    [((821588, 815482), 1.82179e-06, 1e-5), ((600, 400), 2.54e-10, 1e-2), ((1000, 1100), 0.0290963, 1e-5)],
)
def test_a_split_that_is_not_half_and_half_shows(counts: tuple[int, int], p_value: float, near: float) -> None:
    assert shares_test(counts, [1, 1]).p_value == pytest.approx(p_value, rel=near)


def test_kohavis_split_has_the_statistic_he_gives() -> None:
    assert shares_test([821588, 815482], [1, 1]).statistic == pytest.approx(22.774369, **NEAR)


@pytest.mark.parametrize("wrong", [([1], [1]), ([1, 2], [1]), ([1, 2], [1, 0]), ([0, 0], [1, 1]), ([-1, 2], [1, 1])])
def test_counts_without_fitting_shares_are_refused(wrong: tuple[list[int], list[float]]) -> None:
    with pytest.raises(TrainingError, match="do not fit"):
        shares_test(*wrong)


def test_rates_without_trials_are_refused() -> None:
    for wrong in ([(1, 2)], [(1, 2), (0, 0)], [(3, 2), (1, 2)]):
        with pytest.raises(TrainingError, match="Rates cannot be compared"):
            proportions_test(wrong)
    with pytest.raises(TrainingError, match="no empty row"):
        independence_test([[1, 2], [0, 0]])


def test_mcnemar_as_in_rs_performance_ratings() -> None:
    assert mcnemar(86, 150, method="corrected") == pytest.approx((16.817797, 4.1145623e-05), **NEAR)
    assert mcnemar(86, 150, method="uncorrected") == pytest.approx((17.355932, 3.0992934e-05), **NEAR)
    assert mcnemar(150, 86, method="exact") == pytest.approx((86, 3.7159361e-05), **NEAR)
    assert mcnemar(86, 150) == mcnemar(86, 150, method="corrected")
    assert mcnemar(3, 9) == mcnemar(3, 9, method="exact")
    assert mcnemar(0, 0) == (0.0, 1.0)
    assert mcnemar(5, 5) == (5.0, 1.0)


def test_means_as_in_rs_sleep() -> None:
    apart, paired = welch_test(*SLEEP), paired_test(*SLEEP)
    assert (apart.statistic, apart.freedom) == pytest.approx((-1.8608135, 17.776474), **NEAR)
    assert apart.p_value == pytest.approx(0.0793941, abs=5e-8)
    assert apart.difference is not None
    assert (apart.difference.low, apart.difference.high) == pytest.approx((-3.3654832, 0.2054832), abs=5e-8)
    assert (paired.statistic, paired.p_value) == (pytest.approx(-4.0621277, **NEAR), pytest.approx(0.0028329, abs=5e-8))


def test_means_without_spread_are_certain() -> None:
    assert (welch_test([1, 1], [1, 1]).p_value, welch_test([2, 2], [1, 1]).p_value) == (1.0, 0.0)
    assert (paired_test([1, 2], [1, 2]).p_value, paired_test([2, 3], [1, 2]).statistic) == (1.0, math.inf)
    with pytest.raises(TrainingError, match="two or more finite"):
        welch_test([1.0], [1.0, 2.0])
    with pytest.raises(TrainingError, match="two or more finite"):
        welch_test([1.0, math.nan], [1.0, 2.0])
    with pytest.raises(TrainingError, match="Pairs do not fit"):
        paired_test([1.0, 2.0, 3.0], [1.0, 2.0])


def test_ranks_as_in_hollander_and_wolfe() -> None:
    before = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30]
    after = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29]
    assert signed_rank_test(before, after, alternative="greater") == (40, pytest.approx(0.01953125, **NEAR))
    assert signed_rank_test(before, after)[1] == pytest.approx(2 * 0.01953125, **NEAR)
    term = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46]
    early = [1.15, 0.88, 0.90, 0.74, 1.21]
    assert rank_sum_test(term, early, alternative="greater") == (35, pytest.approx(0.1272061, abs=5e-8))


@pytest.mark.parametrize(
    ("correction", "rejected"),
    [
        ("none", 9), ("bonferroni", 3), ("holm", 3), ("hochberg", 3), ("hommel", 3), ("benjamini-hochberg", 4),
        ("benjamini-yekutieli", 3),
    ],
)  # fmt: skip
def test_corrections_as_in_benjamini_and_hochberg(correction, rejected: int) -> None:
    assert sum(each <= 0.05 for each in adjusted(BENJAMINI_1995, correction)) == rejected


def test_corrected_values_as_in_benjamini_and_hochberg() -> None:
    found = adjusted(BENJAMINI_1995, "benjamini-hochberg")
    assert found[:5] == pytest.approx([0.0015, 0.003, 0.0095, 0.035625, 0.0603])
    assert adjusted([0.01, 0.02, 0.03, 0.04, 0.05], "benjamini-hochberg") == pytest.approx([0.05] * 5)


def test_hommel_as_r_computes_it() -> None:
    """R: p.adjust(c(.01, .02, .03, .04, .05), "hommel") and two more; by the closed test with Simes' at each subset."""
    for given in ([0.01, 0.02, 0.03, 0.04, 0.05], [0.012, 0.2, 0.013, 0.6], BENJAMINI_1995[:7]):
        assert adjusted(given, "hommel") == pytest.approx(closed_simes(given))


def closed_simes(given: list[float]) -> list[float]:
    """Return what Hommel's procedure abbreviates: the largest Simes p-value of all sets that hold the hypothesis."""
    found = [0.0] * len(given)
    for chosen in range(1, 2 ** len(given)):
        members = [place for place in range(len(given)) if chosen >> place & 1]
        ranked = sorted(given[place] for place in members)
        simes = min(len(ranked) * value / (number + 1) for number, value in enumerate(ranked))
        for place in members:
            found[place] = max(found[place], simes)
    return found


def test_wrong_p_values_and_corrections_are_refused() -> None:
    with pytest.raises(TrainingError, match="out of range"):
        adjusted([0.5, math.nan])
    with pytest.raises(TrainingError, match="Unknown correction"):
        adjusted([0.5], "sidak")  # type: ignore[arg-type]


def test_power_as_in_r() -> None:
    assert rows_for_rates(0.5, 0.75, power=0.9) == pytest.approx(76.70693, **NEAR)
    assert power_of_rates(0.5, 0.75, 50) == pytest.approx(0.7401659, abs=5e-7)
    assert power_of_means(1, 20) == pytest.approx(0.8689528, abs=5e-8)
    assert rows_for_means(1, power=0.9) == pytest.approx(22.02110, rel=1e-5)
    assert rows_for_means(0.5) == pytest.approx(63.7656, rel=1e-5)
    assert rows_for_means(-0.2) == pytest.approx(393.4057, rel=1e-5)
    assert rows_for_rates(0.20, 0.25) == pytest.approx(1093.74, rel=1e-5)
    assert effect_of_rates(0.5, 0.75) == pytest.approx(0.5235988, abs=5e-8)


def test_power_and_rows_are_each_others_inverse() -> None:
    assert power_of_rates(0.1, 0.12, rows_for_rates(0.1, 0.12, power=0.7)) == pytest.approx(0.7)
    assert power_of_means(0.3, rows_for_means(0.3, power=0.7)) == pytest.approx(0.7)
    for call in (lambda: rows_for_rates(0.2, 0.2), lambda: power_of_rates(0.2, 1.2, 9)):
        with pytest.raises(TrainingError, match="told apart"):
            call()
    with pytest.raises(TrainingError, match="No number of rows"):
        rows_for_means(0.0)


def test_an_exact_binomial_as_in_rs_peas() -> None:
    p_value, interval = binomial_test(682, 925, 0.75)
    assert p_value == pytest.approx(0.3824916, abs=5e-8)
    assert interval == exact_interval(682, 925)


def test_metrics_as_in_scikit_learns_pages() -> None:
    brier = measure("binary", [0, 1, 1, 0], [0.1, 0.9, 0.8, 0.3], metrics=["brier"], seed=0)["brier"]
    loss = measure("binary", [1, 0, 0, 1], [0.9, 0.1, 0.2, 0.65], metrics=["log_loss"], seed=0)["log_loss"]
    ranked = measure("binary", [0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], metrics=["roc_auc", "average_precision"], seed=0)
    mcc = measure("binary", [1, 1, 1, 0], [0.9, 0.1, 0.8, 0.7], metrics=["mcc"], seed=0)["mcc"]
    assert (brier.value, loss.value) == pytest.approx((0.0375, 0.2161619), rel=1e-6)
    assert (ranked["roc_auc"].value, ranked["average_precision"].value) == pytest.approx((0.75, 0.8333333), abs=5e-8)
    assert mcc.value == pytest.approx(-1 / 3)


def test_bca_agrees_with_efrons_law_schools_at_twenty_thousand_draws() -> None:
    lsat = np.array([576, 635, 558, 578, 666, 580, 555, 661, 651, 605, 653, 575, 545, 572, 594.0])
    gpa = np.array([3.39, 3.30, 2.81, 3.03, 3.44, 3.07, 3.00, 3.43, 3.36, 3.13, 3.12, 2.74, 2.76, 2.88, 2.96])
    x, y = lsat - lsat.mean(), gpa - gpa.mean()

    def correlation(sums):
        n, sx, sy, sxx, syy, sxy = np.moveaxis(sums, -1, 0)
        return (sxy - sx * sy / n) / np.sqrt((sxx - sx**2 / n) * (syy - sy**2 / n))

    figure = Sums(np.column_stack([np.ones(15), x, y, x * x, y * y, x * y]), correlation)
    draws = draws_of(15, seed=1, resamples=20_000)
    found = intervals_of({"r": figure}, draws)["r"]
    assert found.value == pytest.approx(0.7763745, abs=5e-8)
    assert standard_errors({"r": figure}, draws)["r"] == pytest.approx(0.1332, abs=0.003)
    peer = bootstrap(
        (lsat, gpa),
        lambda a, b: np.corrcoef(a, b)[0, 1],
        paired=True,
        vectorized=False,
        n_resamples=20_000,
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((peer.low, peer.high), rel=1e-9)
    assert (found.low, found.high) == pytest.approx(
        (0.345, 0.942), abs=0.03
    )  # the lower end moves by 0.01 with the draws


def test_divergences_as_computed_by_hand() -> None:
    equal = [0.1] * 10
    drifted = [0.05, 0.05, *[0.1] * 6, 0.15, 0.15]
    assert psi(equal, drifted) == pytest.approx(0.1 * math.log(3), abs=5e-8)
    assert psi([0.5, 0.5], [0.6, 0.4]) == pytest.approx(0.0405465, abs=5e-8)
    assert psi_null_mean(1000, 1000, 10) == pytest.approx(0.018)
    assert psi_null_quantile(1000, 1000, 10, level=0.95) == pytest.approx(0.0338380, abs=5e-8)
    assert js_distance([1, 0], [0, 1]) == pytest.approx(1.0)
    assert js_distance([1, 0], [0.5, 0.5]) == pytest.approx(0.5579230, abs=5e-8)
    assert js_distance([1, 0], [0.5, 0.5]) ** 2 == pytest.approx(0.3112781, abs=5e-8)
