"""A folder of this machine as an object store.

Names are paths from the root with `/`. Nothing outside the root is ever listed or read: a glob that is absolute
or climbs is refused, and a symbolic link that leads out is refused by name.
"""

# ruff: noqa: PTH112, PTH118, PTH123 - os paths are several times faster than pathlib on listings of a million objects.
from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from keelway.core import Digest
from keelway.errors import ObjectChangedError, SourceError
from keelway.ingest import ObjectInfo

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
        parts = _parts(glob)
        if not self._root.is_dir():
            raise SourceError(
                "There is no object store",
                expected="a folder",
                found=str(self._root),
                fix="Create the folder, or set engines.objects in keelway.toml.",
            )
        real_root = os.path.realpath(self._root)
        pattern = re.compile(_expression(parts))
        return self._walk(real_root, "", _fixed_depth(parts), parts, pattern)

    def fetch(self, info: ObjectInfo, target: Path) -> Digest:
        """Copy a file, which must have exactly as many bytes as the listing said, and return its digest."""
        real_root = os.path.realpath(self._root)
        path = os.path.join(real_root, *_parts(info.name))
        _must_stay(path, info.name, real_root)
        try:
            size, digest = _copied(path, target, info.size_bytes)
        except OSError as error:
            raise SourceError(f"{info.name} cannot be read", found=error.strerror or str(error)) from error
        if size != info.size_bytes:
            target.unlink(missing_ok=True)
            raise ObjectChangedError(
                f"{info.name} changed while it was read",
                expected=f"{info.size_bytes} bytes",
                found="more" if size > info.size_bytes else str(size),
                fix="It may still be uploading: pull again later.",
            )
        return digest

    def _walk(
        self, real_root: str, folder: str, depth: int, parts: Sequence[str], pattern: re.Pattern[str]
    ) -> Iterator[ObjectInfo]:
        """Yield what matches below a folder; the part of the glob without wildcards is entered directly."""
        wanted = parts[:depth]
        if not folder and wanted and not os.path.isdir(os.path.join(real_root, *wanted)):
            return
        start = folder or "/".join(wanted)
        for entry, name in _sorted_entries(os.path.join(real_root, start), start):
            if entry.is_dir():
                if "**" in parts or name.count("/") + 1 < len(parts):
                    _must_stay(entry.path, name, real_root)
                    if entry.is_symlink():  # what it leads to lies below the root and is listed there; no cycles
                        continue
                    yield from self._walk(real_root, name, depth, parts, pattern)
            elif pattern.fullmatch(name):
                _must_stay(entry.path, name, real_root)
                info = _info(entry, name)
                if info is not None:
                    yield info


def _copied(path: str, target: Path, limit: int) -> tuple[int, Digest]:
    """Copy at most one byte more than a limit; return how many bytes were read, and their digest."""
    hasher, size = hashlib.sha256(), 0
    with open(path, "rb") as stream, target.open("wb") as copy:
        while size <= limit and (block := stream.read(min(BLOCK_BYTES, limit + 1 - size))):
            hasher.update(block)
            copy.write(block)
            size += len(block)
    return size, Digest(f"sha256:{hasher.hexdigest()}")


def _parts(name: str) -> tuple[str, ...]:
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
        raise SourceError(
            "This name leaves the object store",
            expected="a path from its root, without '..'",
            found=repr(name),
            fix="Name sources by their path below the object store's root.",
        )
    return path.parts


def _fixed_depth(parts: Sequence[str]) -> int:
    """Return how many leading folders of a glob have no wildcard."""
    depth = 0
    for part in parts[:-1]:
        if any(character in part for character in "*?["):
            break
        depth += 1
    return depth


def _expression(parts: Sequence[str]) -> str:
    """Return the regular expression of a glob.

    >>> bool(re.fullmatch(_expression(("raw", "**", "*.csv")), "raw/dt=1997-01-01/a.csv"))
    True
    """
    expressions = []
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        if part == "**":
            expressions.append(".*" if last else "(?:[^/]+/)*")
        else:
            text = re.escape(part).replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
            expressions.append(text if last else text + "/")
    return "(?s:" + "".join(expressions) + ")"


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
