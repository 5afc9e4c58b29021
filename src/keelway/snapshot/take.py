"""Takes a snapshot: adds checked rows to the dataset's table and moves the dataset's pointer.

The rows are put into the table's folder first; `publish` then makes the version and moves `dataset/NAME` and
`loaded/NAME`, all or nothing. Killed anywhere, the next `take` of the same checked batch finishes. A batch without
good rows adds a version with the same files.

A batch with a new column is added as it is: earlier rows have no value there. Where a column takes in more values
than before (integer to number, date to timestamp), the earlier files are written again with the wider type in the
same commit, because Delta readers do not widen them; earlier versions go on listing the files they had.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from keelway.contract import CheckedBatch
from keelway.core import Action, ArtifactStore, PointerMove, PrincipalId, digest_of
from keelway.errors import ConflictError
from keelway.ingest import Batch, loaded_pointer
from keelway.snapshot.expire import free_path
from keelway.snapshot.manifest import Manifest, ManifestFile, Snapshot
from keelway.snapshot.merge import merged, neighbours
from keelway.snapshot.ports import TableContent, TableStore
from keelway.snapshot.publish import VersionDraft, dataset_pointer, publish, store_manifest
from keelway.snapshot.read import files_of, manifests_of
from keelway.snapshot.schema import ordered, widened

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
        ConflictError: An earlier batch is not taken yet, another process took this one meanwhile, or a person in it was
            erased since it was checked.
        ContractError: The batch lacks a column of the earlier versions, or has another type in one.
    """
    with state.snapshot() as tx:
        batch = tx.by_digest(Batch, checked.batch)
        pointer = tx.pointer(dataset_pointer(checked.dataset))
        before = tx.by_digest(Snapshot, pointer.target) if pointer else None
        loaded = tx.pointer(loaded_pointer(checked.dataset))
        done = _taken_before(checked, batch, tx)
        path = free_path(checked.dataset, checked.rows, tx)
    if done is not None:
        return done
    work = _work(checked, before, path, tables=tables, artifacts=artifacts, state=state)
    draft = _draft(checked, before, work, now=now)
    return publish(
        draft,
        work,
        action=Action.SNAPSHOT,
        evidence={"checked": draft.checked},
        raw=[file.digest for file in checked.files],
        moves=[PointerMove(loaded_pointer(checked.dataset), loaded.target if loaded else None, checked.batch)],
        comment=f"{draft.rows} rows, {draft.rows_added} new",
        tables=tables,
        state=state,
        actor=actor,
    )


def _draft(checked: CheckedBatch, before: Snapshot | None, work: VersionDraft, *, now: datetime) -> Snapshot:
    """Return the snapshot to be, all but the table's version."""
    return Snapshot(
        dataset=checked.dataset,
        number=before.number + 1 if before else 1,
        snapshot_id=work.manifest,
        table_version=-1,
        rows=sum(file.rows for file in work.files),
        rows_added=checked.rows_ok,
        contract=checked.contract,
        checked=digest_of(checked),
        parent=digest_of(before) if before else None,
        watermark=max(checked.known_until, before.watermark) if before else checked.known_until,
        taken_at=now,
        columns=ordered(checked.columns),
    )


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
        if snapshot.checked == subject and snapshot.compacted is None:
            return snapshot
    raise ConflictError(
        f"Batch {batch.number} of {checked.dataset} was taken with another outcome", expected=subject, found="another"
    )


def _work(
    checked: CheckedBatch,
    before: Snapshot | None,
    path: str,
    *,
    tables: TableStore,
    artifacts: ArtifactStore,
    state: StateStore,
) -> VersionDraft:
    """Stage the good rows, and the earlier ones where their types widen, and return what the version is made of."""
    base = TableContent(-1, (), {})
    old: tuple[ManifestFile, ...] = ()
    rewritten: tuple[str, ...] = ()
    if before is not None:
        old = files_of(before, artifacts)
        base = TableContent(before.table_version, old, before.columns)
        if widened(before.columns, checked.columns, dataset=checked.dataset):
            old = tuple(
                merged(checked.dataset, group, checked.columns, tables=tables, state=state) for group in neighbours(old)
            )
            rewritten = tuple(file.path for file in old)
    new: tuple[ManifestFile, ...] = ()
    if checked.rows_ok:
        rows = artifacts.path_of(checked.rows)
        tables.stage(checked.dataset, rows, path=path)
        new = (ManifestFile(path, rows.stat().st_size, checked.rows, checked.rows_ok),)
    manifest = _manifest(checked, old, new, None if rewritten else before, artifacts)
    return VersionDraft(base, (*old, *new), store_manifest(manifest, artifacts), rewritten)


def _manifest(
    checked: CheckedBatch,
    old: tuple[ManifestFile, ...],
    new: tuple[ManifestFile, ...],
    before: Snapshot | None,
    artifacts: ArtifactStore,
) -> Manifest:
    """Return a manifest that goes on from an earlier one, or one that lists everything where there is none."""
    whole = Manifest(
        checked.dataset, (*old, *new), checked.contract, checked.contract_version, ordered(checked.columns)
    )
    if before is None:
        return whole
    own = list(new)
    turn = 0
    for digest, manifest in manifests_of(before.snapshot_id, artifacts):
        turn = turn or manifest.turn + 1
        if manifest.turn == turn & (turn - 1):  # the turn without its lowest 1
            return replace(whole, files=tuple(own), after=digest, turn=turn)
        own = [*manifest.files, *own]
    return whole
