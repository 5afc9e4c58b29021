"""Vacuum: deletes the files of versions that nobody refers to, copies of their rows, and what killed writers left.

What is kept, always: the newest version; a version that any record refers to (a run, a model, a feature table, a tag,
a decision), by its record's or its manifest's digest; a version that has not been out of date for the time asked; the
files that the table's own newest version lists. What does not count as a reference is how versions are made: the
snapshots after it, the batches compared with it, the decisions that took, compacted or vacuumed.

Why nothing can slip in between. The order is: look, record, delete.

1. In one transaction, which holds the state's only write lock, the references are looked for, and then the versions
   are recorded as expired, their files as doomed, and the decision is taken. A record that refers to a version is
   written in a transaction of its own that first asks `must_be_kept`. One of the two comes first: if the reference,
   it is seen here; if the expiry, the one who refers is refused.
2. Only then do files go, and only doomed ones. A path that is doomed is never listed again: whoever makes a version
   asks that in the transaction that lists its files (`must_be_free`), and the same bytes get another name
   (`free_path`). So it does not matter when a file goes, or who deletes it: killed in between, the next vacuum does.
3. A file that no version lists belongs to a writer that is still at work, or was killed. It is doomed when it is
   older than a day. A writer that took longer is refused by the same rule, and puts its file in under a new name.
4. Copies of rows in the artifact store have no other name to come back under: they go inside a transaction of their
   own, after the decision and another look (`row_copies`).

A reader of an old version may lose its files under its hands; it is told so, by `read` or by `must_be_kept`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from keelway.core import Action, ArtifactStore, Decision, Digest, PrincipalId
from keelway.ledger import record_decision
from keelway.snapshot.expire import DoomedFile, ExpiredSnapshot, doomed_key
from keelway.snapshot.manifest import Manifest, ManifestFile, Snapshot
from keelway.snapshot.ports import TableStore
from keelway.snapshot.read import digests, manifest_at, snapshots
from keelway.snapshot.referred import referred
from keelway.snapshot.row_copies import remove_copies, spare_copies

if TYPE_CHECKING:
    from keelway.ledger.ports import StateStore, Transaction

GRACE = timedelta(days=1)
"""How old a file that no version lists has to be: a writer is given so long."""
KEEP = timedelta(days=30)
"""How long a version is kept after the next one was taken, unless said otherwise."""


@dataclass(frozen=True, slots=True)
class Vacuum:
    """What one vacuum of a dataset expired and deletes.

    Attributes:
        expired: Numbers of the versions that are no longer kept, in order.
        snapshots: Digests of their records.
        files: Paths of the files that no kept version lists.
        orphans: Paths of files that no version ever listed.
        copies: Digests of the rows in the artifact store that no kept version holds and nothing can ask for.
        freed_bytes: Of all those files and copies.
        referred: Numbers of the versions that are old enough, but kept because something refers to them.
    """

    dataset: str
    expired: tuple[int, ...]
    snapshots: tuple[Digest, ...]
    files: tuple[str, ...]
    orphans: tuple[str, ...]
    freed_bytes: int
    referred: tuple[int, ...]
    keep_s: int
    at: datetime
    copies: tuple[Digest, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.expired or self.orphans or self.copies)


def vacuum(
    dataset: str,
    *,
    tables: TableStore,
    artifacts: ArtifactStore,
    state: StateStore,
    now: datetime,
    actor: PrincipalId,
    keep: timedelta = KEEP,
    dry_run: bool = False,
) -> Vacuum:
    """Expire the versions of a dataset that nobody refers to and delete what is then in no version.

    Args:
        keep: Versions are kept for so long after they were the newest.
        dry_run: Only say what would be done.
    """
    look = _Look(dataset, keep=keep, tables=tables, artifacts=artifacts, now=now)
    with state.snapshot() as tx:  # most of the reading is done before anybody has to wait
        plan = look.plan(tx)
    if dry_run:
        return plan
    if not plan.is_empty:
        with state.transaction() as tx:
            plan = look.plan(tx)
            _record(plan, actor=actor, tx=tx)
    with state.snapshot() as tx:
        doomed = _doomed(dataset, [file.path for file in tables.stored(dataset)], tx)
    tables.remove(dataset, sorted(doomed))
    if plan.copies:
        with state.transaction() as tx:
            spare = look.plan(tx).copies
            remove_copies(dataset, set(plan.copies).intersection(spare), artifacts=artifacts, now=now, tx=tx)
    return plan


@dataclass(slots=True)
class _Look:
    """Looks what can go; the bytes of a manifest never change, so none is read twice."""

    dataset: str
    keep: timedelta
    tables: TableStore
    artifacts: ArtifactStore
    now: datetime
    manifests: dict[Digest, Manifest] = field(default_factory=dict)

    def plan(self, tx: Transaction) -> Vacuum:
        """Return what can go as the state stands in a transaction."""
        every = snapshots(self.dataset, tx)
        named = digests(every, tx)
        gone = {named[digest].number for digest in named.keys() - tx.missing(ExpiredSnapshot, named)}
        old = {
            each.number
            for each, after in zip(every[1:], every, strict=False)
            if each.number not in gone and self.now - after.taken_at >= self.keep
        }
        held = _held({digest: each for digest, each in named.items() if each.number in old}, tx)
        ending = {digest: each for digest, each in reversed(named.items()) if each.number in old - held}
        leaving = gone | (old - held)
        kept = self._listed(each for each in every if each.number not in leaving)
        listed = kept.keys() | set(self.tables.files(self.dataset))
        ended = self._listed(each for each in every if each.number in leaving)
        files = {path: file.size_bytes for path, file in self._listed(ending.values()).items() if path not in listed}
        orphans = self._orphans(listed | ended.keys(), tx)
        copies = spare_copies(self.dataset, {file.digest for file in kept.values()}, artifacts=self.artifacts, tx=tx)
        return Vacuum(
            dataset=self.dataset,
            expired=tuple(each.number for each in ending.values()),
            snapshots=tuple(ending),
            files=tuple(sorted(files)),
            orphans=tuple(sorted(orphans)),
            copies=tuple(copies),
            freed_bytes=sum(files.values()) + sum(orphans.values()) + sum(copies.values()),
            referred=tuple(sorted(held)),
            keep_s=int(self.keep / timedelta(seconds=1)),
            at=self.now,
        )

    def _listed(self, versions: Iterable[Snapshot]) -> dict[str, ManifestFile]:
        """Return every file that some versions list, by path."""
        found: dict[str, ManifestFile] = {}
        walked: set[Digest] = set()
        for version in versions:
            following: Digest | None = version.snapshot_id
            while following is not None and following not in walked:
                walked.add(following)
                if following not in self.manifests:
                    self.manifests[following] = manifest_at(following, self.artifacts)
                manifest = self.manifests[following]
                found |= {file.path: file for file in manifest.files}
                following = manifest.after
        return found

    def _orphans(self, known: Collection[str], tx: Transaction) -> dict[str, int]:
        """Return the files that no version ever listed and no living writer can be waiting for, path to size."""
        found = {
            file.path: file.size_bytes
            for file in self.tables.stored(self.dataset)
            if file.path not in known and self.now - file.modified_at >= GRACE
        }
        for path in _doomed(self.dataset, found, tx):
            del found[path]
        return found


def _doomed(dataset: str, paths: Iterable[str], tx: Transaction) -> set[str]:
    keys = {doomed_key(dataset, path): path for path in paths}
    free = tx.missing(DoomedFile, keys)
    return {path for key, path in keys.items() if key not in free}


def _held(versions: Mapping[Digest, Snapshot], tx: Transaction) -> set[int]:
    """Return the numbers of the versions that something refers to, by their record or by their manifest."""
    named = referred({*versions, *(each.snapshot_id for each in versions.values())}, tx)
    return {each.number for record, each in versions.items() if named & {record, each.snapshot_id}}


def _record(plan: Vacuum, *, actor: PrincipalId, tx: Transaction) -> None:
    """Write down what goes, before it goes."""
    if plan.is_empty:
        return
    name, now = plan.dataset, plan.at
    for number, digest in zip(plan.expired, plan.snapshots, strict=True):
        snapshot_id = tx.by_digest(Snapshot, digest).snapshot_id
        tx.insert(digest, ExpiredSnapshot(name, number, digest, snapshot_id, now, actor), parent=name, at=now)
    for path in (*plan.files, *plan.orphans):
        tx.insert(doomed_key(name, path), DoomedFile(name, path, now), parent=name, at=now)
    turn = tx.count(Vacuum, parent=name) + 1
    record = tx.insert(f"{name}/{turn:06d}", plan, parent=name, at=now)
    decision = Decision(
        action=Action.VACUUM,
        subject=name,
        allowed=True,
        principal=actor,
        at=now,
        evidence={"vacuum": record},
        comment=f"{len(plan.expired)} versions expired, {len(plan.files) + len(plan.orphans)} files and "
        f"{len(plan.copies)} copies of rows deleted",
    )
    record_decision(decision, tx=tx)
