"""Folders in memory: what dies in a test is a process and never the machine, so waiting for a disk would prove nothing."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEMORY = Path("/dev/shm")
LEAST_FREE_BYTES = 1 << 30


@contextmanager
def memory_folder(prefix: str = "keelway-", *, disk: bool = False) -> Iterator[Path]:
    """Yield a new folder in memory, or on the disk where that is wanted or memory has no room; it is removed at the end."""
    roomy = not disk and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= LEAST_FREE_BYTES
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=MEMORY if roomy else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
