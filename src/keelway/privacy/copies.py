"""Plain copies of sealed files: in a folder of one process, gone with it."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterable
from pathlib import Path

from keelway.core import DIGEST_PREFIX, Digest
from keelway.errors import StorageError
from keelway.privacy.folders import locked_folder, unwritable


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
        place = self._opened() / place.name
        try:
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
                self._own, lock = locked_folder(self._folder)
                self._process = os.getpid()
                self._finalizer = weakref.finalize(self, _close, self._own, lock, self._process)
            return self._own


def _close(folder: Path, lock: int, process: int) -> None:
    if process == os.getpid():  # a child that was forked leaves the folder to its parent
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _unwritable(folder: Path, error: OSError) -> StorageError:
    found = unwritable(folder, error)
    return StorageError("A sealed file cannot be opened", expected=found.expected, found=found.found, fix=found.fix)
