"""A rollout succeeds on evidence only: what is missing, early, undefined or lopsided never promotes."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest

from keelway.deploy.analysis import (
    ArmFigures,
    Matured,
    Moments,
    Phase,
    RateCounts,
    RolloutEvidence,
    harm_of,
    judge,
    moments_of,
    violations,
)
from keelway.errors import MissingRecordError, UsageError
from keelway.project import Analysis, Guardrail, Metric

ERRORS = Guardrail("error_rate", margin=0.01)
ONLY_ERRORS = Analysis((ERRORS,), planned=2_000)
KINDS: dict[str, tuple[Guardrail, str]] = {
    "rate": (Guardrail("figure", "rate", margin=0.02), "tallies"),
    "mean": (Guardrail("figure", "mean", margin=0.5), "moments"),
    "quantile": (Guardrail("figure", "quantile", margin=0.5), "values"),
    "distribution": (Guardrail("figure", "distribution", margin=0.2), "histograms"),
    "log_loss": (Guardrail("figure", "log_loss", margin=0.2), "matured"),
    "brier": (Guardrail("figure", "brier", margin=0.05), "matured"),
    "roc_auc": (Guardrail("figure", "roc_auc", margin=0.1), "matured"),
}


def arm(name: str, requests: int, **figures: Any) -> ArmFigures:
    return ArmFigures(name, requests, **figures)


def evidence(
    control: ArmFigures, treatment: ArmFigures, *, counts: tuple[int, int] | None = None, **more: Any
) -> RolloutEvidence:
    """Return the evidence of two arms whose entities were split as declared, unless `counts` says otherwise."""
    shares = {control.arm: float(control.requests or 1), treatment.arm: float(treatment.requests or 1)}
    seen = counts or (control.requests, treatment.requests)
    return RolloutEvidence(control, treatment, (Phase(shares, dict(zip(shares, seen, strict=True))),), **more)


def errors(control: tuple[int, int], treatment: tuple[int, int], **more: Any) -> RolloutEvidence:
    """Return evidence of errors alone, as (errors, requests) of each arm."""
    arms = [
        arm(name, rows, tallies={"error_rate": RateCounts(count, rows)})
        for name, (count, rows) in (("stable", control), ("canary", treatment))
    ]
    return evidence(arms[0], arms[1], **more)


def figures(kind: str, rows: int, seed: int, *, worse: bool = False) -> Any:
    """Return a figure of an arm, and where `worse` one that a margin does not cover."""
    draw = np.random.default_rng(seed)
    chance = draw.beta(2, 3, rows)
    labels = (draw.random(rows) < chance).astype(float)
    made = {
        "rate": RateCounts(int(draw.binomial(rows, 0.1 if worse else 0.01)), rows),
        "mean": moments_of(draw.normal(2.0 if worse else 0.0, 1, rows)),
        "quantile": draw.lognormal(1.5 if worse else 0.0, 0.4, rows),
        "distribution": np.histogram(chance**4 if worse else chance, 10, (0, 1))[0].tolist(),
    }
    return made.get(kind, Matured(labels, draw.random(rows) if worse else chance))


def of_kind(kind: str, *, rows: int = 3_000, worse: bool = False, **changed: Any) -> tuple[Analysis, RolloutEvidence]:
    figure, where = KINDS[kind]
    control = arm("stable", rows, **{where: {"figure": figures(kind, rows, 1)}})
    treatment = arm("canary", rows, **{where: {"figure": changed.get("figure", figures(kind, rows, 2, worse=worse))}})
    return Analysis((figure,), planned=2_000), evidence(control, treatment)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_alike_succeeds_once_it_is_shown_to_be(kind: str) -> None:
    found = judge(*of_kind(kind))
    assert (found.outcome, [each.status for each in found.figures]) == ("success", ["held"])
    assert found.reasons == tuple(each.sentence for each in found.figures)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_worse_by_more_than_its_margin_fails(kind: str) -> None:
    analysis, given = of_kind(kind, worse=True)
    found = judge(analysis, given)
    assert (found.outcome, [each.status for each in found.figures]) == ("failure", ["violated"])
    assert "is shown to be worse by more than" in found.reasons[0]
    assert violations(analysis, given) == ("figure",)
    assert found.figures[0].harm is not None
    assert found.figures[0].harm > analysis.guardrails[0].margin


@pytest.mark.parametrize("kind", KINDS)
def test_too_few_rows_never_decide(kind: str) -> None:
    for worse in (False, True):
        analysis, given = of_kind(kind, rows=99, worse=worse)
        found = judge(analysis, given)
        assert found.outcome == "inconclusive"
        assert found.reasons == ("99 requests in the smaller arm; nothing is decided before 100",)
        assert violations(analysis, given) == ()


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_figure_is_an_error_and_names_the_arm(kind: str) -> None:
    analysis, given = of_kind(kind)
    found = judge(analysis, replace(given, treatment=arm("canary", 3_000)))
    assert found.outcome == "error"
    assert found.reasons == ("canary has no figure figure: expected figure, found none",)
    assert found.figures[0].status == "unknown"


@pytest.mark.parametrize(
    ("kind", "broken"),
    [
        ("mean", moments_of([1.0, math.nan] * 200)),
        ("mean", moments_of([math.inf] * 200)),
        ("quantile", [1.0, math.nan]),
        ("quantile", [0.0, 1.0]),
        ("distribution", [1.0] * 9),
        ("distribution", [math.nan] * 10),
        ("distribution", [-1.0] * 10),
        ("log_loss", Matured([0.0, 1.0], [0.5, math.nan])),
        ("brier", Matured([0.0, 2.0], [0.5, 0.5])),
        ("roc_auc", Matured([0.0, 1.0], [0.5])),
        ("roc_auc", Matured([0.0, 1.0], [0.5, 1.5])),
    ],
    ids=lambda each: each if isinstance(each, str) else type(each).__name__,
)
def test_what_is_not_a_number_or_does_not_fit_is_an_error(kind: str, broken: Any) -> None:
    analysis, given = of_kind(kind, figure=broken)
    assert judge(analysis, given).outcome == "error"
    assert violations(analysis, given) == ()


@pytest.mark.parametrize(
    ("kind", "empty"),
    [
        ("rate", RateCounts(0, 0)), ("mean", Moments()), ("quantile", []), ("distribution", [0] * 10),
        ("log_loss", Matured([], [])), ("brier", Matured([], [])), ("roc_auc", Matured([0.0] * 50, [0.5] * 50)),
    ],
)  # fmt: skip
def test_a_figure_without_rows_is_early_and_no_error(kind: str, empty: Any) -> None:
    found = judge(*of_kind(kind, figure=empty))
    assert (found.outcome, found.figures[0].status) == ("inconclusive", "open")
    assert "needed" in found.reasons[0]


def test_arms_that_did_not_get_their_shares_are_an_error_before_anything_else() -> None:
    lopsided = errors((900, 1_000), (0, 1_000), counts=(1_000, 700))
    found = judge(ONLY_ERRORS, lopsided)
    assert found.outcome == "error"
    assert found.figures == ()
    assert found.mismatch_p is not None
    assert found.mismatch_p < 0.001
    assert "sample ratio mismatch: stable 1000, canary 700" in found.reasons[0]


@pytest.mark.parametrize(
    "phases", [(), (Phase({"stable": 1, "other": 1}, {"stable": 5, "other": 5}),)], ids=["none", "other"]
)
def test_without_counts_of_entities_nothing_is_judged(phases: tuple[Phase, ...]) -> None:
    found = judge(ONLY_ERRORS, replace(errors((1, 1_000), (1, 1_000)), phases=phases))
    assert found.outcome == "error"
    assert found.reasons == ("it is not known how entities were split between canary and stable",)


def test_harm_fails_where_another_figure_is_missing_and_waits_for_its_traffic() -> None:
    analysis = Analysis((ERRORS, Guardrail("latency", "quantile")), planned=2_000)
    harmful, harmless = errors((0, 1_000), (200, 1_000)), errors((0, 1_000), (0, 1_000))
    found = judge(analysis, harmful)
    assert found.outcome == "failure"
    assert violations(analysis, harmful) == ("error_rate",)
    assert "error_rate is shown to be worse" in found.reasons[0]
    assert "has no figure latency" in found.reasons[1]
    assert judge(analysis, harmless).outcome == "error"
    assert judge(analysis, errors((0, 90), (90, 90))).outcome == "error", "too little traffic fails nothing"


@pytest.mark.parametrize("more", [{"counts": (1_000, 700)}, {"problems": ("answers are missing",)}], ids=str)
def test_harm_in_figures_that_cannot_be_believed_fails_nothing(more: Any) -> None:
    found = judge(ONLY_ERRORS, errors((0, 1_000), (900, 1_000), **more))
    assert (found.outcome, found.figures) == ("error", ())


def test_what_could_not_be_read_is_an_error_with_every_reason() -> None:
    found = judge(ONLY_ERRORS, errors((1, 9_000), (1, 9_000), problems=("the log of 3 May is unreadable",)))
    assert (found.outcome, found.reasons) == ("error", ("the log of 3 May is unreadable",))


def test_an_arm_is_not_compared_with_itself() -> None:
    one = arm("stable", 500, tallies={"error_rate": RateCounts(1, 500)})
    shares = Phase({"stable": 1.0, "canary": 1.0}, {"stable": 500, "canary": 500})
    found = judge(ONLY_ERRORS, RolloutEvidence(one, one, (shares,)))
    assert found.outcome == "error"
    assert "the same arm" in found.reasons[0]


def test_errors_that_are_not_yet_shown_to_be_few_wait() -> None:
    found = judge(ONLY_ERRORS, errors((2, 1_000), (1, 200)))
    assert found.outcome == "inconclusive"
    assert found.reasons[0].startswith("error_rate is not yet shown to be worse by less than 0.01: it is +0.003 (")
    low, high = found.figures[0].low, found.figures[0].high
    assert low is not None
    assert high is not None
    assert low < 0.003 < 0.01 < high


def test_every_violation_is_told() -> None:
    both = Analysis((ERRORS, Guardrail("not_a_number", margin=0.001)))
    arms = [
        arm(name, 2_000, tallies={"error_rate": RateCounts(count, 2_000), "not_a_number": RateCounts(count, 2_000)})
        for name, count in (("stable", 2), ("canary", 200))
    ]
    found = judge(both, evidence(arms[0], arms[1]))
    assert [reason.split()[0] for reason in found.reasons] == ["error_rate", "not_a_number"]
    assert violations(both, evidence(arms[0], arms[1])) == ("error_rate", "not_a_number")


def business(conversion: int, spent: float) -> RolloutEvidence:
    """Return two arms of 5,000 entities each, of which the canary converts and spends so much, against 500 and 10."""
    draw = np.random.default_rng(7)
    arms = []
    for name, bought, mean in (("stable", 500, 10.0), ("canary", conversion, spent)):
        values = draw.normal(mean, 3, 5_000)
        tallies = {"error_rate": RateCounts(5, 5_000), "conversion": RateCounts(bought, 5_000)}
        arms.append(arm(name, 5_000, tallies=tallies, moments={"spent": moments_of(values)}))
    return evidence(arms[0], arms[1])


GOALS = (Metric("conversion"), Metric("spent", "mean", margin=0.2))


@pytest.mark.parametrize(
    ("decide", "given", "outcome"),
    [
        ("all", (700, 11.0), "success"),
        ("all", (700, 10.0), "inconclusive"),
        ("any", (700, 10.0), "success"),
        ("any", (500, 10.0), "inconclusive"),
        ("all", (350, 11.0), "failure"),
        ("any", (350, 11.0), "failure"),
    ],
)
def test_goals_are_reached_by_all_or_by_any(decide: Any, given: tuple[int, float], outcome: str) -> None:
    analysis = Analysis((ERRORS,), GOALS, decide=decide, planned=5_000)
    assert judge(analysis, business(*given)).outcome == outcome


def test_a_goal_is_told_in_its_own_direction() -> None:
    analysis = Analysis((ERRORS,), GOALS, planned=5_000)
    sentences = judge(analysis, business(700, 11.0)).reasons
    assert sentences[1].startswith("conversion is shown to be better: it is -0.04 (")
    assert sentences[2].startswith("spent is shown to be better by more than 0.2")
    worse = judge(analysis, business(350, 11.0)).reasons
    assert worse[0].startswith("conversion is shown to be worse: it is +0.03 (")


def test_a_reached_goal_does_not_excuse_an_open_guardrail() -> None:
    strict = Analysis((Guardrail("error_rate", margin=0.0001),), GOALS, planned=5_000)
    found = judge(strict, business(700, 11.0))
    assert found.outcome == "inconclusive"
    assert [each.status for each in found.figures] == ["open", "held", "held"]


def test_more_arms_and_more_figures_ask_for_more_evidence() -> None:
    given = errors((10, 2_000), (50, 2_000))
    assert judge(ONLY_ERRORS, given).outcome == "inconclusive"
    loose = replace(ONLY_ERRORS, guardrails=(replace(ERRORS, margin=0.002),))
    assert judge(loose, given).outcome == "failure"
    assert judge(replace(loose, comparisons=500), given).outcome != "failure"


def test_a_smaller_figure_can_be_the_worse_one() -> None:
    served = Analysis((Guardrail("answered", margin=0.01, higher_is_worse=False),))
    arms = [
        arm(name, 2_000, tallies={"answered": RateCounts(count, 2_000)})
        for name, count in (("stable", 1_990), ("canary", 1_800))
    ]
    assert judge(served, evidence(arms[0], arms[1])).outcome == "failure"
    assert judge(served, evidence(arms[1], arms[0])).outcome == "success"


def test_a_higher_auc_is_no_harm() -> None:
    figure, where = KINDS["roc_auc"]
    good, bad = (
        arm(name, 3_000, **{where: {"figure": figures("roc_auc", 3_000, 3, worse=name == "old")}})
        for name in ("new", "old")
    )
    better = harm_of(figure, evidence(bad, good), planned=2_000)
    assert not isinstance(better, str)
    assert better.estimate() < -0.2
    assert better.end("high", alpha=0.05) < 0


def test_a_drift_is_told_only_beyond_chance() -> None:
    watch = Analysis((Guardrail("predictions", "distribution", margin=0.05),), minimum=30)
    few = [
        arm(name, 40, histograms={"predictions": counts})
        for name, counts in (("stable", [20, 20]), ("canary", [26, 14]))
    ]
    many = [
        arm(name, 4_000, histograms={"predictions": counts})
        for name, counts in (("stable", [2_000, 2_000]), ("canary", [2_600, 1_400]))
    ]
    assert judge(watch, evidence(*few)).outcome == "inconclusive"
    assert judge(watch, evidence(*many)).outcome == "failure"


def test_the_share_is_that_of_the_newest_phase() -> None:
    given = errors((1, 500), (1, 500))
    early, late = (Phase({"stable": 100 - p, "canary": p}, {"stable": 100 - p, "canary": p}) for p in (1.0, 20.0))
    assert replace(given, phases=(early, late)).share == pytest.approx(0.2)


def test_a_verdict_is_plain_data() -> None:
    found = judge(*of_kind("distribution"))
    assert json.loads(json.dumps(asdict(found), allow_nan=False))["outcome"] == "success"
    assert judge(*of_kind("distribution")) == found


def test_a_harm_of_what_is_not_there_says_what_is() -> None:
    given = errors((1, 500), (1, 500))
    with pytest.raises(MissingRecordError, match="expected latency, found none"):
        harm_of(Guardrail("latency", "quantile"), given, planned=100)
    arms = [arm(name, 500, values={"latency": [0.0, 1.0]}) for name in ("stable", "canary")]
    still = evidence(arms[0], arms[1])
    with pytest.raises(UsageError, match="values above 0"):
        harm_of(Guardrail("latency", "quantile"), still, planned=100)


def test_a_part_of_alpha_fails_later_and_succeeds_no_later() -> None:
    """Three stages are each judged anew: none of them may spend all of alpha on failing."""
    failed: dict[float, int] = {}
    for part in (1.0, 1 / 3):
        failed[part] = next(
            rows
            for rows in range(100, 20_000, 20)
            if judge(ONLY_ERRORS, errors((0, rows), (rows // 25, rows)), part=part).outcome == "failure"
        )
        assert violations(ONLY_ERRORS, errors((0, failed[part]), (failed[part] // 25, failed[part])), part=part)
    assert failed[1.0] < failed[1 / 3] < 3 * failed[1.0]
    good = errors((10, 20_000), (10, 20_000))
    assert judge(ONLY_ERRORS, good).outcome == judge(ONLY_ERRORS, good, part=1e-3).outcome == "success"
    ends = [judge(ONLY_ERRORS, good, part=part).figures[0] for part in (1.0, 1e-3)]
    assert ends[0].high == ends[1].high
    assert ends[0].low is not None
    assert ends[1].low is not None
    assert ends[1].low < ends[0].low
