"""An analysis that cannot judge is refused when it is declared."""

from __future__ import annotations

import math

import pytest

from keelway.errors import KeelwayError, ProjectError
from keelway.project import STANDARD_GUARDRAILS, Analysis, Guardrail, Metric


def test_a_standard_analysis_watches_errors_numbers_latency_and_predictions() -> None:
    analysis = Analysis()
    assert analysis.guardrails == STANDARD_GUARDRAILS
    assert [each.kind for each in analysis.figures] == ["rate", "rate", "quantile", "distribution"]
    assert (analysis.alpha, analysis.mismatch) == (0.05, 0.001)


def test_figures_are_guardrails_and_then_metrics() -> None:
    analysis = Analysis([Guardrail("errors")], [Metric("conversion")])  # type: ignore[arg-type]
    assert [each.name for each in analysis.figures] == ["errors", "conversion"]
    assert analysis == Analysis((Guardrail("errors"),), (Metric("conversion"),))


def test_a_guardrail_is_held_and_violated_at_its_margin() -> None:
    assert Guardrail("errors", margin=0.02).thresholds == (0.02, 0.02)
    assert Guardrail("accuracy", higher_is_worse=False).higher_is_worse is False


def test_a_goal_says_what_has_to_be_shown() -> None:
    better, kept = Metric("spent", "mean", margin=0.5), Metric("spent", "mean", goal="not worse", margin=0.5)
    assert better.thresholds == (-0.5, 0.0)
    assert kept.thresholds == (0.5, 0.5)
    assert better.higher_is_worse is False
    assert Metric("cost", "mean", higher_is_better=False).higher_is_worse is True


@pytest.mark.parametrize(
    "wrong",
    [
        {"guardrails": ()},
        {"guardrails": (Guardrail("errors"), Guardrail("errors"))},
        {"guardrails": (Guardrail("errors"),), "metrics": (Metric("errors"),)},
        {"alpha": 0.0}, {"alpha": 0.5}, {"alpha": math.nan}, {"mismatch": 0.0}, {"minimum": 5}, {"planned": 50},
        {"comparisons": 0}, {"decide": "most"},
    ],
    ids=str,
)  # fmt: skip
def test_an_analysis_that_cannot_judge_is_refused(wrong: dict) -> None:
    with pytest.raises(ProjectError):
        Analysis(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "Errors!"}, {"kind": "vibes"}, {"margin": -0.1}, {"margin": math.nan}, {"margin": math.inf},
        {"quantile": 0.0}, {"quantile": 1.0}, {"kind": "distribution", "margin": 0.0},
    ],
    ids=str,
)  # fmt: skip
def test_a_guardrail_out_of_range_is_refused(wrong: dict) -> None:
    with pytest.raises(KeelwayError):
        Guardrail(**{"name": "errors", **wrong})


@pytest.mark.parametrize(
    "wrong", [{"goal": "best"}, {"kind": "distribution", "margin": 0.2}, {"margin": -1.0}], ids=str
)
def test_a_metric_out_of_range_is_refused(wrong: dict) -> None:
    with pytest.raises(ProjectError):
        Metric("conversion", **wrong)
