"""Decision: a signed entry in the ledger that says who let what happen, on what evidence."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from keelway.core.digest import Digest
from keelway.core.ids import PrincipalId


class Action(StrEnum):
    """What a decision is about."""

    INGEST = "ingest"
    QUARANTINE = "quarantine"
    RELEASE = "release"
    DISCARD = "discard"
    CONTRACT = "contract"
    SNAPSHOT = "snapshot"
    TAG = "tag"
    COMPACT = "compact"
    VACUUM = "vacuum"
    ERASE = "erase"
    RUN = "run"
    STEP = "step"
    REGISTER = "register"
    REQUEST = "request"
    APPROVE = "approve"
    REJECT = "reject"
    WITHDRAW = "withdraw"
    DELEGATE = "delegate"
    REVOKE = "revoke"
    CHECK = "check"
    SKIP_GATE = "skip_gate"
    PROMOTE = "promote"
    DEPLOY = "deploy"
    ROLLBACK = "rollback"
    DEPRECATE = "deprecate"
    RETIRE = "retire"
    COLLECT = "collect"
    ASSESS = "assess"
    INCIDENT = "incident"
    DRILL = "drill"
    ROTATE_KEY = "rotate_key"
    LOG_PREDICTIONS = "log_predictions"
    LOG_OUTCOMES = "log_outcomes"
    MONITOR = "monitor"
    ALERT = "alert"
    RETRAIN = "retrain"


@dataclass(frozen=True, slots=True)
class PointerMove:
    """One named pointer and the digests it moved between (`before` is None for a new pointer)."""

    name: str
    before: Digest | None
    after: Digest


@dataclass(frozen=True, slots=True)
class Decision:
    """One line of the ledger.

    Attributes:
        action: What was decided about.
        subject: The thing, by the name people use: `churn:3`, `transactions`, a run id.
        allowed: The verdict; a refusal is recorded just as well.
        reasons: Why it was refused, or empty.
        evidence: Digests of the records the decision rests on, by role. Includes the record of the subject.
        policy: Digest of the policy that judged, or None where no policy is asked.
        principal: Who acted.
        moves: The pointers that moved in the same transaction.
        at: When, in UTC.
        comment: What the principal wrote.
    """

    action: Action
    subject: str
    allowed: bool
    principal: PrincipalId
    at: datetime
    evidence: dict[str, Digest] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    policy: Digest | None = None
    environment: str = ""
    moves: tuple[PointerMove, ...] = ()
    comment: str = ""
