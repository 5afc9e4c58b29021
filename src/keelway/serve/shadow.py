"""Lets versions score copies of requests that were answered already; nobody waits for them, and nobody gets what they say.

    mirror = ShadowMirror(log, told=metrics)
    mirror.start()
    mirror.offer(rows, loaded.shadows, at="1998-01-02T00:00:00Z")     # returns at once

What a shadow answers is logged under the arm `shadow`, and counted under it with its failures and its time: that of its work,
without waits for the interpreter and the processor, which answers have before it. Copies wait in
a queue that is bounded by what they hold. Where it is full, where copies are older than a version may still be loaded, or
where the log takes nothing, rows are dropped and counted: a shadow that dropped rows is judged by fewer, and it shows.
The thread lets go of the interpreter after every few rows, so that an answer waits no longer for it than these take.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from keelway.core import sortable_ids
from keelway.errors import KeelwayError, UndefinedAnswerError
from keelway.serve.answer import answer_texts
from keelway.serve.line import RequestMark
from keelway.serve.loaded import LoadedVersion
from keelway.serve.ports import PredictionLog
from keelway.serve.wire.columns import Row

MOST_HELD = 1_000_000
"""Values and characters of texts that wait: some tens of megabytes."""
OLDEST_S = 10.0
"""Well below the time after which a version that was switched away from is closed."""
ROWS_AT_ONCE = 64
DRAIN_S = 2.0
"""So long what waits is still scored when the server ends."""

_log = logging.getLogger(__name__)


class ShadowCount(Protocol):
    """Counts what shadows do; called from the mirror's thread and from those that offer."""

    def mirrored(self, version: LoadedVersion, count: int, seconds: float) -> None:
        """Count rows of one request that a shadow answered, and how long it worked on them."""
        ...

    def failed(self, version: LoadedVersion, undefined: bool) -> None:
        """Count a request that a shadow could not answer, and whether its answer was no number."""
        ...

    def dropped(self, version: LoadedVersion, count: int) -> None:
        """Count rows that a shadow never saw, or whose answers were not kept."""
        ...


@dataclass(frozen=True, slots=True)
class _Copy:
    rows: Sequence[Row]
    shadows: tuple[LoadedVersion, ...]
    at: str
    held: int
    since: float
    request_id: str


class ShadowMirror:
    """Takes copies of requests and lets shadows score them in a thread of its own.

    Args:
        log: Takes what shadows answer; the log of all predictions.
        told: Counts.
        most_held: How much may wait, in values and characters of texts.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        log: PredictionLog,
        *,
        told: ShadowCount,
        most_held: int = MOST_HELD,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log, self._told, self._clock = log, told, clock
        self._most_held = most_held
        self._waiting: deque[_Copy] = deque()
        self._held = 0
        self._guard = threading.Condition()
        self._stopping = False
        self._troubled: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="keelway-shadow", daemon=True)

    @property
    def held(self) -> int:
        """How much waits, in values and characters of texts."""
        return self._held

    def start(self) -> None:
        """Begin to score what is offered."""
        self._thread.start()

    def offer(self, rows: Sequence[Row], shadows: tuple[LoadedVersion, ...], *, at: str, request_id: str = "") -> None:
        """Take a copy of answered rows for shadows, or drop it where too much waits; never waits, never raises.

        Args:
            at: When they were answered, as the log writes times.
            request_id: Of the request that asked for them.
        """
        held = sum(len(row[2]) + sum([len(value) for value in row[2] if isinstance(value, str)]) for row in rows)
        with self._guard:
            takes = not self._stopping and self._held + held <= self._most_held
            if takes:
                self._held += held
                self._waiting.append(_Copy(rows, shadows, at, held, self._clock(), request_id))
                self._guard.notify()
        if not takes:
            self._drop(shadows, len(rows))

    def close(self) -> None:
        """Score what waits, for two seconds at most, count the rest as dropped, and stop."""
        with self._guard:
            self._stopping = True
            self._guard.notify()
        if self._thread.is_alive():
            self._thread.join(DRAIN_S)
        with self._guard:
            left = list(self._waiting)
            self._waiting.clear()
            self._held = 0
        for each in left:
            self._drop(each.shadows, len(each.rows))

    def _run(self) -> None:
        while (copy := self._next()) is not None:
            for shadow in copy.shadows:
                if self._clock() - copy.since > OLDEST_S:
                    self._told.dropped(shadow, len(copy.rows))
                else:
                    self._score(copy, shadow)

    def _next(self) -> _Copy | None:
        with self._guard:
            while not self._waiting and not self._stopping:
                self._guard.wait()
            if not self._waiting:
                return None
            copy = self._waiting.popleft()
            self._held -= copy.held
            return copy

    def _score(self, copy: _Copy, shadow: LoadedVersion) -> None:
        spent = _clock_of(shadow)
        begun = spent()
        try:
            lines = b"".join([_lines(copy, shadow, begin) for begin in range(0, len(copy.rows), ROWS_AT_ONCE)])
        except Exception as error:  # noqa: BLE001  (whatever a shadow does, the next copy must find this thread alive)
            self._told.failed(shadow, isinstance(error, UndefinedAnswerError))
            self._tell(shadow, error)
            return
        if self._log.append(lines):
            self._told.mirrored(shadow, len(copy.rows), spent() - begun)
            self._troubled.discard(shadow.version)
        else:
            self._told.dropped(shadow, len(copy.rows))

    def _tell(self, shadow: LoadedVersion, error: Exception) -> None:
        """Log a failure, the first of a row of them; what is not ours may hold values and is told by its kind alone."""
        if shadow.version not in self._troubled:
            self._troubled.add(shadow.version)
            what = str(error) if isinstance(error, KeelwayError) else type(error).__name__
            _log.warning("The shadow %s does not answer: %s", shadow.version, what)

    def _drop(self, shadows: Sequence[LoadedVersion], count: int) -> None:
        for shadow in shadows:
            self._told.dropped(shadow, count)


def _clock_of(shadow: LoadedVersion) -> Callable[[], float]:
    """Return what a shadow's time is taken by, in seconds: what it worked, or where another process works, what that took.

    Answers go first, so this thread waits for the interpreter and the processor whenever the server is busy: a wait that
    the version would not have if it answered.
    """
    return time.perf_counter if getattr(shadow.scorer, "waits", False) else time.thread_time


def _lines(copy: _Copy, shadow: LoadedVersion, begin: int) -> bytes:
    """Return the log's lines of some rows, scored in one call."""
    rows = copy.rows[begin : begin + ROWS_AT_ONCE]
    texts = answer_texts(shadow, [row[2] for row in rows])
    time.sleep(0)  # lets go of the interpreter: answers come first
    marks = [RequestMark(copy.request_id)] * len(rows)
    return shadow.writer.lines(sortable_ids(len(rows)), rows, texts, at=copy.at, marks=marks)
