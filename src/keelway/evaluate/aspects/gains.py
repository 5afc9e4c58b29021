"""Lift and gain: what is won by acting on the highest probabilities first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from keelway.errors import TrainingError
from keelway.evaluate.rows import checked_rows
from keelway.evaluate.uncertainty import Interval, wilson_interval

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

PARTS = 10


@dataclass(frozen=True, slots=True)
class GainStep:
    """Acting on the rows with the highest probabilities, down to this step.

    Attributes:
        share: The share of all rows that is acted on.
        rows: How many rows that are.
        lowest: The lowest probability among them.
        precision: The share of positives among them.
        gain: The share of all positives that is among them.
        lift: Precision against the share of positives everywhere: how much better than chance.
        part_rate: The share of positives among the rows that this step adds.
    """

    share: float
    rows: int
    lowest: float
    precision: Interval
    gain: Interval
    lift: Interval
    part_rate: Interval


def gain_table(truth: ArrayLike, probabilities: ArrayLike, *, parts: int = PARTS) -> tuple[GainStep, ...]:
    """Return gain and lift for equal parts of the rows, ranked by probability; ties keep the rows' order.

    The interval of a lift treats the share of positives everywhere as known: it is the precision's, scaled.

    Raises:
        TrainingError: There is no positive, or there are fewer rows than parts.
    """
    import numpy as np

    labels, given = checked_rows("binary", truth, probabilities)
    positives = int(labels.sum())
    if not positives or len(labels) < parts:
        raise TrainingError(
            "There is no gain to show",
            expected=f"{parts} rows or more, and a positive one",
            found=f"{len(labels)} rows, {positives} positive",
        )
    order = np.argsort(-given, kind="stable")
    hits = np.concatenate([[0], np.cumsum(labels[order])]).astype(int)
    ends = np.round(np.arange(parts + 1) * len(labels) / parts).astype(int)
    base = positives / len(labels)
    steps = []
    for before, end in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
        precision = wilson_interval(int(hits[end]), end)
        steps.append(
            GainStep(
                share=end / len(labels),
                rows=end,
                lowest=float(given[order[end - 1]]),
                precision=precision,
                gain=wilson_interval(int(hits[end]), positives),
                lift=Interval(
                    precision.value / base,
                    precision.low / base,
                    precision.high / base,
                    precision.level,
                    "Wilson, scaled",
                ),
                part_rate=wilson_interval(int(hits[end] - hits[before]), end - before),
            )
        )
    return tuple(steps)
