"""Break-glass: a version goes past the gate, because two approvers said that it cannot wait.

Policy, order of environments, freeze, checklist and the ordinary approvals are skipped. Never skipped are the bytes,
the signature, and who may move the pointer. It is never silent: a record named `UnsafeSkipGate`, an alert in the
ledger, a line in the log; and once it expired, `doctor`, `status` and the scheduled check complain until the version
comes in regularly, or another one stands in its place.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import TYPE_CHECKING

from keelway.core import Action, Decision, Digest, PolicyEngine, digest_of, time_text
from keelway.errors import RefusedError
from keelway.ledger import record_decision
from keelway.promote.admission import let_in, named_evidence, standing_admission
from keelway.promote.approvals import moment_of, must_say_why
from keelway.promote.case import Case, judge_case
from keelway.promote.evidence import admitted, check_signature
from keelway.promote.mirror import mirror
from keelway.promote.policy import store_policy
from keelway.promote.record import Admission, EnvironmentRules, UnsafeSkipGate

if TYPE_CHECKING:
    from keelway.core import ArtifactStore
    from keelway.identity import Principal
    from keelway.ledger import PublicKey
    from keelway.ledger.ports import StateStore, Transaction
    from keelway.promote.ports import AliasKeeper
    from keelway.register import ModelVersion

_LOG = logging.getLogger(__name__)


def unsafe_skip_gate(
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
    reason: str,
) -> Admission:
    """Let a version into an environment past its gate; when it is there already, return its admission.

    Raises:
        UsageError: No reason is given.
        RefusedError: Two approvals of a break-glass request are missing, somebody rejected it, the signature does not
            verify, or the principal may not move the pointer; recorded.
    """
    must_say_why(reason, "A way past the gate needs a reason")
    signature = check_signature(version, artifacts=artifacts, public_key=public_key)
    store_policy(environment.policy, artifacts=artifacts)
    reasons: tuple[str, ...] = ()
    with state.transaction() as tx:
        admission = _standing(version, environment.name, tx) if signature.verified else None
        if admission is None:
            case = judge_case(
                version, environment=environment, principal=principal, engine=engine, signature=signature, now=now,
                tx=tx, break_glass=True,
            )  # fmt: skip
            reasons = (*case.must, *case.tally.reasons())
            stored = case.store(artifacts)
            if reasons:
                _refuse(case, stored, principal, now, reason, reasons, tx)
            else:
                admission = _let_past(case, stored, environment, principal, now, reason, tx)
    if admission is None:
        raise RefusedError(
            f"{version.name} may not go past the gate of {environment.name}",
            reasons=reasons,
            fix=f"Two approvers: keelway approve {version.name} --to {environment.name} --break-glass",
        )
    if admission.unsafe is not None:
        _LOG.warning("UnsafeSkipGate: %s went past the gate of %s: %s", version.name, environment.name, reason)
    mirror(version, admission, registry=tracker, state=state)
    return admission


def _standing(version: ModelVersion, environment: str, tx: Transaction) -> Admission | None:
    """Return the admission by which a version stands already, of whatever kind."""
    standing = standing_admission(version.model, environment, tx=tx)
    return standing if standing is not None and standing.version_digest == digest_of(version) else None


def open_skips(*, tx: Transaction) -> tuple[UnsafeSkipGate, ...]:
    """Return by which skipped gates the present versions stand, by environment and model."""
    found = []
    for pointer in tx.pointers(prefix="environment/"):
        _, environment, model = pointer.name.split("/", 2)
        admission = standing_admission(model, environment, tx=tx)
        if admission is not None and admission.unsafe is not None:
            found.append(tx.by_digest(UnsafeSkipGate, admission.unsafe))
    return tuple(found)


def expired_skips(*, tx: Transaction, now: datetime) -> tuple[UnsafeSkipGate, ...]:
    """Return the skipped gates by which a version still stands although their time is over."""
    moment = moment_of(now, tx=tx)
    return tuple(skip for skip in open_skips(tx=tx) if skip.expires_at <= moment)


def may_serve(version: ModelVersion, environment: str, *, tx: Transaction, now: datetime) -> bool:
    """Say whether a version may get traffic: not retired, and admitted or past the gate before that expires."""
    from keelway.register import retired_reasons

    if retired_reasons(version, tx=tx):
        return False
    if admitted(version, environment, tx) is not None:
        return True
    standing = standing_admission(version.model, environment, tx=tx)
    if standing is None or standing.unsafe is None or standing.version_digest != digest_of(version):
        return False
    return moment_of(now, tx=tx) < tx.by_digest(UnsafeSkipGate, standing.unsafe).expires_at


def _let_past(
    case: Case,
    evidence: Digest,
    environment: EnvironmentRules,
    principal: Principal,
    now: datetime,
    reason: str,
    tx: Transaction,
) -> Admission:
    """Write the skipped gate, the admission with its pointer, and the alert."""
    assert case.tally.request is not None  # approvals are answers to a request
    digest, request = digest_of(case.version), digest_of(case.tally.request)
    skip = UnsafeSkipGate(
        version=case.version.name,
        version_digest=digest,
        environment=environment.name,
        reason=reason,
        skipped=case.gate,
        request=request,
        approvals=case.approvals,
        principal=principal.id,
        at=now,
        expires_at=moment_of(now, tx=tx) + environment.break_glass_lasts,
    )
    stored = tx.insert(request, skip, parent=environment.name, at=now)
    admission = Admission(
        case.version.name, digest, environment.name, evidence, case.verdict, request, case.approvals, principal.id, now,
        needed=case.tally.seats, unsafe=stored,
    )  # fmt: skip
    made = let_in(
        case.version, admission, action=Action.SKIP_GATE, tx=tx, evidence={"unsafe_skip_gate": stored}, comment=reason
    )
    record_decision(_alert(skip, stored), tx=tx)
    return made


def _alert(skip: UnsafeSkipGate, digest: Digest) -> Decision:
    return Decision(
        action=Action.ALERT,
        subject=skip.version,
        allowed=True,
        principal=skip.principal,
        at=skip.at,
        evidence={"unsafe_skip_gate": digest, "version": skip.version_digest},
        environment=skip.environment,
        comment=f"UnsafeSkipGate until {time_text(skip.expires_at)}: {skip.reason}",
    )


def _refuse(
    case: Case,
    evidence: Digest,
    principal: Principal,
    now: datetime,
    comment: str,
    reasons: tuple[str, ...],
    tx: Transaction,
) -> None:
    request = digest_of(case.tally.request) if case.tally.request else None
    record_decision(
        Decision(
            action=Action.SKIP_GATE,
            subject=case.version.name,
            allowed=False,
            principal=principal.id,
            at=now,
            evidence=named_evidence(case.version, evidence, request, case.approvals),
            reasons=reasons,
            policy=case.verdict.policy_digest,
            environment=case.evidence["environment"],
            comment=comment,
        ),
        tx=tx,
    )
