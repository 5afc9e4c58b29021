"""What tracking asks of the world: a place for the journals of runs."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from keelway.core import RunId


class RunJournal(Protocol):
    """One append-only file of lines, owned by the process that executes the run."""

    def append(self, lines: bytes) -> None:
        """Append whole lines: all or, with StorageError, none. They survive the death of the process."""
        ...

    def read(self) -> bytes:
        """Return all bytes."""
        ...

    def remove(self) -> None:
        """Delete the journal, after its run was recorded."""
        ...

    def close(self) -> None:
        """Let go of the journal without deleting it: another process may then record its run."""
        ...


class RunJournals(Protocol):
    """The place where the journals of runs are kept. Safe for several processes at once."""

    def create(self, run_id: RunId) -> RunJournal:
        """Open the journal of a new run. Raises StorageError where that cannot be."""
        ...

    def leftovers(self) -> AbstractContextManager[list[RunJournal]]:
        """Hold the journals whose owners are dead; nobody else holds them meanwhile."""
        ...

    def running(self) -> list[bytes]:
        """Return what the journals of living owners hold so far."""
        ...
