"""Lesson: the rows that something is learnt from, with what is declared about them; and fitting one pipeline on it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from keelway.errors import TrainingError
from keelway.features import FeatureColumn
from keelway.project import Estimator, Preprocessing, Task
from keelway.train.folds import Fold
from keelway.train.preprocess import make_estimator, make_preprocessor, make_selector, needs_scale

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Lesson:
    """Rows to learn from, and what is declared about them.

    Attributes:
        features: The schema.
        frame: One row per example, as `frame_of` makes it.
        labels: The outcome of each row: 0 and 1, the names of classes, or numbers.
        preprocessing: What is done to features.
        task: What is predicted.
        seed: The seed of everything random.
        folds: Parts of the rows, by position, for whatever must be tried on rows it has not learnt from.
    """

    features: Sequence[FeatureColumn]
    frame: pd.DataFrame
    labels: NDArray[Any]
    preprocessing: Preprocessing
    task: Task = "binary"
    seed: int = 0
    folds: Sequence[Fold] = ()

    def part(self, rows: NDArray[np.intp]) -> Lesson:
        """Return the lesson of some rows, with the folds as far as both their parts lie among these rows."""
        import numpy as np

        place = np.full(len(self.labels), -1, dtype=np.intp)
        place[rows] = np.arange(len(rows))
        kept = [each for fold in self.folds if (each := _within(fold, place)) is not None]
        return replace(self, frame=self.frame.iloc[rows], labels=self.labels[rows], folds=tuple(kept))


def fitted_pipeline(lesson: Lesson, estimator: Estimator) -> Any:
    """Return the fitted pipeline of preprocessing, selection and estimator.

    The estimator learns in 64 bits from 32-bit inputs. The first stage is fitted and applied in one step, which is what keeps a
    target encoding from showing a row its own outcome.

    Raises:
        TrainingError: The estimator cannot be used, refuses the rows, or does not converge.
    """
    from sklearn.pipeline import Pipeline

    from keelway.train.preprocess.coded import with_plain_encoders

    chosen, task = lesson.preprocessing, lesson.task
    _refuse_one_class(lesson, estimator)
    last = make_estimator(estimator, lesson.seed, task=task, folds=lesson.folds)
    scale = needs_scale(last, chosen)
    first = make_preprocessor(lesson.features, lesson.frame, chosen=chosen, scale=scale, task=task, seed=lesson.seed)
    selector = make_selector(chosen, lesson.seed, task=task)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            matrix = _prepared(first, lesson)
            stages: list[tuple[str, Any]] = [("prepare", with_plain_encoders(first))]
            if selector is not None:
                matrix = _selected(selector, matrix, lesson.labels)
                stages.append(("select", selector))
            last.fit(matrix, lesson.labels)
        except ValueError as error:
            raise TrainingError(
                f"Estimator {estimator.name!r} cannot be fitted",
                found=str(error).splitlines()[0],
                fix="Correct the estimator's parameters, or choose one that takes such features and labels.",
            ) from error
    _refuse_unfinished(told, estimator)
    if estimator.calibrate is not None:
        last.cv = None  # held every position of the folds; nothing reads them after the fit
    return Pipeline([*stages, ("estimate", last)])


def _within(fold: Fold, place: NDArray[np.intp]) -> Fold | None:
    """Return a fold by the places that its rows have in a part, or None where a side of it is not there.

    Args:
        fold: Positions in the whole lesson.
        place: For each row of the lesson its position in the part, or -1.
    """
    train, validate = (moved[moved >= 0] for moved in (place[fold.train], place[fold.validate]))
    return Fold(train, validate, fold.name) if len(train) and len(validate) else None


def _refuse_one_class(lesson: Lesson, estimator: Estimator) -> None:
    """Refuse rows of one class only, and folds of one class where probabilities are calibrated on them."""
    import numpy as np

    if lesson.task == "regression":
        return
    parts = [("the rows to learn from", lesson.labels)]
    if estimator.calibrate is not None:
        parts += [(f"the training rows of fold {fold.name!r}", lesson.labels[fold.train]) for fold in lesson.folds]
    for what, labels in parts:
        if len(np.unique(labels)) < 2:
            raise TrainingError(
                f"Estimator {estimator.name!r} would learn from rows of one class",
                expected=f"two classes or more in {what}",
                found=f"{len(labels)} times {labels[0]}",
                fix="Declare fewer folds, or neither calibrate nor combine by folds; or start `cuts` earlier.",
            )


def _prepared(first: Any, lesson: Lesson) -> NDArray[np.float64]:
    """Fit the first stage and return what it makes of the rows, in 64 bits.

    Raises:
        TrainingError: Scaling makes numbers that do not fit 32 bits.
    """
    import numpy as np

    with np.errstate(over="ignore", invalid="ignore"):
        matrix: NDArray[np.float64] = np.asarray(first.fit_transform(lesson.frame, lesson.labels), np.float64)
    if not np.isfinite(matrix).all():
        raise TrainingError(
            "Numbers are too large to be scaled",
            expected="features whose squares fit 32 bits, or scale=False",
            found=f"{int((~np.isfinite(matrix)).any(axis=0).sum())} columns with infinity after preprocessing",
            fix="Take the logarithm in the feature's function, or declare ColumnPreprocessing(scale=False) for it.",
        )
    return matrix


def _selected(selector: Any, matrix: NDArray[np.float64], labels: NDArray[Any]) -> NDArray[np.float64]:
    """Return the columns that a fitted selector keeps, at least one."""
    kept = selector.fit(matrix, labels).get_support()
    if not kept.any():
        raise TrainingError(
            "No column is left after selection",
            expected="one or more that tell something about the label",
            found=f"0 of {len(kept)}",
            fix="Declare Preprocessing(select=None), or add features.",
        )
    chosen: NDArray[np.float64] = matrix[:, kept]
    return chosen


def _refuse_unfinished(told: list[warnings.WarningMessage], estimator: Estimator) -> None:
    """Refuse a fit that stopped before it converged; other warnings are passed on."""
    from sklearn.exceptions import ConvergenceWarning

    for each in told:
        if issubclass(each.category, ConvergenceWarning):
            raise TrainingError(
                f"Estimator {estimator.name!r} did not converge",
                found=str(each.message).splitlines()[0],
                fix="Raise max_iter in the estimator's parameters, or keep Preprocessing(scale=True).",
            )
        warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
