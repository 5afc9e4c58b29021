"""Slices: a metric on the rows that share a value, tested against all other rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from keelway.errors import TrainingError
from keelway.evaluate.aspects.levels import levels_of
from keelway.evaluate.delong import auc_influences, class_auc_influences, error_of
from keelway.evaluate.findings import SliceScore
from keelway.evaluate.measure import AREAS, figures_of, measure
from keelway.evaluate.metrics import MeasuredTask, greater_is_better
from keelway.evaluate.paired import right_rows, row_losses
from keelway.evaluate.rows import checked_rows
from keelway.evaluate.several import adjusted
from keelway.evaluate.uncertainty import (
    RESAMPLES,
    SIGNIFICANT,
    Interval,
    draws_of,
    newcombe_interval,
    normal_interval,
    proportions_test,
    standard_errors,
    welch_test,
)
from keelway.evaluate.verdict import p_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Numbers = NDArray[np.float64]

MIN_SUPPORT = 50
FEWEST_TO_TEST = 2


def slice_scores(
    metric: str,
    truth: ArrayLike,
    predictions: ArrayLike,
    columns: Mapping[str, Sequence[Any]],
    *,
    task: MeasuredTask = "binary",
    classes: Sequence[str] = (),
    min_support: int = MIN_SUPPORT,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> tuple[SliceScore, ...]:
    """Return the metric for each level of each column, with its difference from all other rows.

    P-values are corrected by Holm over all slices with enough rows. A level without enough rows on its side or among the
    others, or on which the metric has no value, is reported and not judged. Rows are taken as independent.

    Args:
        metric: What is measured.
        truth: What came true, a value a row; see `measure`.
        predictions: The model's.
        columns: The values of each column that slices, a value a row; many numbers are cut at their quartiles.
        task: What was predicted.
        classes: The names of the classes, in the order of the probabilities.
        min_support: A slice with fewer rows is not judged.
        seed: Decides the bootstrap's draws, where there are any.
        resamples: How many draws it takes.
    """
    rows, given = checked_rows(task, truth, predictions, classes)
    found = []
    for column, values in columns.items():
        for level, own in levels_of(values, column=column).items():
            enough = min(int(own.sum()), int((~own).sum())) >= max(min_support, FEWEST_TO_TEST)
            score = SliceScore(column, level, int(own.sum()), enough, metric, None, None, 1.0, "not judged")
            found.append(_filled(score, rows, given, own, task, (seed, resamples)))
    return _judged(found)


def _filled(
    score: SliceScore, rows: Numbers, given: Numbers, own: NDArray[np.bool_], task: MeasuredTask, draws: tuple[int, int]
) -> SliceScore:
    """Return a slice with its figure and its difference, where these rows allow them."""
    import numpy as np

    seed, resamples = draws
    names = [str(place) for place in range(given.shape[1])] if task == "multiclass" else []
    truth = rows.astype(np.intp) if task == "multiclass" else rows
    try:
        figure = measure(
            task, truth[own], given[own], metrics=(score.metric,), seed=seed, classes=names, resamples=resamples
        )[score.metric]
        if not score.enough:
            return replace(score, figure=figure)
        difference, p_value = _apart(score.metric, task, rows, given, own, draws)
    except TrainingError:  # a slice of one class has no AUC, say: the record shows it as not judged
        return replace(score, enough=False)
    return replace(score, figure=figure, difference=difference, p_value=p_value)


def _judged(found: Sequence[SliceScore]) -> tuple[SliceScore, ...]:
    """Return slices with p-values corrected over those that have enough rows, and verdicts."""
    p_values = iter(adjusted([each.p_value for each in found if each.enough], "holm"))
    made = []
    for each in found:
        if not each.enough or each.difference is None:
            made.append(each)
            continue
        p_value = next(p_values)
        ahead = (each.difference.value > 0) == greater_is_better(each.metric)
        if p_value < SIGNIFICANT:
            made.append(replace(each, p_value=p_value, verdict="better" if ahead else "worse"))
        else:
            made.append(replace(each, p_value=p_value, verdict="no difference shown"))
    return tuple(made)


def _apart(
    metric: str, task: MeasuredTask, rows: Numbers, given: Numbers, own: NDArray[np.bool_], draws: tuple[int, int]
) -> tuple[Interval, float]:
    """Return the figure of some rows minus that of all others, with interval and two-sided p-value."""
    import numpy as np

    parts = [(rows[side], given[side]) for side in (own, ~own)]
    if metric in AREAS:
        influences_of = auc_influences if task == "binary" else class_auc_influences
        areas = [influences_of(*part) for part in parts]
        value, error = areas[0][0] - areas[1][0], math.hypot(*(error_of(each, None) for _, each in areas))
        return normal_interval(value, error, method="DeLong"), p_of(value, error)
    if metric == "accuracy":
        counts = [(int(right_rows(task, *part).sum()), len(part[0])) for part in parts]
        return newcombe_interval(counts[0], counts[1]), proportions_test(counts).p_value
    losses = [row_losses(metric, task, *part) for part in parts]
    if losses[0] is not None and losses[1] is not None:
        tested = welch_test(losses[0], losses[1])
        if tested.difference is not None:
            return tested.difference, tested.p_value
    values, errors = [], []
    for part in parts:
        figures = figures_of(task, [metric], *part)
        values.append(float(figures[metric].of(np.ones((1, len(part[0]))))[0]))
        errors.append(standard_errors(figures, draws_of(len(part[0]), seed=draws[0], resamples=draws[1]))[metric])
    if not all(map(math.isfinite, (*values, *errors))):
        raise TrainingError(f"{metric} cannot be measured on these rows", found=f"{int(own.sum())} rows")
    value, error = values[0] - values[1], math.hypot(*errors)
    return normal_interval(value, error, method=f"bootstrap, {draws[1]}"), p_of(value, error)
