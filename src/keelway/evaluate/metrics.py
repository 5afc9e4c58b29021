"""Metrics: their names by task, which way they point, and what they are for single rows; without intervals."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from keelway.errors import TrainingError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

MeasuredTask = Literal["binary", "multiclass", "regression", "ranking"]
BINS = 10
TINY = 2.220446049250313e-16  # as scikit-learn clips probabilities
RANKING = ("ndcg", "precision", "recall", "map")
METRICS: dict[MeasuredTask, tuple[str, ...]] = {
    "binary": (
        "roc_auc", "log_loss", "brier", "average_precision", "ece", "accuracy", "balanced_accuracy", "precision",
        "recall", "f1", "mcc",
    ),
    "multiclass": ("accuracy", "balanced_accuracy", "log_loss", "f1_macro", "roc_auc_ovr", "ece"),
    "regression": ("rmse", "mae", "medae", "r2", "mape", "pinball"),
    "ranking": tuple(f"{name}_at_10" for name in RANKING),
}  # fmt: skip
"""What is measured where nothing else is asked for. Besides, `ndcg_at_K`, `precision_at_K`, `recall_at_K` and
`map_at_K` for any K where rows are ranked (binary too), and `pinball_Q` for the quantile of Q percent."""
LOSSES = frozenset({"log_loss", "brier", "ece", "rmse", "mae", "medae", "mape", "pinball"})
"""Metrics of which less is better."""


def greater_is_better(metric: str) -> bool:
    """Say which way a metric points.

    >>> greater_is_better("roc_auc"), greater_is_better("pinball_90")
    (True, False)
    """
    return not metric.startswith("pinball") and metric not in LOSSES


def is_known(metric: str, task: MeasuredTask) -> bool:
    """Say whether a task has a metric of that name."""
    if task in ("binary", "ranking") and _cut(metric):
        return True
    if task == "regression" and pinball_quantile(metric) is not None:
        return True
    return metric in METRICS[task]


def ranking_cut(metric: str) -> tuple[str, int]:
    """Return the kind of a ranking metric and where lists are cut.

    >>> ranking_cut("ndcg_at_10")
    ('ndcg', 10)

    Raises:
        TrainingError: It is no such metric.
    """
    if (found := _cut(metric)) is None:
        raise TrainingError("Unknown metric of ranking", expected="such as ndcg_at_10 or map_at_5", found=metric)
    return found


def is_ranking(metric: str) -> bool:
    """Say whether a metric looks at the first k of a list."""
    return _cut(metric) is not None


def only_ranks(metrics: Iterable[str]) -> bool:
    """Say whether metrics depend on nothing but the order that predictions put rows in."""
    return all(metric in ("roc_auc", "average_precision") or is_ranking(metric) for metric in metrics)


def pinball_quantile(metric: str) -> float | None:
    """Return the quantile that a pinball loss is for, one half by default; None for other metrics.

    >>> pinball_quantile("pinball_90"), pinball_quantile("pinball"), pinball_quantile("mae")
    (0.9, 0.5, None)
    """
    if metric == "pinball":
        return 0.5
    found = re.fullmatch(r"pinball_([1-9]\d?)", metric)
    return int(found[1]) / 100 if found else None


def log_losses(labels: Numbers, probabilities: Numbers) -> Numbers:
    """Return the log loss of each row."""
    import numpy as np

    clipped = np.clip(probabilities, TINY, 1 - TINY)
    losses: Numbers = -np.log(np.where(labels == 1, clipped, 1 - clipped))
    return losses


def class_log_losses(places: NDArray[np.intp], probabilities: Numbers) -> Numbers:
    """Return the log loss of each row's class; `places` says which column of the probabilities that is."""
    import numpy as np

    shares = probabilities / probabilities.sum(axis=1, keepdims=True)
    return np.asarray(-np.log(np.clip(shares[np.arange(len(places)), places], TINY, 1.0)))


def squared_errors(labels: Numbers, probabilities: Numbers) -> Numbers:
    """Return the squared error of each row; its mean is the Brier score."""
    return (probabilities - labels) ** 2


def class_squared_errors(places: NDArray[np.intp], probabilities: Numbers) -> Numbers:
    """Return the squared error of each row, summed over the classes, 0 to 2; its mean is the score of Brier (1950)."""
    import numpy as np

    there = np.eye(probabilities.shape[1])[places]
    return np.asarray(((probabilities - there) ** 2).sum(axis=1))


def relative_errors(truth: Numbers, predictions: Numbers) -> Numbers:
    """Return each row's error as a share of the truth; a truth of 0 counts as the smallest step of floats."""
    import numpy as np

    return np.asarray(np.abs(predictions - truth) / np.maximum(np.abs(truth), TINY))


def pinball_losses(truth: Numbers, predictions: Numbers, quantile: float) -> Numbers:
    """Return each row's pinball loss (Koenker and Bassett 1978): too low costs `quantile`, too high the rest."""
    import numpy as np

    short = truth - predictions
    return np.asarray(np.maximum(quantile * short, (quantile - 1) * short))


def average_precision(labels: Numbers, scores: Numbers) -> float:
    """Return the mean precision over the positives, ranked by score; ties are one step."""
    import numpy as np

    from keelway.evaluate.figures import average_precision_figure

    if not (labels == 1).any():
        return 0.0
    return float(average_precision_figure(labels, scores).of(np.ones((1, len(labels))))[0])


def calibration_error(labels: Numbers, probabilities: Numbers, *, bins: int = BINS) -> float:
    """Return the expected calibration error over equally wide bins; only the last includes its right edge."""
    import numpy as np

    gaps = np.bincount(bin_places(probabilities, bins), weights=probabilities - labels, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


def bin_places(probabilities: Numbers, bins: int) -> NDArray[np.intp]:
    """Return which of equally wide bins each probability falls into; only the last includes its right edge."""
    import numpy as np

    return np.asarray(np.clip(np.floor(np.round(probabilities * bins, 9)), 0, bins - 1), dtype=np.intp)


def _cut(metric: str) -> tuple[str, int] | None:
    found = re.fullmatch(r"(ndcg|precision|recall|map)_at_([1-9]\d*)", metric)
    return (found[1], int(found[2])) if found else None
