"""Immutable versions of a dataset: taken once, named by content, checked on every read."""

from typing import TYPE_CHECKING

from keelway.core import open_door

if TYPE_CHECKING:
    from keelway.snapshot.compact import compact
    from keelway.snapshot.diff import RowDiff, SnapshotDiff, diff
    from keelway.snapshot.distribution import ColumnShift, Spread
    from keelway.snapshot.expire import DoomedFile, ExpiredSnapshot, must_be_kept
    from keelway.snapshot.known import KnownFiles
    from keelway.snapshot.manifest import Manifest, ManifestFile, Snapshot
    from keelway.snapshot.ports import StoredFile, TableContent, TableStore
    from keelway.snapshot.publish import dataset_pointer
    from keelway.snapshot.read import digests, files_of, newest, read, snapshots
    from keelway.snapshot.resolve import resolve
    from keelway.snapshot.schema import SnapshotRows, first_rows
    from keelway.snapshot.tag import SnapshotTag, tag, tags
    from keelway.snapshot.take import take
    from keelway.snapshot.vacuum import Vacuum, vacuum

__all__ = [
    "ColumnShift",
    "DoomedFile",
    "ExpiredSnapshot",
    "KnownFiles",
    "Manifest",
    "ManifestFile",
    "RowDiff",
    "Snapshot",
    "SnapshotDiff",
    "SnapshotRows",
    "SnapshotTag",
    "Spread",
    "StoredFile",
    "TableContent",
    "TableStore",
    "Vacuum",
    "compact",
    "dataset_pointer",
    "diff",
    "digests",
    "files_of",
    "first_rows",
    "must_be_kept",
    "newest",
    "read",
    "resolve",
    "snapshots",
    "tag",
    "tags",
    "take",
    "vacuum",
]

open_door(__name__)
