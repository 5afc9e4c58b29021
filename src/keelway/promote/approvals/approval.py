"""Approvals: who may answer a request, in whose name, and how an answer is taken back.

An approval binds the version's digest, the environment, the policy's digest and the checklist's answers. Author,
trainer and requester never approve their own, nor does anybody with a right that one of them lent. Every answer, also
a refused one, is a line of the ledger.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from keelway.core import Action, Decision, PrincipalId, digest_of
from keelway.errors import MissingRecordError, RefusedError
from keelway.ledger import record_decision
from keelway.promote.approvals.checklist import checklist_digest, checklist_of
from keelway.promote.approvals.counting import answers, approving_roles, counted_answers, involved, roles_today
from keelway.promote.approvals.delegation import lent_to, revocation_of
from keelway.promote.approvals.moment import moment_of
from keelway.promote.approvals.request import must_say_why, nobody_asked, open_request
from keelway.promote.record import Approval, Revocation

if TYPE_CHECKING:
    from keelway.core import Digest
    from keelway.identity import Principal
    from keelway.ledger.ports import StateStore, Transaction
    from keelway.promote.record import EnvironmentRules, PromotionRequest
    from keelway.register import ModelVersion


@dataclass(frozen=True, slots=True)
class _Right:
    """The right that somebody answers with: their own, or one that was lent to them."""

    owner: PrincipalId
    roles: tuple[str, ...]
    delegation: Digest | None = None


def approve(
    version: ModelVersion,
    *,
    environment: EnvironmentRules,
    principal: Principal,
    state: StateStore,
    now: datetime,
    comment: str = "",
    on_behalf_of: PrincipalId | None = None,
    break_glass: bool = False,
) -> Approval:
    """Approve the open request for a version; approving again returns the approval while it counts.

    Args:
        on_behalf_of: Whose lent right to use; None takes one's own, or else the first that was lent.
        break_glass: Approve the request for a way past the gate.

    Raises:
        MissingRecordError: Nobody asked for this version, in this environment, under this policy.
        RefusedError: The principal may not approve this; recorded in the ledger.
    """
    return _answer(version, True, environment, principal, state, now, comment, on_behalf_of, break_glass)


def reject(
    version: ModelVersion,
    *,
    environment: EnvironmentRules,
    principal: Principal,
    state: StateStore,
    now: datetime,
    comment: str,
    on_behalf_of: PrincipalId | None = None,
    break_glass: bool = False,
) -> Approval:
    """Reject the open request for a version; it stands in the way until the same principal approves or revokes it.

    Raises:
        UsageError: No reason is given.
        MissingRecordError: Nobody asked for this version, in this environment, under this policy.
        RefusedError: The principal may not answer this request; recorded in the ledger.
    """
    must_say_why(comment, "A rejection needs a reason")
    return _answer(version, False, environment, principal, state, now, comment, on_behalf_of, break_glass)


def revoke_answer(
    version: ModelVersion,
    *,
    environment: EnvironmentRules,
    principal: Principal,
    state: StateStore,
    now: datetime,
    reason: str,
    given_by: PrincipalId | None = None,
    break_glass: bool = False,
) -> Revocation:
    """Take an answer to the open request back; who gave it may, whose right it was, and an admin.

    Args:
        given_by: Whose answer; None for one's own.

    Raises:
        UsageError: No reason is given.
        MissingRecordError: There is no such answer.
        RefusedError: The principal may not revoke it; recorded in the ledger.
    """
    must_say_why(reason, "A revocation needs a reason")
    with state.transaction() as tx:
        request = open_request(version, environment=environment, tx=tx, break_glass=break_glass)
        if request is None:
            raise nobody_asked(version, environment, break_glass=break_glass)
        answer = _given(request, given_by or principal.id, tx)
        known = revocation_of(digest_of(answer), tx=tx)
        if known is not None:
            return known
        reasons = _cannot_revoke(answer, principal)
        revocation = Revocation(digest_of(answer), principal.id, now, reason)
        evidence = {"approval": revocation.what, "version": answer.version_digest}
        if not reasons:
            evidence["revocation"] = tx.insert(revocation.what, revocation, parent=revocation.what, at=now)
        record_decision(_told(Action.REVOKE, version, answer, principal.id, now, evidence, reasons, reason), tx=tx)
    if reasons:
        raise RefusedError(
            f"{principal.id} cannot revoke it", reasons=reasons, fix="Ask who gave the answer, or an admin."
        )
    return revocation


def _answer(
    version: ModelVersion,
    approved: bool,
    environment: EnvironmentRules,
    principal: Principal,
    state: StateStore,
    now: datetime,
    comment: str,
    on_behalf_of: PrincipalId | None,
    break_glass: bool,
) -> Approval:
    """Record an answer, or record why it was refused and then refuse."""
    with state.transaction() as tx:
        request = open_request(version, environment=environment, tx=tx, break_glass=break_glass)
        if request is None:
            raise nobody_asked(version, environment, break_glass=break_glass)
        moment = moment_of(now, tx=tx)
        right, reasons = _right(version, request, environment, principal, on_behalf_of, moment, tx)
        checklist = None if break_glass else checklist_of(version, environment=environment, tx=tx)
        if approved and checklist is not None and checklist.missing:
            reasons += (f"the checklist lacks: {'; '.join(checklist.missing)}",)
        bound = checklist_digest(checklist) if checklist is not None else None
        answer = _bound(request, approved, principal, right, bound, now, comment)
        before = None if reasons else _standing(version, request, answer, environment, moment, tx)
        if before is not None:
            return before
        evidence = {"request": answer.request, "version": request.version_digest}
        if not reasons:
            number = tx.count(Approval, parent=answer.request) + 1
            evidence["approval"] = tx.insert(f"{answer.request}/{number}", answer, parent=answer.request, at=now)
        action = Action.APPROVE if approved else Action.REJECT
        record_decision(_told(action, version, answer, principal.id, now, evidence, reasons, comment), tx=tx)
    if reasons:
        raise RefusedError(
            f"{principal.id} cannot answer the request for {version.name}",
            reasons=reasons,
            fix="See what is missing: keelway requests; an approver without a part in the version answers.",
        )
    return answer


def _right(
    version: ModelVersion,
    request: PromotionRequest,
    environment: EnvironmentRules,
    principal: Principal,
    on_behalf_of: PrincipalId | None,
    moment: datetime,
    tx: Transaction,
) -> tuple[_Right, tuple[str, ...]]:
    """Return the right that somebody answers with, and why they may not answer at all."""
    part = involved(version, request.environment, tx=tx)
    allowed = approving_roles(environment)
    own = _Right(principal.id, principal.roles)
    reasons = []
    if principal.is_service:
        reasons.append(f"{principal.id} is a service principal: people approve")
    if principal.id in part:
        reasons.append(f"{principal.id} is the {part[principal.id]} and cannot approve or reject it")
    if on_behalf_of is None and set(allowed) & set(principal.roles):
        return own, tuple(reasons)
    lent = [
        _Right(one.lender, roles_today(one.lender, environment, given=allowed), digest_of(one))
        for one in lent_to(principal.id, tx=tx, moment=moment)
        if on_behalf_of in (None, one.lender)
    ]
    useful = [one for one in lent if set(allowed) & set(one.roles)]
    free = [one for one in useful if one.owner not in part]
    if not free:
        owners = [f"{one.owner} is the {part[one.owner]}, and so may nobody use their right" for one in useful]
        whose = f" of {on_behalf_of}" if on_behalf_of else ""
        missing = f"{principal.id} has no role of {', '.join(allowed)}, and no right{whose} was lent to them"
        reasons += owners or [missing]
    return (free or useful or [own])[0], tuple(reasons)


def _standing(
    version: ModelVersion,
    request: PromotionRequest,
    answer: Approval,
    environment: EnvironmentRules,
    moment: datetime,
    tx: Transaction,
) -> Approval | None:
    """Return the same answer where it was given before and still counts."""
    counted = counted_answers(version, request, environment=environment, tx=tx, moment=moment)
    wanted = (answer.principal, answer.approved, answer.right_of)
    return next(
        (
            one.answer
            for one in counted
            if not one.void and (one.answer.principal, one.answer.approved, one.answer.right_of) == wanted
        ),
        None,
    )


def _cannot_revoke(answer: Approval, principal: Principal) -> tuple[str, ...]:
    if principal.id in (answer.principal, answer.right_of) or "admin" in principal.roles:
        return ()
    return (f"{principal.id} is neither {answer.principal}, who gave it, nor an admin",)


def _given(request: PromotionRequest, name: PrincipalId, tx: Transaction) -> Approval:
    found = next((one for one in answers(request, tx=tx) if one.principal == name), None)
    if found is None:
        raise MissingRecordError(
            f"{name} did not answer {request.request_id}",
            expected="an answer to revoke",
            found=", ".join(one.principal for one in answers(request, tx=tx)) or "no answer at all",
        )
    return found


def _bound(
    request: PromotionRequest,
    approved: bool,
    principal: Principal,
    right: _Right,
    checklist: Digest | None,
    now: datetime,
    comment: str,
) -> Approval:
    """Return an answer that is bound to what was asked: version, environment, policy and checklist."""
    return Approval(
        digest_of(request),
        request.version_digest,
        request.environment,
        request.policy_digest,
        principal.id,
        approved,
        now,
        comment,
        roles=right.roles,
        on_behalf_of=None if right.owner == principal.id else right.owner,
        delegation=right.delegation,
        checklist=checklist,
    )


def _told(
    action: Action,
    version: ModelVersion,
    answer: Approval,
    principal: PrincipalId,
    at: datetime,
    evidence: dict[str, Digest],
    reasons: tuple[str, ...],
    comment: str,
) -> Decision:
    lent = {"delegation": answer.delegation} if answer.delegation and not reasons else {}
    return Decision(
        action=action,
        subject=version.name,
        allowed=not reasons,
        principal=principal,
        at=at,
        evidence={**evidence, **lent},
        reasons=reasons,
        policy=answer.policy_digest,
        environment=answer.environment,
        comment=comment,
    )
