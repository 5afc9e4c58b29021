"""Journals of runs in a folder: `ID.journal`, locked by the process that executes the run."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.core import RunId, checked_name
from keelway.engines.local.journal import SUFFIX, FileJournal, lock_if_free, new_journal
from keelway.errors import StorageError

if TYPE_CHECKING:
    from keelway.train.tracking import RunJournal, RunJournals

WHAT = "run"


class FileRunJournals:
    """Journals of runs, one file each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def create(self, run_id: RunId) -> FileJournal:
        """Open the journal of a new run."""
        checked_name(f"r{run_id}", what="run")
        return new_journal(self._folder / f"{run_id}{SUFFIX}", what=WHAT)

    @contextmanager
    def leftovers(self) -> Iterator[list[RunJournal]]:
        """Hold the journals whose owners are dead."""
        held: list[RunJournal] = []
        try:
            for path in self._paths():
                descriptor = lock_if_free(path, what=WHAT)
                if descriptor is not None:
                    held.append(FileJournal(path, descriptor, what=WHAT))
            yield held
        finally:
            for journal in held:
                journal.close()

    def running(self) -> list[bytes]:
        """Return what the journals of living owners hold so far."""
        found = []
        for path in self._paths():
            try:
                found.append(path.read_bytes())
            except FileNotFoundError:  # its run ended between listing and reading
                continue
        return found

    @contextmanager
    def mirror_turn(self) -> Iterator[None]:
        """Wait until no other process mirrors runs, and keep the others waiting meanwhile.

        Raises:
            StorageError: The folder cannot be written.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._folder / "mirror.lock", os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError("The folder of run journals cannot be written", found=str(error)) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob(f"*{SUFFIX}"))


if TYPE_CHECKING:
    _: RunJournals = FileRunJournals(Path())
