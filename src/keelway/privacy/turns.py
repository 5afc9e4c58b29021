"""Turns of ingests and erasures: several ingests at once, or one erasure and no ingest.

Two files are locked, and the kernel frees both when a process dies. Whoever wants a turn passes the door, where all
queue; an ingest leaves the door when it is in the room, an erasure keeps it until it is done. So an erasure waits for
the ingests that are in the room, and none that comes later gets in before it.

A thread must not ask for a turn while it has one: an erasure may be waiting in between.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keelway.errors import StorageError
from keelway.privacy.folders import lock_held, locked


class FileTurns:
    """Turns of the processes of one machine.

    Args:
        folder: Where the locked files lie; made when the first turn is taken.
    """

    def __init__(self, folder: Path) -> None:
        self._door = Path(folder) / "door.lock"
        self._room = Path(folder) / "room.lock"

    @contextmanager
    def using(self) -> Iterator[None]:
        """Hold a turn together with others."""
        lock = self._entered(fcntl.LOCK_SH)
        try:
            yield
        finally:
            os.close(lock)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold a turn that nobody else has at the same time."""
        lock = self._entered(fcntl.LOCK_EX)
        try:
            yield
        finally:
            os.close(lock)

    def _entered(self, how: int) -> int:
        try:
            self._door.parent.mkdir(parents=True, exist_ok=True)
            with lock_held(self._door, fcntl.LOCK_EX):
                return locked(self._room, how)
        except OSError as error:
            raise StorageError(
                "Ingests and erasures cannot take turns",
                expected=f"files that can be locked in {self._door.parent}",
                found=str(error),
                fix="Give this user the right to write there, on a disk of this machine.",
            ) from error
