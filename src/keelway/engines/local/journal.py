"""Journals of predictions and runs as files: what is acknowledged has reached the kernel, so `kill -9` loses none of it.

A journal is locked by the process that writes it. The kernel lets go of the lock when the process dies, however it
dies; whoever gets the lock then may seal what is left, and nobody else.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.core import checked_name, sortable_id
from keelway.errors import StorageError

if TYPE_CHECKING:
    from keelway.serve import Journal, Journals

SUFFIX = ".journal"
MOST_HELD = 64
"""So many journals of dead processes are open at once."""
_FIX = "Free some space, or give this user the right to write there."


class FileJournal:
    """One open journal file, locked by this process.

    Args:
        path: The file.
        descriptor: It, opened for appending and locked.
        what: What its lines are, for the words of an error.
    """

    def __init__(self, path: Path, descriptor: int, *, what: str = "prediction") -> None:
        self._path = path
        self._descriptor = descriptor
        self._what = what
        self._size = os.fstat(descriptor).st_size
        self._lines = 0

    @property
    def journal_id(self) -> str:
        """Its name, unique for ever."""
        return self._path.name.removesuffix(SUFFIX)

    @property
    def lines(self) -> int:
        """How many lines were appended by this process."""
        return self._lines

    def append(self, lines: bytes) -> None:
        """Append whole lines: all of them or, with StorageError, none."""
        try:
            written = os.write(self._descriptor, lines)
            while written < len(lines):  # a nearly full disk takes a part first and refuses then
                written += os.write(self._descriptor, lines[written:])
        except OSError as error:
            raise self._undone(error) from error
        self._size += len(lines)
        self._lines += lines.count(b"\n")

    def read(self) -> bytes:
        """Return all bytes."""
        try:
            return self._path.read_bytes()
        except OSError as error:
            raise StorageError(f"A {self._what} journal cannot be read", found=str(error), fix=_FIX) from error

    def remove(self) -> None:
        """Delete the journal."""
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(
                f"A sealed {self._what} journal cannot be deleted", found=str(error), fix=_FIX
            ) from error
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the journal without deleting it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _undone(self, error: OSError) -> StorageError:
        if self._descriptor >= 0:
            os.ftruncate(self._descriptor, self._size)
        return StorageError(f"A {self._what} cannot be logged", found=str(error), fix=_FIX)


class FileJournals:
    """Journals in a folder: `MODEL.ENVIRONMENT.ID.journal`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def create(self, model: str, environment: str) -> FileJournal:
        """Open a new journal."""
        checked_name(model, what="model")
        checked_name(environment, what="environment")
        return new_journal(self._folder / f"{model}.{environment}.{sortable_id()}{SUFFIX}", what="prediction")

    @contextmanager
    def leftovers(self) -> Iterator[list[tuple[str, str, Journal]]]:
        """Hold journals whose owners are dead, the oldest first."""
        held: list[tuple[str, str, Journal]] = []
        try:
            for path in sorted(self._folder.glob(f"*{SUFFIX}")):
                if len(held) == MOST_HELD:
                    break
                descriptor = lock_if_free(path, what="prediction")
                if descriptor is not None:
                    model, environment, _ = path.name.split(".", 2)
                    held.append((model, environment, FileJournal(path, descriptor)))
            yield held
        finally:
            for _, _, journal in held:
                journal.close()


def new_journal(path: Path, *, what: str) -> FileJournal:
    """Open a new journal at a path.

    Raises:
        StorageError: That cannot be.
    """
    fresh = path.with_suffix(".new")  # locked before anybody can see it under its name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fresh.rename(path)
    except OSError as error:
        raise StorageError(f"A {what} journal cannot be opened", found=str(error), fix=_FIX) from error
    return FileJournal(path, descriptor, what=what)


def lock_if_free(path: Path, *, what: str) -> int | None:
    """Return a locked descriptor of a journal that nobody holds and nobody deleted meanwhile."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"A {what} journal cannot be opened", found=str(error), fix=_FIX) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    if not path.exists():
        os.close(descriptor)
        return None
    return descriptor


if TYPE_CHECKING:
    _journal: Journal = FileJournal(Path(), 0)
    _journals: Journals = FileJournals(Path())
