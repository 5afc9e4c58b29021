"""A shop that uploads files, and a small world of real engines to take them in."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from keelway.contract import CheckedBatch, Contract, check, load_contract
from keelway.core import ArtifactStore, PrincipalId
from keelway.engines.delta import DeltaTables
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.local.checker import DuckDbChecker
from keelway.engines.local.objects import LocalObjects
from keelway.engines.sql import SqlState
from keelway.ingest import Batch, pull
from keelway.ledger.ports import StateStore
from keelway.project import Dataset
from keelway.snapshot import Snapshot, TableStore, take

NOW = datetime(1999, 1, 1, tzinfo=UTC)
ANA = PrincipalId("user:ana")
ORDERS = Dataset("orders", contract="orders.yaml", source="raw/orders/**/*.csv", event_time="date")
HEADER = "customer_id,date,quantity,amount\n"
CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: orders
version: 1.0.0
status: active
schema:
  - name: orders
    customProperties:
      - {property: unknownColumns, value: UNKNOWN}
      - {property: stopAtQuarantinedShare, value: SHARE}
    properties:
      - {name: customer_id, logicalType: string, required: true, logicalTypeOptions: {pattern: '^[0-9]+$'}}
      - name: date
        logicalType: date
        required: true
        customProperties: [{property: dateFormats, value: [dd.MM.yyyy]}]
      - {name: quantity, logicalType: integer, required: true, logicalTypeOptions: {minimum: 1}}
      - name: amount
        logicalType: number
        required: true
        logicalTypeOptions: {minimum: 0}
        customProperties:
          - {property: aliases, value: [dollar_value]}
          - {property: strip, value: ["$"]}
          - {property: trim, value: true}
"""


def contract_text(*, unknown: str = "ignore", share: float = 1.0) -> str:
    return CONTRACT.replace("UNKNOWN", unknown).replace("SHARE", str(share))


@dataclass
class Shop:
    """An object store that a shop uploads to, and the engines of this machine that take its files in."""

    root: Path
    state: StateStore
    artifacts: ArtifactStore
    tables: TableStore
    contract: Contract

    @classmethod
    def open(cls, root: Path, *, unknown: str = "ignore", share: float = 1.0) -> Shop:
        (root / "objects").mkdir(parents=True, exist_ok=True)
        (root / "orders.yaml").write_text(contract_text(unknown=unknown, share=share))
        return cls(
            root=root,
            state=SqlState(f"sqlite:///{root}/state.db"),
            artifacts=LocalArtifacts(root / "artifacts"),
            tables=DeltaTables.below(root / "tables"),
            contract=load_contract(root / "orders.yaml", "orders"),
        )

    def upload(self, day: str, text: str | bytes, *, name: str = "orders.csv", after_h: int = 25) -> str:
        """Upload a file for a day, `after_h` hours after the day began; rows only, unless bytes are given."""
        path = self.root / f"objects/raw/orders/dt={day}/{name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else (HEADER + text).encode())
        stamp = (datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(hours=after_h)).timestamp()
        os.utime(path, (stamp, stamp))
        return str(path.relative_to(self.root / "objects"))

    def pull(self) -> Batch | None:
        return pull(
            ORDERS,
            source=LocalObjects(self.root / "objects"),
            state=self.state,
            artifacts=self.artifacts,
            now=NOW,
            actor=ANA,
        ).batch

    def check(self, batch: Batch, *, threads: int = 1) -> CheckedBatch:
        return check(
            batch, contract=self.contract, checker=DuckDbChecker(threads=threads), artifacts=self.artifacts,
            state=self.state, now=NOW, actor=ANA, event_time="date",
        )  # fmt: skip

    def take(self, checked: CheckedBatch) -> Snapshot:
        return take(checked, tables=self.tables, artifacts=self.artifacts, state=self.state, now=NOW, actor=ANA)

    def ingest(self) -> Snapshot | None:
        """Take in whatever is new."""
        taken = None
        while (batch := self.pull()) is not None:
            taken = self.take(self.check(batch))
        return taken

    def checked(self, text: str | bytes) -> CheckedBatch:
        """Upload one file and return what the contract says."""
        self.upload("1997-01-01", text)
        batch = self.pull()
        assert batch is not None
        return self.check(batch)

    def through(self, **ports: object) -> Shop:
        return replace(self, **ports)  # type: ignore[arg-type]
