"""Compaction: the same rows in fewer files, as a version of its own.

Nothing that was named before changes: every earlier version keeps its id, its manifest and its files. The new
version adds no row; its commit to the table says that no data changed. Files that are already large stay as they are.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from keelway.core import Action, ArtifactStore, PrincipalId, digest_of
from keelway.errors import MissingRecordError
from keelway.snapshot.manifest import ManifestFile, Snapshot
from keelway.snapshot.merge import TARGET_BYTES, merged, neighbours
from keelway.snapshot.ports import TableContent, TableStore
from keelway.snapshot.publish import VersionDraft, publish, store_manifest
from keelway.snapshot.read import files_of, manifest_at, newest

if TYPE_CHECKING:
    from keelway.ledger.ports import StateStore


def compact(
    dataset: str,
    *,
    tables: TableStore,
    artifacts: ArtifactStore,
    state: StateStore,
    now: datetime,
    actor: PrincipalId,
    target_bytes: int = TARGET_BYTES,
) -> Snapshot:
    """Return a version with the rows of the newest one in as few files as the target size allows.

    Where the newest version is such a version already, it is returned.

    Raises:
        ConflictError: Another process made a version meanwhile; nothing is recorded.
        MissingRecordError: The dataset has no version.
    """
    with state.snapshot() as tx:
        before = newest(dataset, tx)
    if before is None:
        raise MissingRecordError(f"There is no version of {dataset}", expected="one or more", found="none")
    held = files_of(before, artifacts)
    groups = neighbours(held, target_bytes=target_bytes)
    if len(groups) == len(held):
        return before
    files = tuple(
        merged(dataset, group, before.columns, tables=tables, state=state) if len(group) > 1 else group[0]
        for group in groups
    )
    work = _work(before, held, files, artifacts)
    return publish(
        _draft(before, work, now=now),
        work,
        action=Action.COMPACT,
        evidence={"compacted": digest_of(before)},
        comment=f"{len(held)} files in {len(files)}",
        tables=tables,
        state=state,
        actor=actor,
    )


def _draft(before: Snapshot, work: VersionDraft, *, now: datetime) -> Snapshot:
    """Return the snapshot to be, all but the table's version."""
    return replace(
        before,
        number=before.number + 1,
        snapshot_id=work.manifest,
        table_version=-1,
        rows_added=0,
        parent=digest_of(before),
        taken_at=now,
        compacted=digest_of(before),
    )


def _work(
    before: Snapshot, held: tuple[ManifestFile, ...], files: tuple[ManifestFile, ...], artifacts: ArtifactStore
) -> VersionDraft:
    """Return what the compacted version is made of; its manifest lists everything."""
    last = manifest_at(before.snapshot_id, artifacts)
    return VersionDraft(
        base=TableContent(before.table_version, held, before.columns),
        files=files,
        manifest=store_manifest(replace(last, files=files, after=None, turn=0), artifacts),
        rewritten=tuple(file.path for file in files if file not in held),
    )
