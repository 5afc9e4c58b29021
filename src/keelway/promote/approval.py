"""Requests and approvals: who may answer, and what an answer is worth.

An approval binds the version's digest, the environment and the policy's digest. Author, trainer and requester never
approve their own. Every answer, also a refused one, is a line of the ledger.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from keelway.core import Action, Decision, digest_of
from keelway.errors import IdentityError, MissingRecordError, RefusedError
from keelway.identity import require_role
from keelway.ledger import record_decision
from keelway.promote.evidence import trainer_of
from keelway.promote.policy import store_policy
from keelway.promote.record import Approval, PromotionRequest, door

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
) -> PromotionRequest:
    """Ask for a version to be let into an environment; asking the same again returns the standing request.

    Raises:
        IdentityError: The principal may not ask.
    """
    require_role(principal, *REQUESTERS)
    policy = store_policy(environment.policy, artifacts=artifacts)
    with state.transaction() as tx:
        standing = open_request(version, environment=environment, tx=tx)
        if standing is not None and standing.requested_by == principal.id:
            return standing
        parent = door(environment.name, version.name)
        request = PromotionRequest(
            request_id=f"{parent}/{tx.count(PromotionRequest, parent=parent) + 1}",
            version=version.name,
            version_digest=digest_of(version),
            environment=environment.name,
            policy_digest=policy,
            requested_by=principal.id,
            at=now,
            comment=comment,
        )
        digest = tx.insert(request.request_id, request, parent=parent, at=now)
        record_decision(_asked(request, digest), tx=tx)
    return request


def approve(
    version: ModelVersion,
    *,
    environment: EnvironmentRules,
    principal: Principal,
    state: StateStore,
    now: datetime,
    comment: str = "",
) -> Approval:
    """Approve the standing request for a version; approving again returns the same approval.

    Raises:
        MissingRecordError: Nobody asked for this version, in this environment, under this policy.
        RefusedError: The principal may not approve this; recorded in the ledger.
    """
    return _answer(version, True, environment, principal, state, now, comment)


def reject(
    version: ModelVersion,
    *,
    environment: EnvironmentRules,
    principal: Principal,
    state: StateStore,
    now: datetime,
    comment: str = "",
) -> Approval:
    """Reject the standing request for a version; it stands in the way until the same principal approves.

    Raises:
        MissingRecordError: Nobody asked for this version, in this environment, under this policy.
        RefusedError: The principal may not answer this request; recorded in the ledger.
    """
    return _answer(version, False, environment, principal, state, now, comment)


def open_request(version: ModelVersion, *, environment: EnvironmentRules, tx: Transaction) -> PromotionRequest | None:
    """Return the newest request for exactly this version under exactly this policy, or None."""
    wanted = (digest_of(version), environment.name, digest_of(environment.policy))
    requests = tx.newest(PromotionRequest, parent=door(environment.name, version.name))
    return next((one for one in requests if (one.version_digest, one.environment, one.policy_digest) == wanted), None)


def answers(request: PromotionRequest, *, tx: Transaction) -> list[Approval]:
    """Return the last answer of every approver to a request, by principal."""
    last: dict[str, Approval] = {}
    for approval in reversed(tx.newest(Approval, parent=digest_of(request))):
        last[approval.principal] = approval
    return [last[name] for name in sorted(last)]


def valid_answers(version: ModelVersion, request: PromotionRequest, *, tx: Transaction) -> list[Approval]:
    """Return the answers that count: bound to this version, environment and policy, by somebody without a part in it."""
    bound = (digest_of(version), request.environment, request.policy_digest)
    involved = _involved(version, request, tx)
    return [
        answer
        for answer in answers(request, tx=tx)
        if (answer.version_digest, answer.environment, answer.policy_digest) == bound
        and answer.principal not in involved
    ]


def _asked(request: PromotionRequest, digest: Digest) -> Decision:
    """Return what the ledger says of a request."""
    return Decision(
        action=Action.REQUEST,
        subject=request.version,
        allowed=True,
        principal=request.requested_by,
        at=request.at,
        evidence={"request": digest, "version": request.version_digest},
        policy=request.policy_digest,
        environment=request.environment,
        comment=request.comment,
    )


def _involved(version: ModelVersion, request: PromotionRequest, tx: Transaction) -> dict[str, str]:
    """Return who may not approve, and as what they took part."""
    roles = {request.requested_by: "requester", trainer_of(version, tx=tx): "trainer", version.author: "author"}
    return {name: role for name, role in roles.items() if name}


def _answer(
    version: ModelVersion,
    approved: bool,
    environment: EnvironmentRules,
    principal: Principal,
    state: StateStore,
    now: datetime,
    comment: str,
) -> Approval:
    """Record an answer, or record why it was refused and then refuse."""
    with state.transaction() as tx:
        request = open_request(version, environment=environment, tx=tx)
        if request is None:
            raise _nobody_asked(version, environment)
        reasons = _may_not(version, request, principal, tx)
        answer = _bound(request, approved, principal, now, comment)
        before = next((one for one in answers(request, tx=tx) if one.principal == principal.id), None)
        if not reasons and before is not None and before.approved == approved:
            return before
        evidence = {"request": answer.request, "version": request.version_digest}
        if not reasons:
            evidence["approval"] = _insert(answer, tx)
        record_decision(_decision(version, answer, evidence, reasons), tx=tx)
    if reasons:
        raise RefusedError(
            f"{principal.id} cannot answer the request for {version.name}",
            reasons=reasons,
            fix="Ask an approver who has no part in this version.",
        )
    return answer


def _nobody_asked(version: ModelVersion, environment: EnvironmentRules) -> MissingRecordError:
    return MissingRecordError(
        f"Nobody asked for {version.name} in {environment.name} under the present policy",
        expected="an open request",
        found="none, or one for another policy or other bytes",
        fix=f"Ask for it first: `keelway request {version.name} --to {environment.name}`.",
    )


def _bound(request: PromotionRequest, approved: bool, principal: Principal, now: datetime, comment: str) -> Approval:
    """Return an answer that is bound to what was asked: version, environment and policy."""
    return Approval(
        digest_of(request),
        request.version_digest,
        request.environment,
        request.policy_digest,
        principal.id,
        approved,
        now,
        comment,
    )


def _may_not(
    version: ModelVersion, request: PromotionRequest, principal: Principal, tx: Transaction
) -> tuple[str, ...]:
    reasons = []
    try:
        require_role(principal, "approver")
    except IdentityError as error:
        reasons.append(str(error))
    part = _involved(version, request, tx).get(principal.id)
    if part:
        reasons.append(f"{principal.id} is the {part} and cannot approve or reject it")
    return tuple(reasons)


def _insert(answer: Approval, tx: Transaction) -> Digest:
    number = tx.count(Approval, parent=answer.request) + 1
    return tx.insert(f"{answer.request}/{number}", answer, parent=answer.request, at=answer.at)


def _decision(
    version: ModelVersion, answer: Approval, evidence: dict[str, Digest], reasons: tuple[str, ...]
) -> Decision:
    return Decision(
        action=Action.APPROVE if answer.approved else Action.REJECT,
        subject=version.name,
        allowed=not reasons,
        principal=answer.principal,
        at=answer.at,
        evidence=evidence,
        reasons=reasons,
        policy=answer.policy_digest,
        environment=answer.environment,
        comment=answer.comment,
    )
