"""Figures of both arms by themselves, and what CUPED took out, stand beside each figure that was judged."""

from __future__ import annotations

import math

import numpy as np
import pytest

from keelway.deploy.analysis import (
    ArmFigures,
    Matured,
    Phase,
    RateCounts,
    RolloutEvidence,
    cuped_part,
    judge,
    levels_of,
    moments_of,
)
from keelway.project import Analysis, Guardrail, Metric
from keelway.testing.experiments import canary

LABELS, SCORES = np.array([0.0, 1.0, 1.0, 0.0]), np.array([0.1, 0.9, 0.4, 0.6])


def evidence() -> RolloutEvidence:
    """Two arms in which every figure is easily computed by hand."""
    generator = np.random.default_rng(0)
    before = generator.normal(10, 3, 4_000)
    arms = [
        ArmFigures(
            arm,
            2_000,
            tallies={"sold": RateCounts(sold, 200)},
            moments={
                "spent": moments_of(before[part] + generator.normal(0, 4, 2_000), before[part]),
                "plain": moments_of(np.full(10, level)),
            },
            values={"latency": np.arange(1.0, 102.0) * level},
            histograms={"predictions": [1.0, 2.0]},
            matured={name: Matured(LABELS, SCORES) for name in ("brier", "log_loss", "roc_auc")},
        )
        for arm, sold, level, part in (("a", 20, 1.0, slice(0, 2_000)), ("b", 30, 2.0, slice(2_000, 4_000)))
    ]
    return RolloutEvidence(arms[0], arms[1], (Phase({"a": 0.5, "b": 0.5}, {"a": 2_000, "b": 2_000}),))


@pytest.mark.parametrize(
    ("figure", "control", "treatment"),
    [
        (Metric("sold"), 0.1, 0.15),
        (Metric("plain", "mean"), 1.0, 2.0),
        (Guardrail("latency", "quantile", quantile=0.95), 96.0, 192.0),
        (Guardrail("brier", "brier"), 0.185, 0.185),
        (Guardrail("log_loss", "log_loss"), 0.510826, 0.510826),
        (Guardrail("roc_auc", "roc_auc"), 0.75, 0.75),
    ],
    ids=str,
)
def test_each_kind_has_its_level_in_each_arm(figure: Guardrail | Metric, control: float, treatment: float) -> None:
    assert levels_of(figure, evidence()) == pytest.approx((control, treatment), abs=1e-6)


def test_a_distribution_has_no_level() -> None:
    assert levels_of(Guardrail("predictions", "distribution", margin=0.2), evidence()) == (None, None)


def test_what_is_no_number_has_no_level() -> None:
    found = evidence()
    bad = ArmFigures("b", 10, moments={"plain": moments_of([math.nan, 1.0])})
    assert levels_of(Metric("plain", "mean"), RolloutEvidence(found.control, bad, found.phases)) == (1.0, None)


def test_cuped_takes_out_the_squared_correlation() -> None:
    assert cuped_part(Metric("spent", "mean"), evidence()) == pytest.approx(3**2 / (3**2 + 4**2), abs=0.03)


def test_without_a_covariate_nothing_is_taken_out() -> None:
    assert cuped_part(Metric("plain", "mean"), evidence()) is None
    assert cuped_part(Metric("sold"), evidence()) is None


def test_a_judgement_keeps_the_levels_of_its_figures() -> None:
    analysis = Analysis((Guardrail("error_rate"),), (Metric("spent", "mean", goal="not worse", margin=5.0),))
    *_, last = canary(seed=1, share=0.5, per_look=400, looks=3)
    error_rate, spent = judge(analysis, last).figures
    assert error_rate.harm is not None
    assert error_rate.treatment is not None
    assert error_rate.control is not None
    assert error_rate.harm == pytest.approx(error_rate.treatment - error_rate.control)
    assert spent.cuped == pytest.approx(0.8, abs=0.05)
    assert error_rate.cuped is None


def test_a_figure_that_is_missing_or_early_has_no_levels() -> None:
    analysis = Analysis((Guardrail("error_rate"), Guardrail("not_there")))
    first = next(canary(seed=1, share=0.5, per_look=40, looks=1))
    missing = judge(analysis, first).figures[1]
    assert (missing.status, missing.control, missing.treatment, missing.cuped) == ("unknown", None, None, None)
