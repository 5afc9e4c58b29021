"""One dataset on its way in, on the engines of this machine: upload, pull, check, take."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.contract import Against, CheckedBatch, Contract, IngestAlert, RuleKind, Tokenizer, check, take_account
from keelway.core import ArtifactStore, PrincipalId, digest_of
from keelway.engines.local.checker import DuckDbChecker
from keelway.engines.local.objects import LocalObjects
from keelway.ingest import Batch, Listing, pull
from keelway.project import Dataset
from keelway.snapshot import Snapshot, TableStore, newest, read, take

if TYPE_CHECKING:
    from keelway.ledger.ports import StateStore

ACTOR = PrincipalId("service:ingest")
LOOKS_BACK = (RuleKind.UNIQUE, RuleKind.DISTRIBUTION)
"""Rules that look at the version before."""


@dataclass(frozen=True, slots=True)
class Intake:
    """A folder that a source uploads to, and everything that takes its files in.

    Attributes:
        objects: The folder.
        references: Datasets that the contract refers to, as Parquet files.
        tokenizer: Needed where the contract has columns that name a person.
    """

    dataset: Dataset
    contract: Contract
    objects: Path
    state: StateStore
    artifacts: ArtifactStore
    tables: TableStore
    references: dict[str, tuple[Path, ...]] = field(default_factory=dict)
    tokenizer: Tokenizer | None = None

    def upload(self, name: str, body: bytes, written_at: datetime) -> None:
        """Write one object."""
        path = self.objects / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        os.utime(path, (written_at.timestamp(), written_at.timestamp()))

    def pull(self, now: datetime, *, listing: Listing | None = None) -> Batch | None:
        """Return the batch to work on next, or None."""
        return pull(
            self.dataset,
            source=LocalObjects(self.objects),
            state=self.state,
            artifacts=self.artifacts,
            now=now,
            actor=ACTOR,
            listing=listing,
        ).batch

    def check(self, batch: Batch, *, contract: Contract | None = None) -> CheckedBatch:
        """Return what the contract says about a batch."""
        return check(
            batch,
            contract=contract or self.contract,
            checker=DuckDbChecker(threads=1),
            artifacts=self.artifacts,
            state=self.state,
            now=batch.pulled_at,
            actor=ACTOR,
            event_time=self.dataset.event_time,
            against=self._against(),
            tokenizer=self.tokenizer,
        )

    def _against(self) -> Against:
        """Return the newest version, where a rule looks at it, and what the contract refers to."""
        if not any(rule.kind in LOOKS_BACK for rule in self.contract.rules):
            return Against((), self.references)
        with self.state.snapshot() as tx:
            before = newest(self.dataset.name, tx)
        previous = read(before, tables=self.tables, artifacts=self.artifacts) if before else ()
        return Against(tuple(previous), self.references)

    def take(self, checked: CheckedBatch) -> Snapshot:
        """Make a checked batch part of a snapshot."""
        return take(
            checked,
            tables=self.tables,
            artifacts=self.artifacts,
            state=self.state,
            now=checked.checked_at,
            actor=ACTOR,
        )

    def account(self, batch: Batch, checked: CheckedBatch) -> tuple[IngestAlert, ...]:
        """Compare what a loaded batch brought with those before it, and return the alerts it gives reason for."""
        return take_account(
            self.dataset,
            outcomes={digest_of(batch): checked},
            artifacts=self.artifacts,
            state=self.state,
            now=batch.pulled_at,
            actor=ACTOR,
        ).alerts

    def ingest(self, now: datetime) -> Snapshot | None:
        """Take in everything new; return the last snapshot that was taken, or None."""
        taken = None
        with Listing() as listing:
            while (batch := self.pull(now, listing=listing)) is not None:
                taken = self.take(self.check(batch))
        return taken
