"""What a gate reads of a version that later steps of the lifecycle know: drift, quality, the model card, its size."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from keelway.app.card import card_evidence
from keelway.app.wire import Workspace
from keelway.core import digest_of, time_text
from keelway.errors import KeelwayError

if TYPE_CHECKING:
    from keelway.ledger import Transaction
    from keelway.promote import MoreEvidence
    from keelway.register import ModelVersion

_DAY_S = 86_400


def more_evidence(at: Workspace) -> MoreEvidence:
    """Return what tells the parts of the evidence that the door's own slice does not know; null for what is unknown."""

    def parts(version: ModelVersion, _environment: str, tx: Transaction, now: datetime) -> dict[str, Any]:
        return {
            "drift": _drift_part(version, tx, now),
            "quality": _quality_part(version, tx, now),
            "card": _card_part(version, at, tx),
            "size": _size_part(version, at),
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


def _days(then: datetime, now: datetime) -> float:
    return round((now - then).total_seconds() / _DAY_S, 3)
