"""Canaries as servers leave them, gathered and judged at every look: one like its control is let be, faulty ones are failed.

`benchmarks/bench_experiments.py` runs more of them; docs/experiments.md has the figures.
"""

from __future__ import annotations

import numpy as np
import pytest

from keelway.deploy.analysis import judge, mismatch_p, violations
from keelway.monitor.rollout.requests import CountedRequests
from keelway.project import Analysis, Metric
from keelway.serve.tally import latency_bin
from keelway.testing.crash import stride
from keelway.testing.experiments import FAULTS, Fault
from keelway.testing.rollouts import latency_bins, served_canary

WATCHED = Analysis(metrics=(Metric("brier", "brier", goal="not worse", margin=0.02, higher_is_better=False),))
RUNS = max(40 // stride(), 8)
ALPHA = WATCHED.alpha


def test_a_canary_like_its_control_is_not_failed() -> None:
    failed = []
    for seed in range(RUNS):
        looks = list(served_canary(seed=seed, analysis=WATCHED, looks=6, per_look=500))
        assert all(look.problems == () for look in looks)
        assert mismatch_p(looks[-1].phases) > WATCHED.mismatch
        failed.append(any(violations(WATCHED, look) for look in looks))
    assert np.mean(failed) <= ALPHA


def test_entities_that_come_again_and_again_are_no_mismatch() -> None:
    for seed in range(3):
        *_, last = served_canary(seed=seed, analysis=WATCHED, looks=5, per_look=800, percent=20, entities=150)
        assert sum(last.phases[0].counts.values()) <= 160  # raised by those whose requests failed
        assert last.control.requests > 2_500
        assert mismatch_p(last.phases) > WATCHED.mismatch


@pytest.mark.parametrize("fault", FAULTS[:-1])
def test_a_faulty_canary_is_failed(fault: Fault) -> None:
    looks = served_canary(seed=5, analysis=WATCHED, fault=fault, looks=20, per_look=1_000)
    stopped = next(look for look in looks if violations(WATCHED, look))
    verdict = judge(WATCHED, stopped)
    assert verdict.outcome == "failure"
    figure = {"latency": "latency", "errors": "error_rate", "not a number": "not_a_number"}.get(fault, "predictions")
    assert figure in [each.name for each in verdict.figures if each.status == "violated"]
    assert stopped.treatment.requests < 2_000


def test_the_simulator_puts_latencies_into_the_bins_that_servers_use() -> None:
    seconds = np.array([1e-6, 1e-5, 0.001, 0.0021, 3.0, 1e9])
    bins, counts = latency_bins(np.repeat(seconds, 3))
    wanted = sorted({latency_bin(float(each)) for each in seconds})
    assert (list(bins), sum(counts)) == (wanted, 18)
    assert len(CountedRequests(answered=18, bins=bins, counts=counts).latencies()) == 18
