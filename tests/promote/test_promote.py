"""The one door: approvals that cannot be abused, real signatures, and a ledger that answers what was live."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from keelway.contract import CheckedBatch
from keelway.core import (
    DIRTY,
    Action,
    ArtifactKind,
    CodeState,
    Digest,
    PolicySet,
    PrincipalId,
    RunId,
    RunStarted,
    digest_bytes,
    digest_of,
    parse_json,
    version_name,
)
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.rego import RegoEngine
from keelway.engines.sql import SqlState
from keelway.errors import EngineError, MissingRecordError, RefusedError
from keelway.evaluate import Comparison, Interval, Scorecard
from keelway.features import FeatureTable
from keelway.identity import Principal
from keelway.ledger import SigningKey, audit, decisions, provenance, sign_statement
from keelway.promote import (
    Admission,
    EnvironmentRules,
    admitted,
    alias_drift,
    approve,
    check_gate,
    load_policy,
    promote,
    reject,
    request_promotion,
    status_at,
)
from keelway.register import ModelVersion, Parity
from keelway.snapshot import Snapshot
from keelway.testing.crash import EXIT_CODE, CrashingArtifacts, CrashingState, CrashPoint
from keelway.train import TrainedModel

NOW = datetime(1998, 6, 1, tzinfo=UTC)
D = digest_bytes(b"x")
ANA, BEN, CAT, DAN, CI = (
    Principal(PrincipalId(name), (role,))
    for name, role in (
        ("user:ana", "data-scientist"),
        ("user:ben", "approver"),
        ("user:cat", "approver"),
        ("user:dan", "approver"),
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


class Aliases:
    """Keeps aliases in memory; may be down."""

    def __init__(self) -> None:
        self.shown: dict[tuple[str, str], int] = {}
        self.down = False

    def set_alias(self, model: str, alias: str, number: int) -> None:
        self.must_be_up()
        self.shown[model, alias] = number

    def alias_of(self, model: str, alias: str) -> int | None:
        self.must_be_up()
        return self.shown.get((model, alias))

    def must_be_up(self) -> None:
        if self.down:
            raise EngineError("The tracker does not answer")


class World:
    """A project with one registered version, and the people around it."""

    def __init__(self, folder: Path) -> None:
        (folder / "policy").mkdir()
        (folder / "policy/gate.rego").write_text(GATE)
        self.key = SigningKey.generate("test")
        self.state = SqlState(f"sqlite:///{folder / 'state.db'}")
        self.artifacts = LocalArtifacts(folder / "artifacts")
        self.tracker = Aliases()
        self.rules = EnvironmentRules("prod", load_policy("policy", root=folder), 1, True)
        self.version = self.register(1)

    def register(self, number: int, *, low: float = 0.75, commit: str = "c0ffee") -> ModelVersion:
        interval = Interval(0.8, low, 0.85, 0.95, "DeLong")
        better = Comparison("trivial", Interval(0.1, 0.05, 0.15, 0.95, "DeLong"), 0.001, "better")
        code = CodeState(D, D, commit, D if commit.endswith(DIRTY) else "")
        checked = CheckedBatch("tx", D, D, "1", 100, 99, 1, 0, {}, {}, (), None, D, {}, NOW, NOW)
        with self.state.transaction() as tx:
            put = lambda record: tx.insert(f"{digest_of(record)}", record, at=NOW)
            snapshot = put(Snapshot("tx", 1, D, 1, 99, 99, D, put(checked), None, NOW, NOW, {}))
            table = put(FeatureTable("churn", "training", D, D, "c", (NOW,), (), "y", 1, 9, {"tx": snapshot}, D))
            trained = put(TrainedModel("churn", "lr", "f", {}, D, (), table, (NOW,), NOW, 9, 0, number, D, "", D, code))
            card = put(
                Scorecard("churn", "lr", trained, table, NOW, 9, 4, {"roc_auc": interval}, {}, better, None, "", 0, D)
            )
            parity = Parity(9, 1e-7, 1e-5, True, True)
            onnx, statement = self.signed(version_name("churn", number))
            version = ModelVersion(
                name=version_name("churn", number), model="churn", number=number, semver="1.0.0", onnx=onnx, pipeline=D,
                features=(), entity="c", parity=parity, trained=trained, scorecard=card, feature_table=table,
                profile=D, run_id="r", author=ANA.id, created_at=NOW, statement=statement, registry_link="",
            )  # fmt: skip
            tx.insert(version.name, version, parent="churn", at=NOW)
        return version

    def signed(self, name: str) -> tuple[Digest, Digest]:
        """Store a model's bytes and the signed statement about them, as registration does."""
        onnx = self.artifacts.put(f"bytes of {name}".encode(), kind=ArtifactKind.MODEL).digest
        told = provenance(
            name, onnx, build_type="https://keelway.dev/build/training/v1", parameters={}, dependencies={},
            builder="https://keelway.dev/principal/user:ana", started=NOW, finished=NOW,
        )  # fmt: skip
        return onnx, self.artifacts.put(sign_statement(told, key=self.key), kind=ArtifactKind.RECORD).digest

    def ask(self, who: Principal = ANA) -> None:
        request_promotion(
            self.version, environment=self.rules, principal=who, state=self.state, artifacts=self.artifacts, now=NOW
        )

    def answer(self, verb: Any, who: Principal = BEN) -> Any:
        return verb(self.version, environment=self.rules, principal=who, state=self.state, now=NOW)

    def promote(self, who: Principal = CI, **changed: Any) -> Any:
        ports = {
            "environment": self.rules, "principal": who, "state": self.state, "artifacts": self.artifacts,
            "engine": RegoEngine(), "public_key": self.key.public, "tracker": self.tracker, "now": NOW,
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
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_good_version_with_an_approval_gets_in_once(world: World) -> None:
    world.ask()
    world.answer(approve)
    assert world.answer(approve) == world.answer(approve)
    admission = world.promote()
    assert world.promote() == admission
    assert world.tracker.shown == {("churn", "prod"): 1}
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
    assert "0 of 1 approvals" in world.refused(version=dataclasses.replace(world.version, semver="2.0.0"))


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


def test_the_trainer_cannot_approve(world: World) -> None:
    code = CodeState(D, D)
    with world.state.transaction() as tx:
        tx.insert("r", RunStarted(RunId("r"), "train", D, {}, 1, code, DAN.id, NOW, NOW), at=NOW)
    world.ask()
    with pytest.raises(RefusedError, match="user:dan is the trainer"):
        world.answer(approve, DAN)
    world.answer(approve, BEN)
    assert world.promote()


def swap_bytes(world: World) -> dict[str, Any]:
    other = world.artifacts.put(b"other bytes", kind=ArtifactKind.MODEL).digest
    return {"version": dataclasses.replace(world.version, onnx=other)}


def take_the_statement_of_another(world: World) -> dict[str, Any]:
    return {"version": dataclasses.replace(world.version, statement=world.register(2).statement)}


def lose_the_statement(world: World) -> dict[str, Any]:
    return {"version": dataclasses.replace(world.version, statement=D)}


def lose_the_bytes(world: World) -> dict[str, Any]:
    world.artifacts.path_of(world.version.onnx).unlink()
    return {}


def ask_with_another_key(world: World) -> dict[str, Any]:
    return {"public_key": SigningKey.generate("other").public}


@pytest.mark.parametrize(
    "tamper",
    [swap_bytes, take_the_statement_of_another, lose_the_statement, lose_the_bytes, ask_with_another_key],
    ids=lambda each: each.__name__,
)
def test_what_is_not_signed_never_gets_in_whatever_the_policy_asks(world: World, tamper: Any) -> None:
    silent = PolicySet("lax", {"gate.rego": 'package keelway.gate\nrules contains "x"\ndeny contains "x" if false'})
    lax = dataclasses.replace(world.rules, policy=silent, approvals=0)
    assert "the signature does not verify" in world.refused(environment=lax, **tamper(world))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('deny contains "x" if {', "cannot be evaluated: this is unclosed"),
        ('deny contains "x" if 1 / (input.evaluation.rows - 9) == 1', "failed while it was evaluated"),
        ("allow := true", "gives no reasons"),
        ("deny contains 5", "gives no reasons"),
    ],
    ids=["does not compile", "raises", "no deny", "no sentence"],
)
def test_a_policy_that_errs_lets_nothing_in_and_the_ledger_says_so(world: World, text: str, told: str) -> None:
    policy = PolicySet("bad", {"gate.rego": f'package keelway.gate\nrules contains "x"\n{text}\n'})
    assert told in world.refused(environment=dataclasses.replace(world.rules, policy=policy, approvals=0))
    with world.state.snapshot() as tx:
        ((_, decision),) = decisions(tx)
        assert (decision.allowed, decision.moves, decision.policy) == (False, (), digest_of(policy))


def test_asking_the_gate_changes_nothing_and_says_what_promoting_would(world: World) -> None:
    def ask() -> Any:
        return check_gate(
            world.version, environment=world.rules, state=world.state, artifacts=world.artifacts,
            engine=RegoEngine(), public_key=world.key.public, now=NOW,
        )  # fmt: skip

    verdict = ask()
    assert (verdict.allowed, verdict.reasons, verdict.rules) == (True, (), ("all",))
    assert ask() == verdict
    with world.state.snapshot() as tx:
        assert (tx.log.size(), tx.pointers()) == (0, [])
    assert verdict.policy_digest not in world.artifacts
    world.artifacts.path_of(world.version.statement).unlink()
    assert "the signature does not verify" in " ".join(ask().reasons)


def test_an_alias_left_behind_is_found_and_promoting_again_moves_it(world: World) -> None:
    def drift() -> list[tuple[str, int, int | None, str]]:
        with world.state.snapshot() as tx:
            found = alias_drift(tx, tracker=world.tracker)  # type: ignore[arg-type]
        return [(one.environment, one.expected, one.found, one.reason) for one in found]

    free = dataclasses.replace(world.rules, approvals=0)
    world.tracker.down = True
    admission = world.promote(environment=free)
    assert drift() == [("prod", 1, None, "The tracker does not answer")]
    world.tracker.down = False
    assert drift() == [("prod", 1, None, "")]
    assert world.promote(environment=free) == admission
    assert drift() == []
    world.tracker.set_alias("churn", "prod", 7)
    assert drift() == [("prod", 1, 7, "")]


def test_the_policies_of_the_example_read_evidence_as_it_is_gathered(world: World) -> None:
    example = Path(__file__).parents[2] / "examples/churn"
    staging, production = (
        EnvironmentRules(name, load_policy(f"policies/{name}", root=example)) for name in ("staging", "production")
    )
    world.promote(environment=staging)
    with pytest.raises(RefusedError) as caught:
        world.promote(environment=production)
    assert caught.value.reasons == ("the test has 4 positive rows, needs 200",)


@pytest.mark.parametrize(
    ("commit", "reasons"),
    [
        ("c0ffee", ()),
        (f"c0ffee{DIRTY}", ("the training ran files that differ from commit c0ffee",)),
        ("", ("the training names no commit",)),
    ],
    ids=["committed", "changed since", "no commit"],
)
def test_a_policy_refuses_what_was_trained_of_changed_files(
    commit: str, reasons: tuple[str, ...], world: World, tmp_path: Path
) -> None:
    (tmp_path / "policy/gate.rego").write_text(
        "package keelway.gate\n\nimport data.keelway.lib\n\n"
        'rules contains "committed"\n\ndeny contains reason if some reason in lib.committed\n'
    )
    world.version = world.register(2, commit=commit)
    world.rules = EnvironmentRules("prod", load_policy("policy", root=tmp_path))
    if not reasons:
        assert world.promote().verdict.allowed
        return
    with pytest.raises(RefusedError) as caught:
        world.promote()
    assert caught.value.reasons == reasons


def test_every_part_of_the_evidence_is_told_of_in_the_documents(world: World) -> None:
    admission = world.promote(environment=dataclasses.replace(world.rules, approvals=0))
    evidence = parse_json(world.artifacts.get(admission.evidence))
    table = (Path(__file__).parents[2] / "docs/policies.md").read_text().partition("## The evidence document")[2]
    parts = {
        f"{part}.{field}"
        for part in ("version", "evaluation", "training", "code", "parity")
        for field in evidence[part]
    }
    parts |= {f"tx.{field}" for field in evidence["snapshots"]["tx"]} | set(evidence)
    assert sorted(part for part in parts if part.rpartition(".")[2] not in table) == []
    assert admission.verdict.evidence_digest == admission.evidence


class DyingWrites:
    """A transaction, or its log, that may die before and after each single write."""

    def __init__(self, inner: Any, crash: CrashPoint) -> None:
        self._inner, self._crash = inner, crash

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name == "log":
            return DyingWrites(found, self._crash)
        return self._dying(found) if name in {"insert", "move", "add_leaf"} else found

    def _dying(self, write: Any) -> Any:
        def dying(*arguments: Any, **settings: Any) -> Any:
            self._crash.pass_by()
            done = write(*arguments, **settings)
            self._crash.pass_by()
            return done

        return dying


class DyingState(CrashingState):
    """A state store that may die around each write and around each transaction."""

    def __init__(self, inner: Any, crash: CrashPoint) -> None:
        super().__init__(inner, crash)
        self._point = crash

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        with super().transaction() as tx:
            yield DyingWrites(tx, self._point)


def opened(folder: Path, crash: CrashPoint | None = None) -> dict[str, Any]:
    """Open the stores of a copied world as another process would."""
    state, artifacts = SqlState(f"sqlite:///{folder / 'state.db'}"), LocalArtifacts(folder / "artifacts")
    if crash is None:
        return {"state": state, "artifacts": artifacts}
    return {"state": DyingState(state, crash), "artifacts": CrashingArtifacts(artifacts, crash)}


def test_a_process_that_dies_at_any_write_leaves_no_pointer_without_its_entry(world: World, tmp_path: Path) -> None:
    world.ask()
    world.answer(approve)
    world.state.close()
    home = tmp_path.with_name(tmp_path.name + "-home")
    tmp_path.rename(home)
    writes = CrashPoint()
    shutil.copytree(home, tmp_path / "0")
    world.promote(**opened(tmp_path / "0", writes))
    assert writes.count >= 15  # policy, evidence, admission, pointer, leaf, decision: before and after; the transaction
    moved = []
    for at in range(1, writes.count + 1):
        folder = tmp_path / str(at)
        shutil.copytree(home, folder)
        child = os.fork()
        if child == 0:
            world.promote(**opened(folder, CrashPoint(at)))
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == EXIT_CODE
        moved.append(holds_together(world, folder))
        world.tracker.shown.clear()
        assert world.promote(**opened(folder)).approvals
        assert holds_together(world, folder)
        assert world.tracker.shown == {("churn", "prod"): 1}
    assert moved == sorted(moved)
    assert set(moved) == {False, True}


def holds_together(world: World, folder: Path) -> bool:
    """Check ledger against pointers and evidence; return whether the pointer moved."""
    ports = opened(folder)
    report = audit(ports["state"], key=world.key.public, artifacts=ports["artifacts"])
    assert report.problems == ()
    with ports["state"].snapshot() as tx:
        pointer = tx.pointer("environment/prod/churn")
        promotions = [one for _, one in decisions(tx) if one.action == Action.PROMOTE]
        assert len(promotions) == tx.count(Admission) == (1 if pointer else 0)
    ports["state"].close()
    return pointer is not None
