"""Delegations: an approver lends their right to approve to somebody else, until a date.

Only an own right can be lent: what somebody was lent they cannot lend on, so chains and circles of delegations give
nobody anything. One right fills one seat, whoever uses it (see `seats`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from keelway.core import Action, Decision, PrincipalId, digest_of, time_text
from keelway.errors import MissingRecordError, RefusedError
from keelway.ledger import record_decision
from keelway.promote.approvals.moment import moment_of
from keelway.promote.record import APPROVER, Revocation

if TYPE_CHECKING:
    from keelway.core import Digest
    from keelway.identity import Directory, Principal
    from keelway.ledger.ports import StateStore, Transaction

APPROVING = (APPROVER, "risk-owner")
"""The roles whose right to approve can be lent."""


@dataclass(frozen=True, slots=True)
class Delegation:
    """An approver lends their right to another person.

    Attributes:
        delegation_id: `delegation/NUMBER`.
        lender: Whose right it is.
        delegate: Who may use it.
        until: The first moment at which it ends.
    """

    delegation_id: str
    lender: PrincipalId
    delegate: PrincipalId
    until: datetime
    at: datetime
    reason: str = ""


def delegate(
    to: PrincipalId,
    *,
    until: datetime,
    principal: Principal,
    directory: Directory,
    state: StateStore,
    now: datetime,
    reason: str = "",
) -> Delegation:
    """Lend one's own right to approve to another person; lending the same again returns the standing delegation.

    Raises:
        RefusedError: The lender has no right to lend, the other cannot take it, or the date is past; recorded.
    """
    with state.transaction() as tx:
        moment = moment_of(now, tx=tx)
        number = tx.count(Delegation) + 1
        lent = Delegation(f"delegation/{number}", principal.id, to, until, now, reason)
        reasons = _cannot_lend(lent, principal, directory, moment)
        for standing in () if reasons else lent_to(to, tx=tx, moment=moment):
            if (standing.lender, standing.until) == (lent.lender, until):
                return standing
        evidence = {} if reasons else {"delegation": tx.insert(lent.delegation_id, lent, parent=to, at=now)}
        comment = f"to {to} until {time_text(until)}" + (f": {reason}" if reason else "")
        record_decision(_told(Action.DELEGATE, lent, principal, evidence, reasons, now, comment), tx=tx)
    if reasons:
        raise RefusedError(
            f"{principal.id} cannot lend a right to {to}",
            reasons=reasons,
            fix="An approver lends their own right, to another person of keelway.toml, until a later date.",
        )
    return lent


def end_delegation(
    delegation_id: str, *, principal: Principal, state: StateStore, now: datetime, reason: str
) -> Revocation:
    """Take a delegation back, and with it the approvals that were given by it; twice is once.

    Raises:
        MissingRecordError: There is no such delegation.
        RefusedError: It is neither the lender nor an admin who asks; recorded.
    """
    with state.transaction() as tx:
        lent = tx.find(Delegation, delegation_id)
        if lent is None:
            raise MissingRecordError(
                f"There is no {delegation_id}", expected="delegation/NUMBER", fix="List them: keelway delegate --list"
            )
        known = revocation_of(digest_of(lent), tx=tx)
        if known is not None:
            return known
        reasons = _cannot_end(lent, principal)
        revocation = Revocation(digest_of(lent), principal.id, now, reason)
        evidence = {"delegation": revocation.what}
        if not reasons:
            evidence["revocation"] = tx.insert(revocation.what, revocation, parent=revocation.what, at=now)
        record_decision(_told(Action.REVOKE, lent, principal, evidence, reasons, now, reason), tx=tx)
    if reasons:
        raise RefusedError(
            f"{principal.id} cannot end {delegation_id}", reasons=reasons, fix="Ask its lender or an admin."
        )
    return revocation


def lent_to(name: PrincipalId, *, tx: Transaction, moment: datetime) -> list[Delegation]:
    """Return the delegations that somebody may use at a moment, by lender."""
    lent = [one for one in tx.newest(Delegation, parent=name) if one.at <= moment < one.until]
    return sorted((one for one in lent if revocation_of(digest_of(one), tx=tx) is None), key=lambda one: one.lender)


def delegations(*, tx: Transaction, moment: datetime) -> list[Delegation]:
    """Return every delegation that stands at a moment, newest first."""
    standing = [one for one in tx.newest(Delegation) if one.at <= moment < one.until]
    return [one for one in standing if revocation_of(digest_of(one), tx=tx) is None]


def revocation_of(what: Digest, *, tx: Transaction) -> Revocation | None:
    """Return by whom an approval or a delegation was revoked, or None."""
    return tx.find(Revocation, what)


def _cannot_lend(lent: Delegation, principal: Principal, directory: Directory, moment: datetime) -> tuple[str, ...]:
    reasons = []
    if not set(APPROVING) & set(principal.roles):
        reasons.append(f"{principal.id} has no right of their own to lend: none of {', '.join(APPROVING)}")
    taker = directory.find(lent.delegate)
    if taker is None or taker.disabled:
        reasons.append(f"{lent.delegate} is " + ("disabled" if taker else "not listed in keelway.toml"))
    elif taker.is_service:
        reasons.append(f"{lent.delegate} is a service principal: people approve")
    if lent.delegate == principal.id:
        reasons.append("nobody lends a right to themselves")
    if not lent.until > moment:
        reasons.append(f"{time_text(lent.until)} is past")
    return tuple(reasons)


def _cannot_end(lent: Delegation, principal: Principal) -> tuple[str, ...]:
    if principal.id == lent.lender or "admin" in principal.roles:
        return ()
    return (f"{principal.id} is neither {lent.lender}, who lent it, nor an admin",)


def _told(
    action: Action,
    lent: Delegation,
    principal: Principal,
    evidence: dict[str, Digest],
    reasons: tuple[str, ...],
    at: datetime,
    comment: str,
) -> Decision:
    return Decision(
        action=action,
        subject=str(lent.lender),
        allowed=not reasons,
        principal=principal.id,
        at=at,
        evidence=evidence,
        reasons=reasons,
        comment=comment,
    )
