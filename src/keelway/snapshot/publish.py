"""Makes a version: one commit to the table and one to the state, under one lock.

Files are staged first; no version lists them yet. Then, inside the transaction that holds the state's write lock:

1. the dataset's pointer still stands where the work began, or somebody else was first;
2. no new file was doomed by a vacuum meanwhile, and nobody in the new rows was erased;
3. the table is made to hold exactly the version's files: one small write;
4. the snapshot, the moved pointers and the decision are written, and the transaction commits.

What takes longer and need not be then, such as a checkpoint of the table's log, follows when the lock is free.
Killed between 3 and 4, the table is one version ahead of the state. The same work done again finds that version;
other work makes the table hold what it says and thereby mends it. No reader that goes by snapshots sees either.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from keelway.core import Action, ArtifactKind, ArtifactStore, Decision, Digest, PointerMove, PrincipalId, canonical_json
from keelway.errors import ConflictError
from keelway.ledger import record_decision
from keelway.privacy import must_not_be_erased
from keelway.snapshot.expire import must_be_free
from keelway.snapshot.manifest import Manifest, ManifestFile, Snapshot
from keelway.snapshot.ports import TableContent, TableStore

if TYPE_CHECKING:
    from keelway.ledger.ports import StateStore, Transaction


@dataclass(frozen=True, slots=True)
class VersionDraft:
    """What a version is made of, before it is one.

    Attributes:
        base: What the table holds at the version before.
        files: Every file of the new version.
        manifest: Digest of its manifest.
        rewritten: Paths of new files whose rows the version before held in others.
    """

    base: TableContent
    files: tuple[ManifestFile, ...]
    manifest: Digest
    rewritten: tuple[str, ...] = ()

    @property
    def new_paths(self) -> list[str]:
        """The files that the version before does not list."""
        held = {file.path for file in self.base.files}
        return [file.path for file in self.files if file.path not in held]


def store_manifest(manifest: Manifest, artifacts: ArtifactStore) -> Digest:
    """Keep a manifest and return its digest, the id of every snapshot made of it."""
    name = f"{manifest.dataset} manifest"
    return artifacts.put(canonical_json(manifest), kind=ArtifactKind.MANIFEST, name=name).digest


def publish(
    draft: Snapshot,
    work: VersionDraft,
    *,
    action: Action,
    evidence: dict[str, Digest],
    moves: Sequence[PointerMove] = (),
    raw: Iterable[Digest] = (),
    comment: str,
    tables: TableStore,
    state: StateStore,
    actor: PrincipalId,
) -> Snapshot:
    """Make a version of a draft (its `table_version` is not known yet) and return it.

    Args:
        moves: Pointers that move besides the dataset's.
        raw: The raw files that the new rows came from.

    Raises:
        ConflictError: Somebody else was first, or a person in the rows was erased meanwhile; nothing is recorded.
    """
    name, now = draft.dataset, draft.taken_at
    with state.transaction() as tx:
        _must_be_next(draft, tx)
        must_be_free(name, work.new_paths, tx)
        must_not_be_erased(raw, tx)
        snapshot = replace(draft, table_version=_committed(draft, work, tables))
        digest = tx.insert(f"{name}/{snapshot.number:06d}", snapshot, parent=name, at=now)
        moved = (PointerMove(dataset_pointer(name), snapshot.parent, digest), *moves)
        for move in moved:
            tx.move(move.name, before=move.before, after=move.after, at=now)
        decision = Decision(
            action=action,
            subject=name,
            allowed=True,
            principal=actor,
            at=now,
            evidence={"snapshot": digest, "manifest": snapshot.snapshot_id, **evidence},
            moves=moved,
            comment=f"snapshot {snapshot.number}: {comment}",
        )
        record_decision(decision, tx=tx)
    tables.tidy(name, snapshot.table_version)
    return snapshot


def dataset_pointer(dataset: str) -> str:
    """Return the name of the pointer at a dataset's newest snapshot."""
    return f"dataset/{dataset}"


def _must_be_next(draft: Snapshot, tx: Transaction) -> None:
    held = tx.pointer(dataset_pointer(draft.dataset))
    found = held.target if held else None
    if found != draft.parent:
        raise ConflictError(
            f"Another process made version {draft.number} of {draft.dataset}",
            expected=draft.parent or "no version yet",
            found=found or "no version yet",
            fix="Run the command again: it goes on from there.",
        )


def _committed(draft: Snapshot, work: VersionDraft, tables: TableStore) -> int:
    """Make the table hold the version's files and return the table's version; -1 while there are no rows at all."""
    if not work.files and work.base.version < 0:
        return -1
    return tables.commit(
        draft.dataset,
        work.files,
        columns=draft.columns,
        after=work.base,
        rewritten=work.rewritten,
        at=draft.taken_at,
    )
