"""What later steps of the lifecycle recorded of a version stands in the evidence: the newest report of this very version."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from keelway.app.gate_evidence import more_evidence
from keelway.app.settings_environment import EnvironmentSettings
from keelway.core import Environment, digest_bytes, digest_of, version_name
from keelway.errors import ProjectError
from keelway.evaluate import Interval
from keelway.monitor import ColumnDrift, DriftReport, QualityReport, QualitySlice
from keelway.promote import evidence_schema
from keelway.serve import RequestFigures
from keelway.serve.tally import keep_figures
from keelway.testing.door import NOW, D, DoorWorld

LATER = NOW + timedelta(days=2)


def drift(version: str, psi: float | None, *, reference: Any = D, days: int = 0) -> DriftReport:
    column = ColumnDrift("spend", psi, 0.1, 0.01, 10, 0.0, 0.0, drifted=bool(psi and psi > 0.1))
    verdict = "drifted" if column.drifted else "stable"
    at = NOW + timedelta(days=days)
    return DriftReport(
        "churn", version_name("churn", int(version)), "staging", reference, D, 900, 800, 0.1, 0.95, (column,), verdict, (), at
    )  # fmt: skip


def quality(version: str, arm: str, verdict: Any) -> QualityReport:
    auc = Interval(0.8, 0.75, 0.85, 0.95, "DeLong")
    part = QualitySlice(version_name("churn", int(version)), arm, 500, 10, 100, auc, None, verdict)
    return QualityReport("churn", "staging", "churned", 0.7, 100, (part,), verdict, (), NOW)


class Broken:
    """A project that does not load."""

    def model(self, name: str) -> Any:
        raise ProjectError(f"{name} does not load")


@pytest.fixture
def world(tmp_path: Path) -> DoorWorld:
    return DoorWorld(tmp_path)


def parts(world: DoorWorld, *records: Any, objective: float = 0.0) -> dict[str, Any]:
    with world.state.transaction() as tx:
        for record in records:
            tx.insert(digest_of(record), record, parent="churn", at=record.at)
    at: Any = SimpleNamespace(
        artifacts=world.artifacts, project=Broken(), signing=SimpleNamespace(public_key=world.key.public),
        settings=SimpleNamespace(environments={"prod": EnvironmentSettings(objective=objective)}),
    )  # fmt: skip
    with world.state.snapshot() as tx:
        return more_evidence(at)(world.version, "prod", tx, LATER)


def test_what_nobody_recorded_is_null(world: DoorWorld) -> None:
    found = parts(world)
    assert (found["drift"], found["quality"], found["card"]) == (None, None, None)
    assert found["size"] == {"onnx_bytes": len(b"bytes of churn:1")}


def test_an_error_budget_needs_an_objective_and_requests(world: DoorWorld) -> None:
    assert parts(world, objective=0.99)["error_budget"] is None
    place, end = Environment("prod"), LATER - timedelta(hours=1)
    keep_figures(RequestFigures("churn", place, NOW, end, 1_000, 5, 0, ()), state=world.state)
    assert parts(world)["error_budget"] is None
    budget = parts(world, objective=0.99)["error_budget"]
    assert (budget["requests"], budget["failed"], budget["objective"]) == (1_000, 5, 0.99)
    assert budget["left"] == pytest.approx(0.5)
    schema = evidence_schema()["properties"]["error_budget"]
    assert list(Draft202012Validator(schema).iter_errors(budget)) == []


def test_a_model_whose_bytes_are_gone_has_no_size(world: DoorWorld) -> None:
    world.version = dataclasses.replace(world.version, onnx=digest_bytes(b"gone"))
    assert parts(world)["size"] is None


def test_the_newest_drift_report_of_this_version_and_its_training_counts(world: DoorWorld) -> None:
    other = digest_bytes(b"another training")
    found = parts(
        world,
        drift("1", 0.3),
        drift("1", 0.02, days=1),
        drift("2", 0.5, days=1),
        drift("1", 9, reference=other, days=2),
    )
    assert found["drift"]["verdict"] == "stable"
    assert found["drift"]["worst_psi"] == 0.02
    assert found["drift"]["columns"] == []
    assert found["drift"]["age_days"] == 1
    assert found["drift"]["report"] == digest_of(drift("1", 0.02, days=1))


def test_drift_that_nothing_compares_has_no_worst_figure(world: DoorWorld) -> None:
    assert parts(world, drift("1", None))["drift"]["worst_psi"] is None


def test_quality_is_that_of_this_version_over_all_arms(world: DoorWorld) -> None:
    assert parts(world, quality("2", "all", "lost"), quality("1", "canary", "lost"))["quality"] is None
    found = parts(world, quality("1", "all", "kept"))
    assert (found["quality"]["verdict"], found["quality"]["roc_auc_low"]) == ("kept", 0.75)
