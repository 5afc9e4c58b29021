"""Real evidence is what the schema says, and tells what was recorded; what nobody recorded is null and refuses."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.promote.policy_worlds import gate_of

from keelway.contract import CheckedBatch
from keelway.core import Action, Evidence, PrincipalId, digest_bytes, digest_of, parse_json
from keelway.engines.rego import RegoEngine
from keelway.identity import Principal
from keelway.ledger import decisions
from keelway.project import Evaluation
from keelway.promote import EnvironmentRules, SignatureCheck, door_evidence, load_policy, record_check
from keelway.promote.policies import evidence_schema
from keelway.snapshot import Snapshot
from keelway.testing.door import NOW, DoorWorld
from keelway.testing.training import NOW as TRAINED
from keelway.testing.training import TrainingWorld

SIGNED = SignatureCheck(True)
ANA = Principal(PrincipalId("user:ana"), ("data-scientist",))
D = digest_bytes(b"x")


def faults(evidence: Evidence) -> list[str]:
    from jsonschema import Draft202012Validator

    stored = parse_json(__import__("keelway.core").core.canonical_json(evidence))
    return [
        f"{list(each.path)}: {each.message}" for each in Draft202012Validator(evidence_schema()).iter_errors(stored)
    ]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TrainingWorld, Any]]:
    """A version that was really trained, with slices, sensitive columns and a snapshot."""
    world = TrainingWorld(tmp_path_factory.mktemp("trained"), rows=600)
    world.declare(evaluation=Evaluation(slices=("plan",), sensitive=("plan",)))
    checked = CheckedBatch("orders", D, D, "1.2.0", 100, 90, 10, 0, {}, {}, (), None, D, {}, TRAINED, TRAINED)
    snapshot = Snapshot("orders", 1, D, 1, 90, 90, D, digest_of(checked), None, TRAINED, TRAINED, {})
    world.table = dataclasses.replace(world.table, snapshots={"orders": digest_of(snapshot)})
    with world.state.transaction() as tx:
        for record in (checked, snapshot, world.table):
            tx.insert(digest_of(record), record, at=TRAINED)
    yield world, world.register(world.fit())
    world.state.close()


def gathered(world: TrainingWorld, version: Any, **more: Any) -> Evidence:
    rules = EnvironmentRules("prod", gate_of("signed"), more=(lambda *_: more) if more else None)
    with world.state.snapshot() as tx:
        return door_evidence(version, environment=rules, signature=SIGNED, now=TRAINED + timedelta(days=2), tx=tx)


def test_evidence_of_a_trained_version_is_what_the_schema_says(trained: tuple[TrainingWorld, Any]) -> None:
    evidence = gathered(*trained)
    assert faults(evidence) == []
    assert evidence["calibration"]["error"]["high"] >= evidence["calibration"]["error"]["low"]
    assert "bins" not in evidence["calibration"]
    assert evidence["slices"]["plan"]["judged"] >= 1
    assert evidence["versus_trivial"]["worst_loss"] == -evidence["versus_trivial"]["difference"]["low"]
    assert evidence["snapshots"]["orders"]["contract_version"] == "1.2.0"
    assert evidence["snapshots"]["orders"]["contract_status"] is None
    assert evidence["snapshots"]["orders"]["contract_current"]
    assert evidence["snapshots"]["orders"]["quarantined_share"] == 0.1


def test_every_part_is_there_and_null_where_nobody_recorded_it(trained: tuple[TrainingWorld, Any]) -> None:
    evidence = gathered(*trained)
    assert set(evidence_schema()["required"]) <= set(evidence)
    unknown = {"card", "drift", "error_budget", "latency", "leakage", "quality", "reproduction", "rollouts", "size"}
    assert {name for name in unknown if evidence[name] is not None} == set()
    refused = {
        "card_complete": "the model card cannot be made: keelway card churn:1",
        "no_drift": "drift since the training was not measured: keelway monitor churn",
        "error_budget_at_least(0)": "no error budget is known: it needs an objective and requests that were served",
        "latency_at_most_ms(9)": "the latency was not measured: keelway policy measure churn:1 --latency",
        "no_leaks": "nobody looked for leaks: keelway policy measure churn:1 --leakage",
        "quality_kept": "the quality of its answers was not measured: keelway monitor churn",
        "reproducible": "nobody trained it again: keelway policy measure churn:1 --reproduce",
        "size_at_most_mb(9)": "the model's bytes are not in the artifact store: keelway run churn",
        'rollout_succeeded("staging")': "no rollout of it in staging was judged and has ended: keelway rollout churn --env staging",
        'drilled_within_days("rollback", 9)': "no drill of rollback is recorded that went well: keelway drill record churn",
    }
    for rule, reason in refused.items():
        assert reason in RegoEngine().judge(gate_of(rule), evidence).reasons


def test_what_later_steps_recorded_comes_from_outside(trained: tuple[TrainingWorld, Any]) -> None:
    evidence = gathered(*trained, size={"onnx_bytes": 1234})
    assert evidence["size"] == {"onnx_bytes": 1234}
    assert faults(evidence) == []
    assert RegoEngine().judge(gate_of("size_at_most_mb(1)"), evidence).allowed


def test_evidence_at_a_door_and_evidence_that_cannot_be_gathered_are_what_the_schema_says(tmp_path: Path) -> None:
    world = DoorWorld(tmp_path)
    with world.state.snapshot() as tx:
        whole = door_evidence(world.version, environment=world.rules, signature=SIGNED, now=NOW, tx=tx)
        lost = dataclasses.replace(world.version, scorecard=D)
        bare = door_evidence(lost, environment=world.rules, signature=SIGNED, now=NOW, tx=tx)
    assert faults(whole) == []
    assert "Scorecard" in bare["error"]
    assert not RegoEngine().judge(load_policy("policy", root=tmp_path), bare).allowed


def test_a_check_is_kept_with_its_ledger_entry_and_bound_to_the_version(tmp_path: Path) -> None:
    world = DoorWorld(tmp_path)
    figures = {"p50_ms": 0.1, "p99_ms": 0.5, "answers": 100, "machine": "m"}
    record_check(world.version, "latency", {**figures, "p99_ms": 9.0}, principal=ANA, state=world.state, now=NOW)
    later = NOW + timedelta(days=1)
    check = record_check(world.version, "latency", figures, principal=ANA, state=world.state, now=later)
    assert check.number == 2
    with world.state.snapshot() as tx:
        told = door_evidence(world.version, environment=world.rules, signature=SIGNED, now=later, tx=tx)
        other = dataclasses.replace(world.version, semver="2.0.0")
        unbound = door_evidence(other, environment=world.rules, signature=SIGNED, now=later, tx=tx)
        (*_, (_, decision)) = decisions(tx)
    assert faults(told) == []
    assert told["latency"]["p99_ms"] == 0.5
    assert told["latency"]["age_days"] == 0
    assert unbound["latency"] is None
    assert (decision.action, decision.subject, decision.comment) == (Action.CHECK, "churn:1", "latency")
