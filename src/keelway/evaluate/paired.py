"""Paired tests on the same rows: which of two models is better by the metric that a model declares first."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import TYPE_CHECKING

from keelway.evaluate.delong import compare_aucs
from keelway.evaluate.metrics import log_losses, squared_errors
from keelway.evaluate.records import Comparison, Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

LEVEL = 0.95
SIGNIFICANT = 0.05


def compare_by(metric: str, labels: ArrayLike, scores: ArrayLike, other: ArrayLike, *, against: str) -> Comparison:
    """Return the paired two-sided test of two models' probabilities, by AUC or by a loss of each row.

    Raises:
        NotImplementedError: There is no paired test for the metric.
    """
    if metric == "roc_auc":
        return compare_aucs(labels, scores, other, against=against)
    loss = _LOSSES.get(metric)
    if loss is None:
        known = ", ".join(PAIRED)
        raise NotImplementedError(f"Comparing models by {metric} is not built; put one of {known} first.")
    return _compare_losses(loss, labels, scores, other, against=against)


def _compare_losses(
    loss: Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]],
    labels: ArrayLike,
    scores: ArrayLike,
    other: ArrayLike,
    *,
    against: str,
) -> Comparison:
    """Return the paired z-test of two mean losses: `difference` below 0 is better."""
    import numpy as np

    truth = np.asarray(labels, dtype=np.float64)
    differences = loss(truth, np.asarray(scores, dtype=np.float64)) - loss(truth, np.asarray(other, dtype=np.float64))
    mean = float(differences.mean())
    error = float(differences.std(ddof=1)) / math.sqrt(len(differences)) if len(differences) > 1 else 0.0
    p_value = math.erfc(abs(mean) / error / math.sqrt(2)) if error > 0 else 1.0
    half = NormalDist().inv_cdf(0.5 + LEVEL / 2) * error
    interval = Interval(mean, mean - half, mean + half, LEVEL, "paired normal")
    if not p_value < SIGNIFICANT:
        return Comparison(against, interval, p_value, "no difference")
    return Comparison(against, interval, p_value, "better" if mean < 0 else "worse")


_LOSSES = {"log_loss": log_losses, "brier": squared_errors}
PAIRED = ("roc_auc", *_LOSSES)
"""Metrics that can decide between models."""
