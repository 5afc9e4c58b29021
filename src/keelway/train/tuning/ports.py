"""What tuning asks of the world: an optimiser that remembers its studies beyond the life of a process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal, Protocol

from keelway.core import Scalar
from keelway.project import Choice, Pruner, Range, Sampler
from keelway.train.tuning.record import TuningTrial

Space = Mapping[str, Range | Choice]


@dataclass(frozen=True, slots=True)
class StudyTerms:
    """What decides which parameters a study proposes.

    Attributes:
        name: The same name carries the same study on.
        start: Parameters of the first trial; those that are missing are proposed.
        folds: After how many values a trial is complete.
        parallel: Whether several workers may ask before others have told.
    """

    name: str
    space: dict[str, Range | Choice]
    larger_is_better: bool
    seed: int
    folds: int
    sampler: Sampler = "tpe"
    pruner: Pruner = "median"
    start: dict[str, Scalar] = field(default_factory=dict)
    parallel: bool = False


def within(value: Scalar, allowed: Range | Choice) -> bool:
    """Say whether a space holds a value.

    >>> within(3, Range(1, 9, step=2)), within(4, Range(1, 9, step=2)), within("a", Choice(("a", "b")))
    (True, False, True)
    """
    if isinstance(allowed, Choice):
        return any(value == each and type(value) is type(each) for each in allowed.values)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or (allowed.whole and value != int(value)):
        return False
    steps = (value - allowed.low) / allowed.step if allowed.step else 0.0
    return allowed.low <= value <= allowed.high and abs(steps - round(steps)) < 1e-9


@dataclass(frozen=True, slots=True)
class Asked:
    """Parameters to try."""

    number: int
    parameters: dict[str, Scalar]


class Study(Protocol):
    """One worker's hand on a study.

    Promises: what was reported or told is there after `kill -9`. A trial whose worker is gone is marked as stale, once, and
    its parameters are proposed again before others. With one worker, what is proposed depends on terms and
    earlier trials alone, so that an interrupted study goes on as if it had not been.
    """

    def ask(self, wanted: Callable[[Sequence[TuningTrial]], bool]) -> Asked | None:
        """Begin a trial, or return None where `wanted` says, of all trials so far, that no more is wanted.

        No other worker begins a trial between the question and the beginning.
        """
        ...

    def report(self, number: int, means: Sequence[float]) -> bool:
        """Tell the means of the folds so far, newest last, and return whether the trial should be pruned."""
        ...

    def tell(
        self, number: int, status: Literal["complete", "pruned", "failed", "stopped"], value: float | None, error: str
    ) -> None:
        """End a trial that this worker began."""
        ...

    def trials(self) -> Sequence[TuningTrial]:
        """Return all trials that were begun, in order."""
        ...


class Studies(Protocol):
    """Where studies are kept. Several processes of this machine may work on one study; errors are `EngineError`."""

    def open(self, terms: StudyTerms) -> AbstractContextManager[Study]:
        """Open a study as one worker, until the block ends; a new one where there is none of that name."""
        ...

    def trials(self, name: str) -> Sequence[TuningTrial]:
        """Return the trials of a study, in order; none where there is no such study."""
        ...

    def newest(self, prefix: str) -> str:
        """Return the name of the study that was made last, of those whose name starts so; empty where there is none."""
        ...

    def importances(self, space: Space, trials: Sequence[TuningTrial], *, seed: int) -> dict[str, float]:
        """Return what each parameter's choice is worth, in sum 1, most first; empty of fewer than two complete trials."""
        ...
