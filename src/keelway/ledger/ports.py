"""What the ledger asks of the world: a log that lives in the same transaction as the state it explains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from keelway.core import Digest, Pointers, Records, RunIndex


@dataclass(frozen=True, slots=True)
class LogNode:
    """One complete subtree of the Merkle log: `level` 0 is a leaf hash, `index` counts from the left."""

    level: int
    index: int
    hash: bytes


class Log(Protocol):
    """Leaves and the hashes of complete subtrees, append-only."""

    def size(self) -> int:
        """Return how many leaves there are."""
        ...

    def add_leaf(self, index: int, data: bytes, nodes: Sequence[LogNode]) -> None:
        """Append leaf number `index` with the subtrees that it completes (its own leaf hash included).

        Raises:
            ConflictError: `index` is not the size of the log.
        """
        ...

    def leaf(self, index: int) -> bytes:
        """Return the bytes of a leaf. Raises MissingRecordError beyond the end."""
        ...

    def leaves(self, start: int = 0, end: int | None = None) -> Iterator[tuple[int, bytes]]:
        """Yield index and bytes of leaves, in order, in bounded memory."""
        ...

    def nodes(self, wanted: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the hashes of complete subtrees given as (level, index), in the order asked."""
        ...

    def index_of(self, leaf_digest: Digest) -> int | None:
        """Return the number of the first leaf whose bytes have that digest, or None."""
        ...


class Transaction(Records, Pointers, Protocol):
    """One transaction over records, pointers and log: all of it happens, or nothing."""

    @property
    def log(self) -> Log:
        """The log inside this transaction."""
        ...

    @property
    def runs(self) -> RunIndex:
        """The index over runs inside this transaction; storing a record of a run writes its line."""
        ...


class StateStore(Protocol):
    """The state database.

    Promises: `transaction` takes the write lock at once, commits when its block ends and rolls back when the
    block raises; `snapshot` reads one consistent state and refuses writes. Both work from several threads and
    processes at once. A full disk raises `StorageError` and leaves nothing half-written.
    """

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Open a transaction that may write."""
        ...

    def snapshot(self) -> AbstractContextManager[Transaction]:
        """Open a transaction that only reads."""
        ...

    def close(self) -> None:
        """Release files and connections."""
        ...


class CheckpointTarget(Protocol):
    """A place outside the database that keeps small texts under names, such as a folder or a bucket.

    Promises: a name that holds a text never comes to hold another one; of writers that race, one wins; a text is there
    whole or not at all. Names are ASCII letters, digits, `-` and `.`, at most 80 of them. A place that cannot be reached
    raises `StorageError`.
    """

    @property
    def where(self) -> str:
        """The place, for messages; it holds no secret."""
        ...

    def put(self, name: str, text: str) -> None:
        """Keep a text; the same text again does nothing.

        Raises:
            RecordExistsError: The name holds another text.
        """
        ...

    def names(self) -> list[str]:
        """Return the names that hold a text, sorted."""
        ...

    def get(self, name: str) -> str:
        """Return a text. Raises MissingRecordError where the name is free."""
        ...
