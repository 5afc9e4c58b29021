"""The test rows of one model, and all that a scorecard says of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keelway.errors import TrainingError
from keelway.evaluate.aspects import (
    Columns,
    calibration_of,
    choose_threshold,
    class_calibration_of,
    fairness_of,
    slice_scores,
)
from keelway.evaluate.findings import Calibration, Fairness, SliceScore, ThresholdChoice
from keelway.evaluate.measure import measurable, measure
from keelway.evaluate.metrics import METRICS
from keelway.evaluate.paired import compare_by
from keelway.evaluate.records import Comparison
from keelway.evaluate.rows import checked_rows
from keelway.evaluate.uncertainty import Interval
from keelway.project import Model, Task
from keelway.train import TrainedModel, labels_of

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

MIN_OF_CLASS = 2  # what the variance of an AUC needs


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Test rows with their truth and a model's predictions.

    Attributes:
        model: What is declared.
        task: What is predicted.
        classes: The names of the classes, in the order of the probabilities.
        seed: Decides the draws of every bootstrap.
        truth: What came true, as the feature table says it.
        rows: The same as numbers; a class as its place among the classes.
        given: The predictions.
        groups: The entity of each row where several rows are of one, else None.
        parting: The values of each column that slices or is sensitive.
    """

    model: Model
    task: Task
    classes: tuple[str, ...]
    seed: int
    truth: Sequence[Any]
    rows: Numbers
    given: Numbers
    groups: Sequence[Any] | None
    parting: dict[str, Sequence[Any]]

    @property
    def primary(self) -> str:
        """The metric that decides."""
        return self.model.metrics[0]

    def metrics(self) -> tuple[dict[str, Interval], tuple[str, ...]]:
        """Return every metric that the model declares or the task has, and a sentence on each that has no value."""
        declared = self.model.metrics
        usual = [name for name in METRICS[self.task] if name not in declared]
        found = measurable(self.task, usual, self.rows, self.given)
        names = sorted((*declared, *found), key=[*METRICS[self.task], *declared].index)
        figures = measure(
            self.task,
            self.truth,
            self.given,
            metrics=names,
            seed=self.seed,
            classes=self.classes,
            groups=self.groups,
            resamples=self.model.evaluation.bootstrap,
        )
        without = [name for name in usual if name not in found]
        return figures, tuple(f"{name} has no value on these test rows and is left out." for name in without)

    def versus(self, other: Numbers, name: str) -> Comparison:
        """Return the comparison with another model's predictions, by the metric that decides."""
        return compare_by(
            self.primary,
            self.truth,
            self.given,
            other,
            against=name,
            task=self.task,
            classes=self.classes,
            groups=self.groups,
            smallest_difference=self.model.evaluation.smallest_difference,
            seed=self.seed,
            resamples=self.model.evaluation.bootstrap,
        )

    def calibration(self, known: Mapping[str, Interval]) -> Calibration | None:
        """Return whether probabilities can be taken at their word, from metrics measured before; None for numbers."""
        if self.task == "binary":
            return calibration_of(self.rows, self.given, seed=self.seed, known=known)
        if self.task == "multiclass":
            places, resamples = self.rows.astype(int), self.model.evaluation.bootstrap
            return class_calibration_of(places, self.given, seed=self.seed, resamples=resamples, groups=self.groups)
        return None

    def threshold(self) -> ThresholdChoice | None:
        """Return the cheapest threshold, where costs are declared."""
        declared = self.model.evaluation
        if declared.costs is None:
            return None
        return choose_threshold(
            self.rows, self.given, declared.costs, seed=self.seed, resamples=declared.bootstrap, groups=self.groups
        )

    def slices(self) -> tuple[SliceScore, ...]:
        """Return the metric that decides, by the columns that the model declares."""
        declared = self.model.evaluation
        return slice_scores(
            self.primary,
            self.truth,
            self.given,
            {name: self.parting[name] for name in declared.slices},
            task=self.task,
            classes=self.classes,
            min_support=declared.min_support,
            seed=self.seed,
            resamples=declared.bootstrap,
        )

    def fairness(self, threshold: float) -> tuple[Fairness, ...]:
        """Return how decisions fall on the groups of each sensitive column."""
        declared = self.model.evaluation
        return tuple(
            fairness_of(
                self.rows,
                self.given,
                self.parting[column],
                column=column,
                threshold=threshold,
                favourable=declared.favourable,
                min_support=declared.min_support,
            )
            for column in declared.sensitive
        )


def held_out_of(
    rows: pa.Table, columns: Columns, trained: TrainedModel, model: Model, predict: Callable[[Columns], Any]
) -> HeldOut:
    """Return the test rows of a feature table with the model's predictions.

    Raises:
        TrainingError: There are too few rows of a class, a row is of an unknown class, a prediction is no number, or a
            declared column is not there.
    """
    truth = labels_of(rows, trained.task).tolist()
    _check_enough(truth, trained)
    numbers, given = checked_rows(trained.task, truth, predict(columns), trained.classes)
    entities = rows["entity"].to_pylist() if "entity" in rows.column_names else []
    declared = model.evaluation
    return HeldOut(
        model=model,
        task=trained.task,
        classes=trained.classes,
        seed=trained.seed,
        truth=truth,
        rows=numbers,
        given=given,
        groups=entities if len(set(entities)) < len(entities) else None,
        parting={name: _column(rows, name) for name in (*declared.slices, *declared.sensitive)},
    )


def _check_enough(truth: Sequence[Any], trained: TrainedModel) -> None:
    """Refuse test rows of one class, or so few that nothing can be said."""
    if trained.task == "binary":
        positives = sum(truth)
        few, found = (
            min(positives, len(truth) - positives),
            f"{positives} positive and {len(truth) - positives} negative",
        )
    else:
        few, found = len(truth), f"{len(truth)} rows"
    if few < MIN_OF_CLASS:
        raise TrainingError(
            "The test cut cannot be measured",
            expected=f"at least {MIN_OF_CLASS} rows" + (" of each class" if trained.task == "binary" else ""),
            found=found,
            fix="Choose cuts with more rows, or check the label's function.",
        )


def _column(rows: pa.Table, name: str) -> Sequence[Any]:
    if name not in rows.column_names:
        raise TrainingError(
            "A column to slice by is not in the feature table",
            expected="a column that a feature set returns",
            found=name,
            fix="Correct Evaluation(slices=..., sensitive=...), or return the column from a feature function.",
        )
    values: list[Any] = rows[name].to_pylist()
    return values
