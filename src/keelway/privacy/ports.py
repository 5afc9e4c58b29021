"""What privacy asks of the world: a vault of keys in which destroying really destroys."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from keelway.core import Digest


class Loss(StrEnum):
    """Why a key was destroyed."""

    ERASED = "erased"
    """A person asked for it: the same bytes are never taken in again."""
    EXPIRED = "expired"
    """Its time was over: the same bytes may come in again, under a new key."""


class ValueKey(NamedTuple):
    """The key of one value that names a person; neither the value nor its token can be told from it.

    Attributes:
        lookup: HMAC of the value under the tenant's key: how the key is found again.
        key: 32 random bytes that the token is made with.
        mark: HMAC of the token under the tenant's key: how the key is found from its token.
        scarce: Whether the token is from a small set (digits), so that no other value may ever get it again.
    """

    lookup: bytes
    key: bytes
    mark: bytes
    scarce: bool


@dataclass(frozen=True, slots=True)
class ArtifactKey:
    """The key of one sealed artifact.

    Attributes:
        digest: Of the plain bytes.
        sealed: Address of the sealed bytes in the store underneath.
        key: 32 random bytes; None once it is destroyed.
        loss: Why it was destroyed, or None.
    """

    digest: Digest
    sealed: Digest
    key: bytes | None
    loss: Loss | None = None


class KeyVault(Protocol):
    """Keeps the keys of values and of sealed artifacts until they are destroyed.

    Promises: a key that was added is found again, whatever happens to the process; of two processes that add a key
    for the same value or artifact, one wins and both find the same key; a destroyed key is in none of the vault's
    files when the call returns, and destroying it again does nothing; a vault that cannot be read or written raises
    `StorageError`. Safe to use from several threads and processes at once.
    """

    def claim(self, fingerprint: bytes) -> None:
        """Bind the vault to the key of a tenant; binding it to the same key again does nothing.

        Raises:
            SettingsError: The vault belongs to another tenant's key.
        """
        ...

    def value_keys(self, lookups: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the keys of those lookups that have one, by lookup."""
        ...

    def add_value_keys(self, fresh: Iterable[ValueKey]) -> None:
        """Add keys, all or none; leave out those whose lookup is taken, or whose scarce mark ever was."""
        ...

    def destroy_values(self, marks: Iterable[bytes]) -> int:
        """Destroy the keys with these marks and return how many there were."""
        ...

    def artifact_key(self, digest: Digest) -> ArtifactKey | None:
        """Return the key of a sealed artifact, also a destroyed one, or None where it was never sealed."""
        ...

    def add_artifact_key(self, fresh: ArtifactKey) -> ArtifactKey:
        """Add the key of an artifact that has none, or whose key expired, and return the one that stands."""
        ...

    def destroy_artifacts(self, digests: Iterable[Digest], *, loss: Loss) -> int:
        """Destroy the keys of these artifacts and return how many there were."""
        ...

    def live_artifacts(self) -> set[Digest]:
        """Return the artifacts whose keys are there."""
        ...

    def using(self) -> AbstractContextManager[None]:
        """Keep erasures out for the length of a block, as an ingest does from its first key to its version.

        Several may at once. A thread must not ask for it, nor for `alone`, inside such a block.
        """
        ...

    def alone(self) -> AbstractContextManager[None]:
        """Keep everybody else out for the length of a block, as an erasure does.

        Waits for those who are at it; who comes later waits in turn. Whoever dies lets the others go on.
        """
        ...

    def close(self) -> None:
        """Release files and connections."""
        ...
