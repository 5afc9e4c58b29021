"""What snapshot asks of the world: a store of tables that only grow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from keelway.core import Digest


@dataclass(frozen=True, slots=True)
class TableFile:
    """Where an appended file lies in its table, and the version of the table that first has it."""

    path: str
    version: int


class TableStore(Protocol):
    """Keeps one table per dataset.

    Promises: an append is atomic and happens once for each transaction id, also when the process is killed in it or
    two processes try at once; a version once written never changes, and none of its files is ever removed.
    A full disk raises `StorageError`, a lost race `ConflictError`; both leave the table as it was.
    """

    def append(self, table: str, rows: Path, *, digest: Digest, count: int, transaction: str) -> TableFile:
        """Append a Parquet file to a table, creating the table when needed.

        Args:
            table: The table's name, which is its dataset's.
            rows: The Parquet file.
            digest: Of the file's bytes.
            count: Its rows.
            transaction: Names the append; one that was done before only returns where its file lies.
        """
        ...

    def path_of(self, table: str, path: str) -> Path:
        """Return the local path of a table's file; nothing is checked.

        Raises:
            MissingRecordError: It is not there.
        """
        ...

    def files(self, table: str, version: int) -> list[str]:
        """Return the paths of a table's files at a version, sorted."""
        ...
