"""Serving without a trained model: scorers that behave, a log that remembers, traffic that moves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from keelway.core import Digest, Environment, PrincipalId, VersionName, digest_bytes, digest_of, split_version
from keelway.deploy import Deployment, pointer_of
from keelway.engines.sql import SqlState
from keelway.errors import IntegrityError
from keelway.features import FeatureColumn
from keelway.project import Task
from keelway.register import ModelVersion, Parity
from keelway.serve import lines_in

NOW = datetime(2026, 3, 1, tzinfo=UTC)
FEATURES = (FeatureColumn("recency_d", "numeric"), FeatureColumn("plan", "categorical"))
ONE, TWO = VersionName("churn:1"), VersionName("churn:2")
PROD = Environment("prod")


def deployment_of(**percent: int) -> Deployment:
    """Return a deployment with this traffic: `churn_1=90, churn_2=10`."""
    traffic = {VersionName(name.replace("_", ":")): share for name, share in percent.items()}
    return Deployment(
        model="churn",
        environment=PROD,
        number=1,
        strategy="all" if len(traffic) == 1 else "canary",
        stable=max(traffic, key=lambda name: traffic[name]),
        traffic=traffic,
        versions={name: digest_bytes(name.encode()) for name in traffic},
        salt="salt",
        previous=None,
        at=NOW,
        principal=PrincipalId("sp:release"),
    )


def version_record(name: str, *, onnx: Digest) -> ModelVersion:
    """Return the record of a version with these bytes; nothing else that it names exists."""
    model, number = split_version(name)
    nothing = digest_bytes(b"nothing")
    return ModelVersion(
        name=VersionName(name),
        model=model,
        number=number,
        semver=f"{number}.0.0",
        onnx=onnx,
        pipeline=nothing,
        features=FEATURES,
        entity="customer_id",
        parity=Parity(1, 0.0, 1e-5, nulls_tested=True, unseen_tested=True),
        trained=nothing,
        scorecard=nothing,
        feature_table=nothing,
        profile=nothing,
        run_id="run",
        author=PrincipalId("user:ana"),
        created_at=NOW,
        statement=onnx,
        registry_link="",
    )


class FixedScorer:
    """Answers every row with one number."""

    def __init__(self, answer: float, features: Sequence[FeatureColumn] = FEATURES) -> None:
        self.answer = answer
        self.features = features
        self.task: Task = "binary"
        self.classes: tuple[str, ...] = ()
        self.rows = 0

    def predictions(self, rows: Sequence[Sequence[Any]]) -> list[Any]:
        self.rows += len(rows)
        return [self.answer] * len(rows)


class ScorerShelf:
    """Scorers by version, of which one can be altered."""

    def __init__(self, **scorers: FixedScorer) -> None:
        self.scorers = {VersionName(name.replace("_", ":")): scorer for name, scorer in scorers.items()}
        self.altered: set[VersionName] = set()
        self.loads: list[VersionName] = []

    def load(self, version: VersionName, _digest: Digest) -> FixedScorer:
        self.loads.append(version)
        if version in self.altered:
            raise IntegrityError(f"{version} was altered")
        return self.scorers[version]


class MemoryLog:
    """Remembers lines, until its disk is full."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.lines: list[dict[str, Any]] = []
        self.full = False
        self.refuses = refuses

    def append(self, entries: bytes, *, count: int | None = None) -> bool:
        lines = list(lines_in(entries.splitlines(keepends=True)))
        assert len(lines) == (entries.count(b"\n") if count is None else count)
        if not self.full:
            self.lines += map(json.loads, lines)
        return not self.full


class ServedTraffic:
    """A state in which traffic is moved as `deploy` would, without its gates."""

    def __init__(self, folder: Path) -> None:
        self.state = SqlState(f"sqlite:///{folder / 'state.db'}")
        self.number = 0
        self.newest: Digest | None = None

    def send(self, **percent: int) -> Deployment:
        self.number += 1
        deployment = replace(deployment_of(**percent), number=self.number, previous=self.newest)
        self.newest = digest_of(deployment)
        with self.state.transaction() as tx:
            before = tx.pointer(pointer_of("churn", PROD))
            after = tx.insert(f"prod/churn/{self.number}", deployment, parent="prod/churn", at=NOW)
            tx.move(pointer_of("churn", PROD), before=before.target if before else None, after=after, at=NOW)
        return deployment
