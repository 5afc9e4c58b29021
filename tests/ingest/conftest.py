"""A world in which only pulling happens: files in memory, a clock that tests set, batches that count as loaded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keelway.core import Action, PrincipalId, digest_of
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.sql import SqlState
from keelway.ingest import MAX_FILES, Batch, Listing, Outlook, Pulled, loaded_pointer, pending, pull
from keelway.ingest.partition import Span
from keelway.ledger import decisions
from keelway.project import Dataset
from keelway.testing.objects import MemoryObjects

NOON = datetime(1997, 6, 1, 12, tzinfo=UTC)
ORDERS = Dataset("orders", contract="orders.yaml", source="raw/**/*.csv", event_time="date")
ANA = PrincipalId("user:ana")


@dataclass
class Quay:
    """A dataset at the place where its files arrive."""

    state: SqlState
    artifacts: LocalArtifacts
    source: MemoryObjects = field(default_factory=MemoryObjects)
    dataset: Dataset = ORDERS
    now: datetime = NOON

    def declare(self, **choices: object) -> None:
        """Declare the dataset otherwise."""
        self.dataset = replace(self.dataset, **choices)  # type: ignore[arg-type]

    def land(self, name: str, data: bytes | str, *, age_s: float = 86_400.0) -> str:
        """Let a file arrive that was written so many seconds ago."""
        content = data if isinstance(data, bytes) else data.encode()
        self.source.upload(f"raw/{name}", content, self.now - timedelta(seconds=age_s))
        return f"raw/{name}"

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)

    def pull(self, **more: object) -> Pulled:
        """Pull; the batch counts as loaded at once, unless a later pull asks for it first."""
        arguments = {"source": self.source, "state": self.state, "artifacts": self.artifacts, "actor": ANA} | more
        return pull(self.dataset, now=self.now, **arguments)  # type: ignore[arg-type]

    def preview(self, **more: object) -> Outlook:
        span = Span.of(more.pop("since", None), more.pop("until", None))  # type: ignore[arg-type]
        with Listing() as listing, self.state.snapshot() as tx:
            return listing.next(
                self.dataset, source=self.source, tx=tx, now=self.now, span=span, **{"max_files": MAX_FILES, **more}
            )  # type: ignore[arg-type]

    def load(self) -> None:
        """Count the batch that is left as loaded."""
        batch = pending(self.dataset, self.state)
        assert batch is not None
        pointer = loaded_pointer(self.dataset.name)
        with self.state.transaction() as tx:
            held = tx.pointer(pointer)
            tx.move(pointer, before=held.target if held else None, after=digest_of(batch), at=self.now)

    def taken(self, **more: object) -> list[str]:
        """Pull and load, and return the names that were taken."""
        batch = self.pull(**more).batch
        if batch is None:
            return []
        self.load()
        return [file.name for file in batch.files]

    def all_batches(self, **more: object) -> list[Batch]:
        """Pull and load until there is nothing left."""
        found = []
        while (batch := self.pull(**more).batch) is not None:
            self.load()
            found.append(batch)
        return found

    def actions(self) -> list[tuple[Action, str]]:
        """Return what the ledger says was done, with the comments."""
        with self.state.snapshot() as tx:
            return [(decision.action, decision.comment) for _, decision in decisions(tx)]


@pytest.fixture
def quay(tmp_path: Path) -> Iterator[Quay]:
    made = open_quay(tmp_path)
    yield made
    made.state.close()


@pytest.fixture
def new_quay(tmp_path_factory: pytest.TempPathFactory):
    """Return what opens one more, for tests that compare worlds."""
    return lambda: open_quay(tmp_path_factory.mktemp("quay"))


def open_quay(root: Path) -> Quay:
    return Quay(SqlState(f"sqlite:///{root}/state.db"), LocalArtifacts(root / "artifacts"))
