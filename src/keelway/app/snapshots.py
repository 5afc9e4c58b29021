"""The versions of datasets: looking at them, comparing them, naming them, and keeping the tables small."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from keelway.app.wire import Workspace
from keelway.core import Action, Digest, digest_of
from keelway.errors import UsageError

if TYPE_CHECKING:
    from datetime import datetime

    from keelway.snapshot import Snapshot, SnapshotDiff, SnapshotTag, Vacuum


VACUUMERS = ("data-scientist", "admin")
"""Who may delete the files of versions that nobody refers to."""


@dataclass(frozen=True, slots=True)
class SnapshotLine:
    """One version of a dataset, in a list.

    Attributes:
        files: How many files it is made of.
        tags: The tags that stand on it now.
        kept: Whether its files are still kept.
    """

    dataset: str
    number: int
    snapshot_id: Digest
    rows: int
    rows_added: int
    watermark: datetime
    taken_at: datetime
    tags: tuple[str, ...]
    compacted: bool
    kept: bool


@dataclass(frozen=True, slots=True)
class SnapshotView:
    """Everything about one version.

    Attributes:
        digest: Of the snapshot's record, by which everything else refers to it.
        files: Path, rows and bytes of each file.
        head: Its first rows, as many as asked for.
    """

    snapshot: Snapshot
    digest: Digest
    tags: tuple[str, ...]
    kept: bool
    files: tuple[tuple[str, int, int], ...]
    head: tuple[dict[str, Any], ...]


class SnapshotRoom:
    """Use cases on the versions of datasets."""

    def __init__(self, workspace: Workspace) -> None:
        self._at = workspace

    def versions(self, dataset: str | None = None) -> list[SnapshotLine]:
        """Return the versions of a dataset (of every one when None), newest first."""
        from keelway.snapshot import ExpiredSnapshot, digests, snapshots, tags

        lines = []
        with self._at.state.snapshot() as tx:
            for name in self._names(dataset):
                every = digests(snapshots(name, tx), tx)
                kept, named = tx.missing(ExpiredSnapshot, every), tags(name, tx)
                lines += [
                    SnapshotLine(
                        dataset=name,
                        number=each.number,
                        snapshot_id=each.snapshot_id,
                        rows=each.rows,
                        rows_added=each.rows_added,
                        watermark=each.watermark,
                        taken_at=each.taken_at,
                        tags=tuple(tag.name for tag in named if tag.snapshot == digest),
                        compacted=each.compacted is not None,
                        kept=digest in kept,
                    )
                    for digest, each in every.items()
                ]
        return lines

    def show(self, dataset: str, wanted: str = "", *, head: int = 0) -> SnapshotView:
        """Return everything about one version.

        Args:
            wanted: A number, a time, a tag or the start of an id; empty for the newest.
            head: How many of its first rows to read, which checks all of its bytes.

        Raises:
            MissingRecordError: There is no such version, or its rows are wanted and no longer kept.
        """
        from keelway.snapshot import ExpiredSnapshot, files_of, tags

        at, found = self._at, self.resolve(dataset, wanted)
        digest = digest_of(found)
        with at.state.snapshot() as tx:
            kept = bool(tx.missing(ExpiredSnapshot, [digest]))
            named = tuple(tag.name for tag in tags(found.dataset, tx) if tag.snapshot == digest)
        return SnapshotView(
            snapshot=found,
            digest=digest,
            tags=named,
            kept=kept,
            files=tuple((file.path, file.rows, file.size_bytes) for file in files_of(found, at.artifacts)),
            head=tuple(self._head(found, head)) if head else (),
        )

    def diff(self, dataset: str, before: str, after: str = "") -> SnapshotDiff:
        """Compare two versions, by rows and by how their values are spread; see `show` for what names a version."""
        from keelway.snapshot import diff

        at = self._at
        one, other = self.resolve(dataset, before), self.resolve(dataset, after)
        return diff(one, other, tables=at.tables, artifacts=at.artifacts, state=at.state)

    def tag(self, dataset: str, wanted: str, name: str, *, move: bool = False, comment: str = "") -> SnapshotTag:
        """Give a version a tag, which keeps it for good.

        Raises:
            ConflictError: Another version has the tag, and it is not to be moved.
        """
        from keelway.snapshot import tag

        at = self._at
        found = self.resolve(dataset, wanted)
        return tag(found, name, state=at.state, now=at.now(), actor=at.principal.id, move=move, comment=comment)

    def compact(self, dataset: str) -> Snapshot:
        """Make a version with the rows of the newest one in few files."""
        from keelway.snapshot import compact

        at = self._at
        return compact(
            self._names(dataset)[0],
            tables=at.tables,
            artifacts=at.artifacts,
            state=at.state,
            now=at.now(),
            actor=at.principal.id,
        )

    def vacuum(self, dataset: str, *, keep_days: float = 30, dry_run: bool = False) -> Vacuum:
        """Expire the versions that nobody refers to and that were out of date for so many days; delete their files.

        Raises:
            UsageError: The days are negative.
            IdentityError: The actor has none of the roles in `VACUUMERS`.
        """
        from keelway.identity import on_record, require_role
        from keelway.snapshot import vacuum

        if not keep_days >= 0:
            raise UsageError(
                "Versions cannot be kept for less than no time", expected="0 or more", found=str(keep_days)
            )
        at = self._at
        if not dry_run:
            with on_record(Action.VACUUM, dataset, principal=at.principal, state=at.state, now=at.now()):
                require_role(at.principal, *VACUUMERS)
        return vacuum(
            self._names(dataset)[0],
            tables=at.tables,
            artifacts=at.artifacts,
            state=at.state,
            now=at.now(),
            actor=at.principal.id,
            keep=timedelta(days=keep_days),
            dry_run=dry_run,
        )

    def resolve(self, dataset: str, wanted: str = "") -> Snapshot:
        """Return the version that is meant by a number, a time, a tag or the start of an id; empty for the newest."""
        from keelway.snapshot import resolve

        name = self._names(dataset)[0]
        with self._at.state.snapshot() as tx:
            return resolve(name, wanted, tx)

    def _head(self, snapshot: Snapshot, rows: int) -> list[dict[str, Any]]:
        from keelway.snapshot import first_rows, read

        at = self._at
        return first_rows(
            read(snapshot, tables=at.tables, artifacts=at.artifacts, state=at.state), snapshot.columns, rows
        )

    def _names(self, dataset: str | None) -> list[str]:
        project = self._at.project
        return [project.dataset(dataset).name] if dataset else [each.name for each in project.datasets]
