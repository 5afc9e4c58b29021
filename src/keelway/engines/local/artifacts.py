"""Artifacts as files of this machine, each under its own digest.

A file is written beside its place, forced to the disk and renamed, so that a reader sees all bytes or none, also
after a crash. Every read hashes what it read. Bytes that are put again count as new: their file's time is that of the
last time they were put.

    store = LocalArtifacts(Path(".keelway/artifacts"))
    artifact = store.put(b"...", kind=ArtifactKind.REPORT)
    store.get(artifact.digest)
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.core import (
    DIGEST_PREFIX,
    HEAD_BYTES,
    Artifact,
    ArtifactKind,
    Digest,
    HeldArtifact,
    artifact_key,
    digest_bytes,
    digest_file,
    is_digest,
    must_be_artifact,
    unchanged_blocks,
)
from keelway.errors import MissingRecordError, SourceError, StorageError

if TYPE_CHECKING:
    from keelway.core import ArtifactStore, HeldArtifacts

_ASIDE = ".gc-"
"""How a file is called while it is removed."""
_FIXES = {
    errno.ENOSPC: "Free some space, then run the command again: nothing was half-written.",
    errno.EDQUOT: "The quota is used up: free some space, then run the command again.",
    errno.EACCES: "Give this user the right to write there.",
    errno.EPERM: "Give this user the right to write there.",
    errno.EROFS: "The file system is read-only: mount it writable or choose another folder.",
}


class LocalArtifacts:
    """An artifact store in a folder.

    Args:
        root: The folder; made when the first artifact arrives.
    """

    def __init__(self, root: Path) -> None:
        self._root = Path(root)

    def put(self, data: bytes, *, kind: ArtifactKind, name: str = "") -> Artifact:
        """Store bytes and return their artifact."""
        digest = digest_bytes(data)
        place = self._place(digest)
        if not self._holds(place, digest, len(data)):
            self._write(place, [data])
        return Artifact(digest, kind, len(data), name)

    def put_file(self, path: Path, *, kind: ArtifactKind, name: str = "") -> Artifact:
        """Store a copy of a file, in bounded memory, and return its artifact."""
        try:
            digest, size = digest_file(path), path.stat().st_size
        except OSError as error:
            raise SourceError(f"The file {path} cannot be read", found=str(error)) from error
        place = self._place(digest)
        if not self._holds(place, digest, size):
            self._write(place, unchanged_blocks(path, digest))
        return Artifact(digest, kind, size, name or path.name)

    def get(self, digest: Digest) -> bytes:
        """Return the checked bytes of an artifact."""
        place = self._place(digest)
        try:
            data = place.read_bytes()
        except OSError as error:
            raise _unreadable(digest, error) from error
        must_be_artifact(digest, digest_bytes(data))
        return data

    def path_of(self, digest: Digest) -> Path:
        """Return a local file that holds the checked bytes; it must not be changed."""
        place = self._place(digest)
        try:
            found = digest_file(place)
        except OSError as error:
            raise _unreadable(digest, error) from error
        must_be_artifact(digest, found)
        return place

    def __contains__(self, digest: object) -> bool:
        """Say whether an artifact is there (its bytes are not checked)."""
        return is_digest(digest) and self._place(Digest(str(digest))).is_file()

    def size_of(self, digest: Digest) -> int | None:
        """Return how many bytes an artifact takes, or None where it is not there."""
        try:
            return self._place(digest).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _unreadable(digest, error) from error

    def delete(self, digest: Digest) -> None:
        """Remove an artifact for good; one that is gone already is no error."""
        try:
            self._place(digest).unlink(missing_ok=True)
        except NotADirectoryError:
            return
        except OSError as error:
            fix = _FIXES.get(error.errno or 0, "Check the disk, then run the command again.")
            raise StorageError("An artifact cannot be deleted", expected=digest, found=str(error), fix=fix) from error

    def held(self) -> Iterator[HeldArtifact]:
        """Yield every artifact; bytes that a killed process left half-removed are brought back first."""
        for folder in sorted(self._root.glob("[0-9a-f][0-9a-f]")):
            for aside in folder.glob(f"{_ASIDE}*"):
                _bring_back(aside, folder / aside.name.removeprefix(_ASIDE))
            for place in folder.iterdir():
                digest = f"{DIGEST_PREFIX}{folder.name}{place.name}"
                if is_digest(digest):
                    yield from _held(place, Digest(digest))

    def remove_if_older(self, digest: Digest, moment: datetime) -> bool:
        """Remove an artifact that was last put before a moment, and say whether that was done.

        Whoever puts the same bytes meanwhile sets the time of this very file: it is looked at again under another
        name after its own is gone, and brought back.
        """
        place = self._place(digest)
        aside = place.with_name(_ASIDE + place.name)
        try:
            if not place.is_file() or _put_at(place) >= moment:
                return False
            place.replace(aside)
            if _put_at(aside) >= moment:
                _bring_back(aside, place)
                return False
            aside.unlink()
        except FileNotFoundError:
            return False  # another collector was quicker
        except OSError as error:
            fix = _FIXES.get(error.errno or 0, "Check the disk, then run the command again.")
            raise StorageError("An artifact cannot be removed", expected=digest, found=str(error), fix=fix) from error
        return True

    def _place(self, digest: Digest) -> Path:
        return self._root / artifact_key(digest)

    def _holds(self, place: Path, digest: Digest, size: int) -> bool:
        """Say whether the sound bytes are there already; damaged ones are written anew."""
        try:
            if place.stat().st_size != size or digest_file(place) != digest:
                return False
            os.utime(place)  # it counts as new; another user's, it is written anew
            return place.is_file()  # the time may have been set of a file that lost its name meanwhile
        except OSError:
            return False

    def _write(self, place: Path, blocks: Iterable[bytes]) -> None:
        temporary = ""
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(prefix=".part-", dir=place.parent)
            with os.fdopen(descriptor, "wb") as stream:
                for block in blocks:
                    stream.write(block)
                stream.flush()
                os.fchmod(stream.fileno(), 0o444)
                os.fsync(stream.fileno())
            Path(temporary).replace(place)
            _sync_folder(place.parent)
        except OSError as error:
            _remove(temporary)
            code = error.errno if error.errno is not None else 0
            raise StorageError(
                "An artifact cannot be stored",
                expected=f"a writable folder {self._root}",
                found=str(error),
                fix=_FIXES.get(code, "Check the disk and the folder, then run the command again."),
            ) from error
        except BaseException:
            _remove(temporary)
            raise


def _held(place: Path, digest: Digest) -> Iterator[HeldArtifact]:
    """Yield an artifact, unless it went meanwhile."""
    try:
        with place.open("rb") as stream:
            head, facts = stream.read(HEAD_BYTES), os.fstat(stream.fileno())
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unreadable(digest, error) from error
    yield HeldArtifact(digest, facts.st_size, datetime.fromtimestamp(facts.st_mtime, UTC), head)


def _put_at(place: Path) -> datetime:
    return datetime.fromtimestamp(place.stat().st_mtime, UTC)


def _bring_back(aside: Path, place: Path) -> None:
    """Give a file its name again, unless the same bytes were put there meanwhile."""
    with contextlib.suppress(FileExistsError):
        os.link(aside, place)
    aside.unlink(missing_ok=True)


def _unreadable(digest: Digest, error: OSError) -> MissingRecordError | StorageError:
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return MissingRecordError("There is no such artifact", expected=digest, found="nothing")
    fix = _FIXES.get(error.errno or 0, "Check the disk, then run the command again.")
    return StorageError("An artifact cannot be read", expected=digest, found=str(error), fix=fix)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(temporary: str) -> None:
    if temporary:
        Path(temporary).unlink(missing_ok=True)


if TYPE_CHECKING:
    _store: ArtifactStore = LocalArtifacts(Path())
    _held_store: HeldArtifacts = LocalArtifacts(Path())
