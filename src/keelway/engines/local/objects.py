"""A folder of this machine as an object store.

Names are paths from the root with `/`. Nothing outside the root is ever listed or read: a glob that is absolute
or climbs is refused, and a symbolic link that leads out is refused by name.
"""

# ruff: noqa: PTH112, PTH118, PTH123 - os paths are several times faster than pathlib on listings of a million objects.
from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.core import Digest
from keelway.errors import SourceError
from keelway.ingest import Glob, ObjectInfo, copy_blocks, name_parts, object_changed

BLOCK_BYTES = 1 << 20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class LocalObjects:
    """Lists and reads the files under a folder.

    Args:
        root: The folder; it may be created later, but must be there when it is listed.
    """

    def __init__(self, root: Path) -> None:
        self._root = Path(root)

    def list(self, glob: str) -> Iterator[ObjectInfo]:
        """Yield the files whose name matches a glob, sorted by name."""
        wanted = Glob.parse(glob)
        if not self._root.is_dir():
            raise SourceError(
                "There is no object store",
                expected="a folder",
                found=str(self._root),
                fix="Create the folder, or set engines.objects in keelway.toml.",
            )
        real_root = os.path.realpath(self._root)
        start = os.path.join(real_root, wanted.folder)
        if not os.path.isdir(start):
            return iter(())
        _must_stay(start, wanted.folder, real_root)
        return _walk(real_root, wanted.folder, wanted)

    def fetch(self, info: ObjectInfo, target: Path) -> Digest:
        """Copy a file, which must have exactly as many bytes as the listing said, and return its digest."""
        real_root = os.path.realpath(self._root)
        path = os.path.join(real_root, *name_parts(info.name))
        _must_stay(path, info.name, real_root)
        return copy_blocks(_blocks(path, info), target, info)


def _walk(real_root: str, folder: str, wanted: Glob) -> Iterator[ObjectInfo]:
    """Yield what matches below a folder that lies below the root."""
    for entry, name in _sorted_entries(os.path.join(real_root, folder), folder):
        if entry.is_symlink():
            if wanted.may_hold(name) or wanted.matches(name):
                _must_stay(entry.path, name, real_root)
            if entry.is_dir():  # what it leads to lies below the root and is listed there; no cycles
                continue
        if entry.is_dir():
            if wanted.may_hold(name):
                yield from _walk(real_root, name, wanted)
        elif wanted.matches(name):
            info = _info(entry, name)
            if info is not None:
                yield info


def _blocks(path: str, info: ObjectInfo) -> Iterator[bytes]:
    """Yield the bytes of a file, at most one more than were listed."""
    left = info.size_bytes + 1
    try:
        with open(path, "rb") as stream:
            while left and (block := stream.read(min(BLOCK_BYTES, left))):
                left -= len(block)
                yield block
    except FileNotFoundError as error:
        raise object_changed(info, found="nothing") from error
    except OSError as error:
        raise SourceError(f"{info.name} cannot be read", found=error.strerror or str(error)) from error


def _sorted_entries(path: str, folder: str) -> list[tuple[os.DirEntry[str], str]]:
    """Return the entries of one folder, ordered as their full names sort."""
    try:
        with os.scandir(path) as found:
            entries = list(found)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise SourceError(
            f"{folder or 'The object store'} cannot be listed", found=error.strerror or str(error)
        ) from error
    named = [(entry, f"{folder}/{entry.name}" if folder else entry.name) for entry in entries]
    return sorted(named, key=lambda pair: pair[1] + "/" if pair[0].is_dir() else pair[1])


def _must_stay(path: str, name: str, real_root: str) -> None:
    real = os.path.realpath(path)
    if real != real_root and not real.startswith(real_root + os.sep):
        raise SourceError(
            f"{name} leads out of the object store",
            expected="a file or folder below its root",
            found="a symbolic link to somewhere else",
            fix="Copy the file into the object store.",
        )


def _info(entry: os.DirEntry[str], name: str) -> ObjectInfo | None:
    try:
        status = entry.stat()
    except FileNotFoundError:  # it vanished since the folder was read
        return None
    modified_at = _EPOCH + timedelta(microseconds=status.st_mtime_ns // 1000)
    return ObjectInfo(name, status.st_size, modified_at)


if TYPE_CHECKING:
    from keelway.ingest import ObjectSource

    _: ObjectSource = LocalObjects(Path())
