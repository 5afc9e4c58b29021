"""Figures of a number and what was predicted for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from keelway.evaluate.figures.figure import Figure, Ranked, Sums, mean_figure
from keelway.evaluate.metrics import pinball_losses, pinball_quantile, relative_errors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]


def regression_figures(
    truth: Numbers, predictions: Numbers, names: Sequence[str] = ("pinball",)
) -> dict[str, Callable[[], Figure]]:
    """Return how each metric of a number is made; `names` says which quantiles the pinball loss is asked for."""
    import numpy as np

    errors = predictions - truth
    made: dict[str, Callable[[], Figure]] = {
        "rmse": lambda: _root_mean_square(errors),
        "mae": lambda: mean_figure(np.abs(errors)),
        "medae": lambda: median_figure(np.abs(errors)),
        "r2": lambda: _explained(truth, errors),
        "mape": lambda: mean_figure(relative_errors(truth, predictions)),
    }
    for name in names:
        if (quantile := pinball_quantile(name)) is not None:
            made[name] = partial(_mean_pinball, truth, predictions, quantile)
    return made


def median_figure(values: Numbers) -> Ranked:
    """Return the median; an even weight takes the mean of the two in the middle."""
    import numpy as np

    order = np.argsort(values, kind="stable")
    ranked = values[order]

    def figure(weights: Numbers) -> Numbers:
        seen = np.cumsum(weights, axis=1)
        half = seen[:, -1:] / 2
        return np.asarray((ranked[(seen >= half).argmax(axis=1)] + ranked[(seen > half).argmax(axis=1)]) / 2)

    return Ranked(order, figure)


def _mean_pinball(truth: Numbers, predictions: Numbers, quantile: float) -> Sums:
    return mean_figure(pinball_losses(truth, predictions, quantile))


def _root_mean_square(errors: Numbers) -> Sums:
    import numpy as np

    return Sums(np.column_stack([np.ones(len(errors)), errors**2]), lambda sums: np.sqrt(sums[..., 1] / sums[..., 0]))


def _explained(truth: Numbers, errors: Numbers) -> Sums:
    """Return the share of the variance that is explained; NaN where the truth does not vary."""
    import numpy as np

    centred = truth - truth.mean()
    columns = np.column_stack([np.ones(len(truth)), centred, centred**2, errors**2])

    def figure(sums: Numbers) -> Numbers:
        around = sums[..., 2] - sums[..., 1] ** 2 / sums[..., 0]
        return np.where(around > 0, 1 - sums[..., 3] / np.where(around > 0, around, 1.0), np.nan)

    return Sums(columns, figure)
