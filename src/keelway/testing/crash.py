"""Ends the process like kill -9 at a chosen write, so that a test can sweep over every one of them.

>>> crash = CrashPoint(at=3)            # the third write instant: before and after each write are two
>>> state = CrashingState(inner, crash) # doctest: +SKIP
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path

from keelway.core import Artifact, ArtifactKind, ArtifactStore, Digest
from keelway.ledger.ports import StateStore, Transaction
from keelway.snapshot import ManifestFile, StoredFile, TableContent, TableStore

EXIT_CODE = 9
EVERY = "KEELWAY_SWEEP_EVERY"
"""The variable that says how far apart the instants of a long sweep lie; 1 tries all of them."""
STRIDE = 4


def swept(count: int) -> list[int]:
    """Return the instants of a long sweep: the first, the last, and those between that the machine has time for.

    >>> swept(10)
    [1, 5, 9, 10]
    """
    return sorted({*range(1, count + 1, stride()), count})


def stride() -> int:
    """Return how far apart the instants of a long sweep lie."""
    return int(os.environ.get(EVERY, STRIDE))


class CrashPoint:
    """Counts instants around writes, and ends the process at one of them.

    Args:
        at: The instant to die at, from 1; 0 only counts.
    """

    def __init__(self, at: int = 0) -> None:
        self.at = at
        self.count = 0

    def pass_by(self) -> None:
        """Count one instant; die without any clean-up when it is the chosen one."""
        self.count += 1
        if self.count == self.at:
            os._exit(EXIT_CODE)


class CrashingState:
    """A state store that may die before a transaction, inside it just before it commits, and after it."""

    def __init__(self, inner: StateStore, crash: CrashPoint) -> None:
        self._inner = inner
        self._crash = crash

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Open a transaction that may write."""
        self._crash.pass_by()
        with self._inner.transaction() as tx:
            yield tx
            self._crash.pass_by()
        self._crash.pass_by()

    def snapshot(self) -> AbstractContextManager[Transaction]:
        """Open a transaction that only reads."""
        return self._inner.snapshot()

    def close(self) -> None:
        """Release files and connections."""
        self._inner.close()


class CrashingArtifacts:
    """An artifact store that may die before and after each write."""

    def __init__(self, inner: ArtifactStore, crash: CrashPoint) -> None:
        self._inner = inner
        self._crash = crash

    def put(self, data: bytes, *, kind: ArtifactKind, name: str = "") -> Artifact:
        """Store bytes."""
        self._crash.pass_by()
        stored = self._inner.put(data, kind=kind, name=name)
        self._crash.pass_by()
        return stored

    def put_file(self, path: Path, *, kind: ArtifactKind, name: str = "") -> Artifact:
        """Store a copy of a file."""
        self._crash.pass_by()
        stored = self._inner.put_file(path, kind=kind, name=name)
        self._crash.pass_by()
        return stored

    def get(self, digest: Digest) -> bytes:
        """Return the checked bytes of an artifact."""
        return self._inner.get(digest)

    def path_of(self, digest: Digest) -> Path:
        """Return a local file that holds the checked bytes."""
        return self._inner.path_of(digest)

    def __contains__(self, digest: object) -> bool:
        """Say whether an artifact is there."""
        return digest in self._inner

    def size_of(self, digest: Digest) -> int | None:
        """Return how many bytes an artifact takes."""
        return self._inner.size_of(digest)

    def delete(self, digest: Digest) -> None:
        """Remove an artifact."""
        self._crash.pass_by()
        self._inner.delete(digest)
        self._crash.pass_by()


class CrashingTables:
    """A table store that may die before and after each write."""

    def __init__(self, inner: TableStore, crash: CrashPoint) -> None:
        self._inner = inner
        self._crash = crash

    def stage(self, table: str, rows: Path, *, path: str) -> None:
        """Put a file into a table's folder."""
        self._crash.pass_by()
        self._inner.stage(table, rows, path=path)
        self._crash.pass_by()

    def commit(
        self,
        table: str,
        files: Sequence[ManifestFile],
        *,
        columns: dict[str, str],
        after: TableContent,
        rewritten: Collection[str] = (),
        at: datetime,
    ) -> int:
        """Make a version of a table."""
        self._crash.pass_by()
        version = self._inner.commit(table, files, columns=columns, after=after, rewritten=rewritten, at=at)
        self._crash.pass_by()
        return version

    def tidy(self, table: str, version: int) -> None:
        """Do what a version makes worthwhile."""
        self._crash.pass_by()
        self._inner.tidy(table, version)
        self._crash.pass_by()

    def path_of(self, table: str, path: str, *, digest: Digest) -> Path:
        """Return the local path of a table's file."""
        return self._inner.path_of(table, path, digest=digest)

    def files(self, table: str, version: int | None = None) -> list[str]:
        """Return the paths of a table's files at a version."""
        return self._inner.files(table, version)

    def stored(self, table: str) -> Iterator[StoredFile]:
        """Yield every file in a table's folder."""
        return self._inner.stored(table)

    def remove(self, table: str, paths: Sequence[str]) -> None:
        """Delete files, and perhaps die after each."""
        for path in paths:
            self._crash.pass_by()
            self._inner.remove(table, [path])
        self._crash.pass_by()
