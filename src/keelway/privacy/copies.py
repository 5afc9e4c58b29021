"""Plain copies of sealed files: in a folder of one process, gone with it.

Each process has a folder of its own with a file that it keeps locked. A folder whose lock is free belongs to a
process that was killed; whoever makes the next folder removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path

from keelway.core import DIGEST_PREFIX, Digest
from keelway.errors import StorageError

_LOCK = "lock"
_OWNER_ONLY = 0o600


class PlainCopies:
    """The folder of one process's plain copies.

    Args:
        folder: Where the folders of all processes lie; made when the first copy is needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = Path(folder)
        self._own: Path | None = None
        self._finalizer: weakref.finalize[[Path, int, int], PlainCopies] | None = None
        self._process = 0
        self._opening = threading.Lock()

    def place_of(self, digest: Digest) -> Path:
        """Return where the copy of an artifact lies, if there is one."""
        return (self._own or self._folder / "none") / digest.removeprefix(DIGEST_PREFIX)

    def write(self, place: Path, blocks: Iterable[bytes]) -> Path:
        """Write a copy and return its place; nothing is left of one that fails half-way."""
        try:
            place = self._opened() / place.name
            descriptor, temporary = tempfile.mkstemp(prefix=".part-", dir=place.parent)  # made with mode 0600
        except OSError as error:
            raise _unwritable(self._folder, error) from error
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.writelines(blocks)
            return Path(temporary).replace(place)
        except OSError as error:
            raise _unwritable(self._folder, error) from error
        finally:
            Path(temporary).unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove every copy, and the folder."""
        if self._finalizer is not None:
            self._finalizer()
        self._own = None

    def _opened(self) -> Path:
        """Return this process's folder, made and locked; a child process makes its own."""
        with self._opening:
            if self._own is None or self._process != os.getpid():
                self._own = self._made()
            return self._own

    def _made(self) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        with _alone_in(self._folder):  # nobody sweeps a folder that is not locked yet
            _sweep(self._folder)
            own = Path(tempfile.mkdtemp(dir=self._folder))  # made with mode 0700
            lock = _locked(own / _LOCK, fcntl.LOCK_EX)
        self._process = os.getpid()
        self._finalizer = weakref.finalize(self, _close, own, lock, self._process)
        return own


def _close(folder: Path, lock: int, process: int) -> None:
    if process == os.getpid():  # a child that was forked leaves the folder to its parent
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _sweep(folder: Path) -> None:
    """Remove what killed processes left."""
    for left in folder.iterdir():
        if left.is_dir():
            with contextlib.suppress(OSError):  # its process lives
                lock = _locked(left / _LOCK, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
                os.close(lock)


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    lock = _locked(folder / _LOCK, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(lock)


def _locked(path: Path, how: int) -> int:
    """Return a descriptor of a file that is locked until it is closed."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, _OWNER_ONLY)
    try:
        fcntl.flock(descriptor, how)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _unwritable(folder: Path, error: OSError) -> StorageError:
    return StorageError(
        "A sealed file cannot be opened",
        expected=f"space and the right to write in {folder}",
        found=str(error),
        fix="Free some space, or give this user the right to write there.",
    )
