"""What ingest asks of the world: somewhere that raw files arrive."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object as a listing shows it.

    Attributes:
        name: Its path from the root of the store, with `/` on every platform.
        size_bytes: How many bytes the store says it has.
        modified_at: When it was last written, in UTC, cut to microseconds.
    """

    name: str
    size_bytes: int
    modified_at: datetime


class ObjectSource(Protocol):
    """A store of objects that is only read.

    Promises: names never leave the root of the store; a listing is sorted by name and stays flat in memory
    with the number of folders; objects that vanish during a listing are left out; a root that is missing or
    cannot be listed raises `SourceError`. Safe to use from several threads at once.
    """

    def list(self, glob: str) -> Iterator[ObjectInfo]:
        """Yield the objects whose name matches a glob (`*` and `?` within a folder, `**` over folders).

        Raises:
            SourceError: The glob is absolute or has `..`, or the store cannot be listed.
        """
        ...

    def read(self, info: ObjectInfo) -> bytes:
        """Return the bytes of an object, which are exactly as many as the listing said.

        Raises:
            SourceError: The object is gone, cannot be read, or its size has changed since it was listed.
        """
        ...
