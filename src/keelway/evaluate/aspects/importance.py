"""Permutation importance: how much worse a metric gets when a feature's values are shuffled among the rows (Breiman 2001).

Features that tell the same share their worth: shuffling one of them leaves the other to the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from keelway.errors import TrainingError
from keelway.evaluate.findings import Importance
from keelway.evaluate.measure import AREAS, figures_of
from keelway.evaluate.metrics import MeasuredTask, greater_is_better
from keelway.evaluate.rows import checked_rows
from keelway.evaluate.uncertainty import LEVEL, Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Numbers = NDArray[np.float64]

Columns = Mapping[str, Sequence[Any]]
Predict = Callable[[Columns], Any]
"""Gives a prediction for each row of columns: (rows,), or (rows, classes)."""
MAX_ROWS = 2_000
CELLS_AT_ONCE = 50_000  # rows that are predicted in one call


def permutation_importance(
    predict: Predict,
    columns: Columns,
    truth: ArrayLike,
    *,
    metric: str,
    task: MeasuredTask = "binary",
    classes: Sequence[str] = (),
    repeats: int = 5,
    seed: int = 0,
    max_rows: int = MAX_ROWS,
) -> tuple[Importance, ...]:
    """Return what each feature is worth, most first, with the t-interval over the shuffles.

    Args:
        predict: The model.
        columns: The features, a value a row.
        truth: What came true, a value a row.
        metric: What gets worse.
        task: What is predicted.
        classes: The names of the classes, in the order of the probabilities.
        repeats: How often each feature is shuffled, twice at least.
        seed: Decides rows and shuffles.
        max_rows: Of more rows, so many are drawn.
    """
    import numpy as np

    if repeats < 2:
        raise TrainingError("One shuffle has no interval", expected="repeats of 2 or more", found=str(repeats))
    generator = np.random.default_rng(seed)
    count = len(np.asarray(truth))
    kept = generator.permutation(count)[:max_rows] if count > max_rows else np.arange(count)
    held = {name: _taken(values, kept) for name, values in columns.items()}
    answers = np.asarray(truth)[kept]
    sign = 1.0 if greater_is_better(metric) else -1.0
    whole = figure_value(metric, task, answers, predict(held), classes)
    found = []
    for name in held:
        orders = [generator.permutation(len(kept)) for _ in range(repeats)]
        losses = [
            sign * (whole - figure_value(metric, task, answers, given, classes))
            for given in _shuffled(predict, held, name, orders)
        ]
        found.append(Importance(name, metric, _over_repeats(np.array(losses))))
    return tuple(sorted(found, key=lambda each: (-each.loss.value, each.feature)))


def figure_value(
    metric: str, task: MeasuredTask, truth: ArrayLike, predictions: ArrayLike, classes: Sequence[str]
) -> float:
    """Return a metric of rows without its interval."""
    import numpy as np

    from keelway.evaluate.delong import auc_influences, class_auc_influences

    rows, given = checked_rows(task, truth, predictions, classes)
    if metric in AREAS:
        return (auc_influences if task == "binary" else class_auc_influences)(rows, given)[0]
    return float(figures_of(task, [metric], rows, given)[metric].of(np.ones((1, len(rows))))[0])


def _shuffled(predict: Predict, held: Columns, name: str, orders: Sequence[NDArray[np.intp]]) -> list[Any]:
    """Return the predictions with one column in each of several orders, many of them in one call."""
    import numpy as np

    rows = len(orders[0])
    at_once = max(1, CELLS_AT_ONCE // max(rows, 1))
    made: list[Any] = []
    for start in range(0, len(orders), at_once):
        part = orders[start : start + at_once]
        again = np.tile(np.arange(rows), len(part))
        columns = {other: _taken(values, again) for other, values in held.items() if other != name}
        columns[name] = _taken(held[name], np.concatenate(part))
        given = np.asarray(predict({other: columns[other] for other in held}), dtype=np.float64)
        made += np.split(given, len(part))
    return made


def _taken(values: Sequence[Any], places: NDArray[np.intp]) -> list[Any]:
    return [values[place] for place in places.tolist()]


def _over_repeats(losses: Numbers) -> Interval:
    """Return the mean loss with the t-interval over the shuffles."""
    from scipy.stats import t

    mean, count = float(losses.mean()), len(losses)
    half = float(t.ppf(0.5 + LEVEL / 2, count - 1)) * float(losses.std(ddof=1)) / math.sqrt(count)
    return Interval(mean, mean - half, mean + half, LEVEL, f"{count} shuffles, t")
