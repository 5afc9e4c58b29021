"""The one door to an environment: judge, count approvals, and move the pointer with its ledger entry.

A version gets in when its bytes and signature verify, the policy says yes, enough people without a part in it
approved, and somebody who may deploy asks. Otherwise every reason is recorded and told at once. The evidence is
stored first; then admission, pointer and decision happen in one transaction, or not at all. Versions of several
models get in together, or none of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from keelway.core import Action, Decision, Digest, PolicyEngine, Verdict, digest_of
from keelway.errors import RefusedError, UsageError
from keelway.ledger import record_decision
from keelway.promote.admission import let_in, named_evidence, standing_admission
from keelway.promote.case import Case, door_evidence, judge_case, judged, signature_reasons
from keelway.promote.evidence import SignatureCheck, check_signature
from keelway.promote.mirror import mirror
from keelway.promote.policy import store_policy
from keelway.promote.record import Admission, EnvironmentRules, PromotionGroup

if TYPE_CHECKING:
    from keelway.core import ArtifactStore
    from keelway.identity import Principal
    from keelway.ledger import PublicKey
    from keelway.ledger.ports import StateStore, Transaction
    from keelway.promote.ports import AliasKeeper
    from keelway.register import ModelVersion


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
    """Return what the environment's policy says about a version, changing nothing; approvals are not asked for.

    Bytes or a signature that do not verify, and a retired version, are a no whatever the policy asks.
    """
    signature = check_signature(version, artifacts=artifacts, public_key=public_key)
    with state.snapshot() as tx:
        evidence = door_evidence(version, environment=environment, signature=signature, now=now, tx=tx)
        standing = standing_reasons(version, signature=signature, tx=tx)
    verdict, told = judged(environment.policy, evidence, engine)
    reasons = tuple(dict.fromkeys((*standing, *told)))
    return replace(verdict, allowed=False, reasons=reasons) if reasons else verdict


def standing_reasons(version: ModelVersion, *, signature: SignatureCheck, tx: Transaction) -> tuple[str, ...]:
    """Return why the gate refuses a version whatever its policy asks: bytes or a signature that do not verify, retirement."""
    from keelway.register import retired_reasons

    return (*signature_reasons(signature), *retired_reasons(version, tx=tx))


def promote(
    version: ModelVersion,
    *,
    environment: EnvironmentRules,
    principal: Principal,
    state: StateStore,
    artifacts: ArtifactStore,
    engine: PolicyEngine,
    public_key: PublicKey,
    tracker: AliasKeeper,
    now: datetime,
    comment: str = "",
) -> Admission:
    """Let a version into an environment; when it is there already, return its admission.

    The registry's alias is moved afterwards, at best effort: Keelway's pointer is what counts, `alias_drift` finds an
    alias that was left behind, and promoting again moves it.

    Raises:
        RefusedError: Policy, approvals, signature or principal say no; all reasons are told, and recorded.
        PointerMovedError: Somebody else promoted at the same moment; nothing was changed.
    """
    (admission,) = promote_together(
        (version,), environment=environment, principal=principal, state=state, artifacts=artifacts, engine=engine,
        public_key=public_key, tracker=tracker, now=now, comment=comment,
    )  # fmt: skip
    return admission


def promote_together(
    versions: Sequence[ModelVersion],
    *,
    environment: EnvironmentRules,
    principal: Principal,
    state: StateStore,
    artifacts: ArtifactStore,
    engine: PolicyEngine,
    public_key: PublicKey,
    tracker: AliasKeeper,
    now: datetime,
    comment: str = "",
) -> tuple[Admission, ...]:
    """Let versions of several models into an environment, all or none; return their admissions in the order given.

    Raises:
        UsageError: Two of them are of one model, or there is none.
        RefusedError: One of them may not enter; every reason of each is told, and recorded for each.
        PointerMovedError: Somebody else promoted at the same moment; nothing was changed.
    """
    _must_be_of_different_models(versions)
    signatures = {one.name: check_signature(one, artifacts=artifacts, public_key=public_key) for one in versions}
    store_policy(environment.policy, artifacts=artifacts)
    with state.transaction() as tx:
        standing = {one.name: _standing(one, environment.name, signatures[one.name], tx) for one in versions}
        cases = [
            judge_case(one, environment=environment, principal=principal, engine=engine, now=now, tx=tx,
                       signature=signatures[one.name])
            for one in versions if standing[one.name] is None
        ]  # fmt: skip
        reasons = _all_reasons(cases, versions)
        asked = _Entry(tuple(versions), environment, principal, now, comment)
        group = asked.group(tx) if cases else {}
        for case in cases:
            decide = asked.refuse if reasons else asked.admit
            standing[case.version.name] = decide(case, case.store(artifacts), group, tx)
    if reasons:
        raise RefusedError(
            f"{', '.join(one.name for one in versions)} may not enter {environment.name}",
            reasons=reasons,
            fix="Mend what is named, or see what the gate says: keelway promote VERSION --to ENVIRONMENT --check",
        )
    admissions = tuple(held for one in versions if (held := standing[one.name]) is not None)
    for version, held in zip(versions, admissions, strict=True):
        mirror(version, held, registry=tracker, state=state)
    return admissions


@dataclass(frozen=True, slots=True)
class _Entry:
    """What somebody asks the door for."""

    versions: tuple[ModelVersion, ...]
    environment: EnvironmentRules
    principal: Principal
    now: datetime
    comment: str

    def group(self, tx: Transaction) -> dict[str, Digest]:
        """Return the record that links the decisions on several versions, by its role; nothing for a single one."""
        if len(self.versions) == 1:
            return {}
        names = tuple(one.name for one in self.versions)
        group = PromotionGroup(names, self.environment.name, self.principal.id, self.now)
        return {"together": tx.insert(digest_of(group), group, parent=self.environment.name, at=self.now)}

    def admit(self, case: Case, evidence: Digest, group: dict[str, Digest], tx: Transaction) -> Admission:
        """Write admission, pointer and decision."""
        request = case.tally.request
        admission = Admission(
            version=case.version.name,
            version_digest=digest_of(case.version),
            environment=self.environment.name,
            evidence=evidence,
            verdict=case.verdict,
            request=digest_of(request) if request else None,
            approvals=case.approvals,
            principal=self.principal.id,
            at=self.now,
            needed=self.environment.seats,
        )
        return let_in(case.version, admission, action=Action.PROMOTE, tx=tx, evidence=group, comment=self.comment)

    def refuse(self, case: Case, evidence: Digest, group: dict[str, Digest], tx: Transaction) -> None:
        """Record why a version does not get in; one that nothing speaks against waits for those it came with."""
        request = case.tally.request
        named = named_evidence(case.version, evidence, digest_of(request) if request else None, case.approvals)
        others = ", ".join(one.name for one in self.versions if one.name != case.version.name)
        record_decision(
            Decision(
                action=Action.PROMOTE,
                subject=case.version.name,
                allowed=False,
                principal=self.principal.id,
                at=self.now,
                evidence={**named, **group},
                reasons=case.reasons or (f"it was refused together with {others}",),
                policy=case.verdict.policy_digest,
                environment=self.environment.name,
                comment=self.comment,
            ),
            tx=tx,
        )


def _must_be_of_different_models(versions: Sequence[ModelVersion]) -> None:
    models = [one.model for one in versions]
    if not models or len(set(models)) != len(models):
        raise UsageError(
            "An environment holds one version of each model",
            expected="one version of each of one or more models",
            found=", ".join(one.name for one in versions) or "none",
        )


def _standing(version: ModelVersion, environment: str, signature: SignatureCheck, tx: Transaction) -> Admission | None:
    """Return the admission of a version that the pointer already holds, unless it came in past the gate or does not verify."""
    if not signature.verified:  # what is live already is judged anew once its bytes do not verify
        return None
    admission = standing_admission(version.model, environment, tx=tx)
    if admission is None or admission.version_digest != digest_of(version) or admission.unsafe is not None:
        return None
    return admission


def _all_reasons(cases: Sequence[Case], versions: Sequence[ModelVersion]) -> tuple[str, ...]:
    if len(versions) == 1:
        return cases[0].reasons if cases else ()
    return tuple(f"{case.version.name}: {reason}" for case in cases for reason in case.reasons)
