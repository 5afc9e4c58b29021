"""Drills: a fallback plan was tried out, by whom, how long it took, and what was found."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, get_args

from keelway.core import Action, Decision, Digest, PrincipalId, digest_of, time_text
from keelway.errors import UsageError
from keelway.identity import on_record, require_role
from keelway.ledger import record_decision

if TYPE_CHECKING:
    from keelway.identity import Principal
    from keelway.ledger.ports import StateStore, Transaction

DrillKind = Literal["rollback", "by_hand", "restore", "call"]
"""Going back to the version before, working without the model, restoring a backup, or calling who has to be called."""
DRILL_KINDS: tuple[DrillKind, ...] = get_args(DrillKind)
DRILLING = ("deployer", "risk-owner", "approver", "auditor", "admin")
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Drill:
    """A plan was tried out.

    Attributes:
        number: Counts the drills of a model in an environment from 1.
        passed: Whether it worked as planned.
        held_at: When it was held; the record may be later.
        seconds: How long it took until the plan was in force; None where nobody measured.
        participants: Who took part.
        findings: What was found.
        next_due: When the next one is due by the plan that was tried out; None without a plan.
    """

    model: str
    environment: str
    number: int
    kind: DrillKind
    passed: bool
    held_at: datetime
    recorded_at: datetime
    recorded_by: PrincipalId
    seconds: float | None = None
    participants: tuple[str, ...] = ()
    findings: str = ""
    next_due: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillReport:
    """What somebody reports who held a drill; the fields are those of `Drill`."""

    kind: DrillKind
    passed: bool
    held_at: datetime
    seconds: float | None = None
    participants: tuple[str, ...] = ()
    findings: str = ""
    next_due: datetime | None = None


def record_drill(
    model: str, environment: str, report: DrillReport, *, principal: Principal, state: StateStore, now: datetime
) -> Drill:
    """Record that a plan was tried out; the same drill again returns the first record.

    Raises:
        IdentityError: The principal may not record drills.
        UsageError: It is in the future, took less than no time, or failed without a finding.
    """
    with on_record(Action.DRILL, model, principal=principal, state=state, now=now, environment=environment):
        require_role(principal, *DRILLING)
    _must_make_sense(report, now)
    parent = f"{environment}/{model}"
    with state.transaction() as tx:
        for known in tx.newest(Drill, parent=parent):
            if (known.kind, known.held_at, known.passed) == (report.kind, report.held_at, report.passed):
                return known
        drill = Drill(
            model=model,
            environment=environment,
            number=tx.count(Drill, parent=parent) + 1,
            kind=report.kind,
            passed=report.passed,
            held_at=report.held_at,
            recorded_at=now,
            recorded_by=principal.id,
            seconds=report.seconds,
            participants=report.participants,
            findings=report.findings.strip(),
            next_due=report.next_due,
        )
        digest = tx.insert(f"{parent}/{drill.number}", drill, parent=parent, at=now)
        record_decision(_told(drill, digest), tx=tx)
    return drill


def drills(model: str, environment: str, *, tx: Transaction) -> list[Drill]:
    """Return the drills of a model in an environment, the newest first."""
    return sorted(
        tx.newest(Drill, parent=f"{environment}/{model}"), key=lambda one: (one.held_at, one.number), reverse=True
    )


def drills_evidence(model: str, environment: str, *, tx: Transaction, now: datetime) -> dict[str, Any]:
    """Return what a policy reads of drills: the newest of each kind; a kind that was never held is null."""
    found: dict[str, Any] = dict.fromkeys(DRILL_KINDS)
    for drill in reversed(drills(model, environment, tx=tx)):
        found[drill.kind] = {
            "passed": drill.passed,
            "held_at": time_text(drill.held_at),
            "age_days": round((now - drill.held_at).total_seconds() / _DAY_S, 3),
            "seconds": drill.seconds,
            "drill": digest_of(drill),
        }
    return found


def _must_make_sense(report: DrillReport, now: datetime) -> None:
    if report.held_at > now:
        raise UsageError("A drill is recorded after it was held", expected=f"up to {now}", found=str(report.held_at))
    if report.seconds is not None and not 0 <= report.seconds < float("inf"):
        raise UsageError("A drill takes a time of 0 or more", expected="seconds", found=str(report.seconds))
    if not report.passed and not report.findings.strip():
        raise UsageError("A drill that failed tells why", expected="findings", found="empty text")


def _told(drill: Drill, digest: Digest) -> Decision:
    return Decision(
        action=Action.DRILL,
        subject=drill.model,
        allowed=drill.passed,
        principal=drill.recorded_by,
        at=drill.recorded_at,
        evidence={"drill": digest},
        reasons=() if drill.passed else (drill.findings,),
        environment=drill.environment,
        comment=f"{drill.kind} drill of {time_text(drill.held_at)}" + ("" if drill.passed else ": failed"),
    )
