"""Risk of models, and the inventory of all of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from keelway.app.wire import Workspace
from keelway.core import VersionName, digest_of
from keelway.errors import UsageError

if TYPE_CHECKING:
    from keelway.ledger import Transaction
    from keelway.project import Model, Risk
    from keelway.promote import RiskAssessment, RiskReason


@dataclass(frozen=True, slots=True)
class RiskView:
    """What is known of the risk of a model.

    Attributes:
        declared: What the project declares now; None where it declares nothing.
        declared_tier: What the rules make of that.
        assessment: The newest assessment; None without any.
        state: `assessed`, `not declared`, `not assessed`, `stale` (the declaration changed) or `due` (for review).
        reasons: Why the declared tier is what it is, the worst first.
        history: Every assessment, the newest first.
    """

    model: str
    declared: Risk | None
    declared_tier: str | None
    assessment: RiskAssessment | None
    state: str
    reasons: tuple[RiskReason, ...]
    history: tuple[RiskAssessment, ...]


@dataclass(frozen=True, slots=True)
class InventoryLine:
    """One model in the inventory.

    Attributes:
        declared: Whether the project still declares it.
        versions: How many are registered.
        newest: The newest version's name, or empty.
        live: Environment to the version that is let in there.
        state: As in `RiskView`.
        purpose: What the card says it is for.
        open_incidents: How many are open.
    """

    model: str
    declared: bool
    owner: str
    purpose: str
    tier: str | None
    state: str
    data_classes: tuple[str, ...]
    versions: int
    newest: str
    live: dict[str, VersionName]
    last_review: datetime | None
    reviewed_by: str
    review_by: datetime | None
    open_incidents: int


class RiskRoom:
    """Use cases of risk owners."""

    def __init__(self, workspace: Workspace) -> None:
        self._at = workspace

    def assess(self, model: str, *, comment: str = "", renew: bool = False) -> RiskAssessment:
        """Record that somebody assessed what is declared about a model; the standing assessment where it still holds.

        Raises:
            UsageError: The model declares nothing about its risk.
            IdentityError: The principal may not assess.
        """
        from keelway.promote import assess_risk

        at = self._at
        risk = at.project.model(model).risk
        if risk is None:
            raise UsageError(
                f"Model {model!r} declares nothing about its risk",
                expected="Model(risk=Risk(...))",
                found="None",
                fix="Answer the questions in the project's declarations: docs/risk.md.",
            )
        return assess_risk(
            model, risk, principal=at.principal, state=at.state, now=at.now(), comment=comment, renew=renew
        )

    def show(self, model: str) -> RiskView:
        """Return what is declared and what was assessed."""
        from keelway.promote import RiskAssessment, tier_by_rules

        declared = self._at.project.model(model).risk
        tier, reasons = tier_by_rules(declared) if declared else (None, ())
        with self._at.state.snapshot() as tx:
            history = tuple(sorted(tx.newest(RiskAssessment, parent=model), key=lambda one: -one.number))
        newest = history[0] if history else None
        return RiskView(model, declared, tier, newest, risk_state(declared, newest, self._at.now()), reasons, history)

    def inventory(self) -> list[InventoryLine]:
        """Return every model that is declared or has a version, by name."""
        from keelway.register import ModelVersion

        declared = {model.name: model for model in self._at.project.models}
        with self._at.state.snapshot() as tx:
            known = {version.model for version in tx.newest(ModelVersion)}
            return [self._line(name, declared.get(name), tx) for name in sorted(known | declared.keys())]

    def _line(self, name: str, model: Model | None, tx: Transaction) -> InventoryLine:
        from keelway.promote import incident_views, newest_assessment
        from keelway.register import ModelVersion

        now = self._at.now()
        assessment = newest_assessment(name, tx=tx)
        versions = sorted(tx.newest(ModelVersion, parent=name), key=lambda one: one.number)
        risk = model.risk if model else None
        return InventoryLine(
            model=name,
            declared=model is not None,
            owner=risk.owner if risk else assessment.owner if assessment else "",
            purpose=model.card.intended_use or model.card.summary if model else "",
            tier=assessment.tier if assessment else None,
            state=risk_state(risk, assessment, now),
            data_classes=tuple(assessment.data_classes) if assessment else tuple(risk.data) if risk else (),
            versions=len(versions),
            newest=versions[-1].name if versions else "",
            live=dict(_live(name, tx)),
            last_review=assessment.assessed_at if assessment else None,
            reviewed_by=assessment.assessed_by if assessment else "",
            review_by=assessment.review_by if assessment else None,
            open_incidents=sum(one.closed_at is None for one in incident_views(tx=tx, now=now, model=name)),
        )


def risk_state(declared: Risk | None, assessment: RiskAssessment | None, now: datetime) -> str:
    """Say in a word how far the risk of a model is assessed."""
    if assessment is None:
        return "not assessed" if declared else "not declared"
    if declared is None or digest_of(declared) != assessment.declaration:
        return "stale"
    return "due" if now >= assessment.review_by else "assessed"


def _live(model: str, tx: Transaction) -> Iterator[tuple[str, VersionName]]:
    from keelway.register import ModelVersion

    for pointer in tx.pointers(prefix="environment/"):
        _, environment, name = pointer.name.split("/", 2)
        if name == model:
            yield environment, tx.by_digest(ModelVersion, pointer.target).name
