"""The prediction log of a serving process: appended at once, sealed in the background, counted when it fails."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from keelway.core import Clock
from keelway.errors import KeelwayError, StorageError
from keelway.serve.ports import Journal, Journals
from keelway.serve.segment import SealingPorts, seal, seal_journals
from keelway.serve.segment_records import PredictionSegment

SEAL_EVERY_S = 1.0
SEAL_LINES = 5_000
SEAL_BYTES = 16_000_000
"""A journal is not written beyond this or so many lines, because sealing reads one whole."""
MOST_WAITING = 64
"""So many full journals stay open; older ones are let go of, and found again in their folder."""

_log = logging.getLogger(__name__)


class JournalLog:
    """Writes predictions to a journal and seals it every second, or sooner when it is long.

    `start` first seals what dead processes left. A journal that cannot be sealed is kept and tried again, on the disk: what is
    held in memory never grows. A line that cannot be written is counted in `unlogged`, and `healthy` is False until
    writing works again.

    Args:
        refuses: Whether an answer that cannot be logged is refused; else it is given, and says so.
        on_unlogged: Told how many predictions were answered, or refused, without being logged.
    """

    def __init__(
        self,
        model: str,
        *,
        environment: str,
        journals: Journals,
        ports: SealingPorts,
        clock: Clock,
        refuses: bool = False,
        on_unlogged: Callable[[int], None] = lambda _count: None,
    ) -> None:
        self._model, self._environment = model, environment
        self._journals, self._ports, self._clock = journals, ports, clock
        self._on_unlogged = on_unlogged
        self.refuses = refuses
        self._journal: Journal | None = None
        self._bytes = self._predictions = 0  # in that journal
        self._waiting: list[Journal] = []
        self._guard = threading.Lock()  # held for one write, or for swapping the journal
        self._sealing = threading.Lock()  # one thread seals at a time
        self._wake = threading.Event()
        self._leftovers = False  # whether what dead processes left is still to be sealed
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="keelway-seal", daemon=True)
        self.unlogged = 0
        self.healthy = True
        self.seal_error = ""

    def start(self) -> None:
        """Seal what dead processes left, now or when the state can be written, and begin to seal in the background."""
        self._leftovers = True
        self._try_to_seal()
        self._thread.start()

    def append(self, entries: bytes, *, count: int | None = None) -> bool:
        """Write whole entries; say whether they will survive the death of this process.

        Args:
            count: How many predictions they tell of; None where each is the line of one.
        """
        count = entries.count(b"\n") if count is None else count
        with self._guard:
            try:
                if self._journal is None:
                    self._journal = self._journals.create(self._model, self._environment)
                    self._bytes = self._predictions = 0
                self._journal.append(entries)
            except StorageError as error:
                self._count_unlogged(count, error)
                return False
            self.healthy = True
            self._bytes += len(entries)
            self._predictions += count
            if self._predictions >= SEAL_LINES or self._bytes >= SEAL_BYTES:
                self._put_aside()
                self._wake.set()
        return True

    def seal(self) -> list[PredictionSegment]:
        """Seal everything that was written so far.

        Raises:
            KeelwayError: The store or the state cannot be written; the journals are kept.
        """
        with self._sealing:
            sealed = self._seal_waiting()
            with self._guard:  # only now: while sealing fails, one journal takes everything until it is full
                if self._journal is not None and self._journal.lines:
                    self._put_aside()
            return sealed + self._seal_waiting()

    def close(self) -> None:
        """Seal the rest, and what processes beside this one left that died meanwhile, and stop.

        What cannot be sealed stays on the disk for the next start.
        """
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        self._try_to_seal()
        if not self.seal_error:
            self._attempt(self._seal_leftovers)
        with self._guard:
            if self._journal is not None:
                if self._journal.lines:  # written after the last sealing: the next start finds it
                    self._journal.close()
                else:
                    self._journal.remove()
                self._journal = None
        for journal in self._waiting:
            journal.close()

    def _put_aside(self) -> None:
        """Let the journal wait to be sealed; the caller holds the guard."""
        assert self._journal is not None
        self._waiting.append(self._journal)
        self._journal = None

    def _seal_waiting(self) -> list[PredictionSegment]:
        """Seal the journals that wait, oldest first."""
        sealed = []
        while (journal := self._oldest()) is not None:
            segment = seal(
                journal,
                model=self._model,
                environment=self._environment,
                ports=self._ports,
                now=self._clock.now(),
            )
            with self._guard:
                self._waiting.remove(journal)
            if segment is not None:
                sealed.append(segment)
        return sealed

    def _oldest(self) -> Journal | None:
        """Return the journal that has waited longest, after letting go of those that are too many to stay open."""
        with self._guard:
            while len(self._waiting) > MOST_WAITING:
                self._waiting.pop(0).close()
                self._leftovers = True
            return self._waiting[0] if self._waiting else None

    def _run(self) -> None:
        while not self._stopping:
            self._wake.wait(SEAL_EVERY_S)
            self._wake.clear()
            self._try_to_seal()

    def _try_to_seal(self) -> None:
        self._attempt(self._seal_all)

    def _seal_all(self) -> None:
        self.seal()  # first, so that a damaged journal of a dead process holds nobody else's up
        if self._leftovers:
            self._seal_leftovers()

    def _attempt(self, work: Callable[[], None]) -> None:
        try:
            work()
        except KeelwayError as error:
            self.seal_error = str(error)
            _log.error("Predictions wait to be sealed: %s", error)
        else:
            self.seal_error = ""

    def _seal_leftovers(self) -> None:
        seal_journals(self._journals, ports=self._ports, now=self._clock.now())
        self._leftovers = False

    def _count_unlogged(self, count: int, error: StorageError) -> None:
        if self.healthy:
            _log.error("Predictions are not logged: %s", error)
        self.healthy = False
        self.unlogged += count
        self._on_unlogged(count)
