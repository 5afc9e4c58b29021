"""The rows of a contest: one truth, and what each model predicted for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from keelway.evaluate.measure import measure
from keelway.evaluate.metrics import greater_is_better
from keelway.evaluate.paired import compare_by
from keelway.evaluate.records import Comparison
from keelway.evaluate.rows import checked_rows
from keelway.evaluate.uncertainty import Interval
from keelway.evaluate.verdict import verdict_of
from keelway.project import Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Numbers = NDArray[np.float64]

SAME = 1e-6
"""Two predictions that differ by less, and by less than this share of themselves, are one: exports count in 32 bits."""


@dataclass
class ContestRows:
    """Truth and predictions of several models, checked.

    Attributes:
        truth: What came true, a value a row, as the feature table says it.
        predictions: Each model's, by name, the baseline's first.
        groups: A number for the entity of each row where several rows are of one, else None.
        truth_numbers: The truth as numbers; a class as its place.
        given: The predictions as arrays.
    """

    task: Task
    classes: tuple[str, ...]
    truth: Sequence[Any]
    predictions: Mapping[str, ArrayLike]
    groups: NDArray[np.intp] | None
    seed: int
    resamples: int
    truth_numbers: Numbers = field(init=False)
    given: dict[str, Numbers] = field(init=False)

    def __post_init__(self) -> None:
        self.given = {}
        for name, values in self.predictions.items():
            self.truth_numbers, self.given[name] = checked_rows(self.task, self.truth, values, self.classes)

    @property
    def baseline(self) -> str:
        """The model that all others are compared with."""
        return next(iter(self.given))

    @property
    def others(self) -> tuple[str, ...]:
        """All other models."""
        return tuple(self.given)[1:]

    def same(self, name: str) -> bool:
        """Say whether a model predicts the same as the baseline for every row, up to what an export rounds."""
        import numpy as np

        return bool(np.allclose(self.given[name], self.given[self.baseline], rtol=SAME, atol=SAME))

    def figures(self, name: str, metrics: Sequence[str]) -> dict[str, Interval]:
        """Return metrics of one model."""
        return measure(
            self.task,
            self.truth,
            self.given[name],
            metrics=metrics,
            seed=self.seed,
            classes=self.classes,
            groups=self.groups,
            resamples=self.resamples,
        )

    def duel(self, metric: str, name: str) -> Comparison:
        """Return the paired test of a model with the baseline."""
        return compare_by(
            metric,
            self.truth,
            self.given[name],
            self.given[self.baseline],
            against=self.baseline,
            task=self.task,
            classes=self.classes,
            groups=self.groups,
            seed=self.seed,
            resamples=self.resamples,
        )

    def judged(self, found: Comparison, margin: float) -> Comparison:
        """Return a comparison with the verdict that follows from a margin."""
        verdict = verdict_of(
            found.difference,
            found.p_value,
            greater_is_better=greater_is_better(found.metric),
            smallest_difference=margin,
        )
        return replace(found, verdict=verdict, smallest_difference=margin)

    def part(self, own: NDArray[np.bool_]) -> ContestRows:
        """Return some of the rows."""
        import numpy as np

        places = np.flatnonzero(own).tolist()
        return ContestRows(
            self.task,
            self.classes,
            [self.truth[place] for place in places],
            {name: values[own] for name, values in self.given.items()},
            None if self.groups is None else self.groups[own],
            self.seed,
            self.resamples,
        )
