"""One worker of a search: asks, tries, tells, until nothing more is wanted.

Beside the worker of the calling process others run as processes of their own, which read their work from standard input and end themselves as soon as that is closed: none outlives its parent.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import IO

from keelway.core import Clock
from keelway.errors import TrainingError
from keelway.project import Search
from keelway.train.tuning.objective import Objective
from keelway.train.tuning.ports import Asked, Studies, Study, StudyTerms
from keelway.train.tuning.record import TuningTrial
from keelway.train.tuning.stopping import best_of, considered, seconds_spent

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class SearchJob:
    """Everything that a worker needs.

    Attributes:
        wall: The clock on the wall, for the time limit.
    """

    terms: StudyTerms
    search: Search
    metric: str
    objective: Objective
    studies: Studies
    wall: Clock

    def work(self, progress: Callable[[str], None]) -> None:
        """Try parameters until the search has enough, or its time is up."""
        with self.studies.open(self.terms) as study:
            deadline = self._deadline(study)
            while (asked := study.ask(lambda trials: self._wanted(trials, deadline))) is not None:
                self._try(asked, study, deadline)
                progress(self._told(asked.number, study))

    def _deadline(self, study: Study) -> datetime | None:
        if self.search.timeout_s is None:
            return None
        left = self.search.timeout_s - seconds_spent(trial for trial in study.trials() if trial.status != "stale")
        return self.wall.now() + timedelta(seconds=left)

    def _wanted(self, trials: Sequence[TuningTrial], deadline: datetime | None) -> bool:
        counted, ending = considered(trials, self.search, larger_is_better=self.terms.larger_is_better)
        return ending is None and not self._late(counted, deadline)

    def _late(self, trials: Sequence[TuningTrial], deadline: datetime | None) -> bool:
        """Say whether the time is up; it never is before one trial is complete."""
        return (
            deadline is not None and self.wall.now() >= deadline and any(trial.status == "complete" for trial in trials)
        )

    def _try(self, asked: Asked, study: Study, deadline: datetime | None) -> None:
        values: list[float] = []
        means: list[float] = []
        try:
            for value in self.objective.values(asked.parameters):
                values.append(value)
                means.append(sum(values) / len(values))
                pruned = study.report(asked.number, means)
                if len(values) == len(self.objective.folds):
                    break
                if pruned:
                    study.tell(asked.number, "pruned", None, "")
                    return
                if self._late(study.trials() if deadline else (), deadline):
                    study.tell(asked.number, "stopped", None, "the time was up")
                    return
        except TrainingError as error:
            study.tell(asked.number, "failed", None, str(error))
        else:
            study.tell(asked.number, "complete", means[-1], "")

    def _told(self, number: int, study: Study) -> str:
        trials = study.trials()
        [trial] = [each for each in trials if each.number == number]
        best = best_of(trials, larger_is_better=self.terms.larger_is_better)
        ended = sum(each.status in ("complete", "pruned", "failed") for each in trials)
        told = f"{trial.value:.5g}" if trial.value is not None else trial.status
        leader = f", best {best.value:.5g} (trial {best.number})" if best is not None else ""
        name = self.objective.estimator.name
        return f"{name}: trial {number}, {ended} of at most {self.search.trials}: {self.metric} {told}{leader}"


@contextlib.contextmanager
def helpers(job: SearchJob, count: int, progress: Callable[[str], None]) -> Iterator[None]:
    """Run workers beside the block, and wait for them where it ends well; end them at once where it raises."""
    running = [_Helper(job, progress) for _ in range(count)]
    try:
        yield
        for each in running:
            each.wait()
    finally:
        for each in running:
            each.end()


class _Helper:
    """A worker in a process of its own; lives no longer than its standard input is open."""

    def __init__(self, job: SearchJob, progress: Callable[[str], None]) -> None:
        threads = str(max(1, (os.cpu_count() or 1) // job.search.workers))
        environment = {name: threads for name in THREAD_VARIABLES if name not in os.environ}
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"from {__name__} import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # an interrupt from the keyboard is for the parent, which then closes the pipe
            env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._threads = (
            threading.Thread(target=_pass_on, args=(self._process.stdout, progress), daemon=True),
            threading.Thread(target=_hand_over, args=(job, self._process.stdin, progress), daemon=True),
        )
        for thread in self._threads:
            thread.start()

    def wait(self) -> None:
        """Wait until it has nothing more to do; what one that died leaves is done by the others."""
        self._process.wait()

    def end(self) -> None:
        """Close its input, which ends it."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended already, with something unread
            self._process.stdin.close()
        self._process.wait()
        for thread in self._threads:
            thread.join()
        assert self._process.stdout is not None
        self._process.stdout.close()


def _hand_over(job: SearchJob, stream: IO[bytes], progress: Callable[[str], None]) -> None:
    try:
        pickle.dump(job, stream)
        stream.flush()
    except (BrokenPipeError, ValueError):  # it died, or was ended, before it began: the others do its work
        progress("a worker could not be started; the others go on")


def _pass_on(lines: IO[bytes], progress: Callable[[str], None]) -> None:
    for line in lines:
        progress(line.decode(errors="replace").rstrip())


def _end_with(descriptor: int) -> None:
    """Wait until the parent closes the pipe or dies, then end this process at once."""
    while os.read(descriptor, 4096):
        pass
    os._exit(1)


def main() -> None:
    """Work as a helper of the process at the other end of standard input."""
    job = pickle.load(sys.stdin.buffer)  # noqa: S301  (written by the parent, through a pipe that only it holds)
    assert isinstance(job, SearchJob)
    threading.Thread(target=_end_with, args=(sys.stdin.fileno(),), daemon=True).start()
    job.work(lambda line: print(line, flush=True))  # noqa: T201  (standard output is the way to the parent)
