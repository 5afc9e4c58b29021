"""Artifacts as objects of a store, each under its own digest.

An artifact is written only where there is none yet (a conditional write), so of two writers one wins and nobody ever
sees half of it; large files go up in parts that become an object all at once. Every read hashes what it read. What is
needed as a file is kept in a folder of this machine, which may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from keelway.core import (
    DIGEST_PREFIX,
    Artifact,
    ArtifactKind,
    Digest,
    HeldArtifact,
    artifact_key,
    digest_bytes,
    digest_file,
    is_digest,
    must_be_artifact,
    short,
    unchanged_blocks,
)
from keelway.engines.obstore.again import again
from keelway.engines.obstore.failures import unstorable, vendor_errors
from keelway.engines.obstore.holding import Holding, clock_of, forget, mark_as_put, remove_if_older
from keelway.engines.obstore.store import OpenStore
from keelway.errors import MissingRecordError, SourceError, StorageError

if TYPE_CHECKING:
    from keelway.core import ArtifactStore, HeldArtifacts

BLOCK_BYTES = 1 << 20
PART_BYTES = 16 << 20
"""Larger files go up in parts of this size, two at a time; that bounds the memory."""
PARTS_AT_ONCE = 2
_MISSING = ("NotFoundError", "FileNotFoundError")


class ObjectArtifacts:
    """An artifact store in an object store.

    Args:
        store: Opened by `open_store`.
        cache: A folder of this machine for what is asked for as a file.
    """

    def __init__(self, store: OpenStore, cache: Path) -> None:
        self._store = store
        self._cache = Path(cache)
        self._holding = Holding(store)

    def put(self, data: bytes, *, kind: ArtifactKind, name: str = "") -> Artifact:
        """Store bytes and return their artifact."""
        digest = digest_bytes(data)
        with _translated(digest):
            self._create(digest, data)
        return Artifact(digest, kind, len(data), name)

    def put_file(self, path: Path, *, kind: ArtifactKind, name: str = "") -> Artifact:
        """Store a copy of a file, in bounded memory, and return its artifact."""
        try:
            size = path.stat().st_size
            if size <= PART_BYTES:
                return self.put(path.read_bytes(), kind=kind, name=name or path.name)
            digest = digest_file(path)
        except OSError as error:
            raise SourceError(f"The file {path} cannot be read", found=str(error)) from error
        with _translated(digest):
            if not self._stands(digest):
                again(lambda: self._upload(digest, path), self._store)
        return Artifact(digest, kind, size, name or path.name)

    def get(self, digest: Digest) -> bytes:
        """Return the checked bytes of an artifact."""
        data = b"".join(self._blocks(digest))
        must_be_artifact(digest, digest_bytes(data))
        return data

    def path_of(self, digest: Digest) -> Path:
        """Return a local file that holds the checked bytes; it must not be changed."""
        place = self._cache / artifact_key(digest)
        try:
            if place.is_file() and digest_file(place) == digest:
                return place
            place.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self._cache, prefix=".part-") as folder:
                copy = Path(folder) / "copy"
                self._download(digest, copy)
                copy.chmod(0o444)
                copy.replace(place)
        except OSError as error:
            raise StorageError(
                "An artifact cannot be kept on this machine",
                expected=f"a writable folder {self._cache}",
                found=str(error),
                fix="Free some space, or name another folder for the cache; it may be emptied at any time.",
            ) from error
        return place

    def __contains__(self, digest: object) -> bool:
        """Say whether an artifact is there (its bytes are not checked)."""
        return is_digest(digest) and self.size_of(Digest(str(digest))) is not None

    def size_of(self, digest: Digest) -> int | None:
        """Return how many bytes an artifact takes, or None where it is not there."""
        import obstore

        try:
            with _translated(digest):
                return int(obstore.head(self._store.client, artifact_key(digest))["size"])
        except MissingRecordError:
            return None

    def delete(self, digest: Digest) -> None:
        """Remove an artifact for good, first the copy on this machine; one that is gone already is no error."""
        import obstore

        self._drop_copy(digest)
        with contextlib.suppress(MissingRecordError), _translated(digest):
            again(lambda: obstore.delete(self._store.client, artifact_key(digest)), self._store)
        with _translated(digest):
            forget(self._store, digest)

    def held(self) -> Iterator[HeldArtifact]:
        """Yield every artifact; what a killed process left half-removed is brought back first."""
        return self._holding.held()

    def remove_if_older(self, digest: Digest, moment: datetime) -> bool:
        """Remove an artifact that was last put before a moment, by the store's clock, and say whether that was done."""
        done = remove_if_older(self._store, digest, moment)
        if done:
            self._drop_copy(digest)
        return done

    def clock(self) -> datetime:
        """Return what time it is by the store's clock, which tells the ages of artifacts."""
        return clock_of(self._store)

    def _drop_copy(self, digest: Digest) -> None:
        """Remove the copy of an artifact on this machine."""
        try:
            (self._cache / artifact_key(digest)).unlink(missing_ok=True)
        except NotADirectoryError:
            pass
        except OSError as error:
            raise StorageError("A copy of an artifact cannot be deleted", expected=digest, found=str(error)) from error

    def _create(self, digest: Digest, data: bytes) -> None:
        """Write an object that is not there yet; one that is there and damaged is written anew."""
        import obstore

        def write(mode: Literal["create", "overwrite"]) -> None:
            obstore.put(self._store.client, artifact_key(digest), data, mode=mode, use_multipart=False)

        try:
            again(lambda: write("create"), self._store)
        except vendor_errors() as error:
            if type(error).__name__ != "AlreadyExistsError":
                raise
            if not self._stands(digest):
                again(lambda: write("overwrite"), self._store)

    def _upload(self, digest: Digest, path: Path) -> None:
        """Write a large file in parts; what goes up is hashed again, for the file may change meanwhile."""
        import obstore

        blocks = unchanged_blocks(path, digest)
        obstore.put(
            self._store.client,
            artifact_key(digest),
            blocks,
            use_multipart=True,
            chunk_size=PART_BYTES,
            max_concurrency=PARTS_AT_ONCE,
        )

    def _stands(self, digest: Digest) -> bool:
        """Say whether the sound bytes are there and count as put now; the mark comes first, then the look (`holding`)."""
        if self.size_of(digest) is None:
            return False
        mark_as_put(self._store, digest)
        return self._is_sound(digest)

    def _is_sound(self, digest: Digest) -> bool:
        """Say whether the sound bytes are there already."""
        try:
            return self._hashed(digest) == digest
        except MissingRecordError:
            return False

    def _hashed(self, digest: Digest) -> Digest:
        hasher = hashlib.sha256()
        for block in self._blocks(digest):
            hasher.update(block)
        return Digest(DIGEST_PREFIX + hasher.hexdigest())

    def _download(self, digest: Digest, copy: Path) -> None:
        hasher = hashlib.sha256()
        with copy.open("wb") as stream:
            for block in self._blocks(digest):
                hasher.update(block)
                stream.write(block)
        must_be_artifact(digest, Digest(DIGEST_PREFIX + hasher.hexdigest()))

    def _blocks(self, digest: Digest) -> Iterator[bytes]:
        """Yield the bytes of an artifact as the store has them."""
        import obstore

        with _translated(digest):
            for block in obstore.get(self._store.client, artifact_key(digest)).stream(min_chunk_size=BLOCK_BYTES):
                yield bytes(block)


@contextmanager
def _translated(digest: Digest) -> Iterator[None]:
    """Turn the client's errors that leave this block into Keelway's."""
    try:
        yield
    except vendor_errors() as error:
        if type(error).__name__ in _MISSING:
            raise MissingRecordError("There is no such artifact", expected=digest, found="nothing") from error
        raise unstorable(f"The artifact {short(digest)}", error) from error


if TYPE_CHECKING:
    from keelway.engines.obstore.store import open_store

    _: ArtifactStore = ObjectArtifacts(open_store("memory:///"), Path())
    _held: HeldArtifacts = ObjectArtifacts(open_store("memory:///"), Path())
