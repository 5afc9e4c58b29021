"""A prediction log to seal into, to compact and to read in every way there is, so that two states of it can be compared.

log = SealedLog(folder)
segment = log.seal("a", range(3), at=NOW)
before = log.readings([segment], until=3)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from keelway.core import ArtifactStore, Digest, Environment, Prediction, PrincipalId, VersionName, canonical_json
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.sql import SqlState
from keelway.errors import ErasedError, MissingRecordError
from keelway.ledger import StateStore
from keelway.serve import (
    LogCompaction,
    PredictionSegment,
    SealingPorts,
    columns_of,
    compact_segments,
    find_prediction,
    lines_of,
    prediction_table,
    predictions,
    seal_columns,
    seal_entries,
)
from keelway.testing.crash import CrashingArtifacts, CrashingState, CrashPoint

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
MODEL, ENVIRONMENT = "churn", "prod"
ANA = PrincipalId("user:ana")
EVERY = 23
DIGEST = Digest("sha256:" + "0" * 64)
COLUMNS = (
    "prediction_id", "entity", "arm", "version", "value", "event_time", "features.recency_d", "features.plan",
    "features.ink", "features.never",
)  # fmt: skip


def prediction_of(number: int, **more: Any) -> Prediction:
    """Return a made-up prediction with that number for its id; `more` are fields that are otherwise."""
    made = Prediction(
        prediction_id=f"{number:032x}", model=MODEL, version=VersionName("churn:1"), version_digest=DIGEST,
        deployment=DIGEST, environment=Environment(ENVIRONMENT), arm="stable", entity=f"c{number % 50}", as_of=NOW,
        features={"plan": "gold", "recency_d": number / 4}, value=number / 1e6,
        event_time=NOW + timedelta(milliseconds=number),
    )  # fmt: skip
    return replace(made, **more)


class ExpiringArtifacts(LocalArtifacts):
    """A store some of whose artifacts cannot be opened any more."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.expired: set[Digest] = set()

    def get(self, digest: Digest) -> bytes:
        """Return the bytes of an artifact, unless it expired."""
        if digest in self.expired:
            raise ErasedError("The retention time was over")
        return super().get(digest)


class SealedLog:
    """The log of one model on disk."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.state = SqlState(f"sqlite:///{folder / 's.db'}")
        self.artifacts = ExpiringArtifacts(folder / "artifacts")

    def ports(self, state: StateStore | None = None, artifacts: ArtifactStore | None = None) -> SealingPorts:
        """Return what is sealed and compacted with."""
        return SealingPorts(state or self.state, artifacts or self.artifacts, ANA)

    def seal(self, journal: str, found: Iterable[Prediction | int], *, at: datetime) -> PredictionSegment:
        """Seal predictions as a server does; a number stands for the one with that id."""
        return seal_entries(
            _whole(_lines(found)), journal=journal, model=MODEL, environment=ENVIRONMENT, ports=self.ports(), now=at
        )

    def batch(self, journal: str, found: Iterable[Prediction | int], *, at: datetime) -> PredictionSegment:
        """Seal predictions as `keelway score` does."""
        lines = _lines(found)
        columns = columns_of(_whole(lines))
        return seal_columns(
            columns, lines, journal=journal, model=MODEL, environment=ENVIRONMENT, ports=self.ports(), now=at
        )

    def compact(
        self, *, before: datetime, now: datetime | None = None, every: timedelta | None = None, **ports: Any
    ) -> LogCompaction:
        """Compact what was sealed before a moment."""
        given = self.ports(**ports)
        return compact_segments(MODEL, ENVIRONMENT, before=before, ports=given, now=now or before, every=every)

    def readings(self, segments: Sequence[PredictionSegment], *, until: int = 0) -> dict[str, Any]:
        """Return everything that can be read: tables, predictions, each by its id, the lines of the segments.

        Args:
            until: Ids are looked for up to this number, every 23rd of them.
        """
        with self.state.snapshot() as tx:
            given: dict[str, Any] = {"tx": tx, "artifacts": self.artifacts}
            spans = [(None, None), (NOW + timedelta(milliseconds=9), None), (NOW, NOW + timedelta(milliseconds=120))]
            tables = [
                prediction_table(MODEL, ENVIRONMENT, since=since, until=end, columns=columns, **given)
                for since, end in spans
                for columns in (COLUMNS, COLUMNS[:1])
            ]
            every = predictions(tx, artifacts=self.artifacts, model=MODEL, environment=ENVIRONMENT)
            return {
                "tables": [sorted(table.to_pylist(), key=lambda row: str(row["prediction_id"])) for table in tables],
                "types": [str(column.type).replace("element", "item") for column in tables[0].columns],
                "predictions": sorted(every, key=lambda each: each.prediction_id),
                "found": [self._found(number, tx) for number in range(0, until, EVERY)],
                "lines": [self._lines(segment, tx) for segment in segments],
            }

    def close(self) -> None:
        """Close the state."""
        self.state.close()

    def _found(self, number: int, tx: Any) -> Any:
        try:
            return find_prediction(f"{number:032x}", tx=tx, artifacts=self.artifacts)
        except MissingRecordError:
            return None

    def _lines(self, segment: PredictionSegment, tx: Any) -> list[bytes] | None:
        try:
            return lines_of(segment, tx=tx, artifacts=self.artifacts)
        except ErasedError:
            return None


def compact_and_die(folder: Path, before: datetime, crash: CrashPoint, every: timedelta | None = None) -> None:
    """Compact a log, and die at the chosen instant; to be run in a process of its own where there is one."""
    log = SealedLog(folder)
    state, artifacts = CrashingState(log.state, crash), CrashingArtifacts(log.artifacts, crash)
    log.compact(before=before, every=every, state=state, artifacts=artifacts)
    log.close()


def _lines(found: Iterable[Prediction | int]) -> list[bytes]:
    return [canonical_json(prediction_of(each) if isinstance(each, int) else each) for each in found]


def _whole(lines: Iterable[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)
