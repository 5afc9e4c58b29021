"""Measures of a version what its training does not: the time of an answer, leaks in its rows, training it again.

Each measurement is kept with its ledger entry, so that the gate can read it; nothing else is changed.
"""

from __future__ import annotations

import os
import platform
import time
from typing import TYPE_CHECKING, Any

from keelway.app.candidate import scorer_for
from keelway.app.online import row_groups, split_rows
from keelway.app.reproduce import reproduce
from keelway.app.wire import Workspace
from keelway.errors import MissingRecordError, UsageError

if TYPE_CHECKING:
    from keelway.promote import MeasuredKind, VersionCheck
    from keelway.register import ModelVersion

ANSWERS = 1000
"""So many answers are timed, each to one row of the version's own feature table."""
WARM = 50
"""So many are asked before, and not timed."""


def measure(version: ModelVersion, kind: MeasuredKind, *, at: Workspace) -> VersionCheck:
    """Measure one thing of a version and keep it.

    Raises:
        IntegrityError: The version's bytes or signature do not verify.
        MissingRecordError: What it was made from is gone.
        UsageError: Its run trained nothing that the project declares.
    """
    from keelway.promote import record_check

    took = {"latency": latency, "leakage": leaks, "reproduction": reproduced}[kind]
    return record_check(version, kind, took(version, at), principal=at.principal, state=at.state, now=at.now())


def latency(version: ModelVersion, at: Workspace) -> dict[str, Any]:
    """Return how long the form that is served takes for one row, in milliseconds, on one thread of this machine."""
    from keelway.features import FeatureTable, columns_for_scoring, rows_of

    with at.state.snapshot() as tx:
        table = tx.by_digest(FeatureTable, version.feature_table)
    scorer = scorer_for(version, at)
    columns = columns_for_scoring(rows_of(table, at.artifacts), version.features)
    rows = list(zip(*(columns[each.name] for each in version.features), strict=True))
    taken = []
    for number in range(WARM + ANSWERS):
        row = rows[number % len(rows)]
        begun = time.perf_counter()
        scorer.predictions([row])
        taken.append((time.perf_counter() - begun) * 1000)
    timed = sorted(taken[WARM:])
    return {
        "p50_ms": round(timed[ANSWERS // 2], 4),
        "p99_ms": round(timed[ANSWERS * 99 // 100], 4),
        "answers": ANSWERS,
        "machine": f"{platform.machine()}, {os.cpu_count()} processors",
    }


def leaks(version: ModelVersion, at: Workspace) -> dict[str, Any]:
    """Return what looks like a leak in the rows that the version was trained and tested on."""
    from keelway.features import FeatureTable, leakage, rows_of

    with at.state.snapshot() as tx:
        table = tx.by_digest(FeatureTable, version.feature_table)
    declared = at.project.model(version.model)
    rows, folds = split_rows(declared, table, rows_of(table, at.artifacts))
    report = leakage(rows, version.features, task=declared.task, groups=row_groups(declared, rows), folds=folds)
    return {
        "stops": len(report.stops),
        "notes": len(report.findings) - len(report.stops),
        "findings": sorted({f"{each.check} {each.column}".strip() for each in report.stops}),
        "rows": report.rows,
    }


def reproduced(version: ModelVersion, at: Workspace, *, tolerance: float = 1e-9) -> dict[str, Any]:
    """Return what comes of training again what the version's run trained."""
    with at.state.snapshot() as tx:
        found = tx.runs.named(version.run_id) if version.run_id else []
    if len(found) != 1:
        raise MissingRecordError(f"The run of {version.name} is not recorded", expected=version.run_id or "a run")
    made = reproduce(at, found[0], tolerance=tolerance)
    with at.state.snapshot() as tx:
        estimator = _estimator(version, tx)
    again = next((each for each in made.trainings if each.estimator == estimator), None)
    if again is None:
        raise UsageError(f"The run of {version.name} did not train it", expected=estimator, found=version.run_id)
    return {
        "alike": again.alike,
        "first_difference": again.first_difference,
        "largest": again.largest,
        "tolerance": made.tolerance,
        "run": made.run_id,
    }


def _estimator(version: ModelVersion, tx: Any) -> str:
    from keelway.train import TrainedModel

    found: str = tx.by_digest(TrainedModel, version.trained).estimator
    return found
