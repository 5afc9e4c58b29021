"""Stores reports and raises alerts, each with its ledger entry, in one transaction."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from keelway.core import Action, Decision, Digest, PrincipalId, VersionName, digest_of
from keelway.ledger import record_decision
from keelway.monitor.record import Alert, AlertKind, DriftReport, QualityReport

if TYPE_CHECKING:
    from keelway.features import Profile
    from keelway.ledger.ports import StateStore, Transaction

Report = DriftReport | QualityReport


def monitor(
    *,
    drift: DriftReport | None = None,
    quality: QualityReport | None = None,
    profile: Profile | None = None,
    state: StateStore,
    now: datetime,
    actor: PrincipalId,
) -> tuple[Alert, ...]:
    """Store reports with the profile they looked at, and return the alerts they raise; repeating it adds nothing.

    A report that could not judge raises no alert, but stands in the ledger as `not enough`, not as fine.
    """
    alerts: list[Alert] = []
    with state.transaction() as tx:
        if profile is not None:
            _keep(profile, tx, now)
        if drift is not None:
            crossed = ((drift.version, drift.verdict == "drifted", drift.reasons),)
            alerts += _report(drift, "drift", crossed, tx, now, actor)
        if quality is not None:
            lost = tuple(
                (one.version, one.verdict == "lost", (one.reason,)) for one in quality.slices if one.arm == "all"
            )
            alerts += _report(quality, "quality", lost, tx, now, actor)
    return tuple(alerts)


def _report(
    report: Report,
    kind: AlertKind,
    versions: tuple[tuple[VersionName, bool, tuple[str, ...]], ...],
    tx: Transaction,
    now: datetime,
    actor: PrincipalId,
) -> list[Alert]:
    """Store one report and an alert for each version that left its bounds."""
    digest, is_new = _stored(report, tx, now)
    if is_new:
        fine = not any(hit for _, hit, _ in versions)
        _decide(Action.MONITOR, report, fine, {"report": digest}, report.reasons, tx, now, actor)
    alerts = []
    for version, hit, reasons in versions:
        if hit:
            alert = Alert(report.model, report.environment, version, kind, reasons, digest, report.at)
            alert_digest, alert_is_new = _stored(alert, tx, now)
            if alert_is_new:
                evidence = {"alert": alert_digest, "report": digest}
                _decide(Action.ALERT, report, True, evidence, (), tx, now, actor, comment="; ".join(reasons))
            alerts.append(alert)
    return alerts


def _stored(record: Report | Alert, tx: Transaction, now: datetime) -> tuple[Digest, bool]:
    """Store a record under its digest, listed under its model; say whether it was new."""
    digest = digest_of(record)
    is_new = tx.find(type(record), digest) is None
    tx.insert(digest, record, parent=record.model, at=now)
    return digest, is_new


def _keep(profile: Profile, tx: Transaction, now: datetime) -> None:
    digest = digest_of(profile)
    if tx.text_of(digest) is None:
        tx.insert(digest, profile, at=now)


def _decide(
    action: Action,
    report: Report,
    allowed: bool,
    evidence: dict[str, Digest],
    reasons: tuple[str, ...],
    tx: Transaction,
    now: datetime,
    actor: PrincipalId,
    *,
    comment: str = "",
) -> None:
    record_decision(
        Decision(
            action=action,
            subject=report.model,
            allowed=allowed,
            principal=actor,
            at=now,
            evidence=evidence,
            reasons=reasons,
            environment=report.environment,
            comment=comment or report.verdict,
        ),
        tx=tx,
    )
