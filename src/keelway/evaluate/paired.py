"""Paired tests on the same rows: which of two models is better by a metric.

DeLong's test for areas under the curve, McNemar's for accuracy, the t-test for means of losses (and of lists, for ranking),
and a paired bootstrap for everything else; where rows belong together, by group.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from keelway.errors import TrainingError
from keelway.evaluate.delong import ROUNDING, auc_difference, auc_influences, class_auc_influences
from keelway.evaluate.figures import Difference, list_figures
from keelway.evaluate.figures.binary import HALF
from keelway.evaluate.measure import AREAS, figures_of
from keelway.evaluate.metrics import (
    METRICS,
    MeasuredTask,
    class_log_losses,
    greater_is_better,
    is_known,
    log_losses,
    only_ranks,
    pinball_losses,
    pinball_quantile,
    relative_errors,
    squared_errors,
)
from keelway.evaluate.records import Comparison
from keelway.evaluate.rows import checked_rows
from keelway.evaluate.uncertainty import (
    LEVEL,
    RESAMPLES,
    Interval,
    draws_of,
    normal_interval,
    quantile_of,
    standard_errors,
)
from keelway.evaluate.verdict import p_of, verdict_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Numbers = NDArray[np.float64]

FEW_DISCORDANT = 25
"""McNemar's test is exact below so many rows on which the two models disagree."""


def compare_by(
    metric: str,
    truth: ArrayLike,
    predictions: ArrayLike,
    other: ArrayLike,
    *,
    against: str,
    task: MeasuredTask = "binary",
    classes: Sequence[str] = (),
    groups: ArrayLike | None = None,
    smallest_difference: float = 0.0,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Comparison:
    """Return the paired two-sided test of two models' predictions for the same rows, and its verdict.

    Args:
        metric: What is compared; any that `measure` knows for the task.
        truth: What came true, a value a row; see `measure`.
        predictions: One model's.
        other: The other's.
        against: What the other is called.
        task: What was predicted.
        classes: The names of the classes, in the order of the probabilities.
        groups: The entity of each row, or for ranking its list.
        smallest_difference: The difference that matters; 0 where any does.
        seed: Decides the bootstrap's draws, where there are any.
        resamples: How many draws it takes.

    Raises:
        TrainingError: The metric is unknown, or cannot be measured on these rows.
    """
    if not is_known(metric, task):
        raise TrainingError(f"Unknown metric of {task}", expected=", ".join(METRICS[task]), found=metric)
    only_ranked = only_ranks([metric])
    rows, one = checked_rows(task, truth, predictions, classes, only_ranked=only_ranked)
    two = checked_rows(task, truth, other, classes, only_ranked=only_ranked)[1]
    interval, p_value = _tested(metric, task, rows, (one, two), groups, draws=(seed, resamples))
    verdict = verdict_of(
        interval, p_value, greater_is_better=greater_is_better(metric), smallest_difference=smallest_difference
    )
    return Comparison(against, interval, p_value, verdict, metric, smallest_difference)


def row_losses(metric: str, task: MeasuredTask, rows: Numbers, given: Numbers) -> Numbers | None:
    """Return a loss for each row where the metric is their mean, or None."""
    import numpy as np

    if task == "multiclass":
        return class_log_losses(rows.astype(np.intp), given) if metric == "log_loss" else None
    if task == "regression":
        if (quantile := pinball_quantile(metric)) is not None:
            return pinball_losses(rows, given, quantile)
        if metric == "mae":
            return np.abs(given - rows)
        return relative_errors(rows, given) if metric == "mape" else None
    if metric == "log_loss":
        return log_losses(rows, given)
    return squared_errors(rows, given) if metric == "brier" else None


def right_rows(task: MeasuredTask, rows: Numbers, given: Numbers) -> NDArray[np.bool_]:
    """Return which rows were decided rightly: at one half, or by the most probable class."""
    import numpy as np

    said = given.argmax(axis=1) if task == "multiclass" else (given >= HALF)
    return np.asarray(said == rows, dtype=np.bool_)


def mcnemar(only_first: int, only_second: int, *, method: str = "usual") -> tuple[float, float]:
    """Return McNemar's statistic and two-sided p-value (Psychometrika 12, 1947).

    Args:
        only_first: Rows that only the first model got right.
        only_second: Rows that only the second got right.
        method: `exact` (binomial; the statistic is the smaller count), `corrected` (chi-squared with continuity
            correction, Edwards 1948), `uncorrected`, or `usual`: exact for fewer than 25 such rows, else corrected.
    """
    from scipy.stats import binom, chi2

    few, many = sorted((only_first, only_second))
    total = few + many
    if not total:
        return 0.0, 1.0
    if method == "exact" or (method == "usual" and total < FEW_DISCORDANT):
        return float(few), min(1.0, 2 * float(binom.cdf(few, total, 0.5)))
    gap = max(many - few - (0 if method == "uncorrected" else 1), 0)
    return gap**2 / total, float(chi2.sf(gap**2 / total, 1))


def _tested(
    metric: str,
    task: MeasuredTask,
    rows: Numbers,
    pair: tuple[Numbers, Numbers],
    groups: ArrayLike | None,
    *,
    draws: tuple[int, int],
) -> tuple[Interval, float]:
    """Return the difference of two models' figures with its interval, and the p-value."""
    one, two = pair
    if metric in AREAS:
        return _areas(task, rows, pair, groups)
    if task == "ranking" and groups is not None:
        first, second = (list_figures([metric], rows, each, groups)[metric] for each in pair)
        return _mean_difference((first - second)[~_undefined(first)], "paired t over lists")
    if metric == "accuracy" and groups is None:
        return _accuracies(right_rows(task, rows, one), right_rows(task, rows, two))
    losses = row_losses(metric, task, rows, one), row_losses(metric, task, rows, two)
    if groups is None and losses[0] is not None and losses[1] is not None:
        return _mean_difference(losses[0] - losses[1], "paired t")
    seed, resamples = draws
    figure = Difference(*(figures_of(task, [metric], rows, each)[metric] for each in pair))
    return _bootstrapped(figure, len(rows), groups, seed, resamples)


def _areas(
    task: MeasuredTask, rows: Numbers, pair: tuple[Numbers, Numbers], groups: ArrayLike | None
) -> tuple[Interval, float]:
    influences_of = auc_influences if task == "binary" else class_auc_influences
    return auc_difference(influences_of(rows, pair[0]), influences_of(rows, pair[1]), groups)


def _accuracies(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> tuple[Interval, float]:
    """Return the difference of two accuracies with the interval of Bonett and Price (2012), and McNemar's p-value."""
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    count, z = len(first), quantile_of(LEVEL)
    p12, p21 = (only_first + 1) / (count + 2), (only_second + 1) / (count + 2)
    half = z * math.sqrt((p12 + p21 - (p12 - p21) ** 2) / (count + 2))
    value, centre = (only_first - only_second) / count, p12 - p21
    interval = Interval(value, min(centre - half, value), max(centre + half, value), LEVEL, "McNemar")
    return interval, mcnemar(only_first, only_second)[1]


def _mean_difference(differences: Numbers, method: str) -> tuple[Interval, float]:
    """Return the mean of differences with the interval and p-value of the t-test."""
    from scipy.stats import t

    count = len(differences)
    mean = float(differences.mean()) if count else 0.0
    error = float(differences.std(ddof=1)) / math.sqrt(count) if count > 1 else 0.0
    if not error > 0:
        return Interval(mean, mean, mean, LEVEL, method), 1.0 if abs(mean) < 1e-15 or count < 2 else 0.0
    half = float(t.ppf(0.5 + LEVEL / 2, count - 1)) * error
    p_value = 2 * float(t.sf(abs(mean) / error, count - 1))
    return Interval(mean, mean - half, mean + half, LEVEL, method), p_value


def _bootstrapped(
    figure: Difference, rows: int, groups: ArrayLike | None, seed: int, resamples: int
) -> tuple[Interval, float]:
    """Return the difference of two figures with the standard error of its draws."""
    import numpy as np

    value = float(figure.of(np.ones((1, rows)))[0])
    if not math.isfinite(value):
        raise TrainingError("The metric cannot be measured on these rows", found=f"{rows} rows")
    draws = draws_of(rows, seed=seed, resamples=resamples, groups=groups)
    error = standard_errors({"difference": figure}, draws)["difference"]
    error = error if error > ROUNDING else 0.0
    method = f"paired bootstrap, {resamples}"
    return normal_interval(value, error, method=method), p_of(value if abs(value) >= 1e-12 else 0.0, error)


def _undefined(values: Numbers) -> NDArray[np.bool_]:
    import numpy as np

    return np.asarray(np.isnan(values))
