"""Figures of a class among several, and the probability of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from keelway.evaluate.figures.binary import calibration_figure
from keelway.evaluate.figures.figure import Figure, Sums, mean_figure
from keelway.evaluate.metrics import class_log_losses

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]


def multiclass_figures(places: NDArray[np.intp], probabilities: Numbers) -> dict[str, Callable[[], Figure]]:
    """Return how each metric of classes is made; `roc_auc_ovr` is not among them, it has DeLong's variance.

    Args:
        places: The place of each row's class among the classes.
        probabilities: (rows, classes).
    """
    import numpy as np

    said = probabilities.argmax(axis=1)
    right = (said == places).astype(np.float64)
    return {
        "accuracy": lambda: mean_figure(right),
        "balanced_accuracy": lambda: _mean_recall(places, right, probabilities.shape[1]),
        "log_loss": lambda: mean_figure(class_log_losses(places, probabilities)),
        "f1_macro": lambda: _mean_f1(places, said, probabilities.shape[1]),
        "ece": lambda: calibration_figure(right, probabilities.max(axis=1)),
    }


def _mean_recall(places: NDArray[np.intp], right: Numbers, classes: int) -> Sums:
    """Return the mean over the classes of the share of their rows that is found."""
    import numpy as np

    there = np.eye(classes)[places]
    columns = np.hstack([there, there * right[:, None]])
    return Sums(columns, lambda sums: np.nanmean(_or_none(sums[..., classes:], sums[..., :classes]), axis=-1))


def _mean_f1(places: NDArray[np.intp], said: NDArray[np.intp], classes: int) -> Sums:
    """Return the mean over the classes of F1; a class that is neither there nor named is left out."""
    import numpy as np

    there, named = np.eye(classes)[places], np.eye(classes)[said]
    columns = np.hstack([there * named, there + named])
    return Sums(columns, lambda sums: np.nanmean(_or_none(2 * sums[..., :classes], sums[..., classes:]), axis=-1))


def _or_none(above: Numbers, below: Numbers) -> Numbers:
    """Return a ratio, NaN where there is nothing below."""
    import numpy as np

    return np.where(below > 0, above / np.where(below > 0, below, 1.0), np.nan)
