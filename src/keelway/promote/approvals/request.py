"""Requests: somebody asks for a version to be let into an environment, and may take that back.

A request is open until the version was let in by it, or it was withdrawn; answers to a closed request are worth
nothing, so an approval cannot be used a second time.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from keelway.core import Action, Decision, PrincipalId, digest_of
from keelway.errors import MissingRecordError, RefusedError, UsageError
from keelway.identity import on_record, require_role
from keelway.ledger import record_decision
from keelway.promote.lately import last_first
from keelway.promote.policy import store_policy
from keelway.promote.record import PromotionRequest, RequestUse, Withdrawal, door

if TYPE_CHECKING:
    from keelway.core import ArtifactStore, Digest
    from keelway.identity import Principal
    from keelway.ledger.ports import StateStore, Transaction
    from keelway.promote.record import EnvironmentRules
    from keelway.register import ModelVersion

REQUESTERS = ("data-scientist", "deployer", "admin")


def request_promotion(
    version: ModelVersion,
    *,
    environment: EnvironmentRules,
    principal: Principal,
    state: StateStore,
    artifacts: ArtifactStore,
    now: datetime,
    comment: str = "",
    break_glass: bool = False,
) -> PromotionRequest:
    """Ask for a version to be let into an environment; while a request is open, asking again returns it.

    Args:
        break_glass: Ask for a way past the gate, which needs a reason and two approvers.

    Raises:
        IdentityError: The principal may not ask.
        RefusedError: The version is retired; recorded.
        UsageError: It asks for a way past the gate and gives no reason.
    """
    from keelway.register import retired_reasons

    where = environment.name
    with on_record(Action.REQUEST, version.name, principal=principal, state=state, now=now, environment=where):
        require_role(principal, *REQUESTERS)
    if break_glass:
        must_say_why(comment, "A way past the gate needs a reason")
    policy = store_policy(environment.policy, artifacts=artifacts)
    with state.transaction() as tx:
        standing = open_request(version, environment=environment, tx=tx, break_glass=break_glass)
        if standing is not None:
            return standing
        parent = door(environment.name, version.name)
        request = PromotionRequest(
            f"{parent}/{tx.count(PromotionRequest, parent=parent) + 1}", version.name, digest_of(version),
            environment.name, policy, principal.id, now, comment, break_glass,
        )  # fmt: skip
        reasons = _asked(request, parent, retired_reasons(version, tx=tx), tx)
    if reasons:
        raise RefusedError(
            f"{version.name} cannot be asked for", reasons=reasons, fix="Ask for another one: keelway models"
        )
    return request


def _asked(request: PromotionRequest, parent: str, reasons: tuple[str, ...], tx: Transaction) -> tuple[str, ...]:
    """Write a request with its decision, or only why it is refused."""
    at = request.at
    named = {} if reasons else {"request": tx.insert(request.request_id, request, parent=parent, at=at)}
    told = _told(Action.REQUEST, request, request.requested_by, named, at, request.comment, reasons)
    record_decision(told, tx=tx)
    return reasons


def withdraw_request(
    version: ModelVersion,
    *,
    environment: EnvironmentRules,
    principal: Principal,
    state: StateStore,
    now: datetime,
    reason: str = "",
    break_glass: bool = False,
) -> Withdrawal:
    """Take the open request for a version back, and with it every answer to it.

    Raises:
        MissingRecordError: No request is open.
        RefusedError: It is neither the requester nor an admin who asks; recorded.
    """
    with state.transaction() as tx:
        request = open_request(version, environment=environment, tx=tx, break_glass=break_glass)
        if request is None:
            raise nobody_asked(version, environment, break_glass=break_glass)
        withdrawal = Withdrawal(digest_of(request), principal.id, now, reason)
        reasons: tuple[str, ...] = ()
        if principal.id != request.requested_by and "admin" not in principal.roles:
            reasons = (f"{principal.id} is neither {request.requested_by}, who asked for it, nor an admin",)
        evidence = {"request": withdrawal.request}
        if not reasons:
            evidence["withdrawal"] = tx.insert(withdrawal.request, withdrawal, parent=withdrawal.request, at=now)
        record_decision(_told(Action.WITHDRAW, request, principal.id, evidence, now, reason, reasons), tx=tx)
    if reasons:
        raise RefusedError(
            f"{principal.id} cannot withdraw {request.request_id}",
            reasons=reasons,
            fix="Ask the requester or an admin.",
        )
    return withdrawal


def open_request(
    version: ModelVersion, *, environment: EnvironmentRules, tx: Transaction, break_glass: bool = False
) -> PromotionRequest | None:
    """Return the open request for exactly this version under exactly this policy, or None."""
    wanted = (digest_of(version), environment.name, digest_of(environment.policy), break_glass)
    parent = door(environment.name, version.name)
    for one in last_first(PromotionRequest, parent=parent, tx=tx):
        fits = (one.version_digest, one.environment, one.policy_digest, one.break_glass) == wanted
        if fits:  # those before were closed before this one could be opened
            return None if was_used(one, tx=tx) or withdrawal_of(one, tx=tx) else one
    return None


def was_used(request: PromotionRequest, *, tx: Transaction) -> bool:
    """Say whether a version was let in by a request, which closes it."""
    return tx.find(RequestUse, digest_of(request)) is not None


def withdrawal_of(request: PromotionRequest, *, tx: Transaction) -> Withdrawal | None:
    """Return by whom a request was taken back, or None."""
    return tx.find(Withdrawal, digest_of(request))


def requesters(version: ModelVersion, environment: str, *, tx: Transaction) -> set[PrincipalId]:
    """Return everybody who ever asked for exactly this version in an environment."""
    digest = digest_of(version)
    asked = tx.newest(PromotionRequest, parent=door(environment, version.name))
    return {one.requested_by for one in asked if one.version_digest == digest}


def nobody_asked(
    version: ModelVersion, environment: EnvironmentRules, *, break_glass: bool = False
) -> MissingRecordError:
    """Return the error that no request is open."""
    past = " --break-glass --reason WHY" if break_glass else ""
    return MissingRecordError(
        f"Nobody asked for {version.name} in {environment.name} under the present policy",
        expected="an open request" + (" for a way past the gate" if break_glass else ""),
        found="none, or one for another policy or other bytes",
        fix=f"Ask for it first: `keelway promote {version.name} --to {environment.name} --request{past}`.",
    )


def must_say_why(reason: str, what: str) -> None:
    """Return when there is a reason.

    Raises:
        UsageError: It is empty.
    """
    if not reason.strip():
        raise UsageError(what, expected="a reason that people can read later", found="nothing", fix="Give --reason.")


def _told(
    action: Action,
    request: PromotionRequest,
    principal: PrincipalId,
    evidence: dict[str, Digest],
    at: datetime,
    comment: str,
    reasons: tuple[str, ...] = (),
) -> Decision:
    return Decision(
        action=action,
        subject=request.version,
        allowed=not reasons,
        principal=principal,
        at=at,
        evidence={**evidence, "version": request.version_digest},
        reasons=reasons,
        policy=request.policy_digest,
        environment=request.environment,
        comment=("break-glass: " if request.break_glass else "") + comment,
    )
