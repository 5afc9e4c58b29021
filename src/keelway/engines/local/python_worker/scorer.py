"""A scorer whose answers come from processes: rows of many requests are put together and answered in one call.

A request waits for at most one batch that is under way, and then only as long as fewer rows are there than the last batch had,
never longer than the declared time: a lone caller does not wait, and 64 callers share one call. A process that dies or does
not answer is ended and started anew; while it keeps failing its breaker leaves it alone, and requests fail at once, so that
what is declared as a fallback answers. What waited too long is refused before it is computed.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from keelway.engines.local.python_worker.frames import NOT_FINITE, WorkerAnswer, WorkerModel
from keelway.engines.local.python_worker.line import WorkerLine
from keelway.errors import (
    EngineError,
    IntegrityError,
    OverloadedError,
    ServingError,
    UnavailableError,
    UndefinedAnswerError,
)
from keelway.register import check_row_lengths
from keelway.serve import Breaker, ControlledDelay, ShedRule

if TYPE_CHECKING:
    from keelway.serve import Scorer

IDLE_S = 0.05


@dataclass(frozen=True, slots=True)
class PythonRule:
    """How a model's processes are used.

    Attributes:
        processes: How many there are.
        batch: The most rows of one call.
        wait_s: The longest that a row waits for others.
        timeout_s: The longest that one call may take, and that a request waits for it.
        shed: When a request that waited is refused.
    """

    processes: int = 1
    batch: int = 64
    wait_s: float = 0.002
    timeout_s: float = 10.0
    shed: ShedRule = field(default_factory=ShedRule)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Rows of one request, since when they wait, and where their answers go."""

    rows: Sequence[Sequence[Any]]
    since: float
    answers: Future[list[Any]] = field(default_factory=Future)


class PythonScorer:
    """Answers rows by processes; safe to call from several threads.

    Args:
        names: What the processes are called in the breaker, as many as the rule asks for.
        breaker: Leaves a process alone that keeps failing.

    Attributes:
        waits: Always true: an answer comes from another process.

    Raises:
        IntegrityError: The model's bytes are refused.
        EngineError: A process does not start.
    """

    waits = True

    def __init__(self, model: WorkerModel, *, names: Sequence[str], rule: PythonRule, breaker: Breaker) -> None:
        self.features, self.task, self.classes = model.features, model.task, model.classes
        self._model, self._rule, self._breaker = model, rule, breaker
        self._names = tuple(names)
        self._queue: queue.SimpleQueue[_Waiting] = queue.SimpleQueue()
        self._delay = ControlledDelay(rule.shed)
        self._guard = threading.Lock()
        self._closed = threading.Event()
        self._lines: dict[str, WorkerLine | None] = {}
        self._last_batch = 1
        try:
            for name in self._names:
                self._lines[name] = WorkerLine(model, timeout_s=rule.timeout_s)
        except BaseException:
            self.close()
            raise
        self._threads = [
            threading.Thread(target=self._run, args=(name,), name=f"keelway-{name}", daemon=True)
            for name in self._names
        ]
        for thread in self._threads:
            thread.start()

    @property
    def pids(self) -> tuple[int, ...]:
        """The process ids."""
        return tuple(line.pid for line in self._lines.values() if line is not None)

    def predictions(self, rows: Sequence[Sequence[Any]]) -> list[Any]:
        """Return the answer to each row.

        Raises:
            UnavailableError: No process is there to ask, or the request waited too long.
            ServingError: The model gave no answer.
        """
        if not rows:
            return []
        try:
            return self._asked(rows).result(2 * self._rule.timeout_s)
        except TimeoutError as error:
            raise UnavailableError("The model does not answer in time", found="no answer") from error

    async def awaited(self, rows: Sequence[Sequence[Any]]) -> list[Any]:
        """Return the answer to each row, without a thread that waits for it.

        Raises:
            UnavailableError: No process is there to ask, or the request waited too long.
            ServingError: The model gave no answer.
        """
        if not rows:
            return []
        answers = asyncio.wrap_future(self._asked(rows))
        done, _ = await asyncio.wait([answers], timeout=2 * self._rule.timeout_s)
        if not done:
            answers.cancel()
            raise UnavailableError("The model does not answer in time", found="no answer")
        return answers.result()

    def _asked(self, rows: Sequence[Sequence[Any]]) -> Future[list[Any]]:
        """Return where the answers to rows will be."""
        check_row_lengths(rows, len(self.features))
        states = self._breaker.states()
        if all(states[name] == "open" for name in self._names):
            raise self._breaker.refusal(self._names[0])
        waiting = _Waiting(rows, time.monotonic())
        self._queue.put(waiting)
        return waiting.answers

    def close(self) -> None:
        """End the processes; what waits is refused."""
        self._closed.set()
        for line in self._lines.values():
            if line is not None:
                line.end()
        with contextlib.suppress(queue.Empty):
            while True:
                _fail(self._queue.get_nowait(), UnavailableError("The model is no longer served"))

    def _run(self, name: str) -> None:
        """Take batches and have one process answer them, until closed."""
        while not self._closed.is_set():
            if self._breaker.states()[name] == "open":
                self._closed.wait(IDLE_S)
                continue
            batch = self._gathered()
            if not batch:
                continue
            if not self._breaker.allows(name):
                for each in batch:
                    _fail(each, self._breaker.refusal(name))
                continue
            self._answer(name, batch)

    def _gathered(self) -> list[_Waiting]:
        """Return what is answered together; nothing where nothing comes for a while."""
        try:
            first = self._queue.get(timeout=IDLE_S)
        except queue.Empty:
            return []
        batch, count = [first], len(first.rows)
        until = time.monotonic() + self._rule.wait_s
        wanted = min(self._rule.batch, self._last_batch)
        while count < self._rule.batch:
            left = until - time.monotonic()
            try:
                more = self._queue.get(timeout=left) if count < wanted and left > 0 else self._queue.get_nowait()
            except queue.Empty:
                if count < wanted and left > 0:
                    continue
                break
            batch.append(more)
            count += len(more.rows)
        self._last_batch = count
        return self._in_time(batch)

    def _in_time(self, batch: list[_Waiting]) -> list[_Waiting]:
        """Return those of a batch that did not wait too long; the others are refused."""
        now = time.monotonic()
        taken = []
        for each in batch:
            waited = now - each.since
            with self._guard:
                sheds = self._delay.sheds(waited, now=now)
            if sheds:
                told = f"{waited * 1000:.0f} ms of waiting"
                _fail(each, OverloadedError("There is too much to do", expected="a shorter queue", found=told))
            else:
                taken.append(each)
        return taken

    def _answer(self, name: str, batch: list[_Waiting]) -> None:
        """Have a process answer, in calls of at most so many rows, and hand out the answers."""
        rows = [list(row) for each in batch for row in each.rows]
        answers: list[Any] = []
        try:
            line = self._line(name)
            for start in range(0, len(rows), self._rule.batch):
                part = rows[start : start + self._rule.batch]
                answers += _answers_in(line.ask(part), len(part))
        except (EngineError, IntegrityError) as error:
            self._lost(name)
            for each in batch:
                _fail(each, ServingError(error.what, expected=error.expected, found=error.found))
            return
        except ServingError as error:
            self._breaker.failed(name)
            self._one_by_one(name, batch, error)
            return
        self._breaker.succeeded(name)
        for each in batch:
            _give(each, answers[: len(each.rows)])
            del answers[: len(each.rows)]

    def _one_by_one(self, name: str, batch: list[_Waiting], error: ServingError) -> None:
        """Ask again for each request alone, so that one that the model cannot answer costs no other its answer."""
        if len(batch) == 1:
            _fail(batch[0], error)
            return
        for each in batch:
            if self._breaker.states()[name] == "closed":
                self._answer(name, [each])
            else:
                _fail(each, error)

    def _line(self, name: str) -> WorkerLine:
        """Return the line to a process; a dead one is started anew."""
        line = self._lines[name]
        if line is None:
            line = self._lines[name] = WorkerLine(self._model, timeout_s=self._rule.timeout_s)
            if self._closed.is_set():
                line.end()
                raise EngineError("The model is no longer served")
        return line

    def _lost(self, name: str) -> None:
        """End a process that failed; the next batch starts another one, unless the breaker leaves it alone."""
        line, self._lines[name] = self._lines[name], None
        if line is not None:
            line.end()
        self._breaker.failed(name)


def _answers_in(told: WorkerAnswer, count: int) -> list[Any]:
    if told.error or len(told.answers) != count:
        kind = UndefinedAnswerError if told.error == NOT_FINITE else ServingError
        raise kind("The model gave no answer", expected=f"{count} answers", found=told.error or "another number")
    return told.answers


def _give(waiting: _Waiting, answers: list[Any]) -> None:
    with contextlib.suppress(InvalidStateError):  # its caller could not wait any longer
        waiting.answers.set_result(answers)


def _fail(waiting: _Waiting, error: ServingError) -> None:
    with contextlib.suppress(InvalidStateError):
        waiting.answers.set_exception(error)


if TYPE_CHECKING:

    def _bound(scorer: PythonScorer) -> Scorer:
        return scorer
