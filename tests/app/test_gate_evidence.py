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
from keelway.core import Environment, PrincipalId, digest_bytes, digest_of, plain, version_name
from keelway.deploy import ArmVerdict, RolloutLook, RolloutStart
from keelway.deploy.analysis import MeasuredFigure, RolloutVerdict
from keelway.errors import ProjectError
from keelway.evaluate import Interval
from keelway.monitor import ColumnDrift, DriftReport, QualityReport, QualitySlice
from keelway.project import Rollout
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


def verdict(outcome: Any) -> RolloutVerdict:
    figure = MeasuredFigure("error_rate", "held", 0.001, -0.002, 0.004, "errors are within the margin")
    return RolloutVerdict(outcome, ("because",), (figure,), 0.5, (9_000, 1_000))


def begun(world: DoorWorld, rollout: str, *treatments: int, hours: int = 0) -> RolloutStart:
    names = tuple(version_name("churn", number) for number in treatments)
    start = RolloutStart(
        rollout, "churn", Environment("prod"), plain(Rollout.canary("prod")), version_name("churn", 9), names,
        NOW + timedelta(hours=hours), PrincipalId("user:ana"),
    )  # fmt: skip
    with world.state.transaction() as tx:
        tx.insert(start.place, start, parent="prod/churn", at=start.at)
    return start


def look(world: DoorWorld, start: RolloutStart, number: int, move: Any, *outcomes: str, hours: int = 1) -> RolloutLook:
    arms = tuple(
        ArmVerdict("canary", name, verdict(each)) for name, each in zip(start.treatments, outcomes, strict=False)
    )
    seen = RolloutLook(
        "churn", start.environment, start.rollout, 0, number, D, start.control, arms, move, ("because",),
        start.at + timedelta(hours=hours),
    )  # fmt: skip
    with world.state.transaction() as tx:
        tx.insert(f"{start.place}/{number}", seen, parent=start.place, at=seen.at)
    return seen


def test_the_last_rollout_of_the_version_that_ended_is_told_by_environment(world: DoorWorld) -> None:
    assert parts(world)["rollouts"] == {}
    first = begun(world, "r1", 1)
    look(world, first, 1, "hold", "inconclusive")
    last = look(world, first, 2, "back", "failure", hours=2)
    found = parts(world)["rollouts"]["prod"]
    assert (found["state"], found["outcome"], found["hours"]) == ("back", "failure", 2)
    assert (found["requests"], found["control_requests"]) == (1_000, 9_000)
    assert found["figures"] == {"error_rate": {"status": "held", "harm": 0.001, "low": -0.002, "high": 0.004}}
    assert found["look"] == digest_of(last)
    second = begun(world, "r2", 1, hours=10)
    look(world, second, 1, "advance", "success")
    look(world, second, 2, "finish", hours=3)  # the last stage compares nothing
    found = parts(world)["rollouts"]["prod"]
    assert (found["rollout"], found["state"], found["outcome"], found["hours"]) == ("r2", "finished", "success", 3)
    schema = evidence_schema()["properties"]["rollouts"]
    assert list(Draft202012Validator(schema).iter_errors(parts(world)["rollouts"])) == []


def test_rollouts_of_other_versions_do_not_count_and_one_without_a_verdict_has_no_outcome(world: DoorWorld) -> None:
    look(world, begun(world, "r1", 2), 1, "finish", "success")
    assert parts(world)["rollouts"] == {}
    look(world, begun(world, "r2", 2, 1, hours=5), 1, "finish", "success")
    found = parts(world)["rollouts"]["prod"]
    assert (found["state"], found["outcome"], found["requests"], found["figures"]) == ("finished", None, None, {})
    schema = evidence_schema()["properties"]["rollouts"]
    assert list(Draft202012Validator(schema).iter_errors({"prod": found})) == []


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
