"""Objects in the order in which they are taken, however many: what memory has no room for lies on the disk.

    with OldestFirst() as ready:
        ready.fill(source.list("raw/**"))
        first, second = ready.take(10_000), ready.take(10_000)

They go through a database of SQLite that has no name: it lies in memory as long as it is small, and in a temporary
file that ends with it otherwise.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

from keelway.errors import StorageError
from keelway.ingest.ports import ObjectInfo

CACHE_KIB = 8_192
"""What may lie in memory; as much again is used while they are sorted."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class OldestFirst:
    """Objects, oldest first, then by name; filled once, then taken away from its front. Used by one thread.

    Raises:
        StorageError: The disk for temporary files is full; from every method.
    """

    def __init__(self) -> None:
        self.left = 0
        """How many are there still to take."""
        self._base = sqlite3.connect("", isolation_level=None)
        self._base.executescript(
            f"PRAGMA cache_size = -{CACHE_KIB}; PRAGMA journal_mode = OFF;"
            "CREATE TABLE objects (name TEXT, size_bytes INTEGER, modified_us INTEGER, etag TEXT)"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._base.close()

    def fill(self, objects: Iterable[ObjectInfo]) -> None:
        """Take objects in, in any order."""
        rows = ((each.name, each.size_bytes, _micros(each.modified_at), each.etag) for each in objects)
        with _told():
            self._base.execute("BEGIN")
            self._base.executemany("INSERT INTO objects VALUES (?, ?, ?, ?)", rows)
            self._base.execute("COMMIT")
            self.left = self._base.execute("SELECT count(*) FROM objects").fetchone()[0]
            self._sorted = self._base.execute("SELECT * FROM objects ORDER BY modified_us, name")

    def take(self, count: int) -> list[ObjectInfo]:
        """Return the next objects, at most so many, which are then no longer there."""
        if not self.left:
            return []
        with _told():
            found = self._sorted.fetchmany(count)
        self.left -= len(found)
        return [ObjectInfo(name, size, _EPOCH + _MICROSECOND * micros, etag) for name, size, micros, etag in found]


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


@contextmanager
def _told() -> Iterator[None]:
    """Turn the errors of the database that leave this block into Keelway's."""
    try:
        yield
    except sqlite3.Error as error:
        raise StorageError(
            "A listing cannot be kept",
            expected="room in the folder for temporary files",
            found=str(error),
            fix="Make room there, or name another folder with TMPDIR; nothing was recorded.",
        ) from error
