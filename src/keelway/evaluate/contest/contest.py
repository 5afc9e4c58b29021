"""Compare several models on the same rows: figures, paired tests corrected for their number, slices, and a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from keelway.errors import TrainingError
from keelway.evaluate.aspects import (
    MIN_SUPPORT,
    GainStep,
    calibration_of,
    class_calibration_of,
    gain_table,
    levels_of,
)
from keelway.evaluate.contest.records import Contest, Contestant, ContestSlice, Duel
from keelway.evaluate.contest.rows import ContestRows
from keelway.evaluate.contest.words import sentence_of, word_of
from keelway.evaluate.findings import Calibration
from keelway.evaluate.metrics import greater_is_better
from keelway.evaluate.records import Comparison, Correction
from keelway.evaluate.several import corrected
from keelway.evaluate.uncertainty import RESAMPLES, Interval
from keelway.project import Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

Found = tuple[str, Comparison]


def contest(
    truth: Sequence[Any],
    predictions: Mapping[str, ArrayLike],
    *,
    task: Task,
    metrics: Sequence[str],
    classes: Sequence[str] = (),
    groups: Sequence[Any] | None = None,
    margins: Mapping[str, float] | None = None,
    correction: Correction = "holm",
    columns: Mapping[str, Sequence[Any]] | None = None,
    min_support: int = MIN_SUPPORT,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Contest:
    """Return every model's figures, and each later model against the first by every metric.

    P-values are corrected over all these comparisons together; those of slices by themselves, over all slices.

    Args:
        truth: What came true, a value a row; see `measure`.
        predictions: Each model's, by name, the baseline's first.
        task: What was predicted.
        metrics: What is measured; the first decides.
        classes: The names of the classes, in the order of the probabilities.
        groups: The entity of each row, where several rows may be of one.
        margins: The smallest difference worth having, by metric.
        correction: `holm` where no false difference may slip in, `benjamini-hochberg` where a share of them may.
        columns: The values of each column that slices, a value a row.
        min_support: A slice with fewer rows is reported and not judged.
        seed: Decides the bootstrap's draws.
        resamples: How many draws it takes.

    Raises:
        TrainingError: There are fewer than two models or no metric, one is unknown or cannot be measured on these rows,
            or a prediction does not fit.
    """
    if len(predictions) < 2 or not metrics:
        raise TrainingError(
            "There is nothing to compare", expected="two models and a metric", found=f"{len(predictions)} models"
        )
    numbered = None if groups is None else _numbered(groups)
    rows = ContestRows(task, tuple(classes), truth, dict(predictions), numbered, seed, resamples)
    found = [(name, rows.duel(metric, name)) for metric in metrics for name in rows.others]
    duels = _duels(rows, found, correction=correction, margins=margins or {})
    positives = int(rows.truth_numbers.sum()) if task == "binary" else 0
    return Contest(
        task=task,
        rows=len(rows.truth_numbers),
        positives=positives,
        groups=0 if numbered is None else int(numbered.max(initial=-1)) + 1,
        metrics=tuple(metrics),
        margins={metric: float((margins or {}).get(metric, 0.0)) for metric in metrics},
        correction=correction if len(found) > 1 else "none",
        seed=seed,
        models=tuple(_contestant(rows, name, metrics) for name in rows.given),
        duels=duels,
        slices=_slices(rows, metrics[0], columns or {}, min_support, correction=correction, margins=margins or {}),
        leader=_leader(rows.baseline, duels, metrics[0]),
    )


def _numbered(groups: Sequence[Any]) -> NDArray[np.intp]:
    """Return a number for each row's group: it is asked for in every draw and slice, where texts would be sorted anew."""
    import numpy as np

    return np.unique(np.asarray(groups), return_inverse=True)[1]


def _duels(
    rows: ContestRows, found: Sequence[Found], *, correction: Correction, margins: Mapping[str, float]
) -> tuple[Duel, ...]:
    """Return comparisons with corrected p-values, each judged by the margin of its metric."""
    with_margins = corrected([comparison for _, comparison in found], correction=correction)
    judged = []
    for (name, _), each in zip(found, with_margins, strict=True):
        final = rows.judged(each, margins.get(each.metric, 0.0))
        same = rows.same(name)
        judged.append(Duel(name, final, word_of(final, same=same), sentence_of(name, final, same=same)))
    return tuple(judged)


def _leader(baseline: str, duels: Sequence[Duel], metric: str) -> str:
    """Return the best of those that are better than the baseline by a metric, or the baseline."""
    sign = 1 if greater_is_better(metric) else -1
    better = [each for each in duels if each.word == "better" and each.comparison.metric == metric]
    ahead = max(better, key=lambda each: sign * each.comparison.difference.value, default=None)
    return baseline if ahead is None else ahead.name


def _contestant(rows: ContestRows, name: str, metrics: Sequence[str]) -> Contestant:
    return Contestant(name, rows.figures(name, metrics), _calibration(rows, name), _gains(rows, name))


def _calibration(rows: ContestRows, name: str) -> Calibration | None:
    import numpy as np

    given, truth = rows.given[name], rows.truth_numbers
    if rows.task == "regression":
        return None
    if rows.task == "multiclass":
        return class_calibration_of(
            truth.astype(np.intp), given, seed=rows.seed, resamples=rows.resamples, groups=rows.groups
        )
    return calibration_of(truth, given, seed=rows.seed, resamples=rows.resamples, groups=rows.groups)


def _gains(rows: ContestRows, name: str) -> tuple[GainStep, ...]:
    if rows.task != "binary":
        return ()
    try:
        return gain_table(rows.truth_numbers, rows.given[name])
    except TrainingError:  # too few rows for tenths of them
        return ()


def _slices(
    rows: ContestRows,
    metric: str,
    columns: Mapping[str, Sequence[Any]],
    min_support: int,
    *,
    correction: Correction,
    margins: Mapping[str, float],
) -> tuple[ContestSlice, ...]:
    """Return every level of every column, the judged ones with duels that are corrected over all of them."""
    levels = [
        (column, level, own)
        for column, values in columns.items()
        for level, own in levels_of(values, column=column).items()
    ]
    figures = [_on_slice(rows, metric, own) for _, _, own in levels]
    found = [_slice_duels(rows, metric, own) if own.sum() >= min_support else [] for _, _, own in levels]
    duels = iter(_duels(rows, [each for some in found for each in some], correction=correction, margins=margins))
    return tuple(
        ContestSlice(column, level, int(own.sum()), bool(some), told, tuple(next(duels) for _ in some))
        for (column, level, own), told, some in zip(levels, figures, found, strict=True)
    )


def _on_slice(rows: ContestRows, metric: str, own: NDArray[np.bool_]) -> dict[str, Interval]:
    """Return each model's figure on some rows; none where the metric has no value there."""
    part = rows.part(own)
    try:
        return {name: part.figures(name, [metric])[metric] for name in part.given}
    except TrainingError:
        return {}


def _slice_duels(rows: ContestRows, metric: str, own: NDArray[np.bool_]) -> list[Found]:
    part = rows.part(own)
    try:
        return [(name, part.duel(metric, name)) for name in part.others]
    except TrainingError:
        return []
