"""Where a table's files lie: a folder of this machine, or a prefix of an object store. The same few verbs on both.

What both promise: a file is there whole or not at all, and `put_new` lets one writer win.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from keelway.core import Digest, digest_file, sortable_id
from keelway.errors import IntegrityError, MissingRecordError, StorageError
from keelway.snapshot import StoredFile

if TYPE_CHECKING:
    from obstore.store import ObjectStore

PART_BYTES = 8 << 20
COMMIT_RETRIES = 3
COMMIT_PAUSE_S = 0.1
COMMIT_WITHIN_S = 20.0
"""After that a commit is not tried again: it holds the state's write lock, for which others wait 30 s."""


class Folder(Protocol):
    """One table's folder; names are relative to it and use `/`."""

    @property
    def uri(self) -> str:
        """How delta-rs names it."""
        ...

    @property
    def options(self) -> dict[str, str] | None:
        """What delta-rs needs to reach it."""
        ...

    def put_new(self, name: str, data: bytes) -> bool:
        """Write a small file where none is; False where there is one already."""
        ...

    def put_file(self, name: str, source: Path) -> None:
        """Copy a file in, over one of that name."""
        ...

    def local(self, name: str, digest: Digest) -> Path:
        """Return a local path of a file. Raises MissingRecordError."""
        ...

    def exists(self, name: str) -> bool:
        """Say whether a file is there."""
        ...

    def stored(self) -> Iterator[StoredFile]:
        """Yield the files that lie directly in the folder."""
        ...

    def remove(self, names: Sequence[str]) -> None:
        """Delete files, those that are there."""
        ...


class LocalFolder:
    """A folder of this machine."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def uri(self) -> str:
        """How delta-rs names it."""
        return str(self._root)

    @property
    def options(self) -> dict[str, str] | None:
        """Nothing is needed to reach it."""
        return None

    def put_new(self, name: str, data: bytes) -> bool:
        """Write a small file where none is: a link is made only where the name is free."""
        with self._part(name) as part:
            with part.open("wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            try:
                (self._root / name).hardlink_to(part)
            except FileExistsError:
                return False
        return True

    def put_file(self, name: str, source: Path) -> None:
        """Copy a file in; it takes its name when all bytes are on the disk."""
        with self._part(name) as part:
            with source.open("rb") as read, part.open("wb") as copy:
                shutil.copyfileobj(read, copy, 1 << 20)
                copy.flush()
                os.fsync(copy.fileno())
            part.replace(self._root / name)

    def local(self, name: str, digest: Digest) -> Path:  # noqa: ARG002 - no copy is made, so none can be wrong
        """Return the path of the file itself."""
        found = self._root / name
        if not found.is_file():
            raise _gone(name)
        return found

    def exists(self, name: str) -> bool:
        """Say whether a file is there."""
        return (self._root / name).is_file()

    def stored(self) -> Iterator[StoredFile]:
        """Yield the files that lie directly in the folder."""
        if not self._root.is_dir():
            return
        with os.scandir(self._root) as entries:
            for entry in entries:
                if entry.is_file():
                    found = entry.stat()
                    yield StoredFile(entry.name, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))

    def remove(self, names: Sequence[str]) -> None:
        """Delete files, those that are there."""
        for name in names:
            (self._root / name).unlink(missing_ok=True)

    @contextmanager
    def _part(self, name: str) -> Iterator[Path]:
        """Yield a name for a half-written file beside the final one; it does not outlive the block."""
        target = self._root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        part = self._root / f".{target.name}.{sortable_id()}.part"
        try:
            yield part
        finally:
            part.unlink(missing_ok=True)


class ObjectFolder:
    """A table's prefix in an object store that keeps conditional writes (S3, GCS, Azure).

    Args:
        url: Where all tables lie, such as `s3://bucket/tables`.
        table: The table's name, which is its prefix below that URL.
        store: The client of the object store at that URL.
        options: What delta-rs needs to reach it.
        cache: A local folder for copies, each under its digest.
    """

    def __init__(self, url: str, table: str, store: ObjectStore, *, options: Mapping[str, str], cache: Path) -> None:
        self._uri = f"{url.rstrip('/')}/{table}"
        self._table = table
        self._store = store
        self._options = dict(options)
        self._cache = cache

    @property
    def uri(self) -> str:
        """How delta-rs names it."""
        return self._uri

    @property
    def options(self) -> dict[str, str] | None:
        """What delta-rs needs to reach it."""
        return self._options

    def put_new(self, name: str, data: bytes) -> bool:
        """Write a small object where none is, by a conditional put.

        The library does not try a conditional put again after its answer was lost, for its second try might meet the
        first. Here that is welcome: the caller then finds that the version is there.
        """
        import obstore
        from obstore.exceptions import AlreadyExistsError, GenericError

        begun = time.monotonic()
        for tries in count(1):
            try:
                with _reached(name):
                    obstore.put(self._store, self._place(name), data, mode="create", use_multipart=False)
            except StorageError as error:
                if isinstance(error.__cause__, AlreadyExistsError):
                    return False
                spent = tries > COMMIT_RETRIES or time.monotonic() - begun > COMMIT_WITHIN_S
                if spent or not isinstance(error.__cause__, GenericError):
                    raise
                time.sleep(COMMIT_PAUSE_S * tries)
            else:
                break
        return True

    def put_file(self, name: str, source: Path) -> None:
        """Upload a file; an object appears when it is complete."""
        import obstore

        with _reached(name):
            obstore.put(self._store, self._place(name), source, chunk_size=PART_BYTES)

    def local(self, name: str, digest: Digest) -> Path:
        """Return a local copy, fetched where there is none with these bytes yet."""
        copy = self._cache / f"{digest.removeprefix('sha256:')}.parquet"
        if copy.is_file() and digest_file(copy) == digest:
            return copy
        self._cache.mkdir(parents=True, exist_ok=True)
        part = copy.with_name(f".{copy.name}.{sortable_id()}.part")
        try:
            self._fetch(name, part)
            found = digest_file(part)
            if found != digest:
                raise IntegrityError(
                    f"{name} was altered",
                    expected=digest,
                    found=found,
                    fix="Restore the file from a backup; nothing that used it can be repeated until then.",
                )
            part.replace(copy)
        finally:
            part.unlink(missing_ok=True)
        return copy

    def exists(self, name: str) -> bool:
        """Say whether an object is there."""
        import obstore

        with _reached(name):
            try:
                obstore.head(self._store, self._place(name))
            except FileNotFoundError:
                return False
        return True

    def stored(self) -> Iterator[StoredFile]:
        """Yield the objects that lie directly below the prefix."""
        import obstore

        with _reached("the table's folder"):
            for page in obstore.list(self._store, prefix=self._table):
                for found in page:
                    name = found["path"].removeprefix(f"{self._table}/")
                    if "/" not in name:
                        yield StoredFile(name, found["size"], found["last_modified"])

    def remove(self, names: Sequence[str]) -> None:
        """Delete objects, those that are there."""
        import obstore

        for name in names:
            with _reached(name):
                try:
                    obstore.delete(self._store, self._place(name))
                except FileNotFoundError:
                    continue

    def _place(self, name: str) -> str:
        return f"{self._table}/{name}"

    def _fetch(self, name: str, target: Path) -> None:
        import obstore

        with _reached(name):
            try:
                answer = obstore.get(self._store, self._place(name))
            except FileNotFoundError as error:
                raise _gone(name) from error
            with target.open("wb") as copy:
                for part in answer.stream(min_chunk_size=PART_BYTES):
                    copy.write(part)


@contextmanager
def _reached(name: str) -> Iterator[None]:
    """Turn the object store's errors that leave this block into Keelway's."""
    from obstore.exceptions import BaseError

    try:
        yield
    except BaseError as error:
        first = str(error).strip().splitlines()[0]
        raise StorageError(f"{name} cannot be read or written on the object store", found=first) from error


def _gone(name: str) -> MissingRecordError:
    return MissingRecordError(
        "A file of a table is gone",
        expected=name,
        found="nothing",
        fix="Restore it from a backup, unless its version was expired: see `keelway snapshots list`.",
    )


if TYPE_CHECKING:
    _: type[Folder] = LocalFolder
    __: type[Folder] = ObjectFolder
