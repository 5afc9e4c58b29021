"""A dataset whose batches are handed over ready checked: the short way to versions of any shape.

orders = Versions.open(tmp_path)
orders.add([{"customer": "1", "amount": 2.5}])
orders.add([{"customer": "2", "amount": 3.5, "plan": "gold"}], plan="string")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from keelway.contract import CheckedBatch, Contract
from keelway.core import ArtifactKind, ArtifactStore, Digest, PrincipalId, digest_bytes, digest_of, memory_duckdb
from keelway.engines.delta import DeltaTables
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.sql import SqlState
from keelway.ingest import Batch
from keelway.ledger.ports import StateStore
from keelway.snapshot import Snapshot, SnapshotRows, TableStore, compact, newest, read, take, vacuum
from keelway.testing.checks import contract_of

START = datetime(2026, 1, 1, tzinfo=UTC)
ANA = PrincipalId("user:ana")
PLAIN = {"customer": "string", "amount": "double"}
PROVENANCE = {"_known_at": "timestamp[us, tz=UTC]", "_file": "string", "_row": "int64"}
HOUR = timedelta(hours=1)


def arrow_type(kind: str) -> Any:
    """Return the type that pyarrow writes so."""
    import pyarrow as pa

    times = {"timestamp[us, tz=UTC]": pa.timestamp("us", "UTC"), "date32[day]": pa.date32()}
    return times[kind] if kind in times else pa.type_for_alias(kind)


@dataclass
class Versions:
    """One dataset on this machine's engines; its clock moves an hour with every version."""

    root: Path
    state: StateStore
    artifacts: ArtifactStore
    tables: TableStore
    name: str = "orders"
    key: tuple[str, ...] = ()
    columns: dict[str, str] = field(default_factory=lambda: dict(PLAIN))
    now: datetime = START

    @classmethod
    def open(cls, root: Path, **facts: Any) -> Versions:
        """Open the dataset in a folder, new or as an earlier process left it."""
        facts.setdefault("tables", DeltaTables.below(root / "tables"))
        state, artifacts = SqlState(f"sqlite:///{root}/state.db"), LocalArtifacts(root / "artifacts")
        made = cls(root, state, artifacts, **facts)
        with made.state.snapshot() as tx:
            last = newest(made.name, tx)
        if last is not None:
            own = {name: kind for name, kind in last.columns.items() if name not in PROVENANCE}
            made.columns, made.now = own, last.taken_at + HOUR
        return made

    def through(self, **ports: Any) -> Versions:
        """Return the same dataset by way of other ports."""
        return replace(self, **ports)

    def checked(self, rows: Sequence[Mapping[str, Any]], **columns: str) -> CheckedBatch:
        """Store rows as the next checked batch; `columns` are new, or have another type from now on."""
        self.columns = {name: kind for name, kind in {**self.columns, **columns}.items() if kind}
        contract = self._contract()
        with self.state.transaction() as tx:
            number = tx.count(Batch, parent=self.name) + 1
            batch = Batch(self.name, number, (), (), self.now, None)
            tx.insert(f"{self.name}/{number:06d}", batch, parent=self.name, at=self.now)
            tx.insert(f"{self.name}/{contract.version}", contract, parent=self.name, at=START)
            checked = CheckedBatch(
                dataset=self.name,
                batch=digest_of(batch),
                contract=digest_of(contract),
                contract_version=contract.version,
                rows_in=len(rows),
                rows_ok=len(rows),
                rows_quarantined=0,
                rows_repaired=0,
                repairs={},
                reasons={},
                files=(),
                quarantine=None,
                rows=self._stored(rows, number),
                columns={**self.columns, **PROVENANCE},
                known_until=self.now,
                checked_at=self.now,
            )
            tx.insert(f"{self.name}/{number:06d}", checked, parent=self.name, at=self.now)
        return checked

    def take(self, checked: CheckedBatch) -> Snapshot:
        """Take a checked batch."""
        taken = take(checked, tables=self.tables, artifacts=self.artifacts, state=self.state, now=self.now, actor=ANA)
        self.now += HOUR
        return taken

    def add(self, rows: Sequence[Mapping[str, Any]], **columns: str) -> Snapshot:
        """Store rows as the next version."""
        return self.take(self.checked(rows, **columns))

    def numbers(self, *amounts: float) -> Snapshot:
        """Store some amounts as the next version, each with a customer of its own."""
        return self.add([{"customer": f"c{amount:g}", "amount": amount} for amount in amounts])

    def compact(self, **choices: Any) -> Snapshot:
        """Compact the newest version."""
        made = compact(
            self.name,
            tables=self.tables,
            artifacts=self.artifacts,
            state=self.state,
            now=self.now,
            actor=ANA,
            **choices,
        )
        self.now += HOUR
        return made

    def vacuum(self, **choices: Any) -> Any:
        """Vacuum, as of an hour after the newest version; keeps nothing for its youth unless told to."""
        given = {"keep": timedelta(0), "now": self.now, **choices}
        return vacuum(self.name, tables=self.tables, artifacts=self.artifacts, state=self.state, actor=ANA, **given)

    def read(self, snapshot: Snapshot) -> list[Path]:
        """Return the checked files of a version."""
        return read(snapshot, tables=self.tables, artifacts=self.artifacts, state=self.state)

    def rows(self, snapshot: Snapshot) -> list[dict[str, Any]]:
        """Return the rows of a version in order, without where they came from."""
        with memory_duckdb() as connection:
            found = connection.sql(SnapshotRows(tuple(self.read(snapshot)), snapshot.columns).sql).to_arrow_table()
        return [dict(row) for row in found.drop_columns(list(PROVENANCE)).to_pylist()]

    def _contract(self) -> Contract:
        version = digest_bytes(repr((self.columns, self.key)).encode())[-12:]
        return contract_of(dataset=self.name, contract_id=self.name, version=version, key=self.key)

    def _stored(self, rows: Sequence[Mapping[str, Any]], number: int) -> Digest:
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = pa.schema([(name, arrow_type(kind)) for name, kind in {**self.columns, **PROVENANCE}.items()])
        came = [
            {**row, "_known_at": self.now, "_file": f"file {number}", "_row": index} for index, row in enumerate(rows)
        ]
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(came, schema=schema), sink, compression="zstd")
        return self.artifacts.put(bytes(sink.getvalue()), kind=ArtifactKind.SNAPSHOT).digest
