"""Combine fitted estimators: find the weights, or the model over their answers, from rows that no member has learnt from.

The members of an ensemble are ordinary trainings. What is fitted here are only the numbers that combine their answers:

- `voting` fits nothing: each member weighs the same.
- `blending` fits weights on the last fold, the newest rows: none negative, in sum 1, with the smallest logarithmic loss, or
  the smallest squared error for a number.
- `stacking` fits a linear model on the answers over all folds (Wolpert 1992): a logistic regression, or a ridge regression.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from keelway.core import Digest
from keelway.errors import TrainingError
from keelway.project import Ensemble, Estimator
from keelway.train.folds import Fold
from keelway.train.lesson import Lesson, fitted_pipeline
from keelway.train.manifest import FORMAT, EnsembleManifest, EnsembleMember, combined, stacked

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TINY = 1e-15  # a probability of 0 has no logarithm


def fitted_ensemble(
    ensemble: Ensemble, lesson: Lesson, *, estimators: Mapping[str, Estimator], pipelines: Mapping[str, Digest]
) -> EnsembleManifest:
    """Return how the fitted members answer together.

    Args:
        ensemble: What the model declares.
        lesson: The rows the members learnt from, with the folds.
        estimators: The declared members, by name.
        pipelines: The artifacts of the members fitted on the whole lesson, by name.

    Raises:
        TrainingError: There are no folds to combine on, or too few.
    """
    import numpy as np

    count = len(ensemble.members)
    classes = tuple(np.unique(lesson.labels).tolist()) if lesson.task == "multiclass" else ()
    plain = EnsembleManifest(
        format=FORMAT,
        name=ensemble.name,
        method=ensemble.method,
        task=lesson.task,
        classes=tuple(str(each) for each in classes),
        members=tuple(EnsembleMember(name, pipelines[name]) for name in ensemble.members),
        weights=(1 / count,) * count,
        coefficients=(),
        intercepts=(),
    )
    if ensemble.method == "voting":
        return plain
    members = [estimators[name] for name in ensemble.members]
    folds = lesson.folds[-1:] if ensemble.method == "blending" else lesson.folds
    answers, truth = _held_out_answers(ensemble, members, lesson, folds)
    if ensemble.method == "blending":
        return replace(plain, weights=_blend(plain, answers, truth, lesson.labels))
    return _stack(plain, answers, truth, lesson)


def _held_out_answers(
    ensemble: Ensemble, members: Sequence[Estimator], lesson: Lesson, folds: Sequence[Fold]
) -> tuple[list[NDArray[np.float64]], NDArray[Any]]:
    """Return each member's answers on rows it has not learnt from, and what was true there."""
    import numpy as np

    answers: list[list[NDArray[np.float64]]] = [[] for _ in members]
    truth = []
    for fold in folds:
        part = lesson.part(fold.train)
        if not part.folds and any(each.calibrate for each in members):
            continue  # the first of the forward folds has no earlier rows to calibrate on
        held_out = lesson.frame.iloc[fold.validate]
        truth.append(lesson.labels[fold.validate])
        for told, member in zip(answers, members, strict=True):
            told.append(_answers(fitted_pipeline(part, member), held_out, lesson))
    if not truth:
        raise TrainingError(
            f"Ensemble {ensemble.name!r} has no rows to combine its members on",
            expected="one or more folds, with earlier ones where a member is calibrated",
            found=f"{len(folds)} folds",
            fix='Declare more folds, or method="voting".',
        )
    return [np.vstack(told) for told in answers], np.concatenate(truth)


def _answers(pipeline: Any, frame: Any, lesson: Lesson) -> NDArray[np.float64]:
    """Return one row per row: a probability for each class of the lesson, or a single number."""
    import numpy as np

    if lesson.task == "regression":
        numbers: NDArray[np.float64] = np.asarray(pipeline.predict(frame), dtype=np.float64).reshape(-1, 1)
        return numbers
    classes = np.unique(lesson.labels)
    made = np.zeros((len(frame), len(classes)))
    made[:, np.searchsorted(classes, pipeline.classes_)] = pipeline.predict_proba(frame)  # a fold may lack a class
    return made


def _blend(
    plain: EnsembleManifest, answers: Sequence[NDArray[np.float64]], truth: NDArray[Any], labels: NDArray[Any]
) -> tuple[float, ...]:
    """Return the weights with the smallest loss; the problem is convex, so there is one smallest loss."""
    import numpy as np
    from scipy.optimize import minimize

    classes = np.unique(labels)

    def loss(weights: NDArray[np.float64]) -> float:
        mixed = combined(replace(plain, weights=tuple(weights)), answers)
        if plain.task == "regression":
            return float(np.mean((mixed[:, 0] - truth) ** 2) / (np.var(truth) or 1.0))
        right = mixed[np.arange(len(truth)), np.searchsorted(classes, truth)]
        return float(-np.log(np.maximum(right, TINY)).mean())

    count = len(plain.members)
    one = {"type": "eq", "fun": lambda weights: weights.sum() - 1}
    found = minimize(loss, plain.weights, bounds=[(0, 1)] * count, constraints=[one], method="SLSQP", tol=1e-9)
    weights = np.clip(found.x, 0, 1)
    return tuple((weights / weights.sum()).tolist())


def _stack(
    plain: EnsembleManifest, answers: Sequence[NDArray[np.float64]], truth: NDArray[Any], lesson: Lesson
) -> EnsembleManifest:
    """Return the manifest of a linear model over the members' answers."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression, RidgeCV

    read = stacked(answers, lesson.task)
    if lesson.task == "regression":
        over = RidgeCV().fit(read, truth)
        return replace(
            plain, weights=(), coefficients=(tuple(over.coef_.tolist()),), intercepts=(float(over.intercept_),)
        )
    if len(np.unique(truth)) != len(np.unique(lesson.labels)):
        raise TrainingError(
            f"Ensemble {plain.name!r} cannot be stacked",
            expected="every class among the held-out rows of the folds",
            found=", ".join(map(str, np.unique(truth))),
            fix='Declare fewer folds, or method="voting".',
        )
    over = LogisticRegression(max_iter=1000).fit(read, truth)
    return replace(
        plain,
        weights=(),
        coefficients=tuple(tuple(row) for row in over.coef_.tolist()),
        intercepts=tuple(over.intercept_.tolist()),
    )
