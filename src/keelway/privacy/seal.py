"""Artifacts that hold people's data as it came in are stored encrypted, each under a key of its own.

A sealed artifact keeps the digest of its plain bytes for a name, so the ledger that names it stays true when its key
is destroyed; only the bytes are gone. Raw files, quarantined rows and logs of predictions are sealed (AES-256-GCM over blocks of 1 MiB, so
that memory stays flat), under a key that is made from the artifact's own key in the vault and the tenant's.

    sealed = SealedArtifacts(inner, keyring=lambda: keyring, folder=Path(".keelway/plain"), seals=True)
    sealed.put_file(path, kind=ArtifactKind.RAW_FILE)
"""

from __future__ import annotations

import functools
import hashlib
import io
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from keelway.core import DIGEST_PREFIX, Artifact, ArtifactKind, Digest, digest_bytes, digest_file, is_digest
from keelway.errors import ErasedError, IntegrityError, MissingRecordError, SourceError, StorageError
from keelway.privacy.copies import PlainCopies
from keelway.privacy.ports import ArtifactKey, KeyVault, Loss
from keelway.privacy.tenant import KEY_BYTES, Purpose, TenantKey

if TYPE_CHECKING:
    from keelway.core import ArtifactStore

SEALED_KINDS = frozenset({ArtifactKind.RAW_FILE, ArtifactKind.QUARANTINE, ArtifactKind.PREDICTIONS})
BLOCK_BYTES = 1 << 20
_MAGIC = b"KEELSEAL1\n"
_TAG_BYTES = 16


class Keyring:
    """The tenant's key, and the vault of the keys that only open together with it.

    Args:
        tenant: The key, or what returns it: then it is asked for when something has to be opened or sealed.
        vault: The vault; to look something up in it takes no key.
    """

    def __init__(self, tenant: TenantKey | Callable[[], TenantKey], vault: KeyVault) -> None:
        self._tenant = tenant
        self.vault = vault

    @functools.cached_property
    def tenant(self) -> TenantKey:
        """The tenant's key."""
        return self._tenant() if callable(self._tenant) else self._tenant


class SealedArtifacts:
    """An artifact store that opens sealed artifacts, and seals new ones where it is told to.

    Plain copies of sealed files lie in a folder that only its owner can enter, and go when `release` is called, when
    the process ends, or, after a kill, when the next process needs such a folder.

    Args:
        inner: Where the bytes are kept, sealed or plain.
        keyring: Returns the keys, or None where the project has none (then nothing is sealed, or can be opened).
        folder: Where plain copies lie while they are needed.
        seals: Whether artifacts of the `SEALED_KINDS` are sealed; others never are.
    """

    def __init__(
        self, inner: ArtifactStore, *, keyring: Callable[[], Keyring | None], folder: Path, seals: bool = False
    ) -> None:
        self._inner = inner
        self._keyring = keyring
        self._seals = seals
        self._copies = PlainCopies(folder)

    def put(self, data: bytes, *, kind: ArtifactKind, name: str = "") -> Artifact:
        """Store bytes and return their artifact."""
        if not self._seals or kind not in SEALED_KINDS:
            return self._inner.put(data, kind=kind, name=name)
        digest = digest_bytes(data)
        self._seal(io.BytesIO(data), digest, kind)
        return Artifact(digest, kind, len(data), name)

    def put_file(self, path: Path, *, kind: ArtifactKind, name: str = "") -> Artifact:
        """Store a copy of a file, in bounded memory, and return its artifact."""
        if not self._seals or kind not in SEALED_KINDS:
            return self._inner.put_file(path, kind=kind, name=name)
        try:
            digest, size = digest_file(path), path.stat().st_size
            with path.open("rb") as stream:
                self._seal(stream, digest, kind)
        except OSError as error:
            raise SourceError(f"The file {path} cannot be read", found=str(error)) from error
        return Artifact(digest, kind, size, name or path.name)

    def get(self, digest: Digest) -> bytes:
        """Return the checked bytes of an artifact."""
        held = self._held(digest)
        if held is None:
            return self._inner.get(digest)
        return b"".join(self._opened(held))

    def path_of(self, digest: Digest) -> Path:
        """Return a local file that holds the checked bytes; it must not be changed."""
        held = self._held(digest)
        if held is None:
            return self._inner.path_of(digest)
        place = self._copies.place_of(digest)
        if not place.exists() or digest_file(place) != digest:
            place = self._copies.write(place, self._opened(held))
        return place

    def __contains__(self, digest: object) -> bool:
        """Say whether an artifact is there (its bytes are not checked)."""
        if digest in self._inner:
            return True
        held = self._key_of(digest)
        return held is not None and held.key is not None and held.sealed in self._inner

    def size_of(self, digest: Digest) -> int | None:
        """Return how many bytes an artifact takes in the store underneath, or None where it is not there."""
        return self._inner.size_of(self._address_of(digest))

    def delete(self, digest: Digest) -> None:
        """Remove an artifact for good, sealed or plain, and the copy that may lie open; its key stays as it is."""
        self._inner.delete(self._address_of(digest))
        self._copies.place_of(digest).unlink(missing_ok=True)

    def seals_of(self, digest: Digest) -> ArtifactKey | None:
        """Return the key of a sealed artifact, also a destroyed one; None for a plain or unknown one."""
        return self._key_of(digest)

    @property
    def unopened(self) -> ArtifactStore:
        """The store underneath, in which sealed artifacts are not found by the digest of their plain bytes."""
        return self._inner

    def is_plain(self, digest: Digest) -> bool:
        """Say whether the bytes lie in the store unencrypted."""
        return digest in self._inner

    def release(self) -> None:
        """Remove the plain copies; paths handed out before are gone."""
        self._copies.remove()

    def _key_of(self, digest: object) -> ArtifactKey | None:
        keyring = self._keyring() if is_digest(digest) else None
        return keyring.vault.artifact_key(Digest(str(digest))) if keyring is not None else None

    def _address_of(self, digest: Digest) -> Digest:
        held = self._key_of(digest)
        return digest if held is None else held.sealed

    def _held(self, digest: Digest) -> ArtifactKey | None:
        held = self._key_of(digest)
        if held is not None and held.key is None:
            self._copies.place_of(digest).unlink(missing_ok=True)
            raise _erased(held)
        return held

    def _seal(self, stream: BinaryIO, digest: Digest, kind: ArtifactKind) -> None:
        """Store sealed bytes first, then their key: killed in between, what lies there has no key and no name."""
        keyring = self._must_have_keys()
        held = keyring.vault.artifact_key(digest)
        if held is not None and held.loss is Loss.ERASED:
            raise _came_back(held)
        if held is None or held.key is None:
            key = os.urandom(KEY_BYTES)
        elif self._is_sound(held):
            return
        else:
            key = held.key  # seals to the very bytes that were lost or altered
        made = ArtifactKey(digest, self._stored(stream, digest, key, kind), key)
        if keyring.vault.add_artifact_key(made).loss is Loss.ERASED:
            raise _came_back(made)

    def _stored(self, stream: BinaryIO, digest: Digest, key: bytes, kind: ArtifactKind) -> Digest:
        derived = self._must_have_keys().tenant.mac(Purpose.SEAL, key)
        with _scratch_file() as (target, path):
            _write_sealed(stream, target, derived, digest)
            target.flush()
            return self._inner.put_file(path, kind=kind, name="sealed").digest

    def _is_sound(self, held: ArtifactKey) -> bool:
        try:
            self._inner.path_of(held.sealed)
        except (IntegrityError, MissingRecordError):
            return False
        return True

    def _opened(self, held: ArtifactKey) -> Iterator[bytes]:
        """Yield the plain bytes of a sealed artifact; the last block only when all of them have their digest."""
        assert held.key is not None
        derived = self._must_have_keys().tenant.mac(Purpose.SEAL, held.key)
        try:
            path = self._inner.path_of(held.sealed)
        except IntegrityError as error:
            raise _altered(held.digest, error.found) from error
        except MissingRecordError as error:
            raise MissingRecordError("There is no such artifact", expected=held.digest, found="only its key") from error
        with path.open("rb") as stream:
            yield from _checked(_read_sealed(stream, derived, held.digest), held.digest)

    def _must_have_keys(self) -> Keyring:
        keyring = self._keyring()
        if keyring is None:
            raise StorageError("There are no keys to seal with", expected="a key vault", found="none")
        return keyring


def _write_sealed(source: BinaryIO, target: BinaryIO, key: bytes, digest: Digest) -> None:
    """Encrypt a stream from its start, block by block; only the last one says that it is the last."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    cipher, about = AESGCM(key), digest.encode()
    source.seek(0)
    target.write(_MAGIC)
    number, block = 0, source.read(BLOCK_BYTES)
    while True:
        following = source.read(BLOCK_BYTES)
        target.write(cipher.encrypt(_nonce(number, last=not following), block, about))
        if not following:
            return
        number, block = number + 1, following


def _read_sealed(source: BinaryIO, key: bytes, digest: Digest) -> Iterator[bytes]:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    cipher, about, size = AESGCM(key), digest.encode(), BLOCK_BYTES + _TAG_BYTES
    if source.read(len(_MAGIC)) != _MAGIC:
        raise _altered(digest, "bytes that are not sealed")
    number, block = 0, source.read(size)
    while block:
        following = source.read(size)
        try:
            yield cipher.decrypt(_nonce(number, last=not following), block, about)
        except InvalidTag as error:
            raise _altered(digest, "bytes that its key does not open") from error
        number, block = number + 1, following


def _checked(blocks: Iterator[bytes], digest: Digest) -> Iterator[bytes]:
    hashed = hashlib.sha256()
    for block in blocks:
        hashed.update(block)
        yield block
    if DIGEST_PREFIX + hashed.hexdigest() != digest:
        raise _altered(digest, DIGEST_PREFIX + hashed.hexdigest())


def _nonce(number: int, *, last: bool) -> bytes:
    """Return the nonce of a block: a key seals one artifact only, so counting is enough."""
    return number.to_bytes(11) + (b"\1" if last else b"\0")


@contextmanager
def _scratch_file() -> Iterator[tuple[BinaryIO, Path]]:
    """Open a temporary file for sealed bytes."""
    with tempfile.NamedTemporaryFile(prefix="keelway-seal-") as stream:
        yield stream.file, Path(stream.name)  # type: ignore[misc]  # the stubs know only the wrapper


def _altered(digest: Digest, found: str) -> IntegrityError:
    return IntegrityError(
        "A sealed artifact was altered",
        expected=digest,
        found=found,
        fix="Restore it (or the key vault) from a backup, or store the original bytes again.",
    )


def _erased(held: ArtifactKey) -> ErasedError:
    why = "a person asked for it" if held.loss is Loss.ERASED else "its retention time was over"
    return ErasedError(
        "The artifact was erased",
        expected=held.digest,
        found=f"sealed bytes without their key, because {why}",
        fix="Nothing brings it back; `keelway audit --action erase` says who erased it and when.",
    )


def _came_back(held: ArtifactKey) -> ErasedError:
    return ErasedError(
        "Data of an erased person came in again",
        expected="files without it",
        found=f"the very bytes of {held.digest}",
        fix="Delete the file from the object store; `keelway audit --action erase` leads to the list of such files.",
    )


if TYPE_CHECKING:

    def _store(inner: ArtifactStore) -> ArtifactStore:
        return SealedArtifacts(inner, keyring=lambda: None, folder=Path())
