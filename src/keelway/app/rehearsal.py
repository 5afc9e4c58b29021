"""Stand-ins in which an ingest can be rehearsed: everything is read as it is, nothing that is written stays."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.core import Artifact, ArtifactKind, ArtifactStore, Digest

if TYPE_CHECKING:
    from keelway.contract import Column, Tokenizer
    from keelway.ledger.ports import StateStore, Transaction


class _UndoneError(Exception):
    """Ends a transaction so that nothing of it stays."""


class RehearsalState:
    """A state store whose transactions are undone when they end."""

    def __init__(self, inner: StateStore) -> None:
        self._inner = inner

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Open a transaction that may write, and is rolled back when its block ends."""
        with suppress(_UndoneError), self._inner.transaction() as tx:
            yield tx
            raise _UndoneError

    def snapshot(self) -> AbstractContextManager[Transaction]:
        """Open a transaction that only reads."""
        return self._inner.snapshot()

    def close(self) -> None:
        """Leave the real store open: it is somebody else's."""


class RehearsalArtifacts:
    """An artifact store that keeps new bytes in another one, and finds old ones where they are.

    Args:
        scratch: Where new bytes go; thrown away by whoever made it.
        inner: The real store, which is only read.
    """

    def __init__(self, scratch: ArtifactStore, inner: ArtifactStore) -> None:
        self._scratch = scratch
        self._inner = inner

    def put(self, data: bytes, *, kind: ArtifactKind, name: str = "") -> Artifact:
        """Store bytes."""
        return self._scratch.put(data, kind=kind, name=name)

    def put_file(self, path: Path, *, kind: ArtifactKind, name: str = "") -> Artifact:
        """Store a copy of a file."""
        return self._scratch.put_file(path, kind=kind, name=name)

    def get(self, digest: Digest) -> bytes:
        """Return the checked bytes of an artifact."""
        return self._home(digest).get(digest)

    def path_of(self, digest: Digest) -> Path:
        """Return a local file that holds the checked bytes."""
        return self._home(digest).path_of(digest)

    def __contains__(self, digest: object) -> bool:
        """Say whether an artifact is there."""
        return digest in self._scratch or digest in self._inner

    def size_of(self, digest: Digest) -> int | None:
        """Return how many bytes an artifact takes, or None where it is not there."""
        return self._home(digest).size_of(digest)

    def delete(self, digest: Digest) -> None:
        """Remove an artifact that was stored here; the real store is only read."""
        self._scratch.delete(digest)

    def _home(self, digest: Digest) -> ArtifactStore:
        return self._scratch if digest in self._scratch else self._inner


class RehearsalTokens:
    """Gives values tokens that mean nothing and are never kept, so that no key has to be made for them."""

    def tokens(self, values: Sequence[str], column: Column) -> list[str]:
        """Return a made-up token of each value."""
        return [hashlib.sha256(f"{column.pii}/{value}".encode(errors="surrogatepass")).hexdigest() for value in values]


if TYPE_CHECKING:
    _: Tokenizer = RehearsalTokens()
