"""The one door to an environment: judge, count approvals, and move the pointer with its ledger entry.

A version gets in when its bytes and signature verify, the policy says yes, enough people without a part in it
approved, and somebody who may deploy asks. Otherwise every reason is recorded and told at once. The evidence is
stored first; then admission, pointer and decision happen in one transaction, or not at all.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from keelway.core import (
    Action,
    ArtifactKind,
    Decision,
    Digest,
    Evidence,
    PointerMove,
    PolicyEngine,
    Verdict,
    canonical_json,
    digest_of,
)
from keelway.errors import IdentityError, KeelwayError, RefusedError
from keelway.identity import require_role
from keelway.ledger import record_decision
from keelway.promote.approval import open_request, valid_answers
from keelway.promote.evidence import admitted, check_signature, gather_evidence
from keelway.promote.policy import store_policy
from keelway.promote.record import Admission, Approval, EnvironmentRules, PromotionRequest, door, environment_pointer

if TYPE_CHECKING:
    from keelway.core import ArtifactStore
    from keelway.identity import Principal
    from keelway.ledger import PublicKey
    from keelway.ledger.ports import StateStore, Transaction
    from keelway.register import ModelVersion
    from keelway.train import Tracker

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Case:
    """What was found out before the pointer may move."""

    evidence: Evidence
    verdict: Verdict
    reasons: tuple[str, ...]
    request: PromotionRequest | None
    approvals: tuple[Digest, ...]


def check_gate(
    version: ModelVersion,
    *,
    environment: EnvironmentRules,
    state: StateStore,
    artifacts: ArtifactStore,
    engine: PolicyEngine,
    public_key: PublicKey,
    now: datetime,
) -> Verdict:
    """Return what the environment's policy says about a version, changing nothing; approvals are not asked for."""
    signature = check_signature(version, artifacts=artifacts, public_key=public_key)
    with state.snapshot() as tx:
        evidence = gather_evidence(version, environment=environment.name, tx=tx, signature=signature, now=now)
    return engine.judge(environment.policy, evidence)


def promote(
    version: ModelVersion,
    *,
    environment: EnvironmentRules,
    principal: Principal,
    state: StateStore,
    artifacts: ArtifactStore,
    engine: PolicyEngine,
    public_key: PublicKey,
    tracker: Tracker,
    now: datetime,
    comment: str = "",
) -> Admission:
    """Let a version into an environment; when it is there already, return its admission.

    The tracker's alias is moved afterwards, at best effort: Keelway's pointer is what counts, `alias_drift` finds an
    alias that was left behind, and promoting again moves it.

    Raises:
        RefusedError: Policy, approvals, signature or principal say no; all reasons are told, and recorded.
        PointerMovedError: Somebody else promoted at the same moment; nothing was changed.
    """
    signature = check_signature(version, artifacts=artifacts, public_key=public_key)
    store_policy(environment.policy, artifacts=artifacts)
    reasons: tuple[str, ...] = ()
    with state.transaction() as tx:
        admission = _standing(version, environment.name, tx)
        if admission is None:
            evidence = gather_evidence(version, environment=environment.name, tx=tx, signature=signature, now=now)
            case = _case(version, environment, principal, engine, evidence, tx)
            name = f"evidence-{version.name}.json"
            stored = artifacts.put(canonical_json(evidence), kind=ArtifactKind.REPORT, name=name).digest
            reasons = case.reasons
            if reasons:
                record_decision(_decision(version, case, stored, principal, now, comment), tx=tx)
            else:
                admission = _let_in(version, case, stored, principal, now, comment, tx)
    if admission is None:
        raise RefusedError(
            f"{version.name} may not enter {environment.name}",
            reasons=reasons,
            fix="Mend what is named, or see what the gate says: keelway promote VERSION --to ENVIRONMENT --check",
        )
    _mirror(version, environment.name, tracker)
    return admission


def _standing(version: ModelVersion, environment: str, tx: Transaction) -> Admission | None:
    """Return the admission of a version that the environment's pointer already holds."""
    pointer = tx.pointer(environment_pointer(environment, version.model))
    if pointer is None or pointer.target != digest_of(version):
        return None
    return admitted(version, environment, tx)


def _case(
    version: ModelVersion,
    environment: EnvironmentRules,
    principal: Principal,
    engine: PolicyEngine,
    evidence: Evidence,
    tx: Transaction,
) -> _Case:
    """Ask everything and collect every reason against, in the order a reader would check."""
    reasons: list[str] = []
    try:
        require_role(principal, "deployer")
    except IdentityError as error:
        reasons.append(str(error))
    if environment.service_principal and not principal.is_service:
        reasons.append(f"{principal.id} is not a service principal, and only one may move {environment.name}")
    if not evidence["signature"]["verified"]:
        reasons.append(f"the signature does not verify: {evidence['signature']['reason']}")
    if environment.after and environment.after not in evidence["admissions"]:
        reasons.append(f"{version.name} was never admitted to {environment.after}, which comes first")
    verdict = engine.judge(environment.policy, evidence)
    reasons += verdict.reasons
    if not verdict.allowed and not verdict.reasons:
        reasons.append(f"the policy {environment.policy.name} refuses without a reason")
    if verdict.allowed and not verdict.rules:
        reasons.append(f"the policy {environment.policy.name} asked no rule: an empty gate lets nothing in")
    request = open_request(version, environment=environment, tx=tx)
    counted = valid_answers(version, request, tx=tx) if request else []
    reasons += _approval_reasons(environment, request, counted)
    approvals = tuple(digest_of(answer) for answer in counted if answer.approved)
    return _Case(evidence, verdict, tuple(reasons), request, approvals)


def _approval_reasons(
    environment: EnvironmentRules, request: PromotionRequest | None, counted: list[Approval]
) -> list[str]:
    """Say which approvals are missing and who stands in the way."""
    reasons = [f"{one.principal} rejected it: {one.comment or 'no comment'}" for one in counted if not one.approved]
    have = sum(one.approved for one in counted)
    if have < environment.approvals:
        state = "" if request else "; nobody has asked for it under this policy"
        reasons.append(f"it has {have} of {environment.approvals} approvals{state}")
    return reasons


def _let_in(
    version: ModelVersion,
    case: _Case,
    evidence: Digest,
    principal: Principal,
    now: datetime,
    comment: str,
    tx: Transaction,
) -> Admission:
    """Write admission, pointer and decision."""
    environment: str = case.evidence["environment"]
    digest = digest_of(version)
    admission = Admission(
        version=version.name,
        version_digest=digest,
        environment=environment,
        evidence=evidence,
        verdict=case.verdict,
        request=digest_of(case.request) if case.request else None,
        approvals=case.approvals,
        principal=principal.id,
        at=now,
    )
    parent = door(environment, version.name)
    tx.insert(f"{parent}/{tx.count(Admission, parent=parent) + 1}", admission, parent=parent, at=now)
    name = environment_pointer(environment, version.model)
    before = tx.pointer(name)
    tx.move(name, before=before.target if before else None, after=digest, at=now)
    move = PointerMove(name, before.target if before else None, digest)
    record_decision(_decision(version, case, evidence, principal, now, comment, admission=admission, move=move), tx=tx)
    return admission


def _decision(
    version: ModelVersion,
    case: _Case,
    evidence: Digest,
    principal: Principal,
    now: datetime,
    comment: str,
    *,
    admission: Admission | None = None,
    move: PointerMove | None = None,
) -> Decision:
    named = {"version": digest_of(version), "evidence": evidence}
    if case.request is not None:
        named["request"] = digest_of(case.request)
    named |= {f"approval_{number}": approval for number, approval in enumerate(case.approvals, start=1)}
    if admission is not None:
        named["admission"] = digest_of(admission)
    return Decision(
        action=Action.PROMOTE,
        subject=version.name,
        allowed=admission is not None,
        principal=principal.id,
        at=now,
        evidence=named,
        reasons=case.reasons,
        policy=case.verdict.policy_digest,
        environment=case.evidence["environment"],
        moves=(move,) if move else (),
        comment=comment,
    )


def _mirror(version: ModelVersion, environment: str, tracker: Tracker) -> None:
    """Let the tracker's alias show the pointer; a tracker that is down stops no promotion."""
    try:
        tracker.set_alias(version.model, environment, version.number)
    except KeelwayError as error:
        _LOG.warning("The tracker's alias %s of %s was not moved: %s", environment, version.model, error)
