"""Immutable versions of a dataset: taken once, named by content, checked on every read."""

from keelway.snapshot.manifest import Manifest, ManifestFile, Snapshot
from keelway.snapshot.ports import TableFile, TableStore
from keelway.snapshot.read import newest, read, snapshots
from keelway.snapshot.take import dataset_pointer, take

__all__ = [
    "Manifest",
    "ManifestFile",
    "Snapshot",
    "TableFile",
    "TableStore",
    "dataset_pointer",
    "newest",
    "read",
    "snapshots",
    "take",
]
