"""Robustness: how a metric moves when the columns a model reads are noisy, missing or mixed up."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from keelway.evaluate.aspects.importance import Columns, Predict
from keelway.evaluate.metrics import MeasuredTask
from keelway.evaluate.paired import compare_by
from keelway.evaluate.records import Comparison

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike

Harm = Literal["noise", "missing", "permuted levels"]
EVERY_COLUMN = "(every number)"
NOISE = (0.1, 0.5)


@dataclass(frozen=True, slots=True)
class Perturbation:
    """What became of a metric when columns were harmed.

    Attributes:
        harm: What was done: noise on numbers, values taken away, or the names of levels exchanged.
        column: Which column it was done to.
        size: Of noise: its standard deviation, as a share of the column's; else 1.
        change: The metric with the harm against the metric without, on the same rows.
    """

    harm: Harm
    column: str
    size: float
    change: Comparison


def robustness_of(
    predict: Predict,
    columns: Columns,
    truth: ArrayLike,
    *,
    metric: str,
    task: MeasuredTask = "binary",
    classes: Sequence[str] = (),
    noise: Sequence[float] = NOISE,
    smallest_difference: float = 0.0,
    seed: int = 0,
) -> tuple[Perturbation, ...]:
    """Return how a metric moves under noise on all numbers, each column missing, and each category's levels exchanged.

    Args:
        predict: The model.
        columns: The features, a value a row; a column of texts is a category.
        truth: What came true, a value a row.
        metric: What moves.
        task: What is predicted.
        classes: The names of the classes, in the order of the probabilities.
        noise: Standard deviations of the noise, as shares of each column's own.
        smallest_difference: The change that matters.
        seed: Decides noise and exchanges.
    """
    import numpy as np

    before = predict(columns)
    generator = np.random.default_rng(seed)
    found = []
    for harm, column, size, harmed in _harms(columns, noise, generator):
        change = compare_by(
            metric,
            truth,
            predict(harmed),
            before,
            against="the columns as they are",
            task=task,
            classes=classes,
            smallest_difference=smallest_difference,
            seed=seed,
        )
        found.append(Perturbation(harm, column, size, change))
    return tuple(found)


def _harms(
    columns: Columns, noise: Sequence[float], generator: np.random.Generator
) -> Iterator[tuple[Harm, str, float, Columns]]:
    """Yield each harm, the column it is done to, its size, and the columns after it."""
    numbers = {name: values for name, values in columns.items() if _is_number(values)}
    texts = {name: values for name, values in columns.items() if _is_text(values)}
    for size in noise if numbers else ():
        yield (
            "noise",
            EVERY_COLUMN,
            size,
            {**columns, **{name: _noisy(numbers[name], size, generator) for name in numbers}},
        )
    for name, values in {**numbers, **texts}.items():
        yield "missing", name, 1.0, {**columns, name: [None if name in numbers else ""] * len(values)}
    for name, values in texts.items():
        if len(set(values) - {"", None}) > 1:
            yield "permuted levels", name, 1.0, {**columns, name: _exchanged(values, generator)}


def _noisy(values: Sequence[Any], size: float, generator: np.random.Generator) -> list[float | None]:
    """Return numbers with normal noise; missing ones stay missing."""
    import numpy as np

    numbers = np.array([math.nan if each is None else float(each) for each in values])
    spread = float(np.nanstd(numbers)) if np.isfinite(numbers).any() else 0.0
    moved = numbers + generator.normal(0.0, 1.0, len(numbers)) * size * spread
    return [None if math.isnan(each) else each for each in moved.tolist()]


def _exchanged(values: Sequence[Any], generator: np.random.Generator) -> list[Any]:
    """Return a category in which each level goes by the name of another one."""
    levels = sorted({str(each) for each in values if each not in ("", None)})
    order = generator.permutation(len(levels)).tolist()
    names: Mapping[str, str] = {
        levels[place]: levels[following] for place, following in zip(order, [*order[1:], order[0]], strict=True)
    }
    return [each if each in ("", None) else names[str(each)] for each in values]


def _is_number(values: Sequence[Any]) -> bool:
    kept = [each for each in values if each is not None]
    return all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in kept)


def _is_text(values: Sequence[Any]) -> bool:
    return not _is_number(values) and all(each is None or isinstance(each, str) for each in values)
