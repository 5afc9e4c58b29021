"""The one door: approvals that cannot be abused, one transaction, and a ledger that answers what was live."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from keelway.contract import CheckedBatch
from keelway.core import CodeState, PolicySet, PrincipalId, digest_bytes, digest_of, version_name
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.rego import RegoEngine
from keelway.engines.sql import SqlState
from keelway.errors import MissingRecordError, RefusedError
from keelway.evaluate import Comparison, Interval, Scorecard
from keelway.features import FeatureTable
from keelway.identity import Principal
from keelway.ledger import decisions
from keelway.promote import (
    EnvironmentRules,
    SignatureCheck,
    admitted,
    approve,
    gate,
    load_policy,
    promote,
    reject,
    request_promotion,
    status_at,
)
from keelway.register import ModelVersion, Parity
from keelway.snapshot import Snapshot
from keelway.train import TrainedModel

NOW = datetime(1998, 6, 1, tzinfo=UTC)
D = digest_bytes(b"x")
ANA, BEN, CAT, CI = (
    Principal(PrincipalId(name), (role,))
    for name, role in (
        ("user:ana", "data-scientist"),
        ("user:ben", "approver"),
        ("user:cat", "approver"),
        ("sp:ci", "deployer"),
    )
)
GATE = """package keelway.gate
import data.keelway.lib
rules contains "all"
deny contains reason if some reason in lib.auc_floor(0.7)
deny contains reason if some reason in lib.not_worse_than_champion
deny contains reason if some reason in lib.not_worse_than_trivial
deny contains reason if some reason in lib.parity
deny contains reason if some reason in lib.quarantined_at_most(0.1)
deny contains reason if some reason in lib.fresh_within_days(40)
deny contains reason if some reason in lib.no_overlap
deny contains reason if some reason in lib.signed
"""


class Tracker:
    """Keeps aliases in memory."""

    def __init__(self) -> None:
        self.aliases: dict[tuple[str, str], int] = {}

    def set_alias(self, model: str, alias: str, number: int) -> None:
        self.aliases[model, alias] = number


class World:
    """A project with one registered version, and the people around it."""

    def __init__(self, folder: Path) -> None:
        (folder / "policy").mkdir()
        (folder / "policy/gate.rego").write_text(GATE)
        self.state = SqlState(f"sqlite:///{folder / 'state.db'}")
        self.artifacts = LocalArtifacts(folder / "artifacts")
        self.tracker = Tracker()
        self.rules = EnvironmentRules("prod", load_policy("policy", root=folder), 1, True)
        self.version = self.register(1)

    def register(self, number: int, *, low: float = 0.75) -> ModelVersion:
        interval = Interval(0.8, low, 0.85, 0.95, "DeLong")
        better = Comparison("trivial", Interval(0.1, 0.05, 0.15, 0.95, "DeLong"), 0.001, "better")
        code = CodeState(D, D)
        checked = CheckedBatch("tx", D, D, "1", 100, 99, 1, 0, {}, {}, (), None, D, {}, NOW, NOW)
        with self.state.transaction() as tx:
            put = lambda record: tx.insert(f"{digest_of(record)}", record, at=NOW)  # noqa: E731
            snapshot = put(Snapshot("tx", 1, D, 1, 99, 99, D, put(checked), None, NOW, NOW, {}))
            table = put(FeatureTable("churn", "training", D, D, "c", (NOW,), (), "y", 1, 9, {"tx": snapshot}, D))
            trained = put(TrainedModel("churn", "lr", "f", {}, D, (), table, (NOW,), NOW, 9, 0, number, D, "", D, code))
            card = put(
                Scorecard("churn", "lr", trained, table, NOW, 9, 4, {"roc_auc": interval}, {}, better, None, "", 0, D)
            )
            parity = Parity(9, 1e-7, 1e-5, True, True)
            version = ModelVersion(
                name=version_name("churn", number), model="churn", number=number, semver="1.0.0", onnx=D, pipeline=D,
                features=(), entity="c", parity=parity, trained=trained, scorecard=card, feature_table=table,
                profile=D, run_id="r", author=ANA.id, created_at=NOW, statement=D, registry_link="",
            )  # fmt: skip
            tx.insert(version.name, version, parent="churn", at=NOW)
        return version

    def ask(self, who: Principal = ANA) -> None:
        request_promotion(
            self.version, environment=self.rules, principal=who, state=self.state, artifacts=self.artifacts, now=NOW
        )

    def answer(self, verb: Any, who: Principal = BEN) -> Any:
        return verb(self.version, environment=self.rules, principal=who, state=self.state, now=NOW)

    def promote(self, who: Principal = CI, **changed: Any) -> Any:
        ports = {
            "environment": self.rules, "principal": who, "state": self.state, "artifacts": self.artifacts,
            "engine": RegoEngine(), "public_key": None, "tracker": self.tracker, "now": NOW,
        }  # fmt: skip
        return promote(changed.pop("version", self.version), **(ports | changed))

    def refused(self, **changed: Any) -> str:
        with pytest.raises(RefusedError) as caught:
            self.promote(**changed)
        with self.state.snapshot() as tx:
            assert tx.pointer("environment/prod/churn") is None
            assert list(decisions(tx))[-1][1].reasons == caught.value.reasons
        return "; ".join(caught.value.reasons)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(gate, "check_signature", lambda *_, **__: SignatureCheck(True))  # tests/register checks it
    return World(tmp_path)


def test_a_good_version_with_an_approval_gets_in_once(world: World) -> None:
    world.ask()
    world.answer(approve)
    assert world.answer(approve) == world.answer(approve)
    admission = world.promote()
    assert world.promote() == admission
    assert world.tracker.aliases == {("churn", "prod"): 1}
    with world.state.snapshot() as tx:
        assert tx.pointer("environment/prod/churn").target == digest_of(world.version)
        assert admitted(world.version, "prod", tx) == admission
        assert len(list(decisions(tx))) == 3
        assert status_at(tx, NOW)[0].subject == "churn:1"
        assert status_at(tx, NOW - timedelta(days=1)) == []


def test_every_reason_is_told_at_once(world: World) -> None:
    told = world.refused(who=ANA, version=world.register(2, low=0.6))
    for part in ("role deployer", "service principal", "roc_auc is at least 0.6", "0 of 1 approvals"):
        assert part in told


@pytest.mark.parametrize("who", [ANA, Principal(ANA.id, ("approver",)), CI], ids=["no role", "author", "deployer"])
def test_nobody_without_the_role_or_with_a_part_in_it_approves(world: World, who: Principal) -> None:
    world.ask()
    with pytest.raises(RefusedError):
        world.answer(approve, who)
    assert "0 of 1" in world.refused()


def test_the_requester_cannot_approve(world: World) -> None:
    world.ask(Principal(BEN.id, ("data-scientist",)))
    with pytest.raises(RefusedError, match="requester"):
        world.answer(approve, BEN)


def test_a_rejection_stands_in_the_way_until_it_is_taken_back(world: World) -> None:
    world.ask()
    world.answer(approve)
    world.answer(reject, CAT)
    assert "user:cat rejected it" in world.refused()
    world.answer(approve, CAT)
    assert len(world.promote().approvals) == 2


def test_a_changed_policy_or_version_voids_the_approval(world: World) -> None:
    world.ask()
    world.answer(approve)
    files = {**world.rules.policy.files, "more.rego": "package keelway.gate\n"}
    stale = dataclasses.replace(world.rules, policy=PolicySet("policy", files))
    assert "0 of 1 approvals" in world.refused(environment=stale)
    assert "0 of 1 approvals" in world.refused(version=dataclasses.replace(world.version, onnx=digest_bytes(b"y")))


def test_an_empty_policy_folder_and_a_missing_record_let_nothing_in(world: World) -> None:
    empty = dataclasses.replace(world.rules, policy=PolicySet("none"), approvals=0)
    assert "no rules" in world.refused(environment=empty)
    with pytest.raises(MissingRecordError):
        world.promote(version=dataclasses.replace(world.version, scorecard=D))


def test_a_version_comes_from_the_environment_before(world: World) -> None:
    prod = dataclasses.replace(world.rules, after="staging", approvals=0)
    assert "never admitted to staging" in world.refused(environment=prod)
    world.promote(environment=dataclasses.replace(world.rules, name="staging", approvals=0))
    assert world.promote(environment=prod).environment == "prod"


def test_an_older_version_comes_back_through_the_same_door(world: World) -> None:
    free = dataclasses.replace(world.rules, approvals=0)
    first = world.promote(environment=free)
    lax = dataclasses.replace(free, policy=PolicySet("lax", {"a.rego": GATE.replace("lib.not_worse_than_champion", "set()")} | {
        name: text for name, text in free.policy.files.items() if name.startswith("library/")}))  # fmt: skip
    world.promote(environment=lax, version=world.register(2))
    back = world.promote(environment=free, now=NOW + timedelta(days=1))
    assert back != first
    with world.state.snapshot() as tx:
        assert admitted(world.version, "prod", tx) == back
        assert [one.subject for one in status_at(tx, NOW)] == ["churn:2"]


@pytest.mark.parametrize("write", ["insert", "move"])
def test_a_crash_between_writes_leaves_nothing_and_a_retry_succeeds(
    world: World, monkeypatch: pytest.MonkeyPatch, write: str
) -> None:
    free = dataclasses.replace(world.rules, approvals=0)

    def crash(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with world.state.transaction() as tx:
        kind = type(tx)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(kind, write, crash)
        world.promote(environment=free)
    with world.state.snapshot() as tx:
        assert tx.pointers(prefix="environment/") == []
        assert list(decisions(tx)) == []
    assert world.promote(environment=free)
