"""Incidents: what went wrong with a model, on which decisions and answers it bears, and what was done about it.

An incident is opened once; every update is a record of its own, and the ledger holds each. It is closed when its root
cause and the corrective action are told and every duty to notify is answered.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, get_args

from keelway.core import Digest, PrincipalId, digest_of
from keelway.errors import MissingRecordError
from keelway.promote.incidents.duties import Duty, NotificationDuty, SeriousKind, duties_of

if TYPE_CHECKING:
    from keelway.ledger.ports import Transaction

IncidentSeverity = Literal["minor", "major", "critical"]
SEVERITIES: tuple[IncidentSeverity, ...] = get_args(IncidentSeverity)
"""From the mildest to the worst."""
ALL_INCIDENTS = "incidents"
"""The parent under which every incident is listed."""


@dataclass(frozen=True, slots=True)
class Incident:
    """Something went wrong with a model, as it was first told.

    Attributes:
        number: Counts incidents from 1.
        title: What happened, in a line.
        decisions: Index in the ledger to digest of each decision it bears on.
        predictions: Id of each answer it bears on, to the digest of the segment of the log that holds it.
        happened_at: When it began; None where nobody knows.
        aware_at: When somebody became aware of it; deadlines run from here.
        serious: Which kind of serious incident of a high-risk system it is, if any.
        personal_data: Whether personal data was breached, so that its authority has to be told.
        high_risk_to_persons: Whether that is a high risk to the persons, so that they have to be told.
        health_data: Whether protected health information (HIPAA) was breached.
    """

    number: int
    title: str
    severity: IncidentSeverity
    model: str
    environment: str
    decisions: dict[str, Digest]
    predictions: dict[str, Digest]
    aware_at: datetime
    opened_at: datetime
    opened_by: PrincipalId
    description: str = ""
    happened_at: datetime | None = None
    serious: SeriousKind = ""
    personal_data: bool = False
    high_risk_to_persons: bool = False
    health_data: bool = False


@dataclass(frozen=True, slots=True)
class IncidentUpdate:
    """What was learned or done about an incident afterwards.

    Attributes:
        incident: Digest of the Incident.
        severity: What it is now; None leaves it.
        notified: The duties that were done, and when.
        waived: Duties that do not apply after all, each with the reason.
        closes: Whether nothing is left to do.
    """

    incident: Digest
    number: int
    note: str
    at: datetime
    by: PrincipalId
    severity: IncidentSeverity | None = None
    root_cause: str = ""
    corrective_action: str = ""
    notified: dict[Duty, datetime] = field(default_factory=dict)
    waived: dict[Duty, str] = field(default_factory=dict)
    closes: bool = False


@dataclass(frozen=True, slots=True)
class DutyState:
    """How far a duty to notify is done.

    Attributes:
        done_at: When it was done; None where it is open or waived.
        waived: Why it does not apply after all, or empty.
        late: Whether it was done after its time, or its time is over and it is open.
    """

    duty: NotificationDuty
    done_at: datetime | None
    waived: str
    late: bool

    @property
    def open(self) -> bool:
        """Whether nobody answered it."""
        return self.done_at is None and not self.waived


@dataclass(frozen=True, slots=True)
class IncidentView:
    """An incident with all that was told of it since.

    Attributes:
        updates: Oldest first.
        closed_at: When it was closed, or None.
    """

    incident: Incident
    updates: tuple[IncidentUpdate, ...]
    severity: IncidentSeverity
    root_cause: str
    corrective_action: str
    duties: tuple[DutyState, ...]
    closed_at: datetime | None

    @property
    def missing(self) -> tuple[str, ...]:
        """What has to be told before it can be closed."""
        told = {"root cause": self.root_cause, "corrective action": self.corrective_action}
        return (
            *(f"the {name}" for name, text in told.items() if not text),
            *(f"the notification {state.duty.duty} ({state.duty.reference})" for state in self.duties if state.open),
        )


def view_of(incident: Incident, updates: list[IncidentUpdate], *, now: datetime) -> IncidentView:
    """Return an incident with what its updates say, oldest first, as it stood at a time."""
    severity, cause, action = incident.severity, "", ""
    for update in updates:
        severity = update.severity or severity
        cause, action = update.root_cause or cause, update.corrective_action or action
    closing = next((update.at for update in updates if update.closes), None)
    return IncidentView(
        incident=incident,
        updates=tuple(updates),
        severity=severity,
        root_cause=cause,
        corrective_action=action,
        duties=tuple(_state(duty, updates, now) for duty in duties_of(incident)),
        closed_at=closing,
    )


def incident_view(number: int, *, tx: Transaction, now: datetime) -> IncidentView:
    """Return an incident by its number.

    Raises:
        MissingRecordError: There is none.
    """
    incident = tx.find(Incident, str(number))
    if incident is None:
        raise MissingRecordError(
            f"There is no incident {number}", expected="the number of an incident", found=str(number),
            fix="List them: keelway incidents list --all",
        )  # fmt: skip
    updates = tx.newest(IncidentUpdate, parent=digest_of(incident))
    return view_of(incident, sorted(updates, key=lambda one: one.number), now=now)


def incident_views(*, tx: Transaction, now: datetime, model: str | None = None) -> list[IncidentView]:
    """Return every incident, or those of one model, the newest first."""
    found = sorted(tx.newest(Incident, parent=ALL_INCIDENTS), key=lambda one: -one.number)
    return [incident_view(one.number, tx=tx, now=now) for one in found if model is None or one.model == model]


def incidents_evidence(model: str, *, tx: Transaction, now: datetime) -> dict[str, Any]:
    """Return what a policy reads of the open incidents of a model; `worst` is null where none is open."""
    found = [one for one in incident_views(tx=tx, now=now, model=model) if one.closed_at is None]
    return {
        "open": len(found),
        "worst": max((one.severity for one in found), key=SEVERITIES.index, default=None),
        "numbers": sorted(one.incident.number for one in found),
        "late_notifications": sum(state.late for one in found for state in one.duties),
    }


def _state(duty: NotificationDuty, updates: list[IncidentUpdate], now: datetime) -> DutyState:
    done = next((update.notified[duty.duty] for update in updates if duty.duty in update.notified), None)
    waived = next((update.waived[duty.duty] for update in updates if duty.duty in update.waived), "")
    late = duty.due_at is not None and not (waived and done is None) and (done or now) > duty.due_at
    return DutyState(duty, done, waived if done is None else "", late)
