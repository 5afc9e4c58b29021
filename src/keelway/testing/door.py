"""A project at its one door: registered, signed versions, and the people and services around them.

world = DoorWorld(tmp_path)
world.ask()
world.approve(BEN)
world.promote().verdict.allowed
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from keelway.contract import CheckedBatch
from keelway.core import (
    DIRTY,
    ArtifactKind,
    CodeState,
    Decision,
    Digest,
    PrincipalId,
    digest_bytes,
    digest_of,
    version_name,
)
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.rego import RegoEngine
from keelway.engines.sql import SqlState
from keelway.errors import EngineError
from keelway.evaluate import Comparison, Interval, Scorecard
from keelway.features import FeatureTable
from keelway.identity import Directory, Principal
from keelway.ledger import SigningKey, Transaction, decisions, provenance, sign_statement
from keelway.promote import (
    Admission,
    Approval,
    EnvironmentRules,
    PromotionRequest,
    Revocation,
    WayBack,
    approve,
    load_policy,
    promote,
    promote_together,
    reject,
    request_promotion,
    revoke_answer,
    roll_back,
    unsafe_skip_gate,
    withdraw_request,
)
from keelway.register import ModelVersion, Parity
from keelway.snapshot import Snapshot
from keelway.testing.crash import CrashingArtifacts, CrashingState, CrashPoint
from keelway.train import TrainedModel

NOW = datetime(1998, 6, 1, tzinfo=UTC)
D = digest_bytes(b"x")
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
"""A gate that the version of a new world passes."""
OPEN = 'package keelway.gate\nrules contains "x"\ndeny contains "x" if false'
"""A gate that lets everything in."""


def person(name: str, *roles: str) -> Principal:
    """Return a principal by name and roles."""
    return Principal(PrincipalId(name), roles)


ANA = person("user:ana", "data-scientist")
BEN, CAT, DAN = (person(f"user:{name}", "approver") for name in ("ben", "cat", "dan"))
EVE = person("user:eve", "risk-owner")
FAY = person("user:fay", "auditor")
ADA = person("user:ada", "admin")
CI = person("sp:ci", "deployer")
EVERYBODY = Directory((ANA, BEN, CAT, DAN, EVE, FAY, ADA, CI))


class Aliases:
    """Keeps aliases in memory; may be down."""

    def __init__(self) -> None:
        self.shown: dict[tuple[str, str], int] = {}
        self.down = False

    def set_alias(self, model: str, alias: str, number: int) -> None:
        """Let an alias show a version."""
        self.must_be_up()
        self.shown[model, alias] = number

    def remove_alias(self, model: str, alias: str) -> None:
        """Let an alias show nothing."""
        self.must_be_up()
        self.shown.pop((model, alias), None)

    def alias_of(self, model: str, alias: str) -> int | None:
        """Return what an alias shows."""
        self.must_be_up()
        return self.shown.get((model, alias))

    def must_be_up(self) -> None:
        """Fail while it is down."""
        if self.down:
            raise EngineError("The tracker does not answer")


class DoorWorld:
    """A project with one registered version of `churn`, and the people around it; `now` is its clock."""

    def __init__(self, folder: Path) -> None:
        (folder / "policy").mkdir()
        (folder / "policy/gate.rego").write_text(GATE)
        self.folder = folder
        self.key = SigningKey.generate("test")
        self.state: Any = SqlState(f"sqlite:///{folder / 'state.db'}")
        self.artifacts: Any = LocalArtifacts(folder / "artifacts")
        self.tracker: Any = Aliases()
        self.now = NOW
        self.rules = EnvironmentRules(
            "prod", load_policy("policy", root=folder), 1, service_principal=True, directory=EVERYBODY
        )
        self.version = self.register(1)

    def at(self, folder: Path, crash: CrashPoint | None = None) -> DoorWorld:
        """Return the same world on a copy of its folder, as another process would open it; it may die at a write."""
        made = copy(self)
        state, artifacts = SqlState(f"sqlite:///{folder / 'state.db'}"), LocalArtifacts(folder / "artifacts")
        made.folder, made.tracker = folder, Aliases()
        made.state = DyingState(state, crash) if crash else state
        made.artifacts = CrashingArtifacts(artifacts, crash) if crash else artifacts
        return made

    def register(self, number: int, *, model: str = "churn", low: float = 0.75, commit: str = "c0ffee") -> ModelVersion:
        """Store a version with everything it rests on, signed as registration signs it."""
        interval = Interval(0.8, low, 0.85, 0.95, "DeLong")
        better = Comparison("trivial", Interval(0.1, 0.05, 0.15, 0.95, "DeLong"), 0.001, "better")
        code = CodeState(D, D, commit, D if commit.endswith(DIRTY) else "")
        checked = CheckedBatch("tx", D, D, "1", 100, 99, 1, 0, {}, {}, (), None, D, {}, NOW, NOW)
        name = version_name(model, number)
        pipeline = self.artifacts.put(f"pipeline of {name}".encode(), kind=ArtifactKind.MODEL).digest
        with self.state.transaction() as tx:
            snapshot = _put(Snapshot("tx", 1, D, 1, 99, 99, D, _put(checked, tx), None, NOW, NOW, {}), tx)
            table = _put(FeatureTable(model, "training", D, D, "c", (NOW,), (), "y", 1, 9, {"tx": snapshot}, D), tx)
            trained = _put(
                TrainedModel(model, "lr", "f", {}, {}, pipeline, (), table, (NOW,), NOW, 9, 0, number, D, D, code), tx
            )
            card = _put(
                Scorecard(model, "lr", trained, table, NOW, 9, 4, {"roc_auc": interval}, {}, better, None, "", 0, D), tx
            )
            onnx, statement = self.signed(name, trained=trained, pipeline=pipeline)
            version = ModelVersion(
                name=name, model=model, number=number, semver="1.0.0", onnx=onnx, pipeline=pipeline, features=(),
                entity="c", parity=Parity(9, 1e-7, 1e-5, True, True), trained=trained, scorecard=card,
                feature_table=table, profile=D, run_id="r", author=ANA.id, created_at=NOW, statement=statement,
                registry_link="",
            )  # fmt: skip
            tx.insert(version.name, version, parent=model, at=NOW)
        return version

    def signed(self, name: str, **dependencies: Digest) -> tuple[Digest, Digest]:
        """Store a model's bytes and the signed statement about them."""
        onnx = self.artifacts.put(f"bytes of {name}".encode(), kind=ArtifactKind.MODEL).digest
        told = provenance(
            name, onnx, build_type="https://keelway.dev/build/training/v1", parameters={}, dependencies=dependencies,
            builder="https://keelway.dev/principal/user:ana", started=NOW, finished=NOW,
        )  # fmt: skip
        return onnx, self.artifacts.put(sign_statement(told, key=self.key), kind=ArtifactKind.RECORD).digest

    def ruled(self, **changed: Any) -> DoorWorld:
        """Change the environment's rules from now on."""
        self.rules = replace(self.rules, **changed)
        return self

    def ask(self, who: Principal = ANA, **told: Any) -> PromotionRequest:
        """Ask for the version."""
        return request_promotion(told.pop("version", self.version), artifacts=self.artifacts, **self._who(who), **told)

    def approve(self, who: Principal = BEN, **told: Any) -> Approval:
        """Approve what was asked for."""
        return approve(told.pop("version", self.version), **self._who(who), **told)

    def reject(self, who: Principal = BEN, **told: Any) -> Approval:
        """Reject what was asked for."""
        told.setdefault("comment", "too early")
        return reject(told.pop("version", self.version), **self._who(who), **told)

    def revoke(self, who: Principal = BEN, **told: Any) -> Revocation:
        """Take an answer back."""
        told.setdefault("reason", "a second look")
        return revoke_answer(self.version, **self._who(who), **told)

    def withdraw(self, who: Principal = ANA, **told: Any) -> Any:
        """Take the request back."""
        return withdraw_request(self.version, **self._who(who), **told)

    def promote(self, who: Principal = CI, **changed: Any) -> Admission:
        """Let the version in."""
        return promote(changed.pop("version", self.version), **(self._ports(who) | changed))

    def together(self, *versions: ModelVersion, who: Principal = CI, **changed: Any) -> tuple[Admission, ...]:
        """Let several versions in, or none."""
        return promote_together(versions, **(self._ports(who) | changed))

    def skip(self, who: Principal = CI, *, reason: str = "the till is down", **changed: Any) -> Admission:
        """Let the version in past the gate."""
        return unsafe_skip_gate(changed.pop("version", self.version), reason=reason, **(self._ports(who) | changed))

    def way(self, who: Principal = CI) -> WayBack:
        """Return the way back."""
        return WayBack(self.rules, who, self.artifacts, RegoEngine(), self.key.public, self.now)

    def back(self, who: Principal = CI, *, to: str = "") -> Admission:
        """Take the way back."""
        return roll_back("churn", way=self.way(who), state=self.state, tracker=self.tracker, to=to)

    def live(self, model: str = "churn") -> str:
        """Return which version stands in the environment, or empty text."""
        with self.state.snapshot() as tx:
            pointer = tx.pointer(f"environment/{self.rules.name}/{model}")
            return tx.by_digest(ModelVersion, pointer.target).name if pointer else ""

    def told(self) -> list[Decision]:
        """Return what the ledger tells."""
        with self.state.snapshot() as tx:
            return [decision for _, decision in decisions(tx)]

    def _who(self, who: Principal) -> dict[str, Any]:
        return {"environment": self.rules, "principal": who, "state": self.state, "now": self.now}

    def _ports(self, who: Principal) -> dict[str, Any]:
        return self._who(who) | {
            "artifacts": self.artifacts, "engine": RegoEngine(), "public_key": self.key.public, "tracker": self.tracker,
        }  # fmt: skip


def _put(record: object, tx: Transaction) -> Digest:
    return tx.insert(digest_of(record), record, at=NOW)


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
        """Open a transaction whose every write may be the last."""
        with super().transaction() as tx:
            yield DyingWrites(tx, self._point)
