"""DeLong's variance of the AUC and the paired test of two AUCs, in O(n log n) by midranks (Sun and Xu 2014).

DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988). Rows that belong together (several of one entity) are summed
before the variance is taken, which is the idea of Obuchowski, Biometrics 53 (1997).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from keelway.errors import TrainingError
from keelway.evaluate.records import Comparison
from keelway.evaluate.uncertainty import LEVEL, Interval, normal_interval
from keelway.evaluate.verdict import p_of, verdict_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Numbers = NDArray[np.float64]

ROUNDING = 1e-9  # a standard error below this is rounding: the rankings are the same


def auc_interval(
    labels: ArrayLike, scores: ArrayLike, *, level: float = LEVEL, groups: ArrayLike | None = None
) -> Interval:
    """Return the AUC with DeLong's interval, cut to [0, 1]; rows of the same group may depend on each other."""
    value, influences = auc_influences(labels, scores)
    error = error_of(influences, groups)
    return _within(normal_interval(value, error, method=_named("DeLong", groups), level=level))


def class_auc_interval(
    places: ArrayLike, probabilities: ArrayLike, *, level: float = LEVEL, groups: ArrayLike | None = None
) -> Interval:
    """Return the mean over the classes of each one's AUC against all others, with DeLong's interval.

    Args:
        places: The place of each row's class among the classes.
        probabilities: (rows, classes).
    """
    value, influences = class_auc_influences(places, probabilities)
    error = error_of(influences, groups)
    return _within(normal_interval(value, error, method=_named("DeLong", groups), level=level))


def compare_aucs(
    labels: ArrayLike,
    scores: ArrayLike,
    other: ArrayLike,
    *,
    against: str,
    level: float = LEVEL,
    groups: ArrayLike | None = None,
    smallest_difference: float = 0.0,
) -> Comparison:
    """Return the paired two-sided test of two AUCs on the same rows."""
    interval, p_value = auc_difference(auc_influences(labels, scores), auc_influences(labels, other), groups, level)
    verdict = verdict_of(interval, p_value, greater_is_better=True, smallest_difference=smallest_difference)
    return Comparison(against, interval, p_value, verdict, "roc_auc", smallest_difference)


def auc_difference(
    one: tuple[float, Numbers], two: tuple[float, Numbers], groups: ArrayLike | None, level: float = LEVEL
) -> tuple[Interval, float]:
    """Return the difference of two areas on the same rows, each with its influences, and the two-sided p-value."""
    difference = one[0] - two[0]
    error = error_of(one[1] - two[1], groups)
    error = error if error > ROUNDING else 0.0
    p_value = p_of(difference if abs(difference) >= 1e-12 else 0.0, error)
    return normal_interval(difference, error, method=_named("paired DeLong", groups), level=level), p_value


def auc_covariance(labels: ArrayLike, scores: Sequence[ArrayLike]) -> tuple[Numbers, Numbers]:
    """Return the AUC of each list of scores, and the covariance matrix of these AUCs.

    Raises:
        TrainingError: A score is NaN, or fewer than two rows are of one class.
    """
    import numpy as np

    found = [auc_influences(labels, each) for each in scores]
    influences = np.array([each for _, each in found])
    return np.array([value for value, _ in found]), np.atleast_2d(influences @ influences.T)


def auc_influences(labels: ArrayLike, scores: ArrayLike) -> tuple[float, Numbers]:
    """Return the AUC, and what each row adds to it; the squares of these sum up to DeLong's variance.

    Raises:
        TrainingError: A score is NaN, or fewer than two rows are of one class.
    """
    import numpy as np

    truth, given = np.asarray(labels) == 1, np.asarray(scores, dtype=np.float64)
    if np.isnan(given).any():
        raise TrainingError("A score is not a number", expected="numbers", found="NaN")
    m, n = int(truth.sum()), int((~truth).sum())
    if min(m, n) < 2:
        raise TrainingError("The AUC needs rows of both classes", expected="two or more of each", found=f"{m} and {n}")
    of_positives, of_negatives = _below(given[truth], given[~truth]), 1.0 - _below(given[~truth], given[truth])
    value = float(of_positives.mean())
    influences = np.empty(len(given))
    influences[truth] = (of_positives - value) / math.sqrt(m * (m - 1))
    influences[~truth] = (of_negatives - value) / math.sqrt(n * (n - 1))
    return value, influences


def class_auc_influences(places: ArrayLike, probabilities: ArrayLike) -> tuple[float, Numbers]:
    """Return the mean of each class's AUC against all others, and what each row adds to it.

    Raises:
        TrainingError: A probability is NaN, or fewer than two rows are of one class, or of all others.
    """
    import numpy as np

    columns = np.asarray(probabilities, dtype=np.float64).T
    found = [auc_influences(np.asarray(places) == place, column) for place, column in enumerate(columns)]
    return float(np.mean([value for value, _ in found])), np.mean([each for _, each in found], axis=0)


def error_of(influences: Numbers, groups: ArrayLike | None) -> float:
    """Return the standard error of a figure from what each row adds to it; groups are summed first."""
    import numpy as np

    if groups is None:
        return math.sqrt(float((influences**2).sum()))
    found, codes = np.unique(np.asarray(groups), return_inverse=True)
    if len(found) < 2:
        raise TrainingError("Uncertainty between groups needs groups", expected="two or more", found=str(len(found)))
    summed = np.bincount(codes, weights=influences)
    return math.sqrt(float((summed**2).sum()) * len(found) / (len(found) - 1))


def _below(values: Numbers, others: Numbers) -> Numbers:
    """Return for each value the share of others below it; ties count half."""
    import numpy as np

    ranked = np.sort(others)
    twice = np.searchsorted(ranked, values, side="left") + np.searchsorted(ranked, values, side="right")
    share: Numbers = twice / (2.0 * len(ranked))
    return share


def _named(method: str, groups: ArrayLike | None) -> str:
    return method if groups is None else f"{method}, by group"


def _within(interval: Interval) -> Interval:
    low, high = max(0.0, interval.low), min(1.0, interval.high)
    return Interval(interval.value, low, high, interval.level, interval.method)
