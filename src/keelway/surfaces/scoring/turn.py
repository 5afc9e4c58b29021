"""Requests that are read in one turn of the event loop are answered together: scored in one call, logged in one write.

Nobody waits for others to come: only what is there already is taken together. Where arms are compared, or a shadow looks on,
requests are answered one by one, so that the times of the arms stay comparable.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from keelway.serve import (
    UNMARKED,
    Answer,
    JournalLog,
    LoadedDeployment,
    LoadedVersion,
    RequestMark,
    Row,
    answer_rows,
    moment_text,
)
from keelway.surfaces.scoring.metrics import ScoringMetrics

MOST_ROWS = 256
"""So many rows are answered in one call; a request that has more is answered alone."""


Told = Callable[[list[Answer] | Exception], None]
"""Takes the answers to a request's rows, in their order, or what went wrong; raises nothing."""


@dataclass(slots=True)
class _TurnRequest:
    """One request that waits for its answers; `begun` is in seconds of `time.perf_counter`."""

    rows: Sequence[Row]
    loaded: LoadedDeployment
    now: datetime
    mark: RequestMark
    begun: float
    told: Told


class _ApartError(Exception):
    """A version could not answer some of the rows; nothing was logged."""


class TurnAnswers:
    """Answers the requests of one model, those of each event loop by themselves."""

    def __init__(self, log: JournalLog, metrics: ScoringMetrics) -> None:
        self._log, self._metrics = log, metrics
        self._asked: dict[asyncio.AbstractEventLoop, list[_TurnRequest]] = {}

    @staticmethod
    def takes(rows: Sequence[Row], loaded: LoadedDeployment) -> bool:
        """Say whether a request may be answered together with others."""
        return len(rows) < MOST_ROWS and len(loaded.arms) < 2 and not loaded.shadows

    def ask(
        self, rows: Sequence[Row], loaded: LoadedDeployment, *, now: datetime, told: Told, mark: RequestMark = UNMARKED
    ) -> None:
        """Let the rows of one request be answered at the end of this turn of the running loop.

        Args:
            rows: Whole, under the entities that the log knows.
            told: Told the answers; or a ServingError where there are none, and nothing was logged; or an UnavailableError
                where the log takes nothing now, and refuses what it cannot take.
            mark: What the log tells of the request.
        """
        loop = asyncio.get_running_loop()
        turn = self._asked.get(loop)
        if turn is None:
            turn = self._asked[loop] = []
            loop.call_soon(self._answer, loop)
        turn.append(_TurnRequest(rows, loaded, now, mark, time.perf_counter(), told))

    async def answers(
        self, rows: Sequence[Row], loaded: LoadedDeployment, *, now: datetime, mark: RequestMark = UNMARKED
    ) -> list[Answer]:
        """Return the answers to the rows of one request, in their order; see `ask`.

        Raises:
            ServingError: They cannot be answered; nothing was logged.
            UnavailableError: The log takes nothing now, and refuses what it cannot take.
        """
        mine: asyncio.Future[list[Answer]] = asyncio.get_running_loop().create_future()

        def told(found: list[Answer] | Exception) -> None:
            if mine.done():  # the caller is gone
                return
            if isinstance(found, Exception):
                mine.set_exception(found)
            else:
                mine.set_result(found)

        self.ask(rows, loaded, now=now, told=told, mark=mark)
        return await mine

    def _answer(self, loop: asyncio.AbstractEventLoop) -> None:
        """Answer everything that was asked in this turn."""
        for _, same in itertools.groupby(self._asked.pop(loop), key=lambda each: id(each.loaded)):
            for some in _parts(list(same)):
                if len(some) == 1:
                    self._answer_alone(some[0])
                else:
                    self._answer_together(some)

    def _answer_together(self, asked: Sequence[_TurnRequest]) -> None:
        rows = [row for each in asked for row in each.rows]
        marks = [each.mark for each in asked for _ in each.rows]
        at = moment_text(asked[-1].now)
        try:
            answers = answer_rows(rows, asked[0].loaded, log=self._log, at=at, marks=marks, on_failure=_apart)
        except _ApartError:  # one of them is to blame: only that one may fail
            for each in asked:
                self._answer_alone(each)
        except Exception as error:  # noqa: BLE001  (whatever it is, it is the callers' to tell)
            for each in asked:
                each.told(error)
        else:
            ended, shares = time.perf_counter(), iter(answers)
            found = [(list(itertools.islice(shares, len(each.rows))), ended - each.begun) for each in asked]
            self._metrics.scored(found)
            for each, (mine, _) in zip(asked, found, strict=True):
                each.told(mine)

    def _answer_alone(self, asked: _TurnRequest) -> None:
        marks, at = [asked.mark] * len(asked.rows), moment_text(asked.now)
        failed = self._metrics.failed
        try:
            answers = answer_rows(asked.rows, asked.loaded, log=self._log, at=at, marks=marks, on_failure=failed)
        except Exception as error:  # noqa: BLE001  (whatever it is, it is the caller's to tell)
            asked.told(error)
        else:
            self._metrics.scored([(answers, time.perf_counter() - asked.begun)])
            asked.told(answers)


def _parts(asked: Sequence[_TurnRequest]) -> Iterator[list[_TurnRequest]]:
    """Yield requests in groups of few rows."""
    part: list[_TurnRequest] = []
    count = 0
    for each in asked:
        if part and count + len(each.rows) > MOST_ROWS:
            yield part
            part, count = [], 0
        part.append(each)
        count += len(each.rows)
    if part:
        yield part


def _apart(_version: LoadedVersion, _undefined: bool) -> None:
    raise _ApartError
