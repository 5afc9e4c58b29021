"""From which probability acting pays: the threshold that costs least, by a matrix of costs and benefits."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from keelway.evaluate.figures import Ranked
from keelway.evaluate.findings import ThresholdChoice
from keelway.evaluate.rows import checked_rows
from keelway.evaluate.uncertainty import LEVEL, RESAMPLES, Interval, draws_of, mean_interval, resampled
from keelway.project import Costs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Numbers = NDArray[np.float64]

FOLDS = 5


def choose_threshold(
    truth: ArrayLike,
    probabilities: ArrayLike,
    costs: Costs,
    *,
    seed: int,
    resamples: int = RESAMPLES,
    groups: ArrayLike | None = None,
) -> ThresholdChoice:
    """Return the threshold that costs least on these rows, how sure it is, and what it costs on rows it was not chosen by.

    Args:
        truth: 0 or 1, a value a row.
        probabilities: Of 1, a value a row.
        costs: What decisions cost.
        seed: Decides folds and the bootstrap's draws.
        resamples: How many draws.
        groups: The entity of each row, where several rows may be of one; folds keep them together.

    Raises:
        TrainingError: A truth is neither 0 nor 1, or a probability outside [0, 1].
    """
    import numpy as np

    labels, given = checked_rows("binary", truth, probabilities)
    draws = draws_of(len(labels), seed=seed, resamples=resamples, groups=groups)
    figure = _threshold_figure(labels, given, costs)
    drawn = resampled({"threshold": figure}, draws)["threshold"]
    value = float(figure.of(np.ones((1, len(labels))))[0])
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    threshold = Interval(
        value, min(float(low), value), max(float(high), value), LEVEL, f"bootstrap percentile, {len(drawn)}"
    )
    spent = _cross_costs(labels, given, costs, groups, seed)
    cost = mean_interval(spent, seed=seed, resamples=resamples, groups=groups)
    return ThresholdChoice(
        threshold=threshold,
        cost=replace(cost, method=f"{cost.method}, chosen on other rows"),
        cost_of_none=float(row_costs(labels, np.zeros(len(labels), dtype=bool), costs).mean()),
        cost_of_all=float(row_costs(labels, np.ones(len(labels), dtype=bool), costs).mean()),
        calibrated=costs.best_threshold,
        acted_on=float((given >= value).mean()),
        costs=costs,
    )


def row_costs(labels: Numbers, acted: NDArray[np.bool_], costs: Costs) -> Numbers:
    """Return what each row costs; benefits count below zero."""
    import numpy as np

    of_positive = np.where(acted, -costs.true_positive, costs.false_negative)
    return np.asarray(
        np.where(labels == 1, of_positive, np.where(acted, costs.false_positive, -costs.true_negative)),
        dtype=np.float64,
    )


def cheapest(labels: Numbers, probabilities: Numbers, costs: Costs) -> float:
    """Return the threshold that costs least on these rows; of equally cheap ones the highest, which acts least."""
    import numpy as np

    return float(_threshold_figure(labels, probabilities, costs).of(np.ones((1, len(labels))))[0])


def _threshold_figure(labels: Numbers, probabilities: Numbers, costs: Costs) -> Ranked:
    """Return the cheapest threshold as a function of how often rows count."""
    import numpy as np

    order = np.argsort(-probabilities, kind="stable")
    ranked = probabilities[order]
    ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    candidates = np.concatenate([[math.nextafter(float(ranked[0]), math.inf)], ranked[ends]])
    change = np.where(labels[order] == 1, -costs.of_waiting, costs.of_acting)  # by acting on this row too

    def figure(weights: Numbers) -> Numbers:
        spent = np.cumsum(weights * change, axis=1)[:, ends]
        spent = np.concatenate([np.zeros((len(spent), 1)), spent], axis=1)
        return np.asarray(candidates[np.round(spent, 9).argmin(axis=1)])

    return Ranked(order, figure)


def _cross_costs(labels: Numbers, probabilities: Numbers, costs: Costs, groups: ArrayLike | None, seed: int) -> Numbers:
    """Return what each row costs at the threshold that is cheapest on the other folds."""
    import numpy as np

    codes = np.arange(len(labels)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    folds = min(FOLDS, int(codes.max()) + 1)
    fold = (np.random.default_rng(seed).permutation(int(codes.max()) + 1) % folds)[codes]
    spent = np.empty(len(labels))
    for number in range(folds):
        own = fold == number
        others = ~own if folds > 1 else own
        threshold = cheapest(labels[others], probabilities[others], costs)
        spent[own] = row_costs(labels[own], probabilities[own] >= threshold, costs)
    return spent
