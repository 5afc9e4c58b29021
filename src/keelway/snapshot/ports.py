"""What snapshot asks of the world: a store of tables whose versions never change."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from keelway.core import Digest
from keelway.snapshot.manifest import ManifestFile


@dataclass(frozen=True, slots=True)
class TableContent:
    """What a table holds at one version.

    Attributes:
        version: The table's own number of it; -1 while there is no table.
        columns: Column to type, as the rows' Parquet files write it.
    """

    version: int
    files: tuple[ManifestFile, ...]
    columns: dict[str, str]


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file in a table's folder, whether a version lists it or not."""

    path: str
    size_bytes: int
    modified_at: datetime


class TableStore(Protocol):
    """Keeps one table per dataset.

    Promises: a version says which files the table holds; it is there whole or not at all, also when the process is
    killed, and never changes. Of several writers that try to make one version at once, one does. No file goes but by
    `remove`. A full disk raises `StorageError`, a lost race `ConflictError`; both leave the table as it was.

    A store does not judge whose work counts: the one who commits last says what the table holds. Whoever uses it lets
    one writer at a time commit, by the lock of the state that records the versions.
    """

    def stage(self, table: str, rows: Path, *, path: str) -> None:
        """Put a Parquet file into the table's folder, whole or not at all; no version lists it yet.

        Doing so again is harmless, and makes the file young again.
        """
        ...

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
        """Return the version that holds exactly these staged files, making it where the newest one does not.

        Whatever an earlier writer left behind when it was killed is thereby mended: what it added goes from the
        table, and what it took away comes back.

        Args:
            table: The table's name, which is its dataset's; the table is made when needed.
            files: Every file of the version, not only new ones.
            columns: Column to type, after the commit.
            after: The version that the caller knows; a newer one costs a look at the table.
            rewritten: Paths of new files whose rows the version before held in others: no row came or went.
            at: The moment to write down.
        """
        ...

    def tidy(self, table: str, version: int) -> None:
        """Do what a version makes worthwhile and no other writer shall wait for, once the version is recorded.

        Without it, as after a kill, the table says the same and only takes longer to read.
        """
        ...

    def path_of(self, table: str, path: str, *, digest: Digest) -> Path:
        """Return a local path of a table's file; its bytes are not checked.

        Where the table is far away, this is a copy, kept under `digest` and fetched anew when it is not that.

        Raises:
            MissingRecordError: It is not there.
        """
        ...

    def files(self, table: str, version: int | None = None) -> list[str]:
        """Return the paths of a table's files at a version (None: the newest), sorted; [] while there is no table.

        Raises:
            MissingRecordError: The table has no such version.
        """
        ...

    def stored(self, table: str) -> Iterator[StoredFile]:
        """Yield every file in a table's folder, half-written ones too, but not the table's log."""
        ...

    def remove(self, table: str, paths: Sequence[str]) -> None:
        """Delete files for good; one that is gone already is no error."""
        ...
