"""Whether to train again: an alert, what the contingency plan says to it, and a cooldown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from keelway.core import Action, Decision, Digest, PrincipalId, RunId, VersionName, digest_of
from keelway.errors import UsageError
from keelway.ledger import record_decision

if TYPE_CHECKING:
    from keelway.ledger.ports import StateStore, Transaction
    from keelway.monitor import Alert
    from keelway.project import ContingencyPlan

RETRAIN = "retrain"


@dataclass(frozen=True, slots=True)
class RetrainRequest:
    """A contingency plan asks for a challenger; it starts a plan run and never deploys.

    Attributes:
        because: What the alerts said.
        alerts: Digests of the alerts.
        champion: The version that the alerts are about.
    """

    model: str
    environment: str
    because: tuple[str, ...]
    alerts: tuple[Digest, ...]
    champion: VersionName
    requested_by: PrincipalId
    at: datetime


@dataclass(frozen=True, slots=True)
class RetrainAnswer:
    """The challenger that a request led to.

    Attributes:
        request: Digest of the RetrainRequest.
        run_id: The run that trained it.
    """

    request: Digest
    version: VersionName
    run_id: RunId
    answered_by: PrincipalId
    at: datetime


def retrain_request(
    alerts: Sequence[Alert],
    *,
    plan: ContingencyPlan,
    champion: VersionName,
    state: StateStore,
    now: datetime,
    actor: PrincipalId,
) -> RetrainRequest | None:
    """Return a request to train again, or None: the plan does not ask for it, or it was asked for a short time ago.

    Alerts about other versions than the champion are left alone: the challenger is to replace what is live.

    Raises:
        UsageError: The alerts are about several environments.
    """
    moved = [alert for alert in alerts if alert.version == champion and RETRAIN in _actions(alert, plan)]
    if not moved:
        return None
    places = {(alert.model, alert.environment) for alert in moved}
    if len(places) != 1:
        names = ", ".join(sorted(f"{model} in {environment}" for model, environment in places))
        raise UsageError("One request speaks of one environment", expected="alerts of one environment", found=names)
    model, environment = places.pop()
    request = RetrainRequest(
        model=model,
        environment=environment,
        because=tuple(reason for alert in moved for reason in alert.reasons),
        alerts=tuple(digest_of(alert) for alert in moved),
        champion=champion,
        requested_by=actor,
        at=now,
    )
    with state.transaction() as tx:
        return _recorded(request, plan, tx)


def open_retrain_request(model: str, environment: str, *, tx: Transaction) -> RetrainRequest | None:
    """Return the newest request for a model in an environment that no challenger has answered, or None."""
    newest = tx.newest(RetrainRequest, parent=f"{environment}/{model}", limit=1)
    if not newest or tx.find(RetrainAnswer, digest_of(newest[0])) is not None:
        return None
    return newest[0]


def answer_retrain_request(
    request: RetrainRequest,
    *,
    version: VersionName,
    run_id: RunId,
    state: StateStore,
    now: datetime,
    actor: PrincipalId,
) -> RetrainAnswer:
    """Record which challenger a request led to; a request that was answered before keeps its first answer."""
    asked = digest_of(request)
    with state.transaction() as tx:
        known = tx.find(RetrainAnswer, asked)
        if known is not None:
            return known
        answer = RetrainAnswer(asked, version, run_id, actor, now)
        digest = tx.insert(asked, answer, parent=f"{request.environment}/{request.model}", at=now)
        record_decision(
            Decision(
                action=Action.RETRAIN,
                subject=version,
                allowed=True,
                principal=actor,
                at=now,
                evidence={"request": asked, "answer": digest},
                environment=request.environment,
                comment=f"trained in run {run_id}",
            ),
            tx=tx,
        )
    return answer


def _actions(alert: Alert, plan: ContingencyPlan) -> tuple[str, ...]:
    return plan.on_drift if alert.kind == "drift" else plan.on_quality


def _recorded(request: RetrainRequest, plan: ContingencyPlan, tx: Transaction) -> RetrainRequest | None:
    """Store a request with its ledger entry, unless the alerts were answered before or the plan still cools down."""
    parent = f"{request.environment}/{request.model}"
    earlier = tx.newest(RetrainRequest, parent=parent)
    answered = {alert for one in earlier for alert in one.alerts}
    if set(request.alerts) <= answered:
        return None
    if earlier and request.at < earlier[0].at + plan.cooldown_time:
        return None
    digest = tx.insert(f"{parent}/{len(earlier) + 1}", request, parent=parent, at=request.at)
    evidence = {"request": digest} | {f"alert_{number}": one for number, one in enumerate(request.alerts, start=1)}
    record_decision(
        Decision(
            action=Action.RETRAIN,
            subject=request.champion,
            allowed=True,
            principal=request.requested_by,
            at=request.at,
            evidence=evidence,
            environment=request.environment,
            comment="; ".join(request.because),
        ),
        tx=tx,
    )
    return request
