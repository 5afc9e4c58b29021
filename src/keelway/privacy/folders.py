"""Folders for what may lie open for a moment only: each locked by its process, and swept once that is dead.

A folder has a file that whoever made it keeps locked. The kernel frees the lock when the process ends, however it
ends; so a folder whose lock is free belongs to a process that was killed, and whoever makes the next folder removes
it. Folders can be entered by their owner alone.

    with working_folder(root / WORK, name="pull") as folder:
        ...
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from keelway.errors import StorageError

WORK = ".keelway/work"
"""Where a project's working folders lie."""

_LOCK = "lock"
_FOLDER_MODE, _FILE_MODE = 0o700, 0o600


@contextlib.contextmanager
def working_folder(below: Path | None, *, name: str) -> Iterator[Path]:
    """Give a folder that is gone after the block, or after a kill when the next one is made in the same place.

    Args:
        below: Where it is made; None for the machine's own place for temporary files, which nobody sweeps.
        name: What it is for; a part of its name.

    Raises:
        StorageError: It cannot be made.
    """
    if below is None:
        with tempfile.TemporaryDirectory(prefix=f"keelway-{name}-") as folder:
            yield Path(folder)
        return
    own, lock = locked_folder(below, name=name)
    try:
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)
        os.close(lock)


def locked_folder(below: Path, *, name: str = "") -> tuple[Path, int]:
    """Make a folder and return it with the descriptor that keeps it locked; sweep the place before.

    Raises:
        StorageError: It cannot be made.
    """
    try:
        below.mkdir(parents=True, exist_ok=True, mode=_FOLDER_MODE)
        with lock_held(below / _LOCK, fcntl.LOCK_EX):  # nobody sweeps a folder that is not locked yet
            _sweep(below)
            own = Path(tempfile.mkdtemp(dir=below, prefix=f"{name}-" if name else None))  # made with mode 0700
            return own, locked(own / _LOCK, fcntl.LOCK_EX)
    except OSError as error:
        raise unwritable(below, error) from error


def sweep(below: Path) -> int:
    """Remove the folders of killed processes and return how many there were.

    Raises:
        StorageError: The place cannot be written.
    """
    if not below.is_dir():
        return 0
    try:
        with lock_held(below / _LOCK, fcntl.LOCK_EX):
            return _sweep(below)
    except OSError as error:
        raise unwritable(below, error) from error


@contextlib.contextmanager
def lock_held(path: Path, how: int) -> Iterator[None]:
    """Hold the lock of a file for the length of the block, waiting for it unless told otherwise."""
    lock = locked(path, how)
    try:
        yield
    finally:
        os.close(lock)


def locked(path: Path, how: int) -> int:
    """Return a descriptor of a file that is locked until it is closed."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, _FILE_MODE)
    try:
        fcntl.flock(descriptor, how)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def unwritable(folder: Path, error: OSError) -> StorageError:
    """Return the error of a place where nothing can be written."""
    return StorageError(
        "A working folder cannot be used",
        expected=f"space and the right to write in {folder}",
        found=str(error),
        fix="Free some space, or give this user the right to write there.",
    )


def _sweep(below: Path) -> int:
    count = 0
    for left in below.iterdir():
        if left.is_dir():
            with contextlib.suppress(OSError), lock_held(left / _LOCK, fcntl.LOCK_EX | fcntl.LOCK_NB):
                shutil.rmtree(left, ignore_errors=True)  # not reached while its process lives
                count += 1
    return count
