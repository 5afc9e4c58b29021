"""How entities were split between the arms of a rollout, one phase a deployment, and which answers are missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from keelway.deploy import BUCKETS, NOBODY, SHADOW, STABLE, Deployment
from keelway.deploy.analysis import Phase
from keelway.monitor.rollout.answers import microseconds

if TYPE_CHECKING:
    from keelway.monitor.rollout.answers import SealedAnswers
    from keelway.monitor.rollout.requests import CountedRequests

SETTLED = timedelta(minutes=1)
"""A copy of a request is scored after the request was answered, and both are sealed a second later."""
SEALED = timedelta(seconds=10)
"""So long after servers counted an answer it is looked for in the log, which is sealed every second unless there is much to do."""
TOLERATED_LOSS = 0.01
"""The part of an arm's answers that may be missing before nothing is believed."""


@dataclass(frozen=True, slots=True)
class Pairing:
    """Which two arms are compared, and over which deployments.

    Attributes:
        control: The arm in use.
        treatment: The arm that is tried.
        split: Deployments in which both have entities, by place: each gives a phase.
        newest: The last ones of them, with the shares that hold now: only these are judged by figures.
    """

    control: str
    treatment: str
    split: tuple[int, ...]
    newest: tuple[int, ...]


def arm_shares(deployment: Deployment) -> dict[str, float]:
    """Return which part of all entities each arm of a deployment has; shadows have none."""
    inside = 1.0
    if deployment.members.starts:
        inside = 1 - deployment.members.counts().get(NOBODY, 0) / BUCKETS
    shares = {arm: count / BUCKETS * inside for arm, count in deployment.allocation.counts().items()}
    if inside < 1:
        shares[STABLE] = shares.get(STABLE, 0.0) + 1 - inside
    return shares


def pairing_of(deployments: Sequence[Deployment], treatment: str) -> Pairing:
    """Return what a treatment is compared with, and in which of a rollout's deployments, given in order."""
    usable = [place for place, each in enumerate(deployments) if _has(each, treatment)]
    control = deployments[usable[-1]].control_arm if usable else STABLE
    split = tuple(place for place in usable if control in arm_shares(deployments[place]))
    newest: list[int] = []
    for place in reversed(split):
        if newest and _pair(deployments[place], control, treatment) != _pair(
            deployments[newest[-1]], control, treatment
        ):
            break
        newest.append(place)
    return Pairing(control, treatment, split, tuple(reversed(newest)))


def phases_of(
    answers: SealedAnswers,
    deployments: Sequence[Deployment],
    pairing: Pairing,
    *,
    unlogged: Mapping[str, int],
    now: datetime,
) -> tuple[Phase, ...]:
    """Return how entities were split, by the deployment in which each came first.

    An entity whose only requests failed left no answer. So an arm's count is raised by the part of its requests that
    did: exact where an entity asks once, and never more than its errors otherwise.

    Args:
        answers: Of the deployments that both have a part in.
        unlogged: Requests that an arm could not answer and nothing answered in its place, by arm.
    """
    if pairing.treatment == SHADOW:
        return _mirrored(answers, pairing, unlogged, now)
    asked = answers.where(answers.answered != answers.number_of(SHADOW))
    first = asked.firsts()
    raised = _raised(asked, unlogged)
    phases = []
    for place in pairing.split:
        here = first.during([place])
        shares = arm_shares(deployments[place])
        counts = {
            arm: round(int((here.assigned == here.number_of(arm)).sum()) * raised.get(arm, 1.0)) for arm in shares
        }
        phases.append(Phase(shares, counts))
    return tuple(_with_silent(phases, asked, first, unlogged))


def losses(
    answers: SealedAnswers, pairing: Pairing, counted: Mapping[str, CountedRequests], *, now: datetime
) -> tuple[str, ...]:
    """Return in words which answers are missing: those that servers counted and the log lacks, and copies that were dropped.

    Args:
        answers: Of the newest deployments.
    """
    problems = []
    for arm, requests in counted.items():
        sealed = len(answers.of_arm(arm))
        if requests.answers - sealed > TOLERATED_LOSS * requests.answers:
            problems.append(f"{arm}: {requests.answers - sealed} of {requests.answers} answers are not in the log")
    if pairing.treatment == SHADOW:
        problems += _dropped(answers, counted[SHADOW], now)
    return tuple(problems)


def _dropped(answers: SealedAnswers, shadow: CountedRequests, now: datetime) -> list[str]:
    """Return in words that copies were dropped: as servers counted them, else as entities show that no copy is of."""
    copies = shadow.answers + shadow.dropped
    if shadow.dropped > TOLERATED_LOSS * copies:
        return [f"{SHADOW}: {shadow.dropped} of {copies} copies were dropped: it, or its servers, had too much to do"]
    asked, copied = _settled_copies(answers, now)
    unseen = asked - copied - shadow.failed
    if unseen > TOLERATED_LOSS * asked:
        return [f"{SHADOW}: {unseen} of {asked} entities were not shown to it: their copies were dropped"]
    return []


def _has(deployment: Deployment, arm: str) -> bool:
    return bool(deployment.shadows) if arm == SHADOW else arm in arm_shares(deployment)


def _pair(deployment: Deployment, control: str, treatment: str) -> tuple[float | None, float | None]:
    """Return the shares of the two arms that are compared; arms beside them may come and go."""
    shares = arm_shares(deployment)
    return shares.get(control), shares.get(treatment)


def _raised(asked: SealedAnswers, unlogged: Mapping[str, int]) -> dict[str, float]:
    """Return by which factor the entities of an arm are more than those that left an answer."""
    found = {}
    for arm, failed in unlogged.items():
        logged = int((asked.assigned == asked.number_of(arm)).sum())
        if failed and logged:
            found[arm] = (logged + failed) / logged
    return found


def _with_silent(
    phases: list[Phase], asked: SealedAnswers, first: SealedAnswers, unlogged: Mapping[str, int]
) -> list[Phase]:
    """Return phases with the entities of an arm that answered nobody, as many as its requests speak for."""
    silent = {arm: failed for arm, failed in unlogged.items() if failed and asked.number_of(arm) not in asked.assigned}
    if not silent or not phases:
        return phases
    each = max(len(asked) / max(len(first), 1), 1.0)
    counts = {**phases[-1].counts, **{arm: max(round(failed / each), 1) for arm, failed in silent.items()}}
    return [*phases[:-1], Phase(phases[-1].shares, {arm: counts[arm] for arm in phases[-1].shares})]


def _mirrored(
    answers: SealedAnswers, pairing: Pairing, unlogged: Mapping[str, int], now: datetime
) -> tuple[Phase, ...]:
    """Return phases of equal shares: every request has a copy."""
    phases = []
    for place in pairing.split:
        asked, copied = _settled_copies(answers.during([place]), now)
        failed = unlogged.get(SHADOW, 0) if place == pairing.split[-1] else 0
        counts = {pairing.control: asked, SHADOW: min(copied + failed, asked)}
        phases.append(Phase(dict.fromkeys(counts, 1.0), counts))
    return tuple(phases)


def _settled_copies(answers: SealedAnswers, now: datetime) -> tuple[int, int]:
    """Return how many entities were answered long enough ago, and how many of them a shadow was shown."""
    import numpy as np

    copied = answers.answered == answers.number_of(SHADOW)
    first = answers.where(~copied).firsts()
    asked = first.entity[first.at <= microseconds(now - SETTLED)]
    return len(asked), int(np.isin(asked, np.unique(answers.entity[copied])).sum())
