"""What tests of policies share: gates of one ready rule each, and ways to spoil evidence."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keelway.core import Evidence, PolicySet
from keelway.promote import library_files
from keelway.promote.policies import changed, sample_evidence, value_at

EXAMPLES: dict[str, str] = {
    "metric_floor": 'metric_floor("roc_auc", 0.75)',
    "auc_floor": "auc_floor(0.75)",
    "metric_ceiling": 'metric_ceiling("log_loss", 0.5)',
    "value_floor": 'value_floor("roc_auc", 0.75)',
    "value_ceiling": 'value_ceiling("log_loss", 0.5)',
    "positives_at_least": "positives_at_least(100)",
    "rows_at_least": "rows_at_least(1000)",
    "not_worse_than_champion": "not_worse_than_champion",
    "loses_at_most": "loses_at_most(0.01)",
    "not_worse_than_trivial": "not_worse_than_trivial",
    "beats_trivial": "beats_trivial",
    "no_slice_worse": 'no_slice_worse(["plan"])',
    "calibrated_within": "calibrated_within(0.05)",
    "calibration_gap_at_most": "calibration_gap_at_most(0.1)",
    "four_fifths": 'four_fifths(["sex"])',
    "parity_difference_at_most": 'parity_difference_at_most(["sex"], 0.1)',
    "opportunity_difference_at_most": 'opportunity_difference_at_most(["sex"], 0.1)',
    "odds_difference_at_most": 'odds_difference_at_most(["sex"], 0.1)',
    "no_overlap": "no_overlap",
    "overlap_at_most_days": "overlap_at_most_days(30)",
    "no_leaks": "no_leaks",
    "quarantined_at_most": "quarantined_at_most(0.05)",
    "fresh_within_days": "fresh_within_days(7)",
    "contracts_in_force": "contracts_in_force",
    "no_drift": "no_drift",
    "drift_at_most": "drift_at_most(0.2)",
    "drift_watched_within_days": "drift_watched_within_days(7)",
    "quality_kept": "quality_kept",
    "parity": "parity",
    "latency_at_most_ms": "latency_at_most_ms(5)",
    "size_at_most_mb": "size_at_most_mb(1)",
    "card_complete": "card_complete",
    "model_signed": "model_signed",
    "signed": "signed",
    "reproducible": "reproducible",
    "bit_equal": "bit_equal",
    "bom_listed": "bom_listed",
    "committed": "committed",
    "admitted_in": 'admitted_in("staging")',
    "admitted_days_ago": 'admitted_days_ago("staging", 7)',
    "rollout_succeeded": 'rollout_succeeded("staging")',
    "drilled_within_days": 'drilled_within_days("rollback", 90)',
    "error_budget_at_least": "error_budget_at_least(0.25)",
    "no_freeze": "no_freeze",
    "no_open_incidents": "no_open_incidents",
    "risk_assessed": "risk_assessed",
    "risk_at_most": 'risk_at_most("limited")',
    "from_tier": 'from_tier("limited", lib.auc_floor(0.75))',
    "checklist_answered": "checklist_answered",
    "in_service": "in_service",
}
"""Each ready rule, asked so that the sample evidence meets it."""

HOLES: tuple[Any, ...] = (None, math.nan, "text", [], {}, True, ["text"])
"""What may stand where a figure belongs, besides nothing at all."""


def gate_of(*calls: str) -> PolicySet:
    """Return a gate that asks these ready rules and nothing else."""
    clauses = "".join(
        f'\nrules contains "rule {number}"\n\ndeny contains reason if some reason in lib.{call}\n'
        for number, call in enumerate(calls)
    )
    files = {"gate.rego": f"package keelway.gate\n\nimport data.keelway.lib\n{clauses}"}
    return PolicySet("gate", files | library_files(files))


def holes_at(evidence: Evidence, path: str) -> Iterator[tuple[str, Evidence]]:
    """Yield evidence with a hole at a place or at one above it, and what was done."""
    keys = path.split(".")
    for depth in range(len(keys), 0, -1):
        place = ".".join(keys[:depth])
        if value_at(evidence, place) is value_at({}, "nowhere"):
            continue
        yield f"without {place}", changed(evidence, remove=(place,))
        for hole in HOLES:
            yield f"{place} = {hole!r}", changed(evidence, put={place: hole})


SAMPLE = sample_evidence()
REPOSITORY = Path(__file__).parents[2]
