"""What matured answers are worth, by task, with intervals for a report that is read once; rollouts have their own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import NormalDist
from typing import TYPE_CHECKING

from keelway.evaluate import Interval, auc_interval, class_log_losses, class_squared_errors, log_losses, wilson_interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from keelway.project import LabelValue, Task

    Numbers = NDArray[np.float64]
    Answer = float | tuple[float, ...]

LEVEL = 0.95
CLASS_ROWS = 2
"""DeLong's variance needs so many outcomes of each class."""
ROUNDING = 1e-3
"""So far from 1 may the probabilities of an answer add up to."""


def figures_of(
    task: Task, pairs: Sequence[tuple[LabelValue, Answer]], classes: Sequence[str] = ()
) -> Mapping[str, Interval | None]:
    """Return the figures of a task; None where one has no value.

    Args:
        pairs: What became of an entity, and what was answered before.
        classes: The names of the probabilities of an answer, in their order.
    """
    if task == "multiclass":
        return _of_classes(pairs, classes)
    truth, given = [_number(label) for label, _ in pairs], [_number(answer) for _, answer in pairs]
    if task == "regression":
        return _of_numbers(truth, given)
    return {"roc_auc": roc_auc(truth, given), "log_loss": log_loss(truth, given)}


def roc_auc(truth: Sequence[float], scores: Sequence[float]) -> Interval | None:
    """Return ROC AUC with DeLong's interval; None for fewer than two of a class or a score that is no finite number."""
    if not set(truth) <= {0, 1} or not all(math.isfinite(score) for score in scores):
        return None
    if min(sum(truth), len(truth) - sum(truth)) < CLASS_ROWS:
        return None
    return auc_interval(truth, scores)


def log_loss(truth: Sequence[float], scores: Sequence[float]) -> Interval | None:
    """Return the mean log-loss in nats by the normal approximation; None for no answers or one that is no number."""
    import numpy as np

    if not truth or not set(truth) <= {0, 1} or not all(0 <= score <= 1 for score in scores):
        return None
    return _mean(log_losses(np.asarray(truth, dtype=np.float64), np.asarray(scores, dtype=np.float64)))


def _of_classes(pairs: Sequence[tuple[LabelValue, Answer]], classes: Sequence[str]) -> dict[str, Interval | None]:
    """Return accuracy, log loss and Brier score; a class that the version does not have was given no probability."""
    import numpy as np

    fits = pairs and all(isinstance(label, str) and _is_spread(answer, len(classes)) for label, answer in pairs)
    if not fits:
        return dict.fromkeys(("accuracy", "log_loss", "brier"))
    names = [*dict.fromkeys([*classes, *sorted({str(label) for label, _ in pairs})])]
    places = np.array([names.index(str(label)) for label, _ in pairs], dtype=np.intp)
    shares = np.zeros((len(pairs), len(names)))
    shares[:, : len(classes)] = [answer for _, answer in pairs]
    right = int((shares.argmax(axis=1) == places).sum())
    return {
        "accuracy": wilson_interval(right, len(pairs), level=LEVEL),
        "log_loss": _mean(class_log_losses(places, shares)),
        "brier": _mean(class_squared_errors(places, shares)),
    }


def _of_numbers(truth: Sequence[float], given: Sequence[float]) -> dict[str, Interval | None]:
    """Return the mean absolute error, and the root of the mean squared one."""
    import numpy as np

    errors = np.asarray(given, dtype=np.float64) - np.asarray(truth, dtype=np.float64)
    if not len(errors) or not np.isfinite(errors * errors).all():
        return dict.fromkeys(("mae", "rmse"))
    squared = _mean(errors * errors)
    value, low, high = (math.sqrt(each) for each in (squared.value, squared.low, squared.high))
    return {"mae": _mean(np.abs(errors)), "rmse": replace(squared, value=value, low=low, high=high)}


def _number(value: LabelValue | Answer) -> float:
    """Return a number; NaN for a class, and for the probabilities of classes."""
    return math.nan if isinstance(value, (str, tuple)) else float(value)


def _is_spread(answer: Answer, classes: int) -> bool:
    """Say whether an answer is a probability for each of so many classes."""
    return (
        isinstance(answer, tuple)
        and 0 < len(answer) == classes
        and all(0 <= share <= 1 for share in answer)
        and abs(sum(answer) - 1) <= ROUNDING
    )


def _mean(losses: Numbers) -> Interval:
    """Return the mean of losses of 0 or more, by the normal approximation."""
    value, count = float(losses.mean()), len(losses)
    reach = NormalDist().inv_cdf(0.5 + LEVEL / 2) * float(losses.std(ddof=1)) / math.sqrt(count) if count > 1 else value
    return Interval(value, max(0.0, value - reach), value + reach, LEVEL, "normal")
