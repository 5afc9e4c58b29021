"""What a gate reads of a version that later steps of the lifecycle know: drift, quality, its requests, card and size."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from keelway.app.card import card_evidence
from keelway.app.wire import Workspace
from keelway.core import digest_of, parse_duration, time_text
from keelway.errors import IntegrityError, KeelwayError, MissingRecordError

if TYPE_CHECKING:
    from keelway.deploy import RolloutStart, RolloutState
    from keelway.ledger import Transaction
    from keelway.promote import MoreEvidence
    from keelway.register import ModelVersion

_DAY_S = 86_400
_HOUR_S = 3_600
_ENDED = ("finished", "back", "stopped")


def more_evidence(at: Workspace) -> MoreEvidence:
    """Return what tells the parts of the evidence that the door's own slice does not know; null for what is unknown."""

    def parts(version: ModelVersion, environment: str, tx: Transaction, now: datetime) -> dict[str, Any]:
        return {
            "drift": _drift_part(version, tx, now),
            "quality": _quality_part(version, tx, now),
            "card": _card_part(version, at, tx),
            "size": _size_part(version, at),
            "model_signing": _model_signing_part(version, at, tx, now),
            "error_budget": _budget_part(version.model, environment, at, tx, now),
            "rollouts": _rollouts_part(version, at, tx, now),
        }

    return parts


def _drift_part(version: ModelVersion, tx: Transaction, now: datetime) -> dict[str, Any] | None:
    """Return the newest drift report of a version, wherever it answered."""
    from keelway.monitor import DriftReport

    reports = tx.newest(DriftReport, parent=version.model)
    report = next((one for one in reports if one.version == version.name and one.reference == version.profile), None)
    if report is None:
        return None
    moved = [column.psi for column in report.columns if column.psi is not None]
    return {
        "verdict": report.verdict,
        "columns": [column.feature for column in report.columns if column.drifted],
        "worst_psi": max(moved, default=None),
        "rows": report.rows_current,
        "environment": report.environment,
        "at": time_text(report.at),
        "age_days": _days(report.at, now),
        "report": digest_of(report),
    }


def _quality_part(version: ModelVersion, tx: Transaction, now: datetime) -> dict[str, Any] | None:
    """Return what the newest quality report that judged a version says of it, over all arms."""
    from keelway.monitor import QualityReport

    for report in tx.newest(QualityReport, parent=version.model):
        for each in report.slices:
            if each.version == version.name and each.arm == "all":
                return {
                    "verdict": each.verdict,
                    "matured": each.matured,
                    "roc_auc_low": each.roc_auc.low if each.roc_auc else None,
                    "environment": report.environment,
                    "at": time_text(report.at),
                    "age_days": _days(report.at, now),
                    "report": digest_of(report),
                }
    return None


def _card_part(version: ModelVersion, at: Workspace, tx: Transaction) -> dict[str, Any] | None:
    """Return how many questions of the model card have no answer; None where the card cannot be made."""
    from keelway.register import model_card

    try:
        card = model_card(card_evidence(version, at=at, tx=tx, ledger=False))
    except KeelwayError:
        return None
    missing = [gap.what for gap in card.gaps if not gap.optional]
    return {"gaps": len(missing), "missing": missing, "optional_gaps": sum(gap.optional for gap in card.gaps)}


def _size_part(version: ModelVersion, at: Workspace) -> dict[str, Any] | None:
    """Return the bytes of the exported model; None where they are gone."""
    size = at.artifacts.size_of(version.onnx)
    return None if size is None else {"onnx_bytes": size}


def _budget_part(model: str, environment: str, at: Workspace, tx: Transaction, now: datetime) -> dict[str, Any] | None:
    """Return the error budget of the model's requests in the environment; None without an objective or requests."""
    from keelway.monitor import error_budget

    declared = at.settings.environments.get(environment)
    if declared is None or not declared.objective:
        return None
    window = parse_duration(declared.objective_window)
    budget = error_budget(model, environment, objective=declared.objective, window=window, tx=tx, now=now)
    if budget.left is None:
        return None
    return {
        "left": budget.left,
        "objective": budget.objective,
        "requests": budget.requests,
        "failed": budget.failed,
        "since": time_text(budget.since),
    }


def _rollouts_part(version: ModelVersion, at: Workspace, tx: Transaction, now: datetime) -> dict[str, Any]:
    """Return how the last rollout of a version that ended went, by environment; nothing where none has ended."""
    from keelway.deploy import rollout_state, rollouts_of

    found = {}
    for environment in at.settings.environments:
        tried = (each for each in rollouts_of(version.model, environment, tx) if version.name in each.treatments)
        ended = ((each, rollout_state(each, tx)) for each in tried)
        last = next(((each, state) for each, state in ended if state in _ENDED), None)
        if last is not None:
            found[environment] = _rollout_part(*last, version, tx, now)
    return found


def _rollout_part(
    start: RolloutStart, state: RolloutState, version: ModelVersion, tx: Transaction, now: datetime
) -> dict[str, Any]:
    """Return what the last verdict on a version in a rollout said; null where it was never judged."""
    from keelway.deploy import looks_of, turns_of

    looks = looks_of(start, tx)
    judged = [(look, arm) for look in looks for arm in look.arms if arm.version == version.name]
    ended = max([start.at, *(look.at for look in looks), *(turn.at for turn in turns_of(start, tx))])
    found: dict[str, Any] = {
        "rollout": start.rollout,
        "strategy": start.plan.strategy,
        "state": state,
        "control": start.control,
        "began_at": time_text(start.at),
        "ended_at": time_text(ended),
        "hours": round((ended - start.at).total_seconds() / _HOUR_S, 3),
        "age_days": _days(ended, now),
        "outcome": None,
        "look": None,
        "requests": None,
        "control_requests": None,
        "figures": {},
    }
    if judged:
        look, arm = judged[-1]
        control, treatment = arm.verdict.requests
        figures = {
            each.name: {"status": each.status, "harm": each.harm, "low": each.low, "high": each.high}
            for each in arm.verdict.figures
        }
        found |= {"outcome": arm.verdict.outcome, "look": digest_of(look), "figures": figures}
        found |= {"requests": treatment, "control_requests": control}
    return found


def _model_signing_part(version: ModelVersion, at: Workspace, tx: Transaction, now: datetime) -> dict[str, Any] | None:
    """Return whether the signature of the newest export holds, checked now; None for a version that was never exported."""
    from keelway.promote import newest_check, told_of
    from keelway.register import check_kept

    check = newest_check(version, "model_signing", tx=tx)
    if check is None:
        return None
    try:
        check_kept(version, check.figures, artifacts=at.artifacts, key=at.signing.public_key)
    except (IntegrityError, MissingRecordError) as error:
        found = {"verified": False, "reason": str(error)}
    else:
        found = {"verified": True, "reason": "verified"}
    return {**found, **check.figures, **told_of(check, now=now)}


def _days(then: datetime, now: datetime) -> float:
    return round((now - then).total_seconds() / _DAY_S, 3)
