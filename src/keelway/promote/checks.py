"""What somebody measured of a version besides its evaluation: its speed, leaks in its data, training it again.

A check is bound to the version's digest and kept with its ledger entry; evidence holds the newest of each kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, get_args

from keelway.core import Action, Decision, Digest, PrincipalId, VersionName, digest_of, time_text
from keelway.ledger import record_decision

if TYPE_CHECKING:
    from keelway.identity import Principal
    from keelway.ledger.ports import StateStore, Transaction
    from keelway.register import ModelVersion

MeasuredKind = Literal["latency", "leakage", "reproduction"]
CheckKind = Literal["latency", "leakage", "reproduction", "model_signing"]
CHECK_KINDS: tuple[MeasuredKind, ...] = get_args(MeasuredKind)
"""What is measured of a version; an exported model's signature is kept as a check too, and read with the signature."""
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class VersionCheck:
    """What one check found of a version.

    Attributes:
        version_digest: Digest of the ModelVersion.
        number: Counts the checks of a kind of the version from 1.
        figures: What was found, plain values by name.
    """

    version: VersionName
    version_digest: Digest
    kind: CheckKind
    number: int
    figures: dict[str, Any]
    checked_by: PrincipalId
    checked_at: datetime


def record_check(
    version: ModelVersion,
    kind: CheckKind,
    figures: dict[str, Any],
    *,
    principal: Principal,
    state: StateStore,
    now: datetime,
) -> VersionCheck:
    """Keep what a check found, with its ledger entry."""
    with state.transaction() as tx:
        parent = _parent(version.name, kind)
        check = VersionCheck(
            version=version.name,
            version_digest=digest_of(version),
            kind=kind,
            number=tx.count(VersionCheck, parent=parent) + 1,
            figures=figures,
            checked_by=principal.id,
            checked_at=now,
        )
        digest = tx.insert(f"{parent}/{check.number}", check, parent=parent, at=now)
        decision = Decision(
            action=Action.CHECK,
            subject=version.name,
            allowed=True,
            principal=principal.id,
            at=now,
            evidence={"check": digest, "version": check.version_digest},
            comment=kind,
        )
        record_decision(decision, tx=tx)
    return check


def checks_evidence(version: ModelVersion, *, tx: Transaction, now: datetime) -> dict[str, Any]:
    """Return what a policy reads of checks: the newest of each kind; null for one that nobody made."""
    found: dict[str, Any] = {}
    for kind in CHECK_KINDS:
        newest = newest_check(version, kind, tx=tx)
        found[kind] = None if newest is None else {**newest.figures, **told_of(newest, now=now)}
    return found


def newest_check(version: ModelVersion, kind: CheckKind, *, tx: Transaction) -> VersionCheck | None:
    """Return the newest check of a kind of exactly this version, or None."""
    newest = next(iter(tx.newest(VersionCheck, parent=_parent(version.name, kind), limit=1)), None)
    return newest if newest is not None and newest.version_digest == digest_of(version) else None


def told_of(check: VersionCheck, *, now: datetime) -> dict[str, Any]:
    """Return when and by whom a check was made, as evidence tells it."""
    return {
        "at": time_text(check.checked_at),
        "age_days": round((now - check.checked_at).total_seconds() / _DAY_S, 3),
        "by": check.checked_by,
        "check": digest_of(check),
    }


def _parent(version: str, kind: CheckKind) -> str:
    return f"{version}/{kind}"
