"""What ingest asks of the world: somewhere that raw files arrive."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from keelway.core import Digest


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object as a listing shows it.

    Attributes:
        name: Its path from the root of the store, with `/` on every platform.
        size_bytes: How many bytes the store says it has.
        modified_at: When it was last written, in UTC, cut to microseconds.
        etag: The store's own name for these bytes, where it has one; new bytes have a new one.
    """

    name: str
    size_bytes: int
    modified_at: datetime
    etag: str = ""


class ObjectSource(Protocol):
    """A store of objects that is only read.

    Promises: names never leave the root of the store; a listing names each object once, in whatever order the
    store has, and stays flat in memory however many there are; objects that vanish during a listing are left out; a
    root that is missing or cannot be listed raises `SourceError`. Safe to use from several threads at once.
    """

    def list(self, glob: str) -> Iterator[ObjectInfo]:
        """Yield the objects whose name matches a glob (`*` and `?` within a folder, `**` over folders).

        Raises:
            SourceError: The glob is absolute or has `..`, or the store cannot be listed.
        """
        ...

    def fetch(self, info: ObjectInfo, target: Path) -> Digest:
        """Copy an object to a local file, in bounded memory, and return the digest of its bytes.

        Faults of the store are tried again a few times, with growing pauses.

        Raises:
            ObjectChangedError: It is gone, or no longer has the bytes that were listed: it may still be growing.
            SourceError: The object cannot be read, or the store keeps failing.
            StorageError: The file cannot be written. Whatever is raised, no file is left.
        """
        ...
