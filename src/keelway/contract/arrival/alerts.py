"""Alerts of the way in: something about a dataset's files left its bounds and somebody has to know.

An alert says what it is about (a due time, a batch), and is raised once for each such thing, however often it is
looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from keelway.core import Action, Decision, Digest, PrincipalId
from keelway.ledger import record_decision

if TYPE_CHECKING:
    from keelway.ledger.ports import StateStore, Transaction


class IngestAlertKind(StrEnum):
    """What is wrong."""

    VOLUME = "volume"
    """A delivery has far fewer or far more rows than usual."""
    STALE = "stale"
    """The youngest row is older than the contract promises."""
    MISSING = "missing"
    """No file came for a time that the schedule names."""
    CHANGED = "content changed"
    """Other bytes came under a name that was taken before."""
    STOPPED = "stopped again"
    """The contract stops the same batch again and again; nothing after it is loaded."""


@dataclass(frozen=True, slots=True)
class IngestAlert:
    """Something about a dataset's files left its bounds.

    Attributes:
        about: The due time, batch or moment it is about; each kind of alert is raised once for each.
        reasons: What was expected and found, as sentences.
        evidence: Digests of the records it rests on, by role.
    """

    dataset: str
    kind: IngestAlertKind
    about: str
    reasons: tuple[str, ...]
    evidence: dict[str, Digest]
    at: datetime


def raise_alerts(alerts: Sequence[IngestAlert], *, state: StateStore, actor: PrincipalId) -> tuple[IngestAlert, ...]:
    """Record alerts with their ledger entries, and return those that are new."""
    with state.snapshot() as tx:
        fresh = _not_raised(alerts, tx)
    if not fresh:
        return ()
    with state.transaction() as tx:
        return raise_in(fresh, tx=tx, actor=actor)


def raise_in(alerts: Sequence[IngestAlert], *, tx: Transaction, actor: PrincipalId) -> tuple[IngestAlert, ...]:
    """Record alerts in an open transaction, and return those that are new."""
    fresh = _not_raised(alerts, tx)
    for alert in fresh:
        digest = tx.insert(_key(alert), alert, parent=alert.dataset, at=alert.at)
        decision = Decision(
            action=Action.ALERT,
            subject=alert.dataset,
            allowed=True,
            principal=actor,
            at=alert.at,
            evidence={"alert": digest, **alert.evidence},
            comment=f"{alert.kind}: {'; '.join(alert.reasons)}",
        )
        record_decision(decision, tx=tx)
    return fresh


def ingest_alerts(dataset: str | None, tx: Transaction, *, limit: int | None = None) -> list[IngestAlert]:
    """Return the alerts of a dataset (of every one when None), newest first."""
    return tx.newest(IngestAlert, parent=dataset, limit=limit)


def _not_raised(alerts: Sequence[IngestAlert], tx: Transaction) -> tuple[IngestAlert, ...]:
    absent = tx.missing(IngestAlert, [_key(alert) for alert in alerts])
    return tuple(alert for alert in alerts if _key(alert) in absent)


def _key(alert: IngestAlert) -> str:
    return f"{alert.dataset}/{alert.kind}/{alert.about}"
