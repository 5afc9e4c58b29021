"""Measure predictions against the truth: every metric with its interval.

DeLong's for AUC, Wilson's for rates, BCa bootstrap for everything else; where rows belong together, each of them by group.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from keelway.errors import TrainingError
from keelway.evaluate.delong import auc_interval, class_auc_interval
from keelway.evaluate.figures import (
    Figure,
    binary_figures,
    list_figures,
    multiclass_figures,
    regression_figures,
    top_figures,
)
from keelway.evaluate.figures.binary import HALF
from keelway.evaluate.metrics import METRICS, MeasuredTask, is_known, is_ranking, only_ranks
from keelway.evaluate.rows import checked_rows
from keelway.evaluate.uncertainty import RESAMPLES, Interval, draws_of, intervals_of, mean_interval, wilson_interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Numbers = NDArray[np.float64]

AREAS = frozenset({"roc_auc", "roc_auc_ovr"})


def measure(
    task: MeasuredTask,
    truth: ArrayLike,
    predictions: ArrayLike,
    *,
    metrics: Sequence[str] = (),
    seed: int,
    classes: Sequence[str] = (),
    groups: ArrayLike | None = None,
    resamples: int = RESAMPLES,
) -> dict[str, Interval]:
    """Return each metric of predictions with its 95 % interval.

    Args:
        task: What was predicted. `ranking` ranks the rows of each group by their score.
        truth: 0 or 1 (binary), names of classes (multiclass), numbers (regression), relevance of 0 or more (ranking).
        predictions: (rows,) probabilities, numbers or scores; (rows, classes) probabilities for multiclass.
        metrics: Which to measure; all usual ones of the task without.
        seed: Decides the bootstrap's draws.
        classes: The names of the classes, in the order of the probabilities.
        groups: The entity of each row, where several rows may be of one; for ranking the list that a row is in.
        resamples: How many draws a bootstrap takes.

    Raises:
        TrainingError: A metric is unknown, a prediction is no finite number, or the truth does not allow a metric.
    """
    if unknown := [name for name in metrics if not is_known(name, task)]:
        raise TrainingError(f"Unknown metrics of {task}", expected=", ".join(METRICS[task]), found=", ".join(unknown))
    only_ranked = bool(metrics) and only_ranks(metrics)
    rows, given = checked_rows(task, truth, predictions, classes, only_ranked=only_ranked)
    if task == "ranking" and groups is not None:
        per_list = list_figures(tuple(metrics) or METRICS[task], rows, given, groups)
        return {name: _over_lists(name, values, seed, resamples) for name, values in per_list.items()}
    names = tuple(metrics) or measurable(task, METRICS[task], rows, given)
    made = {name: _area(task, rows, given, groups) for name in names if name in AREAS}
    if groups is None:
        made |= _rates(task, names, rows, given)
    figures = figures_of(task, [name for name in names if name not in made], rows, given)
    if without := [name for name, figure in figures.items() if not _has_value(figure, rows)]:
        raise TrainingError(
            f"{', '.join(without)} cannot be measured on these rows",
            expected="rows of every class, some of them predicted positive" if task == "binary" else "truths that vary",
            found=f"{len(rows)} rows without",
        )
    draws = draws_of(len(rows), seed=seed, resamples=resamples, groups=groups)
    made |= intervals_of(figures, draws)
    return {name: made[name] for name in names}


def measurable(task: MeasuredTask, names: Sequence[str], rows: Numbers, given: Numbers) -> tuple[str, ...]:
    """Return the metrics that checked rows have a value of, such as no precision where nothing is predicted positive."""
    import numpy as np

    figures = figures_of(task, [name for name in names if name not in AREAS], rows, given)
    known = {name for name, figure in figures.items() if _has_value(figure, rows)}
    classes = given.shape[1] if given.ndim > 1 else 2
    counts = np.bincount(rows.astype(np.intp), minlength=classes) if not AREAS.isdisjoint(names) else np.zeros(1)
    if counts.min() >= 2 and len(rows) - counts.max() >= 2:
        known |= AREAS
    return tuple(name for name in names if name in known)


def figures_of(task: MeasuredTask, names: Sequence[str], rows: Numbers, given: Numbers) -> dict[str, Figure]:
    """Return metrics of checked rows as functions of their weights; an area under the curve is not among them."""
    import numpy as np

    found: dict[str, Callable[[], Figure]] = {}
    if task == "binary":
        found |= binary_figures(rows, given)
    elif task == "multiclass":
        found |= multiclass_figures(rows.astype(np.intp), given)
    elif task == "regression":
        found |= regression_figures(rows, given, names)
    found |= top_figures([name for name in names if is_ranking(name)], rows, given)
    return {name: found[name]() for name in names}


def _area(task: MeasuredTask, rows: Numbers, given: Numbers, groups: ArrayLike | None) -> Interval:
    area = auc_interval if task == "binary" else class_auc_interval
    return area(rows, given, groups=groups)


def _has_value(figure: Figure, rows: Numbers) -> bool:
    import numpy as np

    return bool(np.isfinite(figure.of(np.ones((1, len(rows))))).all())


def _rates(task: MeasuredTask, names: Sequence[str], rows: Numbers, given: Numbers) -> dict[str, Interval]:
    """Return the metrics that are shares of single rows; those without any such row are left to the others."""
    import numpy as np

    if task == "multiclass":
        parts = {"accuracy": (given.argmax(axis=1) == rows, np.ones(len(rows), dtype=bool))}
    elif task == "binary":
        said, true = given >= HALF, rows == 1
        parts = {
            "accuracy": (said == true, np.ones(len(rows), dtype=bool)),
            "precision": (true, said),
            "recall": (said, true),
        }
    else:
        return {}
    return {
        name: wilson_interval(int((hits & among).sum()), int(among.sum()))
        for name, (hits, among) in parts.items()
        if name in names and among.any()
    }


def _over_lists(name: str, values: Numbers, seed: int, resamples: int) -> Interval:
    import numpy as np

    kept = values[~np.isnan(values)]
    if not len(kept):
        raise TrainingError(f"{name} has no value on these rows", expected="a list with something relevant", found="0")
    return mean_interval(kept, seed=seed, resamples=resamples)
