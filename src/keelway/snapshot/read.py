"""Reads snapshots: by the manifest's files, each checked byte by byte on every read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.core import ArtifactStore, Digest, digest_file, digest_of, parse_json, revive
from keelway.errors import IntegrityError, StorageError
from keelway.snapshot.expire import must_be_kept
from keelway.snapshot.known import KnownFiles, Mark
from keelway.snapshot.manifest import Manifest, ManifestFile, Snapshot
from keelway.snapshot.ports import TableStore
from keelway.snapshot.publish import dataset_pointer

if TYPE_CHECKING:
    from keelway.ledger.ports import StateStore, Transaction

READERS = 4
"""Files that are read at once: hashing and fetching both leave other threads room."""


def newest(dataset: str, tx: Transaction) -> Snapshot | None:
    """Return a dataset's newest snapshot, or None."""
    held = tx.pointer(dataset_pointer(dataset))
    return tx.by_digest(Snapshot, held.target) if held else None


def snapshots(dataset: str, tx: Transaction) -> list[Snapshot]:
    """Return a dataset's snapshots, newest first."""
    return sorted(tx.newest(Snapshot, parent=dataset), key=lambda snapshot: -snapshot.number)


def digests(every: Sequence[Snapshot], tx: Transaction) -> dict[Digest, Snapshot]:
    """Return all snapshots of a dataset, newest first, by the digest of their records, which each names of the last."""
    held = tx.pointer(dataset_pointer(every[0].dataset)) if every else None
    found: dict[Digest, Snapshot] = {}
    following = held.target if held else None
    for each in every:
        if following is not None:
            found[following] = each
        following = each.parent
    return found


def read(
    snapshot: Snapshot,
    *,
    tables: TableStore,
    artifacts: ArtifactStore,
    state: StateStore | None = None,
    known: KnownFiles | None = None,
) -> list[Path]:
    """Return the Parquet files of a snapshot, in the order they were added, with their bytes checked.

    Args:
        state: Tells whether the version is still kept; without it, one that is not looks like one with lost files.
        known: Files that this run has checked before, and where those checked now are noted; None checks every file.

    Raises:
        IntegrityError: A file or the manifest is not what was written; the message names it.
        MissingRecordError: A file or the manifest is gone, or the version was expired.
    """
    if state is not None:
        with state.snapshot() as tx:
            must_be_kept([digest_of(snapshot)], tx)
    return checked_paths(snapshot.dataset, files_of(snapshot, artifacts), tables=tables, known=known)


def files_of(snapshot: Snapshot, artifacts: ArtifactStore) -> tuple[ManifestFile, ...]:
    """Return every file of a snapshot, in the order they were added."""
    chain = [manifest for _, manifest in manifests_of(snapshot.snapshot_id, artifacts)]
    return tuple(file for manifest in reversed(chain) for file in manifest.files)


def manifests_of(snapshot_id: Digest, artifacts: ArtifactStore) -> Iterator[tuple[Digest, Manifest]]:
    """Yield the manifest with that digest from its checked bytes, then those it goes on from, newest first."""
    following: Digest | None = snapshot_id
    while following is not None:
        manifest = manifest_at(following, artifacts)
        yield following, manifest
        following = manifest.after


def manifest_at(digest: Digest, artifacts: ArtifactStore) -> Manifest:
    """Return the manifest with that digest from its checked bytes."""
    return revive(parse_json(artifacts.get(digest)), Manifest)


def checked_paths(
    dataset: str, files: Sequence[ManifestFile], *, tables: TableStore, known: KnownFiles | None = None
) -> list[Path]:
    """Return local paths of a table's files, in order, with their bytes checked.

    Raises:
        IntegrityError: One is not what was written.
        MissingRecordError: One is gone.
    """
    known = known or KnownFiles()

    def checked(file: ManifestFile) -> Path:
        path = tables.path_of(dataset, file.path, digest=file.digest)
        mark = Mark.of(path)
        _check(file, path)
        if mark is not None:
            known.note(dataset, file, path, mark)
        return path

    found = {file: path for file in files if (path := known.path(dataset, file)) is not None}
    unknown = [file for file in files if file not in found]
    with ThreadPoolExecutor(READERS) as pool:
        found.update(zip(unknown, pool.map(checked, unknown), strict=True))
    return [found[file] for file in files]


def _check(file: ManifestFile, path: Path) -> None:
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
