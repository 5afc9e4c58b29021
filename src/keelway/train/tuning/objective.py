"""How good parameters are: fitted on the training part of each fold, measured on its other part."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from keelway.core import Scalar
from keelway.errors import TrainingError
from keelway.features import FeatureTable
from keelway.project import Estimator, Model, Task
from keelway.train.folds import Fold, folds
from keelway.train.frame import encoded, frame_of
from keelway.train.lesson import Lesson, fitted_pipeline
from keelway.train.suitable import check_features, suitable_labels

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

Score = Callable[["NDArray[Any]", "NDArray[np.float64]", Sequence[str]], float]
"""Returns a metric from truths, predictions, and the names of classes in the order of the predictions' columns."""


@dataclass(frozen=True, slots=True)
class TrialFold:
    """One fold, ready to be tried on.

    Attributes:
        lesson: The rows to learn from.
        frame: The rows to be measured on.
        truth: Their outcomes, as a metric takes them.
    """

    name: str
    lesson: Lesson
    frame: pd.DataFrame
    truth: NDArray[Any]


@dataclass(frozen=True, slots=True)
class Objective:
    """The folds and the metric that parameters are judged by."""

    estimator: Estimator
    folds: tuple[TrialFold, ...]
    classes: tuple[str, ...]
    task: Task
    score: Score

    def values(self, parameters: dict[str, Scalar]) -> Iterator[float]:
        """Yield the metric on each fold, in order.

        Raises:
            TrainingError: The estimator refuses the parameters or the rows, or the metric has no value.
        """
        tried = replace(
            self.estimator, parameters={**self.estimator.parameters, **parameters}, space={}, calibrate=None
        )
        for fold in self.folds:
            pipeline = fitted_pipeline(fold.lesson, tried)
            value = float(self.score(fold.truth, self._answers(pipeline, fold.frame), self.classes))
            if not math.isfinite(value):
                raise TrainingError(
                    f"Estimator {tried.name!r} gives answers that cannot be measured",
                    expected="a finite metric",
                    found=f"{value} {fold.name}",
                )
            yield value

    def _answers(self, pipeline: Any, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Return predictions as `train.predictions` does; a class that the fold lacks has probability 0."""
        import numpy as np

        if self.task == "regression":
            return np.asarray(pipeline.predict(frame), dtype=np.float64)
        found = np.asarray(pipeline.predict_proba(frame), dtype=np.float64)
        if self.task == "binary":
            return found[:, 1]
        given = np.zeros((len(found), len(self.classes)))
        given[:, np.asarray(pipeline.classes_, dtype=np.intp)] = found
        return given


def objective_of(
    rows: pa.Table, model: Model, table: FeatureTable, *, estimator: Estimator, score: Score, seed: int
) -> Objective:
    """Return how good parameters of an estimator are on the training rows of a feature table.

    Folds in which one part has a single class are left out.

    Raises:
        TrainingError: The rows cannot be learnt from, or no fold is left.
    """
    import numpy as np

    check_features(rows, table.features)
    labels = suitable_labels(rows, model)
    classes = tuple(sorted(set(labels.tolist()))) if model.task == "multiclass" else ()
    whole = Lesson(
        features=table.features,
        frame=frame_of({each.name: rows[each.name] for each in table.features}, table.features, coded=True),
        labels=encoded(labels, classes) if classes else labels,
        preprocessing=model.preprocessing,
        task=model.task,
        seed=seed,
    )

    def usable(fold: Fold) -> bool:
        return model.task == "regression" or all(
            len(np.unique(labels[part])) > 1 for part in (fold.train, fold.validate)
        )

    found = tuple(
        TrialFold(fold.name, whole.part(fold.train), whole.frame.iloc[fold.validate], labels[fold.validate])
        for fold in folds(rows, model, table)
        if usable(fold)
    )
    if not found:
        raise TrainingError(
            f"No fold of {model.name!r} can be tried on",
            expected="rows of two classes or more in both parts of a fold",
            found="one class in each",
            fix="Declare fewer folds, or start `cuts` earlier.",
        )
    return Objective(estimator, found, classes, model.task, score)
