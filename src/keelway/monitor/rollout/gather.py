"""Gathers what is known about two arms of a rollout at one look: a pure function of what was read of it, once for all arms.

    deployments = deployments_of(start, tx)
    readings = rollout_readings(start.model, start.environment, since=deployments[0].at, analysis=analysis, tx=tx, ...)
    for arm in ("churn:2", "churn:3"):
        verdict = judge(analysis, evidence_of(readings, deployments, arm, analysis=analysis))

1. How entities were split is told for every deployment of the rollout in which both arms had any: one phase each.
2. Figures are judged over the last of these deployments only, those with the shares that hold now. Counts of a 1 % morning
   and a 50 % evening may not be added.
3. An entity counts once, by its first answer. Errors and latencies are of requests, because servers count no entities.
4. What nobody recorded is left out, and what is known to be lost is told in words: the judgement is an error then. What
   may still come has no rows yet: too early.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keelway.core import time_text
from keelway.deploy import SHADOW, Deployment
from keelway.deploy.analysis import ArmFigures, RolloutEvidence
from keelway.monitor.rollout.answers import SealedAnswers, sealed_answers
from keelway.monitor.rollout.assignment import SEALED, Pairing, losses, pairing_of, phases_of
from keelway.monitor.rollout.business import entity_sums
from keelway.monitor.rollout.figures import (
    class_answers,
    class_order,
    class_shares,
    histograms,
    matured,
    matured_classes,
)
from keelway.monitor.rollout.readings import RolloutReadings
from keelway.monitor.rollout.requests import ERRORS, GRACE, LATENCY, UNDEFINED, CountedRequests, counted_requests
from keelway.project import LABEL_KINDS

if TYPE_CHECKING:
    from keelway.core import VersionName
    from keelway.project import Analysis, BusinessMetric, Guardrail, Metric
    from keelway.serve import RequestFigures

PREDICTIONS = "predictions"
_KINDS = ("tallies", "moments", "values", "histograms", "classes", "matured")


@dataclass(frozen=True, slots=True)
class _ArmRecord:
    """One arm over the deployments that are judged by figures.

    Attributes:
        answered: The first answer that it gave to each entity.
        entered: The first answer to each of its entities, whoever gave it.
        counted: What servers counted.
        is_late: Whether it answers for so long that servers should have told of it.
        rows: How many answers it gave.
    """

    name: str
    answered: SealedAnswers
    entered: SealedAnswers
    counted: CountedRequests
    is_late: bool
    rows: int


def evidence_of(
    readings: RolloutReadings,
    deployments: Sequence[Deployment],
    treatment_arm: str,
    *,
    analysis: Analysis,
    version: VersionName | None = None,
    business: Iterable[BusinessMetric] = (),
) -> RolloutEvidence:
    """Return what is known about an arm of a rollout and about its control, by the rules at the top of this module.

    Args:
        readings: What was read, from the first of the deployments on or from earlier: answers of others and counts from before
            are left out. That predictions are gone is told of all that was read.
        deployments: Of the rollout, or some of them, in order.
        treatment_arm: The arm that is tried.
        analysis: Only what it asks for is told, if it was read.
        version: The version that is tried, where several shadow; None takes the first.
        business: The model's business metrics.
    """
    pairing = pairing_of(deployments, treatment_arm)
    if not pairing.newest:
        problem = f"{treatment_arm} has no part in this rollout"
        return RolloutEvidence(ArmFigures(pairing.control, 0), ArmFigures(treatment_arm, 0), (), (problem,))
    shadow = (version or deployments[pairing.newest[-1]].shadows[0]) if treatment_arm == SHADOW else None
    answers = sealed_answers(readings.table, deployments, shadow=shadow).during(pairing.split)
    counted = _counted(readings.requests, deployments, pairing.newest, shadow)
    unlogged = _unlogged(_counted(readings.requests, deployments, pairing.split, shadow), answers)
    late = readings.now - deployments[pairing.newest[0]].at > GRACE
    control, treatment = (
        _arm_record(name, answers.during(pairing.newest), counted[name], late=late)
        for name in (pairing.control, pairing.treatment)
    )
    metrics = {each.name: each for each in business}
    figures = _figures(analysis, (control, treatment), answers.firsts(), readings, metrics)
    return RolloutEvidence(
        ArmFigures(control.name, control.rows + control.counted.failed, **figures[0]),
        ArmFigures(treatment.name, treatment.rows + treatment.counted.failed, **figures[1]),
        phases_of(answers, deployments, pairing, unlogged=unlogged, now=readings.now),
        _problems(answers, deployments, pairing, readings, shadow),
    )


def _problems(
    answers: SealedAnswers,
    deployments: Sequence[Deployment],
    pairing: Pairing,
    readings: RolloutReadings,
    shadow: VersionName | None,
) -> tuple[str, ...]:
    known = [each for each in readings.requests if each.until <= readings.now - SEALED]
    counted = _counted(known, deployments, pairing.newest, shadow)
    lost = losses(answers.during(pairing.newest), pairing, counted, now=readings.now)
    gone = f"{readings.gone} predictions are gone by {time_text(readings.now)}: their retention time was over"
    return (*lost, gone) if readings.gone else lost


def _counted(
    requests: Sequence[RequestFigures],
    deployments: Sequence[Deployment],
    places: Sequence[int],
    shadow: VersionName | None,
) -> dict[str, CountedRequests]:
    """Return what servers counted for every arm of these deployments."""
    chosen = [deployments[place] for place in places]
    newest = chosen[-1]
    versions = {arm: newest.version_of(arm) for arm in newest.arms} | ({SHADOW: shadow} if shadow else {})
    return {arm: counted_requests(requests, arm, version, deployments=chosen) for arm, version in versions.items()}


def _unlogged(counted: Mapping[str, CountedRequests], answers: SealedAnswers) -> dict[str, int]:
    """Return how many requests each arm failed to answer, and nothing answered in its place."""
    found = {}
    for arm, requests in counted.items():
        number = answers.number_of(arm)
        replaced = int(((answers.assigned == number) & (answers.answered != number)).sum())
        found[arm] = max(requests.failed - replaced, 0)
    return found


def _arm_record(name: str, answers: SealedAnswers, counted: CountedRequests, *, late: bool) -> _ArmRecord:
    own = answers.of_arm(name)
    entered = answers.where(answers.assigned == answers.number_of(name))
    return _ArmRecord(name, own.firsts(), entered.firsts(), counted, late and bool(len(own)), len(own))


def _figures(
    analysis: Analysis,
    arms: tuple[_ArmRecord, _ArmRecord],
    ever: SealedAnswers,
    readings: RolloutReadings,
    business: Mapping[str, BusinessMetric],
) -> list[dict[str, dict[str, Any]]]:
    """Return the figures that an analysis asks for, of the control and of the treatment, by the kind of evidence they are."""
    found: list[dict[str, dict[str, Any]]] = [{kind: {} for kind in _KINDS} for _ in arms]
    for figure in analysis.figures:
        metric = business.get(figure.name)
        told = _figure(figure, arms, readings) if metric is None else _business(figure, metric, arms, ever, readings)
        for place, (kind, value) in enumerate(told):
            found[place][kind][figure.name] = value
    return found


def _figure(
    figure: Guardrail | Metric, arms: tuple[_ArmRecord, _ArmRecord], readings: RolloutReadings
) -> list[tuple[str, Any]]:
    """Return one figure of both arms with the kind of evidence that it is; nothing where it is missing."""
    is_counted = all(arm.counted.requests or not arm.is_late for arm in arms)
    if figure.kind == "rate" and figure.name in (ERRORS, UNDEFINED) and is_counted:
        return [("tallies", arm.counted.tallies()[figure.name]) for arm in arms]
    if figure.kind == "quantile" and figure.name == LATENCY and is_counted:
        return [("values", arm.counted.latencies()) for arm in arms]
    if readings.task == "multiclass":
        return _of_classes(figure, arms, readings)
    if figure.kind == "distribution" and figure.name == PREDICTIONS:
        return [("histograms", each) for each in histograms(arms[0].answered, arms[1].answered)]
    if figure.kind in LABEL_KINDS and readings.labels is not None:
        known = readings.labels
        return [("matured", matured(arm.answered, known)) for arm in arms]
    return []


def _of_classes(
    figure: Guardrail | Metric, arms: tuple[_ArmRecord, _ArmRecord], readings: RolloutReadings
) -> list[tuple[str, Any]]:
    """Return a figure of answers with classes; nothing where it is not known what their probabilities are of."""
    is_spread = figure.kind == "distribution" and figure.name == PREDICTIONS
    if not is_spread and (figure.kind not in LABEL_KINDS or readings.labels is None):
        return []
    order, known = class_order(readings.classes), readings.labels or {}
    told: list[tuple[str, Any]] = []
    for arm in arms:
        shares = class_shares(arm.answered, readings.table, readings.classes, order)
        if shares is None:
            return []
        if is_spread:
            told.append(("classes", class_answers(shares)))
        else:
            told.append(("matured", matured_classes(arm.answered, shares, known, order)))
    return told


def _business(
    figure: Guardrail | Metric,
    metric: BusinessMetric,
    arms: tuple[_ArmRecord, _ArmRecord],
    ever: SealedAnswers,
    readings: RolloutReadings,
) -> list[tuple[str, Any]]:
    """Return a business metric of both arms; nothing of a shadow, which answers nobody."""
    events = readings.events.get(metric.stream)
    if events is None or figure.kind not in ("rate", "mean") or arms[1].name == SHADOW:
        return []
    sums = [entity_sums(arm.entered, ever, events, metric) for arm in arms]
    if figure.kind == "rate":
        return [("tallies", each.rate()) for each in sums]
    is_known_before = all(each.before is not None for each in sums)
    return [("moments", each.moments(with_before=is_known_before)) for each in sums]
