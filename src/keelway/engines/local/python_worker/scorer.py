"""A scorer whose answers come from processes: rows of many requests are put together and answered in one call.

While a process computes, the next rows gather; it gets them as soon as it is free. A process that dies or does not answer is
ended and started anew; while it keeps failing its breaker leaves it alone, and requests fail at once, so that what is declared
as a fallback answers. What waited too long is refused before it is computed.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from keelway.engines.local.python_worker.line import WorkerLine
from keelway.engines.local.python_worker.messages import NOT_FINITE, WorkerAnswer, WorkerModel
from keelway.engines.local.python_worker.waiting import PythonRule, Waiting, WaitingRows, hand_out
from keelway.errors import EngineError, IntegrityError, ServingError, UnavailableError, UndefinedAnswerError
from keelway.register import check_row_lengths
from keelway.serve import Breaker

if TYPE_CHECKING:
    from keelway.serve import Scorer

IDLE_S = 0.05


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
        self._waiting = WaitingRows(rule)
        self._closed = threading.Event()
        self._lines: dict[str, WorkerLine | None] = {}
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
        answers: Future[list[Any]] = Future()
        self._ask(Waiting(rows, time.monotonic(), answers))
        try:
            return answers.result(2 * self._rule.timeout_s)
        except TimeoutError as error:
            answers.cancel()
            raise _not_in_time() from error

    async def awaited(self, rows: Sequence[Sequence[Any]]) -> list[Any]:
        """Return the answer to each row, without a thread that waits for it.

        Raises:
            UnavailableError: No process is there to ask, or the request waited too long.
            ServingError: The model gave no answer.
        """
        if not rows:
            return []
        loop = asyncio.get_running_loop()
        answers: asyncio.Future[list[Any]] = loop.create_future()
        self._ask(Waiting(rows, time.monotonic(), answers, loop))
        timer = loop.call_later(2 * self._rule.timeout_s, _give_up, answers)
        try:
            return await answers
        finally:
            timer.cancel()

    def _ask(self, waiting: Waiting) -> None:
        """Let a request wait for its answers."""
        check_row_lengths(waiting.rows, len(self.features))
        if self._is_left_alone:
            raise self._breaker.refusal(self._names[0])
        self._waiting.put(waiting)

    @property
    def _is_left_alone(self) -> bool:
        """Whether no process is asked now."""
        return all(state == "open" for state in self._breaker.states().values())

    def close(self) -> None:
        """End the processes; what waits is refused."""
        self._closed.set()
        self._waiting.close()
        for line in self._lines.values():
            if line is not None:
                line.end()
        hand_out((each, UnavailableError("The model is no longer served")) for each in self._waiting.emptied())

    def _run(self, name: str) -> None:
        """Take batches and have one process answer them, until closed."""
        while not self._closed.is_set():
            if self._breaker.states()[name] == "open":
                if self._is_left_alone:
                    hand_out((each, self._breaker.refusal(name)) for each in self._waiting.emptied())
                self._closed.wait(IDLE_S)
                continue
            batch = self._waiting.taken()
            if not batch:
                continue
            if self._breaker.allows(name):
                self._answer(name, batch)
            else:
                hand_out((each, self._breaker.refusal(name)) for each in batch)

    def _answer(self, name: str, batch: list[Waiting]) -> None:
        """Have a process answer, in calls of at most so many rows, and hand out the answers."""
        rows = [list(row) for each in batch for row in each.rows]
        answers: list[Any] = []
        begun = time.monotonic()
        try:
            line = self._line(name)
            for start in range(0, len(rows), self._rule.batch):
                part = rows[start : start + self._rule.batch]
                answers += _answers_in(line.ask(part), len(part))
        except (EngineError, IntegrityError) as error:
            self._lost(name)
            hand_out((each, ServingError(error.what, expected=error.expected, found=error.found)) for each in batch)
            return
        except ServingError as error:
            self._breaker.failed(name)
            self._one_by_one(name, batch, error)
            return
        self._waiting.called(len(rows), time.monotonic() - begun)
        self._breaker.succeeded(name)
        ends = itertools.accumulate(len(each.rows) for each in batch)
        hand_out([(each, answers[end - len(each.rows) : end]) for each, end in zip(batch, ends, strict=True)])

    def _one_by_one(self, name: str, batch: list[Waiting], error: ServingError) -> None:
        """Ask again for each request alone, so that one that the model cannot answer costs no other its answer."""
        if len(batch) == 1:
            hand_out([(batch[0], error)])
            return
        for each in batch:
            if self._breaker.states()[name] == "closed":
                self._answer(name, [each])
            else:
                hand_out([(each, error)])

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


def _not_in_time() -> UnavailableError:
    return UnavailableError("The model does not answer in time", found="no answer")


def _give_up(answers: asyncio.Future[list[Any]]) -> None:
    if not answers.done():
        answers.set_exception(_not_in_time())


if TYPE_CHECKING:

    def _bound(scorer: PythonScorer) -> Scorer:
        return scorer
