"""What every slice asks of the state database: records that never change, and pointers that move by compare-and-swap."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from keelway.core.digest import Digest

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pointer:
    """A name that points at a record; the only thing in the state that is ever overwritten."""

    name: str
    target: Digest
    revision: int
    moved_at: datetime


class Records(Protocol):
    """Immutable records, each under a kind and a key, found again by its digest.

    The kind of a record is the name of its class. `parent` groups records for listing (a dataset's
    batches, a run's steps).
    """

    def insert(self, key: str, record: object, *, parent: str = "", at: datetime) -> Digest:
        """Store a record under its class and a key; storing the same content again does nothing.

        Args:
            key: Where it is found again.
            record: The record, or the same as a `WrittenRecord`.
            parent: What it is listed with.
            at: When it was made, UTC.

        Raises:
            RecordExistsError: The key holds other content.
        """
        ...

    def get(self, kind: type[T], key: str) -> T:
        """Return a record, checked against its digest.

        Raises:
            MissingRecordError: Nothing is stored under that key.
            IntegrityError: The stored text does not have its digest.
        """
        ...

    def find(self, kind: type[T], key: str) -> T | None:
        """Return a record, or None where the key is free."""
        ...

    def by_digest(self, kind: type[T], digest: Digest) -> T:
        """Return the record of a class with that digest.

        Raises:
            MissingRecordError: There is none.
        """
        ...

    def text_of(self, digest: Digest) -> tuple[str, str] | None:
        """Return class name and canonical JSON of the record with that digest, or None. Bytes are checked."""
        ...

    def texts(self, kind: type, keys: Collection[str]) -> dict[str, str]:
        """Return the canonical JSON of the records of a class under keys, by key; free keys are left out.

        Raises:
            IntegrityError: A stored text does not have its digest.
        """
        ...

    def texts_of(self, digests: Collection[Digest]) -> dict[Digest, tuple[str, str]]:
        """Return class name and canonical JSON of the records with those digests; others are left out.

        Raises:
            IntegrityError: A stored text does not have its digest.
        """
        ...

    def newest(self, kind: type[T], *, parent: str | None = None, limit: int | None = None) -> list[T]:
        """Return the records of a class, newest first (by `at`, then by order of insertion)."""
        ...

    def between(
        self,
        kind: type[T],
        *,
        parent: str,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
    ) -> list[T]:
        """Return the records of a class whose `at` lies in a span, both ends in it, oldest first."""
        ...

    def count(self, kind: type, *, parent: str | None = None) -> int:
        """Return how many records of a class there are."""
        ...

    def naming(self, digests: Collection[Digest], *, besides: Collection[str] = ()) -> Iterator[tuple[str, str]]:
        """Yield class name and canonical JSON of every record that names one of `digests`, in bounded memory.

        Reads all records, whatever their class, but those of the classes named in `besides`. Bytes are checked.
        """
        ...

    def missing(self, kind: type, keys: Iterable[str]) -> set[str]:
        """Return those of `keys` under which no record is stored."""
        ...


class Pointers(Protocol):
    """Named pointers."""

    def pointer(self, name: str) -> Pointer | None:
        """Return a pointer, or None where it was never set."""
        ...

    def pointers(self, *, prefix: str = "") -> list[Pointer]:
        """Return the pointers whose name starts with a prefix, by name."""
        ...

    def move(self, name: str, *, before: Digest | None, after: Digest, at: datetime) -> Pointer:
        """Set a pointer that still holds `before` (None: that was never set).

        Raises:
            PointerMovedError: It holds something else; nothing is changed.
        """
        ...
