"""Takes a snapshot: appends checked rows to the dataset's table and moves the dataset's pointer.

The table comes first, by an append that happens once for each checked batch; then one transaction writes the
snapshot, moves `dataset/NAME` and `loaded/NAME`, and records the decision. Killed in between, the next `take` of
the same checked batch finds the append done and finishes. A batch without good rows adds a version with the same
files and does not touch the table.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from keelway.contract import CheckedBatch
from keelway.core import (
    Action,
    ArtifactKind,
    ArtifactStore,
    Decision,
    Digest,
    PointerMove,
    PrincipalId,
    canonical_json,
    digest_of,
    parse_json,
    revive,
)
from keelway.errors import ConflictError
from keelway.ingest import Batch, loaded_pointer
from keelway.ledger import record_decision
from keelway.snapshot.manifest import Manifest, ManifestFile, Snapshot
from keelway.snapshot.ports import TableStore

if TYPE_CHECKING:
    from keelway.ledger.ports import StateStore, Transaction


def take(
    checked: CheckedBatch,
    *,
    tables: TableStore,
    artifacts: ArtifactStore,
    state: StateStore,
    now: datetime,
    actor: PrincipalId,
) -> Snapshot:
    """Return the snapshot that holds a checked batch, taking it where it was not taken yet.

    Raises:
        ConflictError: An earlier batch is not taken yet, or another process took this one meanwhile.
    """
    subject = digest_of(checked)
    with state.snapshot() as tx:
        batch = tx.by_digest(Batch, checked.batch)
        before = _pointed(checked.dataset, tx)
        done = _taken_before(checked, batch, tx)
    if done is not None:
        return done
    files, version = _appended(checked, subject, before, tables=tables, artifacts=artifacts)
    manifest = Manifest(checked.dataset, files, checked.contract, checked.contract_version, checked.columns)
    stored = artifacts.put(canonical_json(manifest), kind=ArtifactKind.MANIFEST, name=f"{checked.dataset} manifest")
    snapshot = Snapshot(
        dataset=checked.dataset,
        number=before.number + 1 if before else 1,
        snapshot_id=stored.digest,
        table_version=version,
        rows=sum(file.rows for file in files),
        rows_added=checked.rows_ok,
        contract=checked.contract,
        checked=subject,
        parent=digest_of(before) if before else None,
        watermark=max(checked.known_until, before.watermark) if before else checked.known_until,
        taken_at=now,
        columns=checked.columns,
    )
    _record(snapshot, checked, state=state, actor=actor)
    return snapshot


def dataset_pointer(dataset: str) -> str:
    """Return the name of the pointer at a dataset's newest snapshot."""
    return f"dataset/{dataset}"


def _pointed(dataset: str, tx: Transaction) -> Snapshot | None:
    held = tx.pointer(dataset_pointer(dataset))
    return tx.by_digest(Snapshot, held.target) if held else None


def _taken_before(checked: CheckedBatch, batch: Batch, tx: Transaction) -> Snapshot | None:
    """Return the snapshot of a batch that was taken before; batches are taken in the order of their numbers."""
    held = tx.pointer(loaded_pointer(checked.dataset))
    loaded = tx.by_digest(Batch, held.target).number if held else 0
    if batch.number == loaded + 1:
        return None
    if batch.number > loaded:
        raise ConflictError(
            f"An earlier batch of {checked.dataset} is not a snapshot yet",
            expected=f"batch {loaded + 1}",
            found=f"batch {batch.number}",
            fix="Run the ingest again: it finishes the earlier batch first.",
        )
    subject = digest_of(checked)
    for snapshot in tx.newest(Snapshot, parent=checked.dataset):
        if snapshot.checked == subject:
            return snapshot
    raise ConflictError(
        f"Batch {batch.number} of {checked.dataset} was taken with another outcome", expected=subject, found="another"
    )


def _appended(
    checked: CheckedBatch, subject: Digest, before: Snapshot | None, *, tables: TableStore, artifacts: ArtifactStore
) -> tuple[tuple[ManifestFile, ...], int]:
    """Append the good rows and return the files of the new version with the table's version."""
    old: tuple[ManifestFile, ...] = ()
    if before is not None:
        old = revive(parse_json(artifacts.get(before.snapshot_id)), Manifest).files
    if not checked.rows_ok:
        return old, before.table_version if before else -1
    path = artifacts.path_of(checked.rows)
    added = tables.append(checked.dataset, path, digest=checked.rows, count=checked.rows_ok, transaction=subject)
    file = ManifestFile(added.path, path.stat().st_size, checked.rows, checked.rows_ok)
    return (*old, file), added.version


def _record(snapshot: Snapshot, checked: CheckedBatch, *, state: StateStore, actor: PrincipalId) -> None:
    now, name = snapshot.taken_at, snapshot.dataset
    with state.transaction() as tx:
        digest = tx.insert(f"{name}/{snapshot.number:06d}", snapshot, parent=name, at=now)
        loaded = tx.pointer(loaded_pointer(name))
        moves = (
            PointerMove(dataset_pointer(name), snapshot.parent, digest),
            PointerMove(loaded_pointer(name), loaded.target if loaded else None, checked.batch),
        )
        for move in moves:
            tx.move(move.name, before=move.before, after=move.after, at=now)
        decision = Decision(
            action=Action.SNAPSHOT,
            subject=name,
            allowed=True,
            principal=actor,
            at=now,
            evidence={"snapshot": digest, "checked": snapshot.checked, "manifest": snapshot.snapshot_id},
            moves=moves,
            comment=f"snapshot {snapshot.number}: {snapshot.rows} rows, {snapshot.rows_added} new",
        )
        record_decision(decision, tx=tx)
