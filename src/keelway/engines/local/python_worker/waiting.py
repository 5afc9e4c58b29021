"""Rows of many requests that wait for a process, and are taken together.

Who takes them waits for more rows only while that gives more answers a second: a call costs much the same however many rows it
has, so the next row is worth no more waiting than the last call took, divided by the rows that are there. And only while fewer
are there than the last call had: a lone caller does not wait at all.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import Any

from keelway.errors import OverloadedError, ServingError
from keelway.serve import ControlledDelay, ShedRule


@dataclass(frozen=True, slots=True)
class PythonRule:
    """How a model's processes are used.

    Attributes:
        processes: How many there are.
        batch: The most rows of one call.
        wait_s: The longest that a process waits for more rows while it has some.
        timeout_s: The longest that one call may take, and that a request waits for it.
        shed: When a request that waited is refused.
    """

    processes: int = 1
    batch: int = 256
    wait_s: float = 0.002
    timeout_s: float = 10.0
    shed: ShedRule = field(default_factory=ShedRule)


@dataclass(frozen=True, slots=True, eq=False)
class Waiting:
    """Rows of one request, since when they wait, and where their answers go.

    Attributes:
        since: Seconds of `time.monotonic`.
        loop: The event loop that awaits the answers; None where a thread waits for them.
    """

    rows: Sequence[Sequence[Any]]
    since: float
    answers: Future[list[Any]] | asyncio.Future[list[Any]]
    loop: asyncio.AbstractEventLoop | None = None


Outcome = tuple[Waiting, list[Any] | ServingError]
"""A request, and its answers or why it has none."""


def hand_out(outcomes: Iterable[Outcome]) -> None:
    """Give requests what came of them; each event loop is woken once for all of its own."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Outcome]] = {}
    for each, found in outcomes:
        if each.loop is None:
            _give(each, found)
        else:
            by_loop.setdefault(each.loop, []).append((each, found))
    for loop, some in by_loop.items():
        with contextlib.suppress(RuntimeError):  # a loop that was closed awaits nothing any more
            loop.call_soon_threadsafe(_give_all, some)


def _give_all(outcomes: Iterable[Outcome]) -> None:
    for each, found in outcomes:
        _give(each, found)


def _give(waiting: Waiting, found: list[Any] | ServingError) -> None:
    with contextlib.suppress(InvalidStateError, asyncio.InvalidStateError):  # its caller could not wait any longer
        if isinstance(found, ServingError):
            waiting.answers.set_exception(found)
        else:
            waiting.answers.set_result(found)


class WaitingRows:
    """The requests that wait, oldest first; put by any thread, taken by those of the processes."""

    def __init__(self, rule: PythonRule) -> None:
        self._rule = rule
        self._delay = ControlledDelay(rule.shed)
        self._turn = threading.Lock()
        self._changed = threading.Condition(threading.Lock())
        self._waiting: collections.deque[Waiting] = collections.deque()
        self._count = 0
        self._wakes_at = 0
        self._last_rows, self._last_s = 1, 0.0
        self._closed = False

    def put(self, waiting: Waiting) -> None:
        """Let a request wait."""
        with self._changed:
            self._waiting.append(waiting)
            self._count += len(waiting.rows)
            if 0 < self._wakes_at <= self._count:
                self._wakes_at = 0
                self._changed.notify()

    def emptied(self) -> list[Waiting]:
        """Return all requests; nobody takes them any more."""
        with self._changed:
            left, self._count = list(self._waiting), 0
            self._waiting.clear()
        return left

    def close(self) -> None:
        """Let nobody wait for requests any more."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def called(self, rows: int, seconds: float) -> None:
        """Tell how long a call with so many rows took."""
        self._last_rows, self._last_s = rows, seconds

    def taken(self) -> list[Waiting]:
        """Return what is answered together, as soon as there is any; one thread at a time, nothing once it is closed.

        What waited too long is refused, and who could not wait is left out, so that there may be nothing.
        """
        with self._turn:
            with self._changed:
                while not self._count:
                    if self._closed:
                        return []
                    self._sleep(1, None)
                self._wait_for_more()
                batch = self._popped()
            return self._in_time(batch)

    def _wait_for_more(self) -> None:
        wanted = min(self._rule.batch, self._last_rows)
        until = time.monotonic() + self._rule.wait_s
        while 0 < self._count < wanted:
            before = self._count
            left = min(until - time.monotonic(), self._last_s / before)
            if left <= 0:
                return
            self._sleep(wanted, left)
            if self._count == before:
                return

    def _sleep(self, rows: int, seconds: float | None) -> None:
        """Sleep until so many rows are there."""
        self._wakes_at = rows
        self._changed.wait(seconds)
        self._wakes_at = 0

    def _popped(self) -> list[Waiting]:
        """Return the oldest requests, of as many rows as go into one call; one with more rows comes alone."""
        batch: list[Waiting] = []
        count = 0
        while self._waiting and (not batch or count + len(self._waiting[0].rows) <= self._rule.batch):
            batch.append(self._waiting.popleft())
            count += len(batch[-1].rows)
        self._count -= count
        return batch

    def _in_time(self, batch: list[Waiting]) -> list[Waiting]:
        """Return those of a batch that did not wait too long and still do; the others are refused."""
        now = time.monotonic()
        taken, refused = [], []
        for each in batch:
            waited = now - each.since
            if self._delay.sheds(waited, now=now):
                told = f"{waited * 1000:.0f} ms of waiting"
                error = OverloadedError("There is too much to do", expected="a shorter queue", found=told)
                refused.append((each, error))
            elif not each.answers.done():
                taken.append(each)
        hand_out(refused)
        return taken
