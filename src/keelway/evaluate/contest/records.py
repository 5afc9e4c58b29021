"""The records of a contest: several models on the same rows, each against the first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from keelway.evaluate.aspects import GainStep
from keelway.evaluate.findings import Calibration
from keelway.evaluate.records import Comparison, Correction
from keelway.evaluate.uncertainty import Interval
from keelway.project import Task

ContestWord = Literal["better", "worse", "no difference worth having", "undecided"]


@dataclass(frozen=True, slots=True)
class Contestant:
    """One model of a contest.

    Attributes:
        figures: Its metrics, in the order asked for.
        calibration: Whether its probabilities can be taken at their word; None for numbers.
        gains: Gain and lift by tenths of the rows; empty unless binary, and where these rows are too few.
    """

    name: str
    figures: dict[str, Interval]
    calibration: Calibration | None
    gains: tuple[GainStep, ...]


@dataclass(frozen=True, slots=True)
class Duel:
    """One model against the first one, by one metric.

    Attributes:
        name: The model.
        comparison: The paired test.
        word: What is shown, in one word.
        sentence: The same as a sentence, with the figures.
    """

    name: str
    comparison: Comparison
    word: ContestWord
    sentence: str


@dataclass(frozen=True, slots=True)
class ContestSlice:
    """The first metric of every model on the rows that share a value.

    Attributes:
        column: The column that slices.
        level: Its value; for numbers the range.
        rows: How many rows there are.
        enough: Whether they suffice to be judged.
        figures: Of each model that has one on these rows.
        duels: Each model against the first on these rows, corrected for all slices together; empty where not judged.
    """

    column: str
    level: str
    rows: int
    enough: bool
    figures: dict[str, Interval]
    duels: tuple[Duel, ...]


@dataclass(frozen=True, slots=True)
class Contest:
    """Several models on the same rows.

    Attributes:
        task: What they predict.
        rows: How many rows there were.
        positives: How many of them had the outcome; 0 unless binary.
        groups: How many entities the rows belong to, where several are of one; else 0.
        metrics: What was measured; the first decides.
        margins: The smallest difference worth having, by metric; 0 where any is.
        correction: How p-values were corrected, over all duels together.
        seed: Of every bootstrap.
        models: The baseline first.
        duels: Every other model against the baseline, by every metric.
        slices: The first metric by the values of columns.
        leader: The model that the first metric speaks for: the baseline unless another one is shown to be better.
    """

    task: Task
    rows: int
    positives: int
    groups: int
    metrics: tuple[str, ...]
    margins: dict[str, float]
    correction: Correction
    seed: int
    models: tuple[Contestant, ...]
    duels: tuple[Duel, ...]
    slices: tuple[ContestSlice, ...]
    leader: str

    @property
    def baseline(self) -> Contestant:
        """The model that all others are compared with."""
        return self.models[0]

    @property
    def deciding(self) -> tuple[Duel, ...]:
        """The duels by the metric that decides."""
        return tuple(each for each in self.duels if each.comparison.metric == self.metrics[0])
