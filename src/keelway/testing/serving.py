"""Serving without a trained model: scorers that behave, a log that remembers, traffic that moves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from keelway.core import Digest, Environment, PrincipalId, VersionName, digest_bytes
from keelway.deploy import Deployment, pointer_of
from keelway.engines.sql import SqlState
from keelway.errors import IntegrityError
from keelway.features import FeatureColumn

NOW = datetime(2026, 3, 1, tzinfo=UTC)
FEATURES = (FeatureColumn("recency_d", "numeric"), FeatureColumn("plan", "categorical"))
ONE, TWO = VersionName("churn:1"), VersionName("churn:2")
PROD = Environment("prod")


class FixedScorer:
    """Answers every row with one number."""

    def __init__(self, answer: float, features: Sequence[FeatureColumn] = FEATURES) -> None:
        self.answer = answer
        self.features = features
        self.rows = 0

    def probabilities(self, columns: Mapping[str, Sequence[Any]]) -> list[float]:
        count = len(columns["recency_d"])
        self.rows += count
        return [self.answer] * count


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

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.full = False

    def append(self, lines: bytes) -> bool:
        if not self.full:
            self.lines += [json.loads(line) for line in lines.splitlines()]
        return not self.full


class ServedTraffic:
    """A state in which traffic is moved as `deploy` would, without its gates."""

    def __init__(self, folder: Path) -> None:
        self.state = SqlState(f"sqlite:///{folder / 'state.db'}")
        self.number = 0

    def send(self, **percent: int) -> Deployment:
        self.number += 1
        traffic = {VersionName(name.replace("_", ":")): share for name, share in percent.items()}
        deployment = Deployment(
            model="churn",
            environment=PROD,
            number=self.number,
            strategy="all" if len(traffic) == 1 else "canary",
            stable=max(traffic, key=lambda name: traffic[name]),
            traffic=traffic,
            versions={name: digest_bytes(name.encode()) for name in traffic},
            salt="salt",
            previous=None,
            at=NOW,
            principal=PrincipalId("sp:release"),
        )
        with self.state.transaction() as tx:
            before = tx.pointer(pointer_of("churn", PROD))
            after = tx.insert(f"prod/churn/{self.number}", deployment, parent="prod/churn", at=NOW)
            tx.move(pointer_of("churn", PROD), before=before.target if before else None, after=after, at=NOW)
        return deployment
