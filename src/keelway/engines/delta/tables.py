"""Tables as Delta Lake folders, on this machine or on an object store, readable by any Delta reader.

A file is put in under its digest before the commit that adds it, so a table's bytes are exactly those that were
checked. A commit is one small file that is written only where none is: of two writers one wins. Commits are written
here and not by delta-rs, which cannot add files and change columns in one (docs/adr); what is read of a table,
delta-rs reads.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keelway.core import Digest, checked_name
from keelway.engines.delta.folders import Folder, LocalFolder, ObjectFolder
from keelway.engines.delta.log import TYPES, changes, commit_name, commit_text, first_actions, metadata
from keelway.errors import ConflictError, EngineError, MissingRecordError, StorageError
from keelway.snapshot import ManifestFile, StoredFile, TableContent

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from obstore.store import ObjectStore

CHECKPOINT_EVERY = 100
"""Commits between two checkpoints, from which a reader starts instead of the first commit."""


class DeltaTables:
    """Keeps Delta tables, one for each dataset.

    Args:
        folder_of: Returns the folder of a table by its name.
    """

    def __init__(self, folder_of: Callable[[str], Folder]) -> None:
        self._folder_of = folder_of

    @classmethod
    def below(cls, root: Path) -> DeltaTables:
        """Keep tables in the folders below one of this machine."""
        return cls(lambda table: LocalFolder(Path(root) / table))

    @classmethod
    def at(cls, url: str, store: ObjectStore, *, options: Mapping[str, str], cache: Path) -> DeltaTables:
        """Keep tables on an object store.

        Args:
            url: Such as `s3://bucket/tables`.
            store: The client of the object store at that URL; a commit holds the state's write lock as long as it waits.
            options: What delta-rs needs to reach it too, such as `endpoint`, `region`, `access_key_id`.
            cache: A local folder for copies of what is read.
        """
        plain_http = options.get("endpoint", "").startswith("http://")
        known = {**options, "allow_http": "true"} if plain_http else dict(options)
        return cls(lambda table: ObjectFolder(url, table, store, options=known, cache=cache))

    def stage(self, table: str, rows: Path, *, path: str) -> None:
        """Put a Parquet file into the table's folder, whole or not at all."""
        with _translated(table):
            self._folder(table).put_file(path, rows)

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
        """Return the version that holds exactly these staged files, making it where the newest one does not."""
        folder = self._folder(table)
        with _translated(table):
            if after.version < 0:
                actions = [*first_actions(table, columns), *changes({}, files, rewritten=rewritten, at=at)]
                if folder.put_new(commit_name(0), commit_text(actions, at=at)):
                    return 0
            elif columns == after.columns:
                held = {file.path: file.size_bytes for file in after.files}
                actions = changes(held, files, rewritten=rewritten, at=at)
                if not actions:
                    return after.version
                if folder.put_new(commit_name(after.version + 1), commit_text(actions, at=at)):
                    return after.version + 1
            return _commit_after_newest(folder, files, columns=columns, rewritten=rewritten, at=at)

    def tidy(self, table: str, version: int) -> None:
        """Write a checkpoint now and then."""
        if version > 0 and version % CHECKPOINT_EVERY == 0:
            with _translated(table):
                _opened(self._folder(table), version).create_checkpoint()

    def path_of(self, table: str, path: str, *, digest: Digest) -> Path:
        """Return a local path of a table's file."""
        if Path(path).name != path:
            raise MissingRecordError(f"The table {table} has no such file", expected="a plain name", found=repr(path))
        with _translated(table):
            return self._folder(table).local(path, digest)

    def files(self, table: str, version: int | None = None) -> list[str]:
        """Return the paths of a table's files at a version, sorted."""
        folder = self._folder(table)
        with _translated(table, version):
            if version is None and not folder.exists(commit_name(0)):
                return []
            return sorted(_held(_opened(folder, version)))

    def stored(self, table: str) -> Iterator[StoredFile]:
        """Yield every file in a table's folder, but not the table's log."""
        with _translated(table):
            yield from self._folder(table).stored()

    def remove(self, table: str, paths: Sequence[str]) -> None:
        """Delete files for good."""
        with _translated(table):
            self._folder(table).remove(paths)

    def _folder(self, table: str) -> Folder:
        return self._folder_of(checked_name(table, what="table"))


def _commit_after_newest(
    folder: Folder, files: Sequence[ManifestFile], *, columns: dict[str, str], rewritten: Collection[str], at: datetime
) -> int:
    """Look at the newest version, whoever made it, and make one that holds exactly these files where it does not."""
    newest = _opened(folder)
    actions = changes(_held(newest), files, rewritten=rewritten, at=at)
    held = {field.name: field.type.type for field in newest.schema().fields}
    if held != {name: TYPES.get(kind) for name, kind in columns.items()}:
        actions = [metadata(str(newest.metadata().id), columns), *actions]
    if not actions:
        return int(newest.version())
    version = int(newest.version()) + 1
    if not folder.put_new(commit_name(version), commit_text(actions, at=at)):
        raise ConflictError(
            "Another process wrote the table meanwhile",
            expected=f"version {version} to be free",
            found="a version of another process",
            fix="Run the command again.",
        )
    return version


def _opened(folder: Folder, version: int | None = None) -> DeltaTable:
    from deltalake import DeltaTable

    return DeltaTable(folder.uri, version=version, storage_options=folder.options)


def _held(table: DeltaTable) -> dict[str, int]:
    """Return the files of a table's version, path to size."""
    import pyarrow as pa

    found: Any = pa.table(table.get_add_actions())
    return dict(zip(found["path"].to_pylist(), found["size_bytes"].to_pylist(), strict=True))


@contextmanager
def _translated(table: str, version: int | None = None) -> Iterator[None]:
    """Turn the errors of delta-rs and of the disk that leave this block into Keelway's."""
    from deltalake.exceptions import DeltaError, TableNotFoundError

    try:
        yield
    except TableNotFoundError as error:
        raise MissingRecordError(f"There is no table {table}", found=str(error)) from error
    except DeltaError as error:
        if version is not None:
            raise MissingRecordError(
                f"There is no such version of the table {table}", expected=str(version), found=str(error)
            ) from error
        raise EngineError(f"The table {table} cannot be read", found=str(error)) from error
    except OSError as error:
        raise StorageError(
            f"The table {table} cannot be read or written", found=error.strerror or str(error)
        ) from error


if TYPE_CHECKING:
    from keelway.snapshot import TableStore

    _: TableStore = DeltaTables.below(Path())
