"""What is live where, now or at an earlier time: since when, let in by whom, on what evidence; read from the ledger."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from keelway.core import Decision, Digest
from keelway.errors import MissingRecordError

if TYPE_CHECKING:
    from keelway.app.wire import Workspace
    from keelway.ledger import Transaction
    from keelway.promote import Admission, Standing
    from keelway.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class ApprovalLine:
    """Somebody who approved what was let in.

    Attributes:
        by: Who answered.
        on_behalf_of: Who lent the right to answer, or empty.
    """

    by: str
    at: datetime
    comment: str
    on_behalf_of: str = ""


@dataclass(frozen=True, slots=True)
class LiveLine:
    """What is admitted to one environment, and how its traffic is shared.

    Attributes:
        since: Since when the pointer stands there.
        by: Who moved it.
        entry: The number of the ledger entry that tells of it.
        traffic: Percent of the entities by version, as it was shared at that time.
        action: How it came there: promote, rollback or skip_gate.
        comment: What was written when it was let in.
        requested_by: Who asked for it, or empty.
        approvals: Who approved it.
        policy: Digest of the policy that judged it, or None.
        rules: The names of the rules that were asked.
        evidence: Digests of what the decision rests on, by role.
        traffic_since: Since when the traffic is shared so; None where none is sent.
        traffic_entry: The number of the ledger entry that tells of that.
        unsafe_until: Until when it may stand that was let in past the gate; None as a rule.
    """

    environment: str
    model: str
    version: str
    since: datetime
    by: str
    entry: int
    traffic: dict[str, int]
    action: str = ""
    comment: str = ""
    requested_by: str = ""
    approvals: tuple[ApprovalLine, ...] = ()
    policy: Digest | None = None
    rules: tuple[str, ...] = ()
    evidence: dict[str, Digest] = field(default_factory=dict)
    traffic_since: datetime | None = None
    traffic_entry: int | None = None
    unsafe_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """What is live where at one moment.

    Attributes:
        open: What is under way; nothing for an earlier time.
        ledger_size: How many entries the ledger had at that time.
    """

    project: str
    at: datetime
    live: tuple[LiveLine, ...]
    datasets: tuple[Snapshot, ...]
    open: tuple[str, ...]
    ledger_size: int


def status_of(at: Workspace, *, moment: datetime | None = None) -> Status:
    """Return what is live where, now or at an earlier time."""
    from keelway.flow import open_runs
    from keelway.promote import status_at
    from keelway.snapshot import snapshots

    when = moment or at.now()
    with at.state.snapshot() as tx:
        live = tuple(_live_lines(status_at(tx, when), tx))
        taken = [
            next((s for s in snapshots(item.name, tx) if s.taken_at <= when), None) for item in at.project.datasets
        ]
        runs = () if moment else tuple(f"run {run.run_id} of plan {run.plan}" for run in open_runs(tx))
        size = _size_at(moment, tx) if moment else tx.log.size()
    datasets = tuple(snapshot for snapshot in taken if snapshot is not None)
    return Status(at.settings.project.name, when, live, datasets, runs, size)


def _live_lines(standing: list[Standing], tx: Transaction) -> list[LiveLine]:
    """Join what each environment lets in with how its traffic is shared."""
    shared = {(place.environment, place.model): place for place in standing if place.pointer.startswith("deployment/")}
    return [
        _line(place, shared.get((place.environment, place.model)), tx)
        for place in standing
        if place.pointer.startswith("environment/")
    ]


def _line(place: Standing, shared: Standing | None, tx: Transaction) -> LiveLine:
    from keelway.deploy import Deployment
    from keelway.promote import Admission
    from keelway.register import ModelVersion

    decision = tx.get(Decision, f"{place.entry:012d}")
    admission = _by_role(Admission, "admission", place, tx)
    traffic = tx.by_digest(Deployment, shared.target).traffic if shared else {}
    return LiveLine(
        environment=place.environment,
        model=place.model,
        version=tx.by_digest(ModelVersion, place.target).name,
        since=place.since,
        by=place.by,
        entry=place.entry,
        traffic={str(name): share for name, share in traffic.items()},
        action=decision.action,
        comment=decision.comment,
        requested_by=_requested_by(admission, tx),
        approvals=_approvals(admission, tx),
        policy=decision.policy,
        rules=admission.verdict.rules if admission else (),
        evidence=place.evidence,
        traffic_since=shared.since if shared else None,
        traffic_entry=shared.entry if shared else None,
        unsafe_until=_unsafe_until(admission, tx),
    )


def _by_role(kind: type[Admission], role: str, place: Standing, tx: Transaction) -> Admission | None:
    try:
        return tx.by_digest(kind, place.evidence[role]) if role in place.evidence else None
    except MissingRecordError:
        return None


def _unsafe_until(admission: Admission | None, tx: Transaction) -> datetime | None:
    from keelway.promote import UnsafeSkipGate

    if admission is None or admission.unsafe is None:
        return None
    return tx.by_digest(UnsafeSkipGate, admission.unsafe).expires_at


def _requested_by(admission: Admission | None, tx: Transaction) -> str:
    from keelway.promote import PromotionRequest

    if admission is None or admission.request is None:
        return ""
    return tx.by_digest(PromotionRequest, admission.request).requested_by


def _approvals(admission: Admission | None, tx: Transaction) -> tuple[ApprovalLine, ...]:
    from keelway.promote import Approval

    if admission is None:
        return ()
    answers = [tx.by_digest(Approval, digest) for digest in admission.approvals]
    return tuple(
        ApprovalLine(answer.principal, answer.at, answer.comment, answer.on_behalf_of or "") for answer in answers
    )


def _size_at(moment: datetime, tx: Transaction) -> int:
    """Return how many entries the ledger had when its last entry up to a moment was written."""
    from keelway.ledger import decisions

    return max((index + 1 for index, decision in decisions(tx) if decision.at <= moment), default=0)
