"""Tells the story of an incident into the ledger: opening it, what follows, and closing it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from keelway.core import Action, Decision, Digest, PrincipalId, digest_of
from keelway.errors import RefusedError, UsageError
from keelway.identity import on_record, require_role
from keelway.ledger import entry_of, record_decision
from keelway.promote.incidents.duties import Duty, SeriousKind
from keelway.promote.incidents.incident import (
    ALL_INCIDENTS,
    Incident,
    IncidentSeverity,
    IncidentUpdate,
    IncidentView,
    incident_view,
    incident_views,
    view_of,
)

if TYPE_CHECKING:
    from keelway.identity import Principal
    from keelway.ledger.ports import StateStore, Transaction

CLOSERS = ("risk-owner", "approver", "auditor", "admin")
"""Who may say that an incident is over; anybody of the project may open one and tell more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentReport:
    """What somebody reports who opens an incident; the fields are those of `Incident`.

    Attributes:
        decisions: Indexes in the ledger.
        predictions: Id of an answer, to the digest of the segment of the log that holds it.
    """

    title: str
    severity: IncidentSeverity
    model: str
    environment: str
    aware_at: datetime
    decisions: Sequence[int] = ()
    predictions: Mapping[str, Digest] = field(default_factory=dict)
    description: str = ""
    happened_at: datetime | None = None
    serious: SeriousKind = ""
    personal_data: bool = False
    high_risk_to_persons: bool = False
    health_data: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentNews:
    """What somebody adds to an incident; the fields are those of `IncidentUpdate`."""

    note: str
    severity: IncidentSeverity | None = None
    root_cause: str = ""
    corrective_action: str = ""
    notified: Mapping[Duty, datetime] = field(default_factory=dict)
    waived: Mapping[Duty, str] = field(default_factory=dict)


def open_incident(report: IncidentReport, *, principal: Principal, state: StateStore, now: datetime) -> Incident:
    """Open an incident; reporting the same again while it is open returns it.

    Raises:
        UsageError: The report lacks a title, or somebody became aware after now.
        MissingRecordError: It names an entry that the ledger does not have.
    """
    if not report.title.strip():
        raise UsageError("An incident needs a title", expected="what happened, in a line", found="empty text")
    if report.aware_at > now:
        raise UsageError("Nobody becomes aware later than now", expected=f"up to {now}", found=str(report.aware_at))
    with state.transaction() as tx:
        made = _made(report, principal.id, tx, now)
        standing = _standing(made, tx, now)
        if standing is not None:
            return standing
        digest = tx.insert(str(made.number), made, parent=ALL_INCIDENTS, at=now)
        record_decision(_opened(made, digest), tx=tx)
    return made


def update_incident(
    number: int, news: IncidentNews, *, principal: Principal, state: StateStore, now: datetime, closes: bool = False
) -> IncidentView:
    """Add what was learned or done, and close the incident if asked; closing a closed one changes nothing.

    Raises:
        MissingRecordError: There is no such incident.
        UsageError: It is closed, the news say nothing, or answer a duty that the incident does not have.
        IdentityError: The principal may not close it.
        RefusedError: It cannot be closed yet; every reason is told and recorded.
    """
    reasons: tuple[str, ...] = ()
    subject = f"incident {number}"
    with (
        on_record(Action.INCIDENT, subject, principal=principal, state=state, now=now),
        state.transaction() as tx,
    ):
        before = incident_view(number, tx=tx, now=now)
        if before.closed_at is not None and closes:
            return before
        _must_fit(before, news, now, closes=closes)
        if closes:
            require_role(principal, *CLOSERS)
        update = _update(before, news, principal.id, now, closes=closes)
        after = view_of(before.incident, [*before.updates, update], now=now)
        reasons = after.missing if closes else ()
        evidence = {"incident": update.incident}
        if not reasons:
            evidence["update"] = tx.insert(f"{number}/{update.number}", update, parent=update.incident, at=now)
        record_decision(_told(after, update, evidence, reasons), tx=tx)
    if reasons:
        raise RefusedError(
            f"Incident {number} cannot be closed yet",
            reasons=tuple(f"{each} is missing" for each in reasons),
            fix="Tell what is missing: keelway incidents update NUMBER --root-cause ... --notified ...",
        )
    return after


def _made(report: IncidentReport, principal: PrincipalId, tx: Transaction, now: datetime) -> Incident:
    return Incident(
        number=tx.count(Incident) + 1,
        title=report.title.strip(),
        severity=report.severity,
        model=report.model,
        environment=report.environment,
        decisions={str(index): entry_of(index, tx=tx).decision for index in sorted(set(report.decisions))},
        predictions=dict(sorted(report.predictions.items())),
        aware_at=report.aware_at,
        opened_at=now,
        opened_by=principal,
        description=report.description,
        happened_at=report.happened_at,
        serious=report.serious,
        personal_data=report.personal_data or report.high_risk_to_persons,
        high_risk_to_persons=report.high_risk_to_persons,
        health_data=report.health_data,
    )


def _standing(made: Incident, tx: Transaction, now: datetime) -> Incident | None:
    """Return an open incident of the same title, model and environment."""
    wanted = (made.title, made.model, made.environment)
    for one in incident_views(tx=tx, now=now, model=made.model):
        found = one.incident
        if one.closed_at is None and (found.title, found.model, found.environment) == wanted:
            return found
    return None


def _must_fit(before: IncidentView, news: IncidentNews, now: datetime, *, closes: bool) -> None:
    """Refuse news that say nothing, or do not belong to the incident."""
    number = before.incident.number
    if before.closed_at is not None:
        raise UsageError(
            f"Incident {number} is closed", expected="an open incident", found=f"closed at {before.closed_at}",
            fix="Open a new one that names the old one in its description.",
        )  # fmt: skip
    known = {state.duty.duty for state in before.duties}
    strange = sorted({*news.notified, *news.waived} - known)
    if strange:
        expected = ", ".join(sorted(known)) or "none: nobody has to be told"
        raise UsageError(f"Incident {number} has no such duty to notify", expected=expected, found=", ".join(strange))
    if any(moment > now for moment in news.notified.values()):
        raise UsageError(
            "Nobody is told later than now", expected=f"up to {now}", found=str(max(news.notified.values()))
        )
    if any(not reason.strip() for reason in news.waived.values()):
        raise UsageError("A duty is waived for a reason", expected="the reason", found="empty text")
    said = (news.note.strip(), news.severity, news.root_cause, news.corrective_action, news.notified, news.waived)
    if not closes and not any(said):
        raise UsageError("An update says something", expected="a note, or what was done", found="nothing")


def _update(
    before: IncidentView, news: IncidentNews, principal: PrincipalId, now: datetime, *, closes: bool
) -> IncidentUpdate:
    return IncidentUpdate(
        incident=digest_of(before.incident),
        number=len(before.updates) + 1,
        note=news.note.strip(),
        at=now,
        by=principal,
        severity=news.severity,
        root_cause=news.root_cause.strip(),
        corrective_action=news.corrective_action.strip(),
        notified=dict(sorted(news.notified.items())),
        waived=dict(sorted(news.waived.items())),
        closes=closes,
    )


def _opened(incident: Incident, digest: Digest) -> Decision:
    named = {f"decision_{index}": decision for index, decision in incident.decisions.items()}
    segments = sorted(set(incident.predictions.values()))
    named |= {f"segment_{number}": segment for number, segment in enumerate(segments, start=1)}
    return Decision(
        action=Action.INCIDENT,
        subject=f"incident {incident.number}",
        allowed=True,
        principal=incident.opened_by,
        at=incident.opened_at,
        evidence={"incident": digest, **named},
        environment=incident.environment,
        comment=f"opened, {incident.severity}, {incident.model}: {incident.title}",
    )


def _told(
    after: IncidentView, update: IncidentUpdate, evidence: dict[str, Digest], reasons: tuple[str, ...]
) -> Decision:
    word = "closed" if update.closes else "updated"
    return Decision(
        action=Action.INCIDENT,
        subject=f"incident {after.incident.number}",
        allowed=not reasons,
        principal=update.by,
        at=update.at,
        evidence=evidence,
        reasons=tuple(f"{each} is missing" for each in reasons),
        environment=after.incident.environment,
        comment=f"{word}: {update.note}" if update.note else word,
    )
