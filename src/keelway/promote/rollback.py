"""The way back: an earlier version is let in again, by a policy of its own, without approvals and in one command.

Signature and bytes must verify, the version was admitted here by the gate before, and it is not retired; what an
environment's rollback policy asks comes on top. No registry, tracker or approver is needed. Ways back are taken like
an undo: each leads to what stood before the version that is left, never to one that was left already.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from keelway.core import Action, Decision, Digest, Evidence, PolicyEngine, PolicySet, Verdict, digest_of, split_version
from keelway.errors import RefusedError, UsageError
from keelway.ledger import record_decision
from keelway.promote.admission import held_version, let_in, named_evidence, standing_admission
from keelway.promote.case import (
    door_evidence,
    judged,
    mover_reasons,
    recorded_evidence,
    signature_reasons,
    store_evidence,
)
from keelway.promote.evidence import SignatureCheck, admitted, check_signature
from keelway.promote.mirror import mirror
from keelway.promote.record import Admission, EnvironmentRules

if TYPE_CHECKING:
    from keelway.core import ArtifactStore
    from keelway.identity import Principal
    from keelway.ledger import PublicKey
    from keelway.ledger.ports import StateStore, Transaction
    from keelway.promote.ports import AliasKeeper
    from keelway.register import ModelVersion

BUILT_IN = PolicySet("built-in rollback")
RULES = ("admitted here before", "not retired", "signed")


@dataclass(frozen=True, slots=True)
class _Return:
    """A version that somebody wants back, what is known of it, and every reason against it."""

    version: ModelVersion
    evidence: Evidence
    verdict: Verdict
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WayBack:
    """What moves an environment's pointer back, inside a transaction that somebody else opened.

    >>> way = WayBack(rules, principal, artifacts, engine, key, now)        # doctest: +SKIP
    >>> reasons = way.follow(version, tx=tx)                                # doctest: +SKIP

    Attributes:
        engine: Evaluates the environment's rollback policy; None where it has none.
    """

    environment: EnvironmentRules
    principal: Principal
    artifacts: ArtifactStore
    engine: PolicyEngine | None
    public_key: PublicKey
    now: datetime
    comment: str = ""

    def follow(self, version: ModelVersion, *, tx: Transaction) -> tuple[str, ...]:
        """Let a version in again, and return why not; a refusal is recorded, and what it holds already stays."""
        signature = check_signature(version, artifacts=self.artifacts, public_key=self.public_key)
        case = self._case(version, signature, tx)
        held = held_version(version.model, self.environment.name, tx=tx)
        if case.reasons:
            self._refuse(case, tx)
        elif held is None or digest_of(held) != digest_of(version):
            self._let_in(case, tx)
        return case.reasons

    def _case(self, version: ModelVersion, signature: SignatureCheck, tx: Transaction) -> _Return:
        from keelway.register import retired_reasons

        policy = self.environment.rollback_policy
        if policy is None:
            name = self.environment.name
            evidence = recorded_evidence(version, environment=name, signature=signature, now=self.now, tx=tx)
        else:
            evidence = door_evidence(version, environment=self.environment, signature=signature, now=self.now, tx=tx)
        reasons = [f"the evidence cannot be gathered: {evidence['error']}"] if "error" in evidence else []
        if admitted(version, self.environment.name, tx) is None:
            reasons.append(f"{version.name} was never admitted to {self.environment.name}: there is no way back to it")
        reasons += retired_reasons(version, tx=tx)
        if policy is not None and "error" not in evidence:
            verdict, told = self._judged(policy, evidence)
            reasons += told
        else:
            verdict = Verdict(not reasons, tuple(reasons), RULES, digest_of(BUILT_IN), digest_of(evidence))
        must = (*mover_reasons(self.principal, self.environment), *signature_reasons(signature))
        return _Return(version, evidence, verdict, (*must, *reasons))

    def _judged(self, policy: PolicySet, evidence: Evidence) -> tuple[Verdict, tuple[str, ...]]:
        from keelway.promote.policy import store_policy

        assert self.engine is not None  # whoever names a policy hands over what evaluates it
        store_policy(policy, artifacts=self.artifacts)
        return judged(policy, evidence, self.engine)

    def _let_in(self, case: _Return, tx: Transaction) -> None:
        stored = store_evidence(case.version, case.evidence, self.artifacts)
        admission = Admission(
            version=case.version.name,
            version_digest=digest_of(case.version),
            environment=self.environment.name,
            evidence=stored,
            verdict=case.verdict,
            request=None,
            approvals=(),
            principal=self.principal.id,
            at=self.now,
            rollback=True,
        )
        admission = replace(admission, previous=_below(case.version, self.environment.name, tx))
        let_in(case.version, admission, action=Action.ROLLBACK, tx=tx, evidence={}, comment=self.comment)

    def _refuse(self, case: _Return, tx: Transaction) -> None:
        stored = store_evidence(case.version, case.evidence, self.artifacts)
        record_decision(
            Decision(
                action=Action.ROLLBACK,
                subject=case.version.name,
                allowed=False,
                principal=self.principal.id,
                at=self.now,
                evidence=named_evidence(case.version, stored, None, ()),
                reasons=case.reasons,
                policy=case.verdict.policy_digest,
                environment=self.environment.name,
                comment=self.comment,
            ),
            tx=tx,
        )


def roll_back(
    model: str,
    *,
    way: WayBack,
    state: StateStore,
    tracker: AliasKeeper,
    to: str = "",
) -> Admission:
    """Let the version in again that stood before, or the one that is named; where it stands already, do nothing.

    Raises:
        UsageError: There is nothing to go back to.
        RefusedError: It may not come back; every reason is told, and recorded.
    """
    environment = way.environment.name
    with state.transaction() as tx:
        version = _target(model, environment, to, tx)
        reasons = way.follow(version, tx=tx)
        admission = standing_admission(model, environment, tx=tx)
    if reasons or admission is None:
        raise refused_way_back(version.name, environment, reasons)
    mirror(version, admission, registry=tracker, state=state)
    return admission


def refused_way_back(name: str, environment: str, reasons: tuple[str, ...]) -> RefusedError:
    """Return the error that a version may not come back."""
    return RefusedError(
        f"{name} may not come back to {environment}",
        reasons=reasons,
        fix=f"Name another version: keelway rollback {name.partition(':')[0]} --in {environment} --to MODEL:NUMBER",
    )


def _target(model: str, environment: str, to: str, tx: Transaction) -> ModelVersion:
    from keelway.register import ModelVersion, version_named

    if to:
        if split_version(to)[0] != model:
            raise UsageError("A way back stays with one model", expected=f"{model}:NUMBER", found=to)
        return version_named(to, tx=tx)
    standing = standing_admission(model, environment, tx=tx)
    before = tx.by_digest(Admission, standing.previous) if standing and standing.previous else None
    if before is None:
        raise UsageError(
            f"{model} has nothing to roll back to in {environment}",
            expected="an earlier admission",
            found="the first one" if standing else "none",
            fix="Name the version: --to MODEL:NUMBER",
        )
    return tx.by_digest(ModelVersion, before.version_digest)


def _below(version: ModelVersion, environment: str, tx: Transaction) -> Digest | None:
    """Return what stood before a version in the pile of admissions; one that is not in it takes the topmost's place."""
    standing = found = standing_admission(version.model, environment, tx=tx)
    wanted = digest_of(version)
    while found is not None and found.version_digest != wanted:
        found = tx.by_digest(Admission, found.previous) if found.previous else None
    top = found or standing
    return top.previous if top else None
