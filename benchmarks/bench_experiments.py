"""Experiments: how often tests that are peeked at raise a false alarm, what they miss, and how soon faulty canaries are caught.

No time is measured here: the figures are shares of simulated runs and counts of requests, the same on every machine. The
naive test that is read at every look is the peer. All of it takes about half an hour; `ARGS="--runs 400"` takes a tenth.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator

import numpy as np
from _figures import Figure, report

from keelway.deploy.analysis import (
    ExperimentQuestion,
    crossing_chances,
    experiment_plan,
    log_excess,
    log_mismatch,
    log_slower,
    log_unlike,
    mean_gap,
    moments_of,
    reach,
    violations,
)
from keelway.project import Analysis, Guardrail, Metric
from keelway.testing.experiments import FAULTS, Fault, canary, crossed, flips, z_of_rates
from keelway.testing.rollouts import served_canary

ALPHA = 0.05
LOOKS, PER_LOOK = 100, 100
FEWER_LOOKS = 20
SEED = 20_261_121
WATCHED = Analysis(metrics=(Metric("brier", "brier", goal="not worse", margin=0.02, higher_is_better=False),))
LABELS = Analysis((Guardrail("brier", "brier", margin=0.01),))
STRICT = -math.log(ALPHA)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--runs", type=int, default=4_000)
    args = parser.parse_args()
    for part in (peeking, boundaries, always_valid, exact, canaries, gathered):
        report(part(args.runs), args.json)


def peeking(runs: int) -> Iterator[Figure]:
    first, second, rows = flips((0.1, 0.1), per_look=PER_LOOK, looks=LOOKS, runs=runs, seed=SEED)
    share, _ = crossed(np.abs(z_of_rates(first, second, rows)) > 1.959964)
    yield Figure("naive test, 100 looks, no difference: false alarms", share, "of runs", aim="0.377, as published")
    generator = np.random.default_rng(SEED)
    for looks, known in ((5, 0.1418), (10, 0.1946), (50, 0.3201)):
        walk = np.cumsum(generator.normal(size=(runs, looks)), axis=1) / np.sqrt(np.arange(1, looks + 1))
        share, _ = crossed(np.abs(walk) > 1.959964)
        exact = float(crossing_chances([1.959964] * looks)[-1])
        yield Figure(
            f"naive test, {looks} looks: false alarms", share, "of runs", "integration", share / exact, f"{known}"
        )


def boundaries(_runs: int) -> Iterator[Figure]:
    pocock = float(crossing_chances([2.413] * 5)[-1])
    fleming = float(crossing_chances([2.040 * math.sqrt(5 / look) for look in range(1, 6)])[-1])
    yield Figure("Pocock, 5 looks at 2.413: false alarms", pocock, "", aim="0.0502")
    yield Figure("O'Brien-Fleming, 5 looks at 2.040 sqrt(5/k): false alarms", fleming, "", aim="0.0500")


def always_valid(runs: int) -> Iterator[Figure]:
    bar = ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / runs)
    equal = flips((0.1, 0.1), per_look=PER_LOOK, looks=LOOKS, runs=runs, seed=SEED + 1)
    apart = flips((0.12, 0.10), per_look=PER_LOOK, looks=LOOKS, runs=runs, seed=SEED + 2)
    for planned in (1_000, 5_000, 10_000):
        limit = reach(equal[2] / planned, alpha=ALPHA)
        share, _ = crossed(np.abs(z_of_rates(*equal)) > limit)
        name = f"confidence sequence planned for {planned:,}"
        yield Figure(f"{name}, 100 looks: false alarms", share, "of runs", aim=f"<= {bar:.4f}")
        found, first = crossed(np.abs(z_of_rates(*apart)) > limit)
        yield Figure(f"{name}, 0.12 v 0.10, 10,000 an arm: power", found, "of runs")
        yield Figure(f"{name}: median stop", float(np.median(first)) * PER_LOOK, "rows an arm")
    plan = experiment_plan(ExperimentQuestion(effect=0.02, baseline=0.10, per_day=1))
    looks = 50
    step = max(plan.rows) // looks
    shown = flips((0.12, 0.10), per_look=step, looks=looks, runs=runs, seed=SEED + 3)
    found, _ = crossed(np.abs(z_of_rates(*shown)) > reach(shown[2] / max(plan.rows), alpha=ALPHA))
    yield Figure(f"plan of {max(plan.rows):,} rows for a power of 0.8: power", found, "of runs", aim="0.8")


def exact(runs: int) -> Iterator[Figure]:
    bar = f"<= {ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / runs):.4f}"
    for rate in (0.002, 0.1):
        one, two, rows = flips((rate, rate), per_look=PER_LOOK, looks=LOOKS, runs=runs, seed=SEED + 4)
        bets = np.stack(
            [log_excess((one[:, at], rows[at]), (two[:, at], rows[at]), planned=(2e3, 2e3)) for at in range(LOOKS)]
        )
        yield Figure(
            f"rates of {rate}, margin 0, 100 looks: false alarms", crossed(bets.T > STRICT)[0], "of runs", aim=bar
        )
    generator = np.random.default_rng(SEED + 5)
    tried = np.cumsum(generator.binomial(PER_LOOK, 0.1, (runs, LOOKS)), axis=1)
    counts = np.stack([tried, np.arange(1, LOOKS + 1) * PER_LOOK - tried], axis=-1)
    hits = log_mismatch(counts, [0.1, 0.9])
    yield Figure("sample ratio at 0.05, 100 looks: false alarms", crossed(hits > STRICT)[0], "of runs", aim=bar)
    yield Figure("sample ratio at 0.001, 100 looks: false alarms", crossed(hits > math.log(1000))[0], "of runs")
    for name, hits in (("quantile", _quantiles(runs)), ("drift", _drifts(runs)), ("mean with CUPED", _means(runs))):
        yield Figure(f"{name}, {FEWER_LOOKS} looks: false alarms", crossed(hits)[0], "of runs", aim=bar)


def _quantiles(runs: int) -> np.ndarray:
    generator, hits = np.random.default_rng(SEED + 6), np.zeros((runs, FEWER_LOOKS), dtype=bool)
    for run in range(runs):
        one, two = (generator.lognormal(0, 0.5, (FEWER_LOOKS, rows)) for rows in (20, 180))
        for look in range(FEWER_LOOKS):
            pair = (np.sort(each[: look + 1].ravel()) for each in (one, two))
            hits[run, look] = log_slower(*pair, quantile=0.95, planned=(400.0, 3_600.0)) > STRICT
    return hits


def _drifts(runs: int) -> np.ndarray:
    generator, hits = np.random.default_rng(SEED + 7), np.zeros((runs, FEWER_LOOKS), dtype=bool)
    for run in range(runs):
        one, two = (np.cumsum(generator.multinomial(rows, [0.1] * 10, FEWER_LOOKS), axis=0) for rows in (20, 180))
        for look in range(FEWER_LOOKS):
            hits[run, look] = log_unlike(one[look], two[look], share=0.1, planned=4_000) > STRICT
    return hits


def _means(runs: int) -> np.ndarray:
    generator, hits = np.random.default_rng(SEED + 8), np.zeros((runs, FEWER_LOOKS), dtype=bool)
    for run in range(runs):
        arms = [moments_of([]), moments_of([])]
        for look in range(FEWER_LOOKS):
            for place, rows in enumerate((100, 300)):
                before = generator.exponential(1.0, rows)
                arms[place] = arms[place].merged(moments_of(before + generator.normal(0, 0.5, rows), before))
            gap = mean_gap(arms[0], arms[1], planned=(2_000, 6_000))
            hits[run, look] = abs(gap.value) > float(reach(gap.progress, alpha=ALPHA)) * gap.error
    return hits


def canaries(runs: int) -> Iterator[Figure]:
    stopped = [_stopped(None, SEED + run, looks=20, per_look=500) for run in range(runs)]
    share = float(np.isfinite(stopped).mean())
    yield Figure("canary like its control, 20 looks in 10,000 requests: failed", share, "of runs", aim=f"<= {ALPHA}")
    for fault in FAULTS[:-1]:
        yield from _caught(fault, WATCHED, max(runs // 10, 100), f"canary with {fault}")
    yield from _caught("calibration", LABELS, max(runs // 40, 100), "canary with calibration, by its labels alone")


def gathered(runs: int) -> Iterator[Figure]:
    """The same canaries the whole way: a log, counts of servers and labels, gathered at each look."""
    stopped = [_served(None, SEED + run, looks=20, per_look=500) for run in range(max(runs // 20, 20))]
    share = float(np.isfinite(stopped).mean())
    yield Figure(
        "gathered: canary like its control, 20 looks in 10,000 requests: failed", share, "of runs", aim=f"<= {ALPHA}"
    )
    for fault in FAULTS[:-1]:
        found = np.array([_served(fault, SEED + run, looks=200, per_look=100) for run in range(max(runs // 40, 10))])
        yield from _told(f"gathered: canary with {fault}", found)


def _served(fault: Fault | None, seed: int, *, looks: int, per_look: int) -> float:
    """Return how many requests the canary had when it was failed; infinity where it was not."""
    for evidence in served_canary(seed=seed, analysis=WATCHED, fault=fault, looks=looks, per_look=per_look):
        if violations(WATCHED, evidence):
            return evidence.treatment.requests
    return math.inf


def _caught(fault: Fault, analysis: Analysis, runs: int, name: str) -> Iterator[Figure]:
    found = np.array([_stopped(fault, SEED + run, analysis, looks=200, per_look=100) for run in range(runs)])
    yield from _told(name, found)


def _told(name: str, found: np.ndarray) -> Iterator[Figure]:
    yield Figure(f"{name}, 20,000 requests: caught", float(np.isfinite(found).mean()), "of runs", aim="1")
    yield Figure(f"{name}: median", float(np.median(found)), "requests of the canary")
    yield Figure(f"{name}: 95 %", float(np.quantile(found, 0.95, method="higher")), "requests of the canary")


def _stopped(fault: Fault | None, seed: int, analysis: Analysis = WATCHED, *, looks: int, per_look: int) -> float:
    """Return how many requests the canary had when it was failed; infinity where it was not."""
    for evidence in canary(seed=seed, fault=fault, looks=looks, per_look=per_look):
        if violations(analysis, evidence):
            return evidence.treatment.requests
    return math.inf


if __name__ == "__main__":
    main()
