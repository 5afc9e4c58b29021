"""Evidence finders: each answers one question from the ledger as it was at a time; frameworks name them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from keelway.report.finders.data import contracts, erasures, personal_data, quarantine, retention, snapshots
from keelway.report.finders.found import found
from keelway.report.finders.models import (
    bill_of_materials,
    calibration,
    cards,
    evaluation,
    fairness,
    leakage,
    provenance,
    reproduction,
    robustness,
    signatures,
)
from keelway.report.finders.people import (
    access,
    approvals,
    changes,
    gate,
    impact,
    oversight,
    prohibited,
    risk,
    separation,
    transparency,
)
from keelway.report.finders.running import (
    audit_log,
    drills,
    incidents,
    monitoring,
    notifications,
    outcomes,
    prediction_log,
    rollback,
)
from keelway.report.past import Past
from keelway.report.records import FoundEvidence, Point

_ALL: tuple[Callable[[Past], Iterator[Point]], ...] = (
    access, approvals, audit_log, bill_of_materials, calibration, cards, changes, contracts, drills, erasures,
    evaluation, fairness, gate, impact, incidents, leakage, monitoring, notifications, outcomes, oversight,
    personal_data, prediction_log, prohibited, provenance, quarantine, reproduction, retention, risk, robustness,
    rollback, separation, signatures, snapshots, transparency,
)  # fmt: skip
FINDERS = {finder.__name__: finder for finder in _ALL}
"""Name to finder; the first line of its documentation says what it looks for."""

_NOTHING = {
    "access": "nothing was recorded",
    "audit_log": "nothing was recorded",
    "contracts": "no batch was checked by a contract",
    "quarantine": "no batch was checked by a contract",
    "personal_data": "no contract says which columns name persons",
    "outcomes": "no outcome was recorded",
    **dict.fromkeys(
        ("approvals", "separation", "gate", "changes", "prediction_log", "monitoring", "drills", "cards"),
        "nothing is live in any environment",
    ),
    **dict.fromkeys(("risk", "prohibited", "impact", "oversight", "transparency"), "there is no model to assess"),
}


def ask(name: str, past: Past) -> FoundEvidence:
    """Return what a finder finds. Raises KeyError for a name that is no finder."""
    return found(name, FINDERS[name](past), nothing=_NOTHING.get(name, "no version of a model is registered"))


__all__ = ["FINDERS", "ask"]
