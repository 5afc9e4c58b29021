"""The end of a version's life: deprecated, when a better one should be used; retired, when it may not be used any more.

A deprecated version goes on working, and says what to use instead. A retired one cannot be promoted or deployed again, is
never taken out of that state, and its bytes may be collected after the time that the settings give. What is live somewhere
cannot be retired: take it out of use first. Records and decisions of a version are kept for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from keelway.core import Action, Decision, Digest, PrincipalId, VersionName, digest_of, parse_json, plain
from keelway.errors import RefusedError, UsageError
from keelway.identity import Principal, on_record, require_role
from keelway.ledger import StateStore, Transaction, record_decision
from keelway.register.records import ModelVersion

LifeState = Literal["active", "deprecated", "retired"]
ROLES: dict[Action, tuple[str, ...]] = {
    Action.DEPRECATE: ("data-scientist", "approver", "admin"),
    Action.RETIRE: ("approver", "admin"),
}
_STATES: dict[Action, LifeState] = {Action.DEPRECATE: "deprecated", Action.RETIRE: "retired"}
_PLACES = ("environment/", "deployment/")


@dataclass(frozen=True, slots=True)
class LifecycleChange:
    """A version was deprecated or retired.

    Attributes:
        version_digest: Digest of the ModelVersion.
        reason: Why, as whoever did it wrote.
        successor: The version to use instead, or None.
    """

    version: VersionName
    version_digest: Digest
    state: LifeState
    reason: str
    successor: VersionName | None
    principal: PrincipalId
    at: datetime


def change_life(
    version: ModelVersion,
    action: Action,
    *,
    reason: str,
    successor: str = "",
    principal: Principal,
    state: StateStore,
    now: datetime,
) -> LifecycleChange:
    """Deprecate or retire a version; what it is already, with the same words, is returned as it is.

    Args:
        action: `DEPRECATE` or `RETIRE`.

    Raises:
        UsageError: There is no reason given, or no such action.
        RefusedError: It is live, retired already, or succeeded by itself or a retired one; the refusal is in the ledger.
        IdentityError: The principal has none of the roles.
        MissingRecordError: There is no such successor.
    """
    from keelway.register.load import version_named

    if action not in _STATES:
        raise UsageError("This changes no life", expected="deprecate or retire", found=str(action))
    if not reason.strip():
        raise UsageError(
            "Nobody says why", expected="--reason TEXT", found="nothing", fix="Say why; it is kept for ever."
        )
    with on_record(action, version.name, principal=principal, state=state, now=now):
        require_role(principal, *ROLES[action])
    with state.transaction() as tx:
        follower = version_named(successor, tx=tx) if successor else None
        change = LifecycleChange(
            version=version.name,
            version_digest=digest_of(version),
            state=_STATES[action],
            reason=reason.strip(),
            successor=follower.name if follower else None,
            principal=principal.id,
            at=now,
        )
        before = life_of(version.name, tx=tx)
        if before is not None and _same(before, change):
            return before
        reasons = _reasons(version, change, before, follower, tx)
        _record(change, action, follower, reasons, tx)
    if reasons:
        raise RefusedError(
            f"{version.name} may not be {change.state}",
            reasons=reasons,
            fix="Name a successor that is not retired, and take the version out of use first: promote or deploy another "
            "where it is live.",
        )
    return change


def _record(
    change: LifecycleChange,
    action: Action,
    follower: ModelVersion | None,
    reasons: tuple[str, ...],
    tx: Transaction,
) -> None:
    """Write a change with its decision, or the refusal alone."""
    named = {"version": change.version_digest}
    if follower is not None:
        named["successor"] = digest_of(follower)
    if not reasons:
        number = tx.count(LifecycleChange, parent=change.version) + 1
        named["change"] = tx.insert(f"{change.version}/{number}", change, parent=change.version, at=change.at)
    decision = Decision(
        action=action,
        subject=change.version,
        allowed=not reasons,
        principal=change.principal,
        at=change.at,
        evidence=named,
        reasons=reasons,
        comment=change.reason,
    )
    record_decision(decision, tx=tx)


def life_of(version: str, *, tx: Transaction) -> LifecycleChange | None:
    """Return the last change of a version's life, or None for one that is active."""
    number = tx.count(LifecycleChange, parent=version)  # in the order of the ledger, whatever the clocks said
    return tx.get(LifecycleChange, f"{version}/{number}") if number else None


def life_evidence(version: ModelVersion, *, tx: Transaction) -> dict[str, Any]:
    """Return what a policy reads of a version's life."""
    change = life_of(version.name, tx=tx)
    if change is None:
        return {"state": "active", "reason": None, "successor": None}
    return {"state": change.state, "reason": change.reason, "successor": change.successor}


def retired_reasons(version: ModelVersion, *, tx: Transaction) -> tuple[str, ...]:
    """Return why a version may not come into use any more; nothing for one that is not retired."""
    change = life_of(version.name, tx=tx)
    if change is None or change.state != "retired":
        return ()
    instead = f"; use {change.successor}" if change.successor else ""
    return (f"{version.name} was retired by {change.principal}: {change.reason}{instead}",)


def live_places(version: ModelVersion, *, tx: Transaction) -> tuple[str, ...]:
    """Return where a version is live: environments whose pointer holds it, and deployments that send it traffic."""
    digest, found = digest_of(version), []
    for pointer in (each for prefix in _PLACES for each in tx.pointers(prefix=prefix)):
        kind, environment, _ = pointer.name.split("/", 2)
        stored = tx.text_of(pointer.target) if kind == "deployment" else None
        traffic = parse_json(stored[1].encode()).get("traffic", {}) if stored else {}
        if pointer.target == digest:
            found.append(f"admitted to {environment}")
        elif version.name in traffic:
            found.append(f"answering in {environment} ({traffic[version.name]} %)")
    return tuple(found)


def _same(before: LifecycleChange, change: LifecycleChange) -> bool:
    told = ("state", "reason", "successor")
    return all(plain(before)[name] == plain(change)[name] for name in told)


def _reasons(
    version: ModelVersion,
    change: LifecycleChange,
    before: LifecycleChange | None,
    follower: ModelVersion | None,
    tx: Transaction,
) -> tuple[str, ...]:
    """Return everything that speaks against a change."""
    reasons = []
    if before is not None and before.state == "retired":
        reasons.append(f"it was retired by {before.principal}, and that is final")
    if change.state == "retired":
        reasons += [f"it is {place}" for place in live_places(version, tx=tx)]
    if follower is not None:
        if follower.name == version.name:
            reasons.append("it cannot succeed itself")
        elif retired_reasons(follower, tx=tx):
            reasons.append(f"its successor {follower.name} is retired")
    return tuple(reasons)
