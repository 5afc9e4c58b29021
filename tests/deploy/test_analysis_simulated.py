"""Tests that are peeked at raise no more false alarms than they say, and faulty canaries are caught.

`benchmarks/bench_experiments.py` runs all of it at full length; docs/experiments.md has the figures.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from keelway.deploy.analysis import (
    crossing_chances,
    judge,
    log_excess,
    log_mismatch,
    log_slower,
    log_unlike,
    mean_gap,
    mismatch_p,
    moments_of,
    rate_sequence,
    reach,
    violations,
)
from keelway.project import Analysis, Guardrail, Metric
from keelway.testing.crash import stride
from keelway.testing.experiments import FAULTS, Fault, canary, crossed, flips, z_of_rates

ALPHA, RUNS, LOOKS, PER_LOOK = 0.05, 4_000, 100, 100
BAR = -math.log(ALPHA)
STRIDED = max(RUNS // stride() // 5, 100)
WATCHED = Analysis(metrics=(Metric("brier", "brier", goal="not worse", margin=0.02, higher_is_better=False),))


def allowed(runs: int, alpha: float = ALPHA) -> float:
    """Return the share of false alarms that a test at alpha may show in so many runs: three standard errors more."""
    return alpha + 3 * math.sqrt(alpha * (1 - alpha) / runs)


@pytest.fixture(scope="module")
def equal() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return flips((0.1, 0.1), per_look=PER_LOOK, looks=LOOKS, runs=RUNS, seed=11)


@pytest.fixture(scope="module")
def apart() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return flips((0.12, 0.10), per_look=PER_LOOK, looks=LOOKS, runs=RUNS, seed=12)


def test_a_naive_test_that_is_peeked_at_raises_the_false_alarms_that_are_known(equal) -> None:
    share, first = crossed(np.abs(z_of_rates(*equal)) > 1.959964)
    assert share == pytest.approx(0.377, abs=3 * math.sqrt(0.377 * 0.623 / RUNS))
    assert np.isfinite(first).mean() == share


@pytest.mark.parametrize(("looks", "known"), [(5, 0.1418), (10, 0.1946), (50, 0.3201)])
def test_simulated_peeking_is_that_of_the_integration(looks: int, known: float) -> None:
    walk = np.cumsum(np.random.default_rng(13).normal(size=(RUNS, looks)), axis=1) / np.sqrt(np.arange(1, looks + 1))
    share, _ = crossed(np.abs(walk) > 1.959964)
    error = 3 * math.sqrt(known * (1 - known) / RUNS)
    assert share == pytest.approx(known, abs=error)
    assert share == pytest.approx(float(crossing_chances([1.959964] * looks)[-1]), abs=error)


@pytest.mark.parametrize(("planned", "known"), [(1_000, 0.0218), (5_000, 0.0210), (10_000, 0.0168)])
def test_a_confidence_sequence_may_be_peeked_at(equal, planned: int, known: float) -> None:
    share, _ = crossed(np.abs(z_of_rates(*equal)) > reach(equal[2] / planned, alpha=ALPHA))
    assert share <= allowed(RUNS)
    assert share == pytest.approx(known, abs=4 * math.sqrt(2 * known / RUNS))  # both are simulated


def test_a_confidence_sequence_finds_the_effect_and_stops_early(apart) -> None:
    found, first = crossed(np.abs(z_of_rates(*apart)) > reach(apart[2] / 5_000, alpha=ALPHA))
    assert found == pytest.approx(0.955, abs=3 * math.sqrt(0.955 * 0.045 / RUNS))
    assert float(np.median(first)) * PER_LOOK < 4_500  # the fixed test of the same power takes 6,500
    once = np.abs(z_of_rates(*apart))[:, -1] > 1.959964
    assert once.mean() == pytest.approx(0.995, abs=0.005)


def test_exact_rates_may_be_peeked_at() -> None:
    one, two, rows = flips((0.02, 0.02), per_look=PER_LOOK, looks=25, runs=STRIDED, seed=14)
    evidence = log_excess((one, rows), (two, rows), planned=(2_000.0, 2_000.0))
    assert crossed(evidence > BAR)[0] <= allowed(STRIDED)


def test_a_sequence_of_a_rate_holds_it_at_every_look() -> None:
    draw = np.random.default_rng(15)
    missed = 0
    for _ in range(60):
        counts = np.cumsum(draw.binomial(40, 0.07, 5))
        ends = [rate_sequence(int(count), 40 * (look + 1), level=0.9, planned=100) for look, count in enumerate(counts)]
        missed += any(not each.low <= 0.07 <= each.high for each in ends)
    assert missed / 60 <= allowed(60, 0.1)


@pytest.mark.parametrize("alpha", [0.05, 0.001])
def test_shares_may_be_peeked_at(alpha: float) -> None:
    tried = np.cumsum(np.random.default_rng(16).binomial(PER_LOOK, 0.1, (RUNS, LOOKS)), axis=1)
    counts = np.stack([tried, np.arange(1, LOOKS + 1) * PER_LOOK - tried], axis=-1)
    assert crossed(log_mismatch(counts, [0.1, 0.9]) > -math.log(alpha))[0] <= allowed(RUNS, alpha)


def test_quantiles_may_be_peeked_at() -> None:
    draw = np.random.default_rng(17)
    hits = []
    for _ in range(STRIDED):
        one, two = draw.lognormal(0, 0.5, (8, 20)), draw.lognormal(0, 0.5, (8, 180))
        pairs = [(np.sort(one[:look].ravel()), np.sort(two[:look].ravel())) for look in range(1, 9)]
        hits.append([log_slower(*pair, quantile=0.9, planned=(150.0, 1_500.0)) > BAR for pair in pairs])
    assert crossed(np.array(hits))[0] <= allowed(STRIDED)


def test_predictions_may_be_peeked_at() -> None:
    draw = np.random.default_rng(18)
    hits = []
    for _ in range(STRIDED):
        one, two = (np.cumsum(draw.multinomial(rows, [0.1] * 10, 8), axis=0) for rows in (20, 180))
        hits.append([log_unlike(one[look], two[look], share=0.1, planned=1_600) > BAR for look in range(8)])
    assert crossed(np.array(hits))[0] <= allowed(STRIDED)


def test_means_adjusted_by_what_was_known_before_may_be_peeked_at() -> None:
    draw = np.random.default_rng(19)
    hits = []
    for _ in range(STRIDED):
        arms, found = [moments_of([]), moments_of([])], []
        for _look in range(8):
            for place, rows in enumerate((100, 300)):
                before = draw.exponential(1.0, rows)
                arms[place] = arms[place].merged(moments_of(before + draw.normal(0, 0.5, rows), before))
            gap = mean_gap(arms[0], arms[1], planned=(800, 2_400))
            found.append(abs(gap.value) > float(reach(gap.progress, alpha=ALPHA)) * gap.error)
        hits.append(found)
    assert crossed(np.array(hits))[0] <= allowed(STRIDED)


def stopped(fault: Fault | None, seed: int, *, looks: int, per_look: int = 250) -> int | None:
    """Return how many requests the canary had when it was failed, or None."""
    for evidence in canary(seed=seed, fault=fault, looks=looks, per_look=per_look):
        if violations(WATCHED, evidence):
            assert judge(WATCHED, evidence).outcome == "failure"
            return evidence.treatment.requests
    return None


def test_a_canary_like_its_control_is_not_failed() -> None:
    runs = max(40 // stride(), 10)
    assert sum(stopped(None, 100 + run, looks=12, per_look=500) is not None for run in range(runs)) / runs <= allowed(
        runs
    )


@pytest.mark.parametrize(
    ("fault", "within"),
    [("latency", 200), ("errors", 1_200), ("not a number", 2_500), ("constant", 200), ("calibration", 200)],
)
def test_a_faulty_canary_is_caught(fault: Fault, within: int) -> None:
    for seed in (1, 2):
        found = stopped(fault, seed, looks=100)
        assert found is not None
        assert found <= within


def test_a_shift_of_the_calibration_is_caught_by_its_labels_alone() -> None:
    by_labels = Analysis((Guardrail("brier", "brier", margin=0.01),))
    looks = [
        evidence
        for evidence in canary(seed=3, fault="calibration", looks=60, per_look=500)
        if violations(by_labels, evidence)
    ]
    assert looks
    assert looks[0].treatment.requests < 2_500


def test_a_canary_that_loses_rows_is_an_error_and_never_a_success() -> None:
    *_, last = canary(seed=4, fault="lost rows", looks=40, per_look=500)
    found = judge(WATCHED, last)
    assert found.outcome == "error"
    assert "sample ratio mismatch" in found.reasons[0]


def test_a_canary_like_its_control_succeeds_in_the_end() -> None:
    lenient = Analysis(
        (Guardrail("error_rate", margin=0.02), Guardrail("latency", "quantile", margin=0.5)), minimum=200
    )
    outcomes = [judge(lenient, evidence).outcome for evidence in canary(seed=5, looks=12, per_look=1_000)]
    assert outcomes[0] == "inconclusive"
    assert "success" in outcomes
    assert "failure" not in outcomes


def test_what_was_spent_before_takes_variance_out_of_a_canarys_spending() -> None:
    *_, last = canary(seed=6, looks=10, per_look=500)
    arms = last.treatment.moments["spent"], last.control.moments["spent"]
    adjusted, plain = (mean_gap(*arms, planned=(500, 4_500), adjust=adjust).error for adjust in (True, False))
    assert (adjusted / plain) ** 2 == pytest.approx(0.2, abs=0.04)  # the correlation is sqrt(0.8)


def test_the_simulated_canary_is_the_same_for_the_same_seed_and_only_its_fault_differs() -> None:
    first, second = (list(canary(seed=7, looks=3)) for _ in range(2))
    assert [each.treatment.requests for each in first] == [each.treatment.requests for each in second]
    assert first[-1].treatment.values["latency"].tolist() == second[-1].treatment.values["latency"].tolist()
    for fault in FAULTS:
        *_, last = canary(seed=7, fault=fault, looks=12)
        assert last.control.requests + last.treatment.requests == 12 * 200
        assert mismatch_p(last.phases) > 0.001 or fault == "lost rows"


def test_labels_of_a_canary_mature_later() -> None:
    looks = list(canary(seed=8, looks=8, label_delay=5))
    counts = [len(each.control.matured["brier"].labels) for each in looks]
    assert counts[:5] == [0] * 5
    assert counts[5] == looks[0].control.requests


def test_z_is_zero_where_nothing_varies() -> None:
    zeros = np.zeros((1, 3))
    assert z_of_rates(zeros, zeros, np.array([1.0, 2.0, 3.0])).tolist() == [[0.0, 0.0, 0.0]]
