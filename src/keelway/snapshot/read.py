"""Reads snapshots: by the manifest's files, each checked byte by byte on every read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from keelway.core import ArtifactStore, digest_file, parse_json, revive
from keelway.errors import IntegrityError, StorageError
from keelway.snapshot.manifest import Manifest, ManifestFile, Snapshot
from keelway.snapshot.ports import TableStore
from keelway.snapshot.take import dataset_pointer

if TYPE_CHECKING:
    from keelway.ledger.ports import Transaction


def newest(dataset: str, tx: Transaction) -> Snapshot | None:
    """Return a dataset's newest snapshot, or None."""
    held = tx.pointer(dataset_pointer(dataset))
    return tx.by_digest(Snapshot, held.target) if held else None


def snapshots(dataset: str, tx: Transaction) -> list[Snapshot]:
    """Return a dataset's snapshots, newest first."""
    return sorted(tx.newest(Snapshot, parent=dataset), key=lambda snapshot: -snapshot.number)


def read(snapshot: Snapshot, *, tables: TableStore, artifacts: ArtifactStore) -> list[Path]:
    """Return the Parquet files of a snapshot, in the order they were added, with their bytes checked.

    Raises:
        IntegrityError: A file or the manifest is not what was written; the message names it.
        MissingRecordError: A file or the manifest is gone.
    """
    manifest = revive(parse_json(artifacts.get(snapshot.snapshot_id)), Manifest)
    return [_checked(file, tables.path_of(snapshot.dataset, file.path)) for file in manifest.files]


def _checked(file: ManifestFile, path: Path) -> Path:
    fix = "Restore the file from a backup; nothing that used it can be repeated until then."
    try:
        size = path.stat().st_size
        if size != file.size_bytes:
            raise IntegrityError(
                f"{file.path} was altered", expected=f"{file.size_bytes} bytes", found=f"{size} bytes", fix=fix
            )
        found = digest_file(path)
    except OSError as error:
        raise StorageError(f"{file.path} cannot be read", found=error.strerror or str(error)) from error
    if found != file.digest:
        raise IntegrityError(f"{file.path} was altered", expected=file.digest, found=found, fix=fix)
    return path
