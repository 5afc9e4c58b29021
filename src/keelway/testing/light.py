"""A project at its door whose models are made up: every step is a slice's own function, and none of them trains.

>>> door = LightDoor(folder, "sqlite:////tmp/state.db")     # doctest: +SKIP
>>> door.register("first", now)                             # doctest: +SKIP
True
"""

from __future__ import annotations

import importlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from keelway.contract import CheckedBatch
from keelway.core import (
    ArtifactKind,
    CodeState,
    Digest,
    Environment,
    PolicySet,
    PrincipalId,
    RunId,
    digest_bytes,
    digest_of,
)
from keelway.deploy import SmokeResult, deploy, rollback
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.local.tracker import NoTracker
from keelway.engines.rego import RegoEngine
from keelway.engines.sql import SqlState
from keelway.evaluate import Comparison, Interval, Scorecard
from keelway.features import FeatureTable
from keelway.identity import Principal
from keelway.ledger import SigningKey, Transaction
from keelway.promote import EnvironmentRules, approve, promote, request_promotion
from keelway.register import ExportedForms, ModelVersion, Parity, register
from keelway.snapshot import Snapshot
from keelway.testing.training import churn_model
from keelway.train import TrainedModel

START = datetime(2026, 1, 1, tzinfo=UTC)
PROD = Environment("prod")
KEY = SigningKey("light", b"not a secret, 32 bytes, in tests")
D = digest_bytes(b"x")
GATE = 'package keelway.gate\nrules contains "signed"\ndeny contains "not signed" if not input.signature.verified'
ANA, BEN, CI = (
    Principal(PrincipalId(name), (role,))
    for name, role in (("user:ana", "data-scientist"), ("user:ben", "approver"), ("sp:ci", "deployer"))
)
RULES = EnvironmentRules(PROD, PolicySet("gate", {"gate.rego": GATE}), 1, service_principal=True)
SOME = 4
"""So many of the newest versions are asked for, promoted and deployed."""


class LightDoor:
    """A project as one client has it open.

    Args:
        folder: Where the artifacts are.
        url: The state database.
    """

    def __init__(self, folder: Path, url: str) -> None:
        self.state: Any = SqlState(url)
        self.artifacts: Any = LocalArtifacts(folder / "artifacts")
        self.tracker = NoTracker()
        self.engine = RegoEngine()

    def close(self) -> None:
        """Release the database."""
        self.state.close()

    def trained(self, name: str) -> tuple[Scorecard, TrainedModel]:
        """Store the records that a training of a made-up model would leave, and return what is registered."""
        code, interval = CodeState(D, D, "c0ffee"), Interval(0.8, 0.75, 0.85, 0.95, "DeLong")
        better = Comparison("trivial", Interval(0.1, 0.05, 0.15, 0.95, "DeLong"), 0.001, "better")
        pipeline = self.artifacts.put(f"pipeline {name}".encode(), kind=ArtifactKind.MODEL).digest
        checked = CheckedBatch("tx", D, D, "1", 100, 99, 1, 0, {}, {}, (), None, D, {}, START, START)
        with self.state.transaction() as tx:
            snapshot = _put(Snapshot("tx", 1, D, 1, 99, 99, D, _put(checked, tx), None, START, START, {}), tx)
            table = FeatureTable("churn", "training", D, D, "c", (START,), (), "y", 1, 9, {"tx": snapshot}, D)
            trained = TrainedModel(
                "churn", "lr", "f", {}, {}, pipeline, (), _put(table, tx), (START,), START, 9, 0, 1, D, D, code
            )
            made = _put(trained, tx)
            card = Scorecard(
                "churn",
                "lr",
                made,
                trained.feature_table,
                START,
                9,
                4,
                {"roc_auc": interval},
                {},
                better,
                None,
                "",
                0,
                D,
            )
            _put(card, tx)
        return card, trained

    def register(self, name: str, now: datetime) -> bool:
        """Register the model of that name; again is nothing new."""
        card, trained = self.trained(name)
        version = register(
            card, trained, model=churn_model(), run_id=RunId(name), artifacts=self.artifacts, state=self.state,
            tracker=self.tracker, key=KEY, actor=ANA.id, now=now,
        )  # fmt: skip
        return version.run_id == name

    def request(self, name: str, now: datetime, version: ModelVersion) -> bool:
        """Ask for a version."""
        asked = request_promotion(
            version, environment=RULES, principal=ANA, state=self.state, artifacts=self.artifacts, now=now, comment=name
        )
        return asked.at == now

    def approve(self, name: str, now: datetime, version: ModelVersion) -> bool:
        """Approve what was asked for."""
        given = approve(version, environment=RULES, principal=BEN, state=self.state, now=now, comment=name)
        return given.at == now

    def promote(self, name: str, now: datetime, version: ModelVersion) -> bool:
        """Let a version in."""
        admission = promote(
            version, environment=RULES, principal=CI, state=self.state, artifacts=self.artifacts, engine=self.engine,
            public_key=KEY.public, tracker=self.tracker, now=now, comment=name,
        )  # fmt: skip
        return admission.at == now

    def deploy(self, name: str, now: datetime, version: ModelVersion) -> bool:
        """Give a version the traffic."""
        made = deploy(
            "churn", environment=PROD, stable=version.name, smoke=_passes, state=self.state, principal=CI.id, now=now,
            comment=name,
        )  # fmt: skip
        return made.at == now

    def rollback(self, name: str, now: datetime) -> bool:
        """Take the traffic back."""
        made = rollback("churn", environment=PROD, state=self.state, principal=CI.id, now=now, comment=name)
        return made.at == now

    def read(self) -> tuple[int, dict[str, str]]:
        """Return the size of the ledger and what every pointer holds; the champion must be a version that is there."""
        with self.state.snapshot() as tx:
            pointers = {each.name: each.target for each in tx.pointers()}
            champions = [target for name, target in pointers.items() if name.startswith("environment/")]
            assert len(champions) <= 1
            assert all(tx.by_digest(ModelVersion, champion).model == "churn" for champion in champions)
            return tx.log.size(), pointers

    def versions(self) -> list[ModelVersion]:
        """Return some of the newest versions."""
        with self.state.snapshot() as tx:
            return list(tx.newest(ModelVersion, parent="churn", limit=SOME))


def make_bytes_up() -> None:
    """Register made-up bytes instead of an exported pipeline, in this process from now on."""
    module = importlib.import_module("keelway.register.register")

    def exported(trained: TrainedModel, _table: FeatureTable, *, artifacts: Any, **_: object) -> ExportedForms:
        data = f"model of {trained.pipeline}".encode()
        onnx = artifacts.put(data, kind=ArtifactKind.MODEL).digest
        return ExportedForms(onnx, Parity(9, 1e-7, 1e-5, True, True), None, None, "made up")

    module.exported_forms = exported  # type: ignore[attr-defined]


def _put(record: object, tx: Transaction) -> Digest:
    return tx.insert(digest_of(record), record, at=START)


def _passes(version: ModelVersion) -> SmokeResult:
    return SmokeResult(version.name, digest_of(version), passed=True, answers=50)
