"""The records of a compliance report: links to evidence, what finders found, answers to controls, attachments."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from keelway.core import Digest, PrincipalId

AnswerStatus = Literal["met", "partly", "gap", "not applicable"]
NOT_APPLICABLE: AnswerStatus = "not applicable"
ORDER: tuple[AnswerStatus, ...] = ("met", "partly", "gap")
"""From the best to the worst."""


@dataclass(frozen=True, slots=True)
class EvidenceLink:
    """Where evidence stands.

    Attributes:
        entry: The number of the ledger entry.
        decision: Digest of the decision's record.
        records: Digests of the records that the decision rests on, by role.
    """

    entry: int
    decision: Digest
    action: str
    subject: str
    principal: PrincipalId
    at: datetime
    allowed: bool
    records: dict[str, Digest]


@dataclass(frozen=True, slots=True)
class Point:
    """One thing that a finder looked at, as a sentence without a full stop, and the entries that show it."""

    status: AnswerStatus
    text: str
    entries: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class FoundEvidence:
    """What one finder found.

    Attributes:
        finder: Its name.
        status: The worst of its points.
        points: What it looked at, the worst first.
    """

    finder: str
    status: AnswerStatus
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class ControlAttachment:
    """Evidence that a person attached to a control that software cannot answer.

    Attributes:
        file: Digest of the file, an artifact.
        note: What it shows.
        valid_until: From when on it shows nothing any more; None for ever.
    """

    framework: str
    control: str
    number: int
    name: str
    file: Digest
    note: str
    attached_by: PrincipalId
    attached_at: datetime
    valid_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Control:
    """One question of a framework, in our own words.

    Attributes:
        control_id: What it is called in commands, such as `art-14`.
        reference: Where the framework asks it.
        finders: The evidence finders that answer it.
        attach: What a person has to attach, where software cannot answer it, or not alone; empty otherwise.
        applies: When it does: `always`, `high_risk`, `personal_data`, `health_data`.
    """

    control_id: str
    reference: str
    title: str
    finders: tuple[str, ...] = ()
    attach: str = ""
    applies: str = "always"

    @property
    def organisational(self) -> bool:
        """Whether software has no part in the answer."""
        return not self.finders


@dataclass(frozen=True, slots=True)
class Framework:
    """The controls of a law or standard.

    Attributes:
        digest: Digest of the file they were read from.
    """

    name: str
    title: str
    source: str
    controls: tuple[Control, ...]
    digest: Digest


@dataclass(frozen=True, slots=True)
class ControlAnswer:
    """How far a control is answered.

    Attributes:
        reason: Why it has its status, as a sentence without a full stop.
        found: What the finders found, in the order of the control.
        attachments: What people attached, the newest first.
        links: Every entry that is evidence, by number.
    """

    control: Control
    status: AnswerStatus
    reason: str
    found: tuple[FoundEvidence, ...]
    attachments: tuple[ControlAttachment, ...]
    links: tuple[EvidenceLink, ...]


@dataclass(frozen=True, slots=True)
class ComplianceReport:
    """How far the controls of a framework are answered by the ledger as it was at a time.

    Attributes:
        at: Nothing that was recorded later is read.
        ledger_size: How many entries were read.
        ledger_root: The root of the Merkle tree over them, in hexadecimal.
        counts: How many controls have each status.
    """

    project: str
    framework: str
    title: str
    source: str
    framework_digest: Digest
    at: datetime
    ledger_size: int
    ledger_root: str
    models: tuple[str, ...]
    counts: dict[AnswerStatus, int]
    answers: tuple[ControlAnswer, ...]
