"""Tells an experiment from its records: nothing is computed anew, so the report says what was judged at the time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from keelway.core import digest_of
from keelway.deploy.analysis import MeasuredFigure
from keelway.report.experiment.figure_words import NOT_ASKED, difference_of, title_of, told, told_figure, word_of
from keelway.report.experiment.outcome_words import (
    certainty_of,
    meaning_of,
    method_of,
    steps_of,
    unknown_of,
    verdict_of,
)
from keelway.report.experiment.records import (
    ArmStory,
    DecisionLine,
    ExperimentRecords,
    ExperimentReport,
    FigurePoint,
    FigureStory,
    LookLine,
    ShareStep,
    TurnLine,
)

if TYPE_CHECKING:
    from keelway.core import Decision, VersionName
    from keelway.deploy import ArmVerdict, Deployment, RolloutLook
    from keelway.deploy.analysis import Status
    from keelway.project import Analysis, Guardrail, Metric
    from keelway.report.experiment.records import Role

NEWS: dict[Status, str] = {
    "held": "as it should be",
    "violated": "worse than allowed",
    "open": "not settled any more",
    "unknown": "not measured",
}
OVER = ("finished", "back", "stopped")


def experiment_report(records: ExperimentRecords, *, project: str, now: datetime) -> ExperimentReport:
    """Return the report of a rollout; the same records and moment give the same report.

    Raises:
        IntegrityError: What was declared cannot be read.
    """
    start, plan = records.start, records.start.plan
    analysis = plan.analysis
    arms = _arms(records, analysis)
    return ExperimentReport(
        project=project,
        model=start.model,
        environment=start.environment,
        rollout=start.rollout,
        strategy=plan.strategy,
        state=records.state,
        at=now,
        began=start.at,
        ended=_ended(records),
        principal=start.principal,
        control=start.control,
        treatments=tuple(start.treatments),
        verdict=verdict_of(records, arms),
        meaning=tuple(meaning_of(arms)),
        steps=tuple(steps_of(records, arms)),
        certainty=tuple(certainty_of(records, analysis, arms)),
        arms=arms,
        looks=tuple(_looks(records.looks, analysis)),
        turns=tuple(TurnLine(turn.at, turn.to, turn.principal, turn.comment) for turn in records.turns),
        shares=tuple(_shares(each) for each in records.deployments),
        decisions=tuple(_decision(entry, decision) for entry, decision in records.decisions),
        method=tuple(method_of(plan.strategy, analysis, arms)),
        unknown=tuple(unknown_of(records, analysis, arms)),
    )


def _arms(records: ExperimentRecords, analysis: Analysis) -> tuple[ArmStory, ...]:
    """Return each treatment at the newest look that judged it."""
    newest: dict[VersionName, ArmVerdict] = {}
    for look in records.looks:
        newest |= {each.version: each for each in look.arms}
    return tuple(_arm(each, records, analysis) for each in newest.values())


def _arm(arm: ArmVerdict, records: ExperimentRecords, analysis: Analysis) -> ArmStory:
    verdict = arm.verdict
    measured = {each.name: each for each in verdict.figures}
    goals = [_figure(each, measured.get(each.name), arm, records, role="goal") for each in analysis.metrics]
    guardrails = [
        _figure(each, measured.get(each.name), arm, records, role="guardrail") for each in analysis.guardrails
    ]
    return ArmStory(
        arm=arm.arm,
        version=arm.version,
        outcome=verdict.outcome,
        requests=verdict.requests,
        mismatch_p=told_figure(verdict.mismatch_p),
        sample_ratio=_sample_ratio(told_figure(verdict.mismatch_p), analysis.mismatch),
        reasons=verdict.reasons,
        judged=bool(measured),
        figures=(*goals, *guardrails),
    )


def _figure(
    figure: Guardrail | Metric, found: MeasuredFigure | None, arm: ArmVerdict, records: ExperimentRecords, *, role: Role
) -> FigureStory:
    measured = found or MeasuredFigure(figure.name, "unknown", None, None, None, NOT_ASKED)
    wanted, limit = (difference_of(figure, each) or 0.0 for each in figure.thresholds)
    point = _point(figure, measured, records.looks[-1])
    story = FigureStory(
        name=figure.name,
        title=title_of(figure),
        role=role,
        kind=figure.kind,
        arm=arm.arm,
        version=arm.version,
        status=measured.status,
        control=told_figure(measured.control),
        treatment=told_figure(measured.treatment),
        difference=point.value,
        low=point.low,
        high=point.high,
        limit=limit,
        wanted=wanted,
        word=word_of(figure),
        cuped=told_figure(measured.cuped),
        sentence="",
        points=tuple(_history(figure, arm.version, records.looks)),
    )
    reason = measured.sentence.removeprefix(f"{figure.name}: ")
    return replace(story, sentence=told(story, records.start.control, reason))


def _history(figure: Guardrail | Metric, version: VersionName, looks: tuple[RolloutLook, ...]) -> list[FigurePoint]:
    return [
        _point(figure, measured, look)
        for look in looks
        for each in look.arms
        if each.version == version
        for measured in each.verdict.figures
        if measured.name == figure.name
    ]


def _point(figure: Guardrail | Metric, measured: MeasuredFigure, look: RolloutLook) -> FigurePoint:
    """Return a figure as the treatment less the control; what the judgement calls harm points the other way where more is better."""
    ends = [difference_of(figure, each) for each in (measured.low, measured.high)]
    low, high = ends if word_of(figure) != "higher is better" else reversed(ends)
    return FigurePoint(
        look.number, look.stage, look.at, measured.status, difference_of(figure, measured.harm), low, high
    )


def _sample_ratio(p_value: float | None, alarm: float) -> str:
    """Return in plain words whether the arms got their shares."""
    if p_value is None:
        return "Whether the arms got the shares that they were meant to get is not known, so no figure is believed."
    if not p_value >= alarm:
        return (
            "The arms did not get the shares that they were meant to get, by more than chance does "
            f"(p {p_value:.2g}, alarm below {alarm:g}). Somewhere requests are lost or sent astray, so no figure is believed."
        )
    return (
        "The arms got the shares that they were meant to get, as far as chance lets them "
        f"(p {p_value:.2g}, alarm below {alarm:g}): nothing speaks for requests that are lost or sent astray."
    )


def _looks(looks: Sequence[RolloutLook], analysis: Analysis) -> Iterator[LookLine]:
    titles = {figure.name: title_of(figure) for figure in analysis.figures}
    known: dict[tuple[VersionName, str], Status] = {}
    for look in looks:
        found = {(each.version, one.name): one.status for each in look.arms for one in each.verdict.figures}
        several = len(look.arms) > 1
        news = [
            f"{f'{version}, ' if several else ''}{titles.get(name, name)}: {NEWS[status]}"
            for (version, name), status in found.items()
            if status != known.get((version, name), "open")
        ]
        known = known | found
        yield _look(look, tuple(news))


def _look(look: RolloutLook, news: tuple[str, ...]) -> LookLine:
    requests: dict[str, int] = {}
    for each in look.arms:
        requests |= {str(look.control): each.verdict.requests[0], str(each.version): each.verdict.requests[1]}
    outcomes = {each.version: each.verdict.outcome for each in look.arms}
    return LookLine(look.number, look.stage, look.at, outcomes, requests, look.move, news, tuple(look.reasons))


def _shares(deployment: Deployment) -> ShareStep:
    return ShareStep(deployment.at, deployment.stage, digest_of(deployment), _percents(deployment))


def _percents(deployment: Deployment) -> dict[VersionName, float]:
    return {version: float(share) for version, share in deployment.traffic.items()}


def _decision(entry: int, decision: Decision) -> DecisionLine:
    text = "; ".join(decision.reasons) or decision.comment
    return DecisionLine(entry, decision.at, decision.action, decision.allowed, decision.principal, text)


def _ended(records: ExperimentRecords) -> datetime | None:
    if records.state not in OVER:
        return None
    ends = [*(look.at for look in records.looks), *(each.at for each in records.deployments)]
    return max(ends, default=records.start.at)
