"""A case at the door: everything is asked, and every reason against is collected, in the order a reader would check.

What cannot be judged is refused: a record that is missing, a policy engine that fails, a verdict without reasons.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from keelway.core import (
    ArtifactKind,
    Digest,
    Evidence,
    PolicyEngine,
    PolicySet,
    Verdict,
    canonical_json,
    digest_of,
    time_text,
)
from keelway.errors import EngineError, IdentityError, KeelwayError
from keelway.identity import require_role
from keelway.promote.evidence import SignatureCheck, gather_evidence

if TYPE_CHECKING:
    from collections.abc import Callable

    from keelway.core import ArtifactStore
    from keelway.identity import Principal
    from keelway.ledger.ports import Transaction
    from keelway.promote.approvals import Tally
    from keelway.promote.record import EnvironmentRules
    from keelway.register import ModelVersion


@dataclass(frozen=True, slots=True)
class Case:
    """What was found out before a pointer may move.

    Attributes:
        must: Reasons that no skipped gate goes past: who acts, whether bytes and signature verify, and retirement.
        gate: Reasons of the gate: policy, order of environments, freeze, checklist.
        tally: What the answers of people come to.
    """

    version: ModelVersion
    evidence: Evidence
    verdict: Verdict
    must: tuple[str, ...]
    gate: tuple[str, ...]
    tally: Tally

    @property
    def reasons(self) -> tuple[str, ...]:
        """Every reason against letting the version in."""
        return (*self.must, *self.gate, *self.tally.reasons())

    @property
    def approvals(self) -> tuple[Digest, ...]:
        """Digests of the approvals that count."""
        return tuple(digest_of(answer) for answer in self.tally.approvals)

    def store(self, artifacts: ArtifactStore) -> Digest:
        """Store the evidence, and return its digest."""
        return store_evidence(self.version, self.evidence, artifacts)


def store_evidence(version: ModelVersion, evidence: Evidence, artifacts: ArtifactStore) -> Digest:
    """Store what was found out about a version, and return its digest."""
    data = canonical_json(evidence)
    return artifacts.put(data, kind=ArtifactKind.REPORT, name=f"evidence-{version.name}.json").digest


def judge_case(
    version: ModelVersion,
    *,
    environment: EnvironmentRules,
    principal: Principal,
    engine: PolicyEngine,
    signature: SignatureCheck,
    now: datetime,
    tx: Transaction,
    break_glass: bool = False,
) -> Case:
    """Return what speaks against letting a version into an environment.

    Args:
        break_glass: Count the approvals of a way past the gate, not those of an ordinary request.
    """
    from keelway.promote.approvals import moment_of, open_request, tally
    from keelway.register import retired_reasons

    moment = moment_of(now, tx=tx)
    evidence = door_evidence(version, environment=environment, signature=signature, now=now, tx=tx, moment=moment)
    verdict, reasons = judged(environment.policy, evidence, engine)
    request = open_request(version, environment=environment, tx=tx, break_glass=break_glass)
    return Case(
        version=version,
        evidence=evidence,
        verdict=verdict,
        must=(
            *mover_reasons(principal, environment),
            *signature_reasons(signature),
            *retired_reasons(version, tx=tx),
        ),
        gate=(*_order_reasons(version, environment, evidence), *_waiting_reasons(evidence), *reasons),
        tally=tally(version, request, environment=environment, tx=tx, moment=moment, break_glass=break_glass),
    )


def door_evidence(
    version: ModelVersion,
    *,
    environment: EnvironmentRules,
    signature: SignatureCheck,
    now: datetime,
    tx: Transaction,
    moment: datetime | None = None,
) -> Evidence:
    """Return the document that is judged; where it cannot be gathered, one that says so under `error`.

    Args:
        moment: What `moment_of` says of now, where that is known.
    """
    from keelway.promote.approvals import checklist_evidence, checklist_of, freeze_evidence, moment_of

    def gathered() -> dict[str, Any]:
        found = gather_evidence(
            version,
            environment=environment.name,
            tx=tx,
            signature=signature,
            now=now,
            declared_risk=environment.risks.get(version.model),
            more=environment.more,
        )
        listed = checklist_evidence(checklist_of(version, environment=environment, tx=tx))
        freeze = freeze_evidence(environment.freezes, moment=moment or moment_of(now, tx=tx))
        return {**found, "checklist": listed, "freeze": freeze}

    return _or_error(gathered, version, environment.name, signature, now)


def recorded_evidence(
    version: ModelVersion, *, environment: str, signature: SignatureCheck, now: datetime, tx: Transaction
) -> Evidence:
    """Return what the state itself knows of a version, for a way back that no policy judges.

    What has to be read from the project, from answers of people or from later steps of the lifecycle is not in it.
    Where it cannot be gathered, it says so under `error`.
    """

    def gathered() -> Evidence:
        return gather_evidence(version, environment=environment, tx=tx, signature=signature, now=now)

    return _or_error(gathered, version, environment, signature, now)


def _or_error(
    gathered: Callable[[], Evidence], version: ModelVersion, environment: str, signature: SignatureCheck, now: datetime
) -> Evidence:
    try:
        return gathered()
    except EngineError:  # the database itself: nothing could be recorded either
        raise
    except KeelwayError as error:
        return {
            "environment": environment,
            "now": time_text(now),
            "version": {"name": version.name, "digest": digest_of(version)},
            "signature": {"verified": signature.verified, "reason": signature.reason or "verified"},
            "error": str(error),
        }


def judged(policy: PolicySet, evidence: Evidence, engine: PolicyEngine) -> tuple[Verdict, tuple[str, ...]]:
    """Return what a policy says of evidence, and why it does not let in; a failure of any kind does not."""
    if "error" in evidence:
        told = f"the evidence cannot be gathered: {evidence['error']}"
        return _no(policy, evidence, told), (told,)
    try:
        verdict = engine.judge(policy, evidence)
    except Exception as error:  # noqa: BLE001  (an engine is a vendor's code: whatever it raises lets nothing in)
        told = f"the policy {policy.name} could not be judged: {type(error).__name__}: {error}"
        return _no(policy, evidence, told), (told,)
    if not verdict.allowed and not verdict.reasons:
        return verdict, (f"the policy {policy.name} refuses without a reason",)
    if verdict.allowed and not verdict.rules:
        return verdict, (f"the policy {policy.name} asked no rule: an empty gate lets nothing in",)
    return verdict, verdict.reasons


def mover_reasons(principal: Principal, environment: EnvironmentRules) -> tuple[str, ...]:
    """Say why somebody may not move the pointers of an environment."""
    reasons = []
    try:
        require_role(principal, "deployer")
    except IdentityError as error:
        reasons.append(str(error))
    if environment.service_principal and not principal.is_service:
        reasons.append(f"{principal.id} is not a service principal, and only one may move {environment.name}")
    return tuple(reasons)


def signature_reasons(signature: SignatureCheck) -> tuple[str, ...]:
    """Say why bytes or signature do not verify."""
    return () if signature.verified else (f"the signature does not verify: {signature.reason}",)


def _order_reasons(version: ModelVersion, environment: EnvironmentRules, evidence: Evidence) -> tuple[str, ...]:
    if environment.after and environment.after not in evidence.get("admissions", {}):
        return (f"{version.name} was never admitted to {environment.after}, which comes first",)
    return ()


def _waiting_reasons(evidence: Evidence) -> tuple[str, ...]:
    """Say what has to be waited for or done first: the end of a freeze, the items of a checklist."""
    reasons = []
    freeze, listed = evidence.get("freeze", {}), evidence.get("checklist", {})
    if freeze.get("active"):
        reasons.append(f"{evidence['environment']} is frozen until {freeze['until']}: {freeze['reason']}")
    if listed.get("missing"):
        reasons.append(f"the checklist lacks: {'; '.join(listed['missing'])}")
    return tuple(reasons)


def _no(policy: PolicySet, evidence: Evidence, reason: str) -> Verdict:
    return Verdict(False, (reason,), (), digest_of(policy), digest_of(evidence))
