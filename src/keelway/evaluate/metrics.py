"""Metrics of probabilities against outcomes, without intervals; each refuses nothing and returns a float."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BINS = 10
TINY = 2.220446049250313e-16  # as scikit-learn clips probabilities


def log_losses(labels: NDArray[np.float64], probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the log loss of each row."""
    import numpy as np

    clipped = np.clip(probabilities, TINY, 1 - TINY)
    losses: NDArray[np.float64] = -np.log(np.where(labels == 1, clipped, 1 - clipped))
    return losses


def squared_errors(labels: NDArray[np.float64], probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the squared error of each row; its mean is the Brier score."""
    return (probabilities - labels) ** 2


def average_precision(labels: NDArray[np.float64], scores: NDArray[np.float64]) -> float:
    """Return the mean precision over the positives, ranked by score; ties are one step."""
    import numpy as np

    order = np.argsort(-scores, kind="stable")
    ranked, truth = scores[order], labels[order]
    ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    hits = np.cumsum(truth)[ends]
    gained = np.diff(hits, prepend=0.0)
    return float((gained * hits / (ends + 1)).sum() / hits[-1]) if hits[-1] else 0.0


def calibration_error(labels: NDArray[np.float64], probabilities: NDArray[np.float64], *, bins: int = BINS) -> float:
    """Return the expected calibration error over equally wide bins; only the last includes its right edge."""
    import numpy as np

    places = np.clip(np.floor(np.round(probabilities * bins, 9)), 0, bins - 1).astype(np.int64)
    gaps = np.bincount(places, weights=probabilities - labels, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))
