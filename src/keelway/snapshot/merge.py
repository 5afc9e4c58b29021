"""Puts several files of a table into one: what compaction and the widening of a type have in common."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.snapshot.expire import free_path
from keelway.snapshot.manifest import ManifestFile
from keelway.snapshot.ports import TableStore
from keelway.snapshot.read import checked_paths
from keelway.snapshot.rewrite import rewrite

if TYPE_CHECKING:
    from keelway.ledger.ports import StateStore

TARGET_BYTES = 128 << 20
"""Files are put together until they reach this size."""


def neighbours(files: Sequence[ManifestFile], *, target_bytes: int = TARGET_BYTES) -> list[list[ManifestFile]]:
    """Return files in groups of neighbours, each group at most as large as the target unless it is one file.

    >>> from keelway.core import Digest
    >>> files = [ManifestFile(name, size, Digest(""), 1) for name, size in [("a", 4), ("b", 4), ("c", 9), ("d", 1)]]
    >>> [[file.path for file in group] for group in neighbours(files, target_bytes=8)]
    [['a', 'b'], ['c'], ['d']]
    """
    groups: list[list[ManifestFile]] = []
    size = 0
    for file in files:
        if groups and size + file.size_bytes <= target_bytes:
            groups[-1].append(file)
            size += file.size_bytes
        else:
            groups.append([file])
            size = file.size_bytes
    return groups


def merged(
    dataset: str, files: Sequence[ManifestFile], columns: Mapping[str, str], *, tables: TableStore, state: StateStore
) -> ManifestFile:
    """Write the rows of some files into one with these columns, stage it, and return what a manifest says of it."""
    with tempfile.TemporaryDirectory(prefix="keelway-merge-") as folder:
        target = Path(folder) / "rows.parquet"
        written = rewrite(checked_paths(dataset, files, tables=tables), columns, target=target)
        with state.snapshot() as tx:
            path = free_path(dataset, written.digest, tx)
        tables.stage(dataset, target, path=path)
    return replace(written, path=path)
