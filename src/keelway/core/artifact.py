"""Artifact: immutable bytes named by their digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from keelway.core.digest import DIGEST_PREFIX, Digest, is_digest
from keelway.errors import IntegrityError, SourceError, UsageError

BLOCK_BYTES = 1 << 20
HEAD_BYTES = 16


class ArtifactKind(StrEnum):
    """What an artifact holds, under the field's usual names."""

    RAW_FILE = "raw_file"
    CONTRACT = "contract"
    SNAPSHOT = "snapshot"
    MANIFEST = "manifest"
    QUARANTINE = "quarantine"
    FEATURE_TABLE = "feature_table"
    PROFILE = "profile"
    MODEL = "model"
    REPORT = "report"
    POLICY = "policy"
    PREDICTIONS = "predictions"
    OUTCOMES = "outcomes"
    RECORD = "record"


@dataclass(frozen=True, slots=True)
class Artifact:
    """Immutable bytes in an artifact store.

    Attributes:
        digest: The SHA-256 of the bytes, which is also their address.
        kind: What the bytes hold.
        size_bytes: How many bytes there are.
        name: The name they came under; for people only.
    """

    digest: Digest
    kind: ArtifactKind
    size_bytes: int
    name: str = ""


class ArtifactStore(Protocol):
    """Keeps bytes under their digest.

    Promises: `put` is atomic (all bytes or none, also when the process is killed or the disk is full) and
    idempotent; every read checks the digest and raises `IntegrityError` with the digest expected and found;
    a missing artifact raises `MissingRecordError`; a full or unwritable disk raises `StorageError`.
    Safe to use from several threads and processes at once.
    """

    def put(self, data: bytes, *, kind: ArtifactKind, name: str = "") -> Artifact:
        """Store bytes and return their artifact."""
        ...

    def put_file(self, path: Path, *, kind: ArtifactKind, name: str = "") -> Artifact:
        """Store a copy of a file, in bounded memory, and return its artifact."""
        ...

    def get(self, digest: Digest) -> bytes:
        """Return the checked bytes of an artifact."""
        ...

    def path_of(self, digest: Digest) -> Path:
        """Return a local file that holds the checked bytes; it must not be changed."""
        ...

    def __contains__(self, digest: object) -> bool:
        """Say whether an artifact is there (its bytes are not checked)."""
        ...

    def size_of(self, digest: Digest) -> int | None:
        """Return how many bytes an artifact takes in the store, or None where it is not there."""
        ...

    def delete(self, digest: Digest) -> None:
        """Remove an artifact for good, and copies of it on this machine; one that is gone already is no error.

        A store does not judge who needs what. Whoever deletes holds the state's write lock and has looked there;
        whoever records that something is needed asks in that same lock whether it is still here.
        """
        ...


@dataclass(frozen=True, slots=True)
class HeldArtifact:
    """An artifact as a store holds it.

    Attributes:
        stored_at: When its bytes were put last, by the store's clock.
        head: Its first 16 bytes.
    """

    digest: Digest
    size_bytes: int
    stored_at: datetime
    head: bytes


class HeldArtifacts(Protocol):
    """A store whose artifacts can be collected.

    Promises: an artifact that is put, whether it is there already or not, counts as stored at that moment. What
    `remove_if_older` removes was not put since; an artifact that is put while it is removed is there afterwards.
    """

    def held(self) -> Iterator[HeldArtifact]:
        """Yield every artifact, in no order; what a killed process left half-way is brought back first."""
        ...

    def get(self, digest: Digest) -> bytes:
        """Return the checked bytes of an artifact."""
        ...

    def remove_if_older(self, digest: Digest, moment: datetime) -> bool:
        """Remove an artifact that was last put before a moment, and say whether that was done."""
        ...


def artifact_key(digest: Digest) -> str:
    """Return where the bytes of a digest lie below the root of a store.

    Raises:
        UsageError: It is no digest; that also keeps `..` and `/` out of paths.
    """
    if not is_digest(digest):
        raise UsageError("This is not a digest", expected="sha256: and 64 digits", found=repr(digest)[:100])
    digits = digest.removeprefix(DIGEST_PREFIX)
    return f"{digits[:2]}/{digits[2:]}"


def must_be_artifact(expected: Digest, found: Digest) -> None:
    """Refuse bytes that are not those of an artifact.

    Raises:
        IntegrityError: The digests differ.
    """
    if found != expected:
        raise IntegrityError(
            "An artifact was altered",
            expected=expected,
            found=found,
            fix="Restore it from a backup, or store the original bytes again.",
        )


def unchanged_blocks(path: Path, expected: Digest) -> Iterator[bytes]:
    """Yield the bytes of a file block by block, and refuse in the end if it changed since it was hashed.

    Raises:
        SourceError: It cannot be opened.
        IntegrityError: It changed.
    """
    hasher = hashlib.sha256()
    try:
        stream = path.open("rb")
    except OSError as error:
        raise SourceError(f"The file {path} cannot be read", found=str(error)) from error
    with stream:
        while block := stream.read(BLOCK_BYTES):
            hasher.update(block)
            yield block
    found = DIGEST_PREFIX + hasher.hexdigest()
    if found != expected:
        raise IntegrityError(f"The file {path} changed while it was stored", expected=expected, found=found)
