"""Tables as Delta Lake folders on this machine, readable by any Delta reader.

A file is copied in under its digest before the commit that adds it, so a table's bytes are exactly those that were
checked, and the same history gives the same files. Each commit carries a Delta transaction identifier: an append
that was committed before is found again and not repeated.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.core import Digest, checked_name
from keelway.errors import ConflictError, EngineError, MissingRecordError, StorageError
from keelway.snapshot import TableFile

if TYPE_CHECKING:
    from deltalake import DeltaTable, Schema


class LocalTables:
    """Keeps Delta tables below a folder, one for each dataset."""

    def __init__(self, root: Path) -> None:
        self._root = Path(root)

    def append(self, table: str, rows: Path, *, digest: Digest, count: int, transaction: str) -> TableFile:
        """Append a Parquet file to a table, once for each transaction id."""
        from deltalake.exceptions import CommitFailedError, DeltaError

        folder = self._folder(table)
        name = f"rows-{digest.removeprefix('sha256:')}.parquet"
        try:
            done = self._done(folder, transaction)
            if done is None:
                size = self._copied(rows, folder / name)
                done = self._committed(folder, rows, name, size=size, count=count, transaction=transaction)
        except CommitFailedError as error:
            raise ConflictError(
                f"Another process wrote the table {table}", found=str(error), fix="Run the command again."
            ) from error
        except DeltaError as error:
            raise EngineError(f"The table {table} cannot be written", found=str(error)) from error
        except OSError as error:
            raise StorageError(f"The table {table} cannot be written", found=error.strerror or str(error)) from error
        return TableFile(name, done)

    def path_of(self, table: str, path: str) -> Path:
        """Return the local path of a table's file."""
        found = self._folder(table) / path
        if Path(path).name != path or not found.is_file():
            raise MissingRecordError(f"A file of the table {table} is gone", expected=path, found="nothing")
        return found

    def files(self, table: str, version: int) -> list[str]:
        """Return the paths of a table's files at a version, sorted."""
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        folder = self._folder(table)
        try:
            uris = DeltaTable(folder, version=version).file_uris()
        except DeltaError as error:
            raise MissingRecordError(
                f"There is no such version of the table {table}", expected=str(version), found=str(error)
            ) from error
        return sorted(Path(uri).name for uri in uris)

    def _folder(self, table: str) -> Path:
        return self._root / checked_name(table, what="table")

    def _done(self, folder: Path, transaction: str) -> int | None:
        """Return the version that a transaction made, which it carries, or None."""
        from deltalake import DeltaTable

        if not DeltaTable.is_deltatable(str(folder)):
            return None
        return DeltaTable(folder).transaction_version(transaction)

    def _copied(self, rows: Path, target: Path) -> int:
        """Copy a file into the table's folder, whole or not at all, and return its size."""
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            with rows.open("rb") as source, part.open("wb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
                copy.flush()
                os.fsync(copy.fileno())
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        return target.stat().st_size

    def _committed(self, folder: Path, rows: Path, name: str, *, size: int, count: int, transaction: str) -> int:
        """Commit a file that is already in its place and return the new version."""
        import pyarrow.parquet
        from deltalake import CommitProperties, Schema
        from deltalake.transaction import AddAction, Transaction

        schema = Schema.from_arrow(pyarrow.parquet.read_schema(rows))
        table = self._table(folder, schema)
        version = table.version() + 1
        add = AddAction(name, size, {}, 0, True, json.dumps({"numRecords": count}))
        table.create_write_transaction(
            [add],
            mode="append",
            schema=schema,
            commit_properties=CommitProperties(
                max_commit_retries=0, app_transactions=[Transaction(transaction, version, None)]
            ),
        )
        return version

    def _table(self, folder: Path, schema: Schema) -> DeltaTable:
        from deltalake import DeltaTable

        if DeltaTable.is_deltatable(str(folder)):
            return DeltaTable(folder)
        configuration = {"delta.logRetentionDuration": "interval 36500 days"}
        return DeltaTable.create(folder, schema=schema, mode="ignore", configuration=configuration)


if TYPE_CHECKING:
    from keelway.snapshot import TableStore

    _: TableStore = LocalTables(Path())
