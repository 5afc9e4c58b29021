"""Which files one run has checked already, so that a batch after another does not hash all earlier files anew.

A file is the one that was checked as long as the file system says so: the same file, of the same size, with the same
times of writing and of change. The last is set by the kernel whenever bytes, name or times are, and nobody can set it
back; its clock ticks every few milliseconds. One run relies on it; the next begins with nothing and checks every byte.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from keelway.snapshot.manifest import ManifestFile


class Mark(NamedTuple):
    """What the file system says of a file; other bytes have another mark."""

    device: int
    inode: int
    size_bytes: int
    written_ns: int
    changed_ns: int

    @classmethod
    def of(cls, path: Path) -> Mark | None:
        """Return the mark of a file; None where there is none."""
        try:
            found = path.stat()
        except OSError:
            return None
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


class KnownFiles:
    """Remembers checked files for the length of one run; give it to `read`. Safe to use from several threads."""

    def __init__(self) -> None:
        self._marks: dict[tuple[str, ManifestFile], tuple[Path, Mark]] = {}

    def path(self, dataset: str, file: ManifestFile) -> Path | None:
        """Return where a file lies that was checked and not touched since, or None."""
        path, mark = self._marks.get((dataset, file), (None, None))
        return path if path is not None and Mark.of(path) == mark else None

    def note(self, dataset: str, file: ManifestFile, path: Path, mark: Mark) -> None:
        """Remember a file that was checked; the mark was taken before its bytes were read."""
        self._marks[dataset, file] = path, mark
