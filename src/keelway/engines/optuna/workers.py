"""Who works on the studies of a file: each worker holds a lock that the kernel lets go of when it dies, however it dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keelway.core import sortable_id
from keelway.errors import StorageError


class Workers:
    """The workers of one database file, living and dead.

    Args:
        database: The file; locks are files beside it.
    """

    def __init__(self, database: Path) -> None:
        self._turn = database.with_name(f"{database.name}.lock")
        self._folder = database.with_name(f"{database.name}.workers")

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait until no other worker is in this block, and keep the others out meanwhile.

        Raises:
            StorageError: The folder cannot be written.
        """
        descriptor = _opened(self._turn)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def joined(self) -> Iterator[str]:
        """Yield the name of a new worker, which lives until the block ends."""
        name = sortable_id()
        path = self._folder / name
        descriptor = _opened(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield name
        finally:
            path.unlink(missing_ok=True)
            os.close(descriptor)

    def is_dead(self, name: str) -> bool:
        """Say whether a worker is gone; what it left is removed."""
        if not name:  # it died before it could say who it was
            return True
        path = self._folder / name
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        else:
            path.unlink(missing_ok=True)
            return True
        finally:
            os.close(descriptor)


def _opened(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageError(
            "The folder of the studies cannot be written",
            found=str(error),
            fix=f"Make {path.parent} writable for this user.",
        ) from error
