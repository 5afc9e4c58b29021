"""Whether a model still fits into the memory of this process, judged before it is loaded.

A model is expected to take as many times its artifacts' bytes as the greediest large one loaded here did; one that was
loaded before is expected to take what it took then. One that took more than there was room for is refused after all.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

from keelway.core import Digest
from keelway.errors import ServingError

FIRST_RATIO = 3.0
"""Resident bytes for each byte of an artifact, before any model was loaded here: a guess on the safe side of ONNX Runtime's
one to two copies."""
LARGE_BYTES = 5_000_000
"""Artifacts from which a ratio is learned; with smaller ones, growth is mostly that of libraries read for the first time."""
MEGABYTE = 1_000_000


def resident_bytes() -> int:
    """Return the resident memory of this process (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class MemoryBudget:
    """Watches over the memory that loaded models take.

    Args:
        limit_mb: The most that the whole process may take, in megabytes; 0 for no limit.
        resident: Returns what it takes now, in bytes.
    """

    def __init__(self, limit_mb: int = 0, *, resident: Callable[[], int] = resident_bytes) -> None:
        self._limit = limit_mb * MEGABYTE
        self._resident = resident
        self._ratio = 0.0
        self._grown: dict[Digest, int] = {}
        self._guard = threading.Lock()

    def check(self, name: str, digest: Digest, size_bytes: int) -> int:
        """Return what the process takes now, in bytes, when a model may be loaded.

        Args:
            size_bytes: What its artifacts take in the store.

        Raises:
            ServingError: It does not fit.
        """
        before = self._resident()
        expected = self.expected(digest, size_bytes)
        if self._limit and before + expected > self._limit:
            raise self._refusal(name, f"{_mb(before)} now, and about {_mb(expected)} for it")
        return before

    def expected(self, digest: Digest, size_bytes: int) -> int:
        """Return how many bytes a model will take."""
        with self._guard:
            known = self._grown.get(digest)
            return known if known is not None else int(size_bytes * (self._ratio or FIRST_RATIO))

    def loaded(self, name: str, digest: Digest, size_bytes: int, *, before: int) -> None:
        """Learn from a model that was loaded and has answered.

        Raises:
            ServingError: It took more than there is room for; whoever loaded it has to let go of it.
        """
        after = self._resident()
        grown = max(0, after - before)
        with self._guard:
            self._grown[digest] = max(grown, self._grown.get(digest, 0))
            if size_bytes >= LARGE_BYTES:
                self._ratio = max(self._ratio, grown / size_bytes, 1.0)
        if self._limit and after > self._limit:
            raise self._refusal(name, f"{_mb(after)} with it")

    def _refusal(self, name: str, found: str) -> ServingError:
        return ServingError(
            f"{name} does not fit into the memory of this process",
            expected=f"at most {_mb(self._limit)} (serving.memory_mb)",
            found=found,
            fix="Raise serving.memory_mb, or serve fewer models from this process.",
        )


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / MEGABYTE:.0f} MB"
