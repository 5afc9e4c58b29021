"""Attaches evidence of people to controls that software cannot answer: the file is an artifact, the act a decision."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from keelway.core import Action, ArtifactKind, Decision, time_text
from keelway.errors import UsageError
from keelway.identity import on_record, require_role
from keelway.ledger import record_decision
from keelway.report.framework_files import control_of
from keelway.report.records import ControlAttachment

if TYPE_CHECKING:
    from keelway.core import ArtifactStore
    from keelway.identity import Principal
    from keelway.ledger import StateStore
    from keelway.report.records import Control, Framework

ATTACHERS = ("risk-owner", "approver", "auditor", "admin")


@dataclass(frozen=True, slots=True)
class DraftAttachment:
    """A file that is to be attached.

    Attributes:
        note: What it shows.
        valid_until: From when on it shows nothing any more; None for ever.
    """

    name: str
    data: bytes
    note: str = ""
    valid_until: datetime | None = None


def attach_evidence(
    framework: Framework,
    control_id: str,
    draft: DraftAttachment,
    *,
    principal: Principal,
    state: StateStore,
    artifacts: ArtifactStore,
    now: datetime,
) -> ControlAttachment:
    """Attach a file to a control; the same file with the same words again returns the first attachment.

    Raises:
        IdentityError: The principal may not attach.
        UsageError: There is no such control, it asks for nothing, the file is empty or valid no more.
    """
    subject = f"{framework.name}/{control_id}"
    with on_record(Action.CHECK, subject, principal=principal, state=state, now=now):
        require_role(principal, *ATTACHERS)
    _must_fit(control_of(framework, control_id), draft, now)
    file = artifacts.put(draft.data, kind=ArtifactKind.REPORT, name=draft.name).digest
    parent = f"{framework.name}/{control_id}"
    with state.transaction() as tx:
        for known in tx.newest(ControlAttachment, parent=parent):
            if (known.file, known.note, known.valid_until) == (file, draft.note, draft.valid_until):
                return known
        number = tx.count(ControlAttachment, parent=parent) + 1
        attached = ControlAttachment(
            framework.name, control_id, number, draft.name, file, draft.note, principal.id, now, draft.valid_until
        )
        digest = tx.insert(f"{parent}/{number}", attached, parent=parent, at=now)
        told = Decision(
            action=Action.CHECK,
            subject=parent,
            allowed=True,
            principal=principal.id,
            at=now,
            evidence={"attachment": digest, "file": file},
            comment=draft.note or f"attached {draft.name}",
        )
        record_decision(told, tx=tx)
    return attached


def _must_fit(control: Control, draft: DraftAttachment, now: datetime) -> None:
    if not control.attach:
        raise UsageError(
            f"{control.control_id} is answered by the ledger alone", expected="a control that asks to attach something"
        )
    if not draft.data:
        raise UsageError("The file is empty", expected="evidence", found=draft.name)
    if draft.valid_until is not None and draft.valid_until <= now:
        raise UsageError(
            "The evidence is valid no more",
            expected=f"a time after {time_text(now)}",
            found=time_text(draft.valid_until),
        )
