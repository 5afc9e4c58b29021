"""DeLong's variance of the AUC and the paired test of two AUCs, in O(n log n) by midranks (Sun and Xu 2014).

DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988).
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

from keelway.errors import TrainingError
from keelway.evaluate.records import Comparison, Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

LEVEL = 0.95
SIGNIFICANT = 0.05


def auc_interval(labels: ArrayLike, scores: ArrayLike, *, level: float = LEVEL) -> Interval:
    """Return the AUC with DeLong's interval, cut to [0, 1]."""
    aucs, covariance = auc_covariance(labels, [scores])
    half = _quantile(level) * math.sqrt(max(float(covariance[0, 0]), 0.0))
    value = float(aucs[0])
    return Interval(value, max(0.0, value - half), min(1.0, value + half), level, "DeLong")


def compare_aucs(
    labels: ArrayLike, scores: ArrayLike, other: ArrayLike, *, against: str, level: float = LEVEL
) -> Comparison:
    """Return the paired two-sided test of two AUCs on the same rows."""
    aucs, covariance = auc_covariance(labels, [scores, other])
    difference = float(aucs[0] - aucs[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    error = math.sqrt(variance) if variance > 1e-18 else 0.0  # below is rounding: the rankings are the same
    if error > 0:
        p_value = math.erfc(abs(difference) / error / math.sqrt(2))
    else:
        p_value = 1.0 if abs(difference) < 1e-12 else 0.0
    half = _quantile(level) * error
    interval = Interval(difference, difference - half, difference + half, level, "paired DeLong")
    if not p_value < SIGNIFICANT:
        return Comparison(against, interval, p_value, "no difference")
    return Comparison(against, interval, p_value, "better" if difference > 0 else "worse")


def auc_covariance(labels: ArrayLike, scores: list[ArrayLike]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the AUC of each list of scores, and the covariance matrix of these AUCs.

    Raises:
        TrainingError: A score is NaN, or fewer than two rows are of one class.
    """
    import numpy as np

    truth = np.asarray(labels) == 1
    table = np.asarray(scores, dtype=np.float64)
    if np.isnan(table).any():
        raise TrainingError("A score is not a number", expected="numbers", found="NaN")
    positive, negative = int(truth.sum()), int((~truth).sum())
    if min(positive, negative) < 2:
        raise TrainingError(
            "The AUC needs rows of both classes", expected="two or more of each", found=f"{positive} and {negative}"
        )
    pairs = [_placements(row[truth], row[~truth]) for row in table]
    of_positives, of_negatives = np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs])
    covariance = np.atleast_2d(np.cov(of_positives)) / positive + np.atleast_2d(np.cov(of_negatives)) / negative
    return of_positives.mean(axis=1), covariance


def _placements(
    positive: NDArray[np.float64], negative: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return for each positive the share of negatives below it, and for each negative that of positives above it."""
    return _below(positive, negative), 1.0 - _below(negative, positive)


def _below(values: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each value the share of others below it; ties count half."""
    import numpy as np

    ranked = np.sort(others)
    twice = np.searchsorted(ranked, values, side="left") + np.searchsorted(ranked, values, side="right")
    share: NDArray[np.float64] = twice / (2.0 * len(ranked))
    return share


def _quantile(level: float) -> float:
    return NormalDist().inv_cdf(0.5 + level / 2)
