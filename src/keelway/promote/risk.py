"""Risk assessments: a person confirms what a project declares, and the tier that follows holds until its review.

An assessment is bound to the digest of the declaration: when that changes, the assessment is stale, and evidence says
so. Assessing the same declaration again within its time changes nothing, unless a renewal is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from keelway.core import Action, Decision, Digest, PrincipalId, canonical_json, digest_of, parse_json, time_text
from keelway.identity import on_record, require_role
from keelway.ledger import record_decision
from keelway.promote.risk_rules import RiskReason, RiskTier, tier_by_rules

if TYPE_CHECKING:
    from keelway.identity import Principal
    from keelway.ledger.ports import StateStore, Transaction
    from keelway.project import Risk

ASSESSORS = ("risk-owner", "approver", "auditor", "admin")
"""Who may assess: nobody whose only part is to build the model."""
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class RiskAssessment:
    """A person's confirmation of what was declared about the risk of a model.

    Attributes:
        number: Counts a model's assessments from 1.
        declaration: Digest of the declared `Risk`.
        declared: Its answers, as plain values.
        tier: What the rules made of them.
        reasons: Why, the worst first.
        data_classes: The classes of data, as declared.
        owner: Who answers for the model.
        review_by: When it has to be assessed again.
    """

    model: str
    number: int
    declaration: Digest
    declared: dict[str, Any]
    tier: RiskTier
    reasons: tuple[RiskReason, ...]
    data_classes: tuple[str, ...]
    owner: str
    assessed_by: PrincipalId
    assessed_at: datetime
    review_by: datetime
    comment: str = ""


def assess_risk(
    model: str,
    risk: Risk,
    *,
    principal: Principal,
    state: StateStore,
    now: datetime,
    comment: str = "",
    renew: bool = False,
) -> RiskAssessment:
    """Record the assessment of a model's declared risk; the standing one where it still holds.

    Args:
        renew: Assess again although the standing assessment holds.

    Raises:
        IdentityError: The principal may not assess.
    """
    with on_record(Action.ASSESS, model, principal=principal, state=state, now=now):
        require_role(principal, *ASSESSORS)
    with state.transaction() as tx:
        standing = newest_assessment(model, tx=tx)
        if standing is not None and not renew and _holds(standing, digest_of(risk), now):
            return standing
        number = tx.count(RiskAssessment, parent=model) + 1
        assessment = _assessed(model, number, risk, principal.id, now, comment)
        digest = tx.insert(f"{model}/{assessment.number}", assessment, parent=model, at=now)
        record_decision(_decision(assessment, digest), tx=tx)
    return assessment


def newest_assessment(model: str, *, tx: Transaction) -> RiskAssessment | None:
    """Return the newest assessment of a model, or None where it was never assessed."""
    return next(iter(tx.newest(RiskAssessment, parent=model, limit=1)), None)


def tier_of(model: str, *, tx: Transaction) -> RiskTier | None:
    """Return the tier of a model's newest assessment, also of one that is due for review; None without any."""
    assessment = newest_assessment(model, tx=tx)
    return assessment.tier if assessment else None


def risk_evidence(model: str, *, tx: Transaction, now: datetime, declared: Digest | None = None) -> dict[str, Any]:
    """Return what a policy reads of a model's risk; null is what nobody knows, and a rule that asks for it refuses.

    Args:
        declared: Digest of the `Risk` that the project declares now; `stale` is null where the caller does not know it.
    """
    assessment = newest_assessment(model, tx=tx)
    if assessment is None:
        return dict.fromkeys(
            ("tier", "assessed_at", "assessed_by", "assessment", "review_by", "expired", "stale", "age_days", "owner")
        ) | {"data_classes": []}
    return {
        "tier": assessment.tier,
        "assessed_at": time_text(assessment.assessed_at),
        "assessed_by": assessment.assessed_by,
        "assessment": digest_of(assessment),
        "review_by": time_text(assessment.review_by),
        "expired": now >= assessment.review_by,
        "stale": None if declared is None else assessment.declaration != declared,
        "age_days": round((now - assessment.assessed_at).total_seconds() / _DAY_S, 3),
        "owner": assessment.owner,
        "data_classes": list(assessment.data_classes),
    }


def _assessed(
    model: str, number: int, risk: Risk, principal: PrincipalId, now: datetime, comment: str
) -> RiskAssessment:
    tier, reasons = tier_by_rules(risk)
    return RiskAssessment(
        model=model,
        number=number,
        declaration=digest_of(risk),
        declared=parse_json(canonical_json(risk)),
        tier=tier,
        reasons=reasons,
        data_classes=risk.data,
        owner=risk.owner,
        assessed_by=principal,
        assessed_at=now,
        review_by=now + risk.review_time,
        comment=comment,
    )


def _holds(assessment: RiskAssessment, declaration: Digest, now: datetime) -> bool:
    return assessment.declaration == declaration and now < assessment.review_by


def _decision(assessment: RiskAssessment, digest: Digest) -> Decision:
    return Decision(
        action=Action.ASSESS,
        subject=assessment.model,
        allowed=True,
        principal=assessment.assessed_by,
        at=assessment.assessed_at,
        evidence={"assessment": digest},
        comment=assessment.comment or f"risk tier {assessment.tier}",
    )
