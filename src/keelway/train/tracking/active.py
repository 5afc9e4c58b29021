"""A run that is going on: figures are put into memory in about a microsecond and written by whole batches.

    with keelway.run("baseline", parameters={"depth": 3}) as run:
        for step in range(100):
            run.log("loss", 1 / (step + 1), step=step)
        run.log({"auc": 0.81})

A batch is written after a second or a thousand values, whichever comes first: so much, at most, does `kill -9` take.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from keelway.core import ArtifactKind, ArtifactStore, Clock, Digest, RunId, Scalar, is_digest
from keelway.errors import StorageError, UsageError
from keelway.train.tracking.lines import GIVEN, encode, number_told, opening_line
from keelway.train.tracking.machine import system_meter
from keelway.train.tracking.ports import RunJournal
from keelway.train.tracking.record import RunOpening, TrackedRun

FLUSH_S = 1.0
FLUSH_POINTS = 1000
SYSTEM_EVERY_S = 10.0
MAX_NAME = 250
LARGEST_INTEGER = 2**53
_LOG = logging.getLogger("keelway.runs")
_current: ContextVar[ActiveRun | None] = ContextVar("keelway_run", default=None)


class ActiveRun:
    """An open run; safe to log to from several threads of its process.

    Args:
        opening: What is known when it opens.
        journal: Its journal, empty.
        artifacts: Takes what it leaves.
        clock: Tells the time of figures.
        record: Called once at the end with the journal, complete; returns the record it made.
        flush_s: Write what is in memory after so many seconds; 0 only when asked to, or after a thousand values.
    """

    def __init__(
        self,
        opening: RunOpening,
        *,
        journal: RunJournal,
        artifacts: ArtifactStore,
        clock: Clock,
        record: Callable[[RunJournal], TrackedRun],
        flush_s: float = FLUSH_S,
    ) -> None:
        self.opening = opening
        self._journal = journal
        self._artifacts = artifacts
        self._now = clock.now
        self._record = record
        self._points: deque[tuple[str, float, int, Any]] = deque()
        self._events: deque[list[Any]] = deque()
        self._steps: dict[str, int] = {}
        self._told: set[str] = set()
        self._writing = threading.Lock()
        self._ended = threading.Event()
        self._owner = os.getpid()
        self._meter = system_meter()
        self._tokens: list[Token[ActiveRun | None]] = []
        self._result: TrackedRun | None = None
        journal.append(opening_line(opening))
        if flush_s > 0:
            threading.Thread(target=_keep_writing, args=(weakref.ref(self), self._ended, flush_s), daemon=True).start()

    @property
    def id(self) -> RunId:
        """The run's id, as `keelway runs show` takes it."""
        return self.opening.run_id

    @property
    def seed(self) -> int:
        """The seed it was opened with, for everything random."""
        return self.opening.seed

    def log(
        self, figures: str | Mapping[str, float], value: float | None = None, /, *, step: int | None = None
    ) -> None:
        """Log the value of a figure, or several at once.

        Args:
            figures: The figure's name, or a mapping of names to values.
            value: Any number, also NaN or infinite, where a name is given.
            step: Where in the course of the run it belongs; by default the next one of that figure, from 0.

        Raises:
            UsageError: The value is no number, or the run has ended.
        """
        if isinstance(figures, str):
            self._note(figures, value, step)
        else:
            for name, each in figures.items():
                self._note(name, each, step)

    def parameter(self, name: str, value: object) -> None:
        """Say what the run was given; the last value of a name counts."""
        self._tell(["p", _name(name), scalar_of(value)])

    def parameters(self, values: Mapping[str, object]) -> None:
        """Say several parameters at once."""
        for name, value in values.items():
            self.parameter(name, value)

    def tag(self, name: str, value: object) -> None:
        """Give the run a text to be found by."""
        self._tell(["t", _name(name), str(value)])

    def warn(self, text: str) -> None:
        """Keep a warning with the run."""
        self._tell(["w", text])

    def artifact(self, content: Path | str | bytes, *, name: str = "") -> Digest:
        """Keep a file or bytes with the run, and return their digest.

        Args:
            content: The path of a file, or the bytes themselves.
            name: What it is called; a file's own name by default.

        Raises:
            UsageError: There is no such file, or bytes come without a name.
        """
        if isinstance(content, bytes):
            if not name:
                raise UsageError("Bytes need a name", expected='name="..."', found="none")
            digest = self._artifacts.put(content, kind=ArtifactKind.REPORT, name=name).digest
        else:
            path = Path(content)
            if not path.is_file():
                raise UsageError("There is no such file to keep", expected="the path of a file", found=str(path))
            name = name or path.name
            digest = self._artifacts.put_file(path, kind=ArtifactKind.REPORT, name=name).digest
        self._tell(["a", _name(name), digest])
        return digest

    def data(self, inputs: Any, outputs: Any = None) -> None:
        """Say what the run learned from: its digest, the signature and an input example are kept, never a row.

        Args:
            inputs: A data frame, an Arrow table or an array, or the digest of a record that names the data.
            outputs: What is predicted, for the signature; an array or a column.
        """
        from keelway.train.tracking.described import described

        given = {"dataset": str(inputs)} if is_digest(inputs) else described(inputs, outputs)
        for name in GIVEN:
            if given.get(name):
                self._tell(["s", name, given[name]])

    def flush(self) -> None:
        """Write what is in memory.

        Raises:
            StorageError: It cannot be written; it stays in memory.
        """
        if os.getpid() != self._owner:  # a forked child holds a copy of what its parent will write
            self._points.clear()
            self._events.clear()
            return
        with self._writing:
            batch = [self._points.popleft() for _ in range(len(self._points))]
            events = [self._events.popleft() for _ in range(len(self._events))]
            lines = [["m", name, number_told(value), step, at.timestamp()] for name, value, step, at in batch]
            events += self._strange(batch)
            try:
                if lines or events:
                    self._journal.append(encode([*events, *lines]))
            except StorageError:
                self._points.extendleft(reversed(batch))
                self._events.extendleft(reversed(events))
                raise

    def measure(self) -> None:
        """Log how busy the machine is."""
        self.log(self._meter())

    def close(self, *, status: str = "succeeded", error: str = "") -> TrackedRun:
        """End the run and record it; a second call returns the same record.

        Raises:
            StorageError: It cannot be recorded; its journal stays and is recorded by the next `keelway runs`.
        """
        if self._result is None:
            self.measure()
            self._ended.set()
            try:
                self.flush()
                self._journal.append(encode([["end", status, error, self._now().timestamp()]]))
                self._result = self._record(self._journal)
            finally:
                self._journal.close()
        return self._result

    def __enter__(self) -> Self:
        self._tokens.append(_current.set(self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        _current.reset(self._tokens.pop())
        if error is None:
            self.close()
        else:
            status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            self.close(status=status, error=f"{type(error).__name__}: {error}"[:2000])

    def _note(self, name: str, value: Any, step: int | None) -> None:
        try:
            number = float(value)
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"Figure {name!r} is no number", expected="a number", found=type(value).__name__, fix="Log a float."
            ) from error
        if step is None:
            step = self._steps.get(name, -1) + 1
        self._steps[name] = step
        if self._ended.is_set():
            raise _over(self.id)
        self._points.append((name, number, step, self._now()))
        if len(self._points) >= FLUSH_POINTS:
            self.flush()

    def _tell(self, event: list[Any]) -> None:
        if self._ended.is_set():
            raise _over(self.id)
        self._events.append(event)

    def _strange(self, batch: list[tuple[str, float, int, Any]]) -> list[list[Any]]:
        """Return a warning for each figure that is no finite number for the first time."""
        found = []
        for name, value, step, _ in batch:
            if not math.isfinite(value) and name not in self._told:
                self._told.add(name)
                found.append(["w", f"{name} is {value} from step {step} on"])
                _LOG.warning("%s is %s from step %s on (run %s)", name, value, step, self.id)
        return found


def current_run() -> ActiveRun | None:
    """Return the run whose `with` block is open here, or None."""
    return _current.get()


def parent_run() -> str:
    """Return the id of the run that a new one belongs to: the open one, or that of the process that started this one."""
    around = current_run()
    return around.id if around else os.environ.get("KEELWAY_RUN", "")


def scalar_of(value: object) -> Scalar:
    """Return a value as a parameter: numbers, truths and texts as they are, everything else as text."""
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        value = value.item()  # a number of numpy
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return value if abs(value) <= LARGEST_INTEGER else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return str(value)


def _name(name: str) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
        raise UsageError("This is not a name", expected=f"1 to {MAX_NAME} characters", found=repr(name)[:100])
    return name


def _over(run_id: RunId) -> UsageError:
    return UsageError(
        f"Run {run_id} has ended", expected="an open run", found="a closed one", fix="Log inside its `with` block."
    )


def _keep_writing(which: weakref.ref[ActiveRun], ended: threading.Event, flush_s: float) -> None:
    """Write what is in memory again and again, and measure the machine now and then, until the run ends."""
    rounds, waited = 0, 0.0
    while not ended.wait(flush_s):
        run = which()
        if run is None:
            return
        waited += flush_s
        try:
            if waited >= SYSTEM_EVERY_S * rounds:
                run.measure()
                rounds += 1
            run.flush()
        except StorageError as error:  # what is in memory stays there, and is written at the end or told then
            _LOG.warning("the journal of run %s cannot be written: %s", run.id, error)
        except UsageError:  # it ended between the wait and here
            return
        del run
