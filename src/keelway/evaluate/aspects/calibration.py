"""Calibration: whether probabilities can be taken at their word."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from keelway.evaluate.figures import mean_figure
from keelway.evaluate.figures.binary import calibration_figure
from keelway.evaluate.findings import Calibration, ReliabilityBin
from keelway.evaluate.metrics import BINS, bin_places, squared_errors
from keelway.evaluate.rows import checked_rows
from keelway.evaluate.uncertainty import RESAMPLES, Interval, draws_of, intervals_of, wilson_interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Numbers = NDArray[np.float64]


def calibration_of(
    truth: ArrayLike,
    probabilities: ArrayLike,
    *,
    seed: int,
    bins: int = BINS,
    resamples: int = RESAMPLES,
    groups: ArrayLike | None = None,
    known: Mapping[str, Interval] | None = None,
) -> Calibration:
    """Return how well probabilities fit what came true, over equally wide bins.

    Args:
        truth: 0 or 1, a value a row.
        probabilities: Of 1, a value a row.
        seed: Decides the bootstrap's draws.
        bins: How many bins of [0, 1].
        resamples: How many draws.
        groups: The entity of each row, where several rows may be of one.
        known: `ece` and `brier` of these rows and bins, where they were measured before.

    Raises:
        TrainingError: A truth is neither 0 nor 1, or a probability outside [0, 1].
    """
    labels, given = checked_rows("binary", truth, probabilities)
    table = reliability_table(labels, given, bins=bins)
    figures = {
        "ece": calibration_figure(labels, given, bins=bins),
        "brier": mean_figure(squared_errors(labels, given)),
    }
    draws = draws_of(len(labels), seed=seed, resamples=resamples, groups=groups)
    found = known or intervals_of(figures, draws)
    share = float(labels.mean())
    reliability = sum(each.rows * (each.predicted - each.observed.value) ** 2 for each in table) / len(labels)
    resolution = sum(each.rows * (each.observed.value - share) ** 2 for each in table) / len(labels)
    uncertainty = share * (1 - share)
    return Calibration(
        error=found["ece"],
        worst_gap=max(abs(each.predicted - each.observed.value) for each in table),
        brier=found["brier"],
        reliability=reliability,
        resolution=resolution,
        uncertainty=uncertainty,
        within_bins=found["brier"].value - (reliability - resolution + uncertainty),
        p_value=spiegelhalter_p(labels, given),
        bins=table,
    )


def class_calibration_of(
    places: NDArray[np.intp],
    probabilities: Numbers,
    *,
    seed: int,
    resamples: int = RESAMPLES,
    groups: ArrayLike | None = None,
) -> Calibration:
    """Return how well the probability of the most probable class fits how often it is the right one.

    Args:
        places: The place of each row's class among the classes.
        probabilities: (rows, classes).
        seed: Decides the bootstrap's draws.
        resamples: How many draws.
        groups: The entity of each row, where several rows may be of one.
    """
    right = probabilities.argmax(axis=1) == places
    return calibration_of(right, probabilities.max(axis=1), seed=seed, resamples=resamples, groups=groups)


def reliability_table(labels: Numbers, probabilities: Numbers, *, bins: int = BINS) -> tuple[ReliabilityBin, ...]:
    """Return the bins of [0, 1] that hold rows: what was predicted there, and what came true."""
    import numpy as np

    places = bin_places(probabilities, bins)
    rows, positives = (np.bincount(places, weights=each, minlength=bins) for each in (np.ones_like(labels), labels))
    predicted = np.bincount(places, weights=probabilities, minlength=bins)
    return tuple(
        ReliabilityBin(
            low=place / bins,
            high=(place + 1) / bins,
            rows=int(rows[place]),
            predicted=float(predicted[place] / rows[place]),
            observed=wilson_interval(int(positives[place]), int(rows[place])),
        )
        for place in np.flatnonzero(rows).tolist()
    )


def spiegelhalter_p(labels: Numbers, probabilities: Numbers) -> float:
    """Return the two-sided p-value that every probability is right (Spiegelhalter, Statistics in Medicine 5, 1986)."""
    away = 1 - 2 * probabilities
    variance = float((away**2 * probabilities * (1 - probabilities)).sum())
    excess = float(((labels - probabilities) * away).sum())
    if not variance > 0:
        return 1.0 if abs(excess) < 1e-12 else 0.0
    return math.erfc(abs(excess) / math.sqrt(variance) / math.sqrt(2))
