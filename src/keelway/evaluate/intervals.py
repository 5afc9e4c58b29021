"""Intervals for rates (Wilson) and for anything computed from rows (bootstrap: BCa and percentile)."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from keelway.evaluate.records import Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEVEL = 0.95
RESAMPLES = 1000


def wilson_interval(successes: int, trials: int, *, level: float = LEVEL) -> Interval:
    """Return a rate with Wilson's score interval.

    >>> found = wilson_interval(81, 263)
    >>> round(found.low, 7), round(found.high, 7)
    (0.2552885, 0.3662096)
    """
    z = NormalDist().inv_cdf(0.5 + level / 2)
    rate = successes / trials
    centre = rate + z * z / (2 * trials)
    half = z * math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    low = 0.0 if successes == 0 else (centre - half) / scale
    high = 1.0 if successes == trials else (centre + half) / scale
    return Interval(rate, low, high, level, "Wilson")


def newcombe_interval(first: tuple[int, int], second: tuple[int, int], *, level: float = LEVEL) -> Interval:
    """Return the difference of two rates, each (successes, trials), with Newcombe's interval (his method 10)."""
    a, b = wilson_interval(*first, level=level), wilson_interval(*second, level=level)
    difference = a.value - b.value
    low = difference - math.hypot(a.value - a.low, b.high - b.value)
    high = difference + math.hypot(a.high - a.value, b.value - b.low)
    return Interval(difference, low, high, level, "Newcombe")


def bootstrap_interval(
    rows: NDArray[np.float64],
    statistic: Callable[[NDArray[np.float64]], float],
    *,
    seed: int,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    corrected: bool = True,
) -> Interval:
    """Return a statistic of rows with its bootstrap interval: BCa, or percentile where `corrected` is off."""
    import numpy as np

    generator = np.random.default_rng(seed)
    count = len(rows)
    drawn = np.array([statistic(rows[generator.integers(0, count, count)]) for _ in range(resamples)])
    value = float(statistic(rows))
    tails = [(1 - level) / 2, (1 + level) / 2]
    if corrected:
        tails = _corrected(tails, drawn, value, _acceleration(rows, statistic))
    low, high = np.nanquantile(drawn, tails)
    method = "bootstrap BCa" if corrected else "bootstrap percentile"
    return Interval(value, min(float(low), value), max(float(high), value), level, f"{method}, {resamples}")


def mean_interval(
    values: NDArray[np.float64], *, seed: int, resamples: int = RESAMPLES, level: float = LEVEL
) -> Interval:
    """Return a mean with its BCa interval; the jackknife of a mean is known, so large tables stay fast."""
    import numpy as np

    generator = np.random.default_rng(seed)
    count = len(values)
    drawn = np.array([values[generator.integers(0, count, count)].mean() for _ in range(resamples)])
    value = float(values.mean())
    left_out = (values.sum() - values) / (count - 1)
    tails = _corrected([(1 - level) / 2, (1 + level) / 2], drawn, value, _skew(left_out))
    low, high = np.quantile(drawn, tails)
    return Interval(value, float(low), float(high), level, f"bootstrap BCa, {resamples}")


def _acceleration(rows: NDArray[np.float64], statistic: Callable[[NDArray[np.float64]], float]) -> float:
    import numpy as np

    return _skew(np.array([statistic(np.delete(rows, place, axis=0)) for place in range(len(rows))]))


def _skew(left_out: NDArray[np.float64]) -> float:
    """Return the acceleration of BCa from jackknife values."""
    away = left_out.mean() - left_out
    spread = float((away**2).sum())
    return float((away**3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0


def _corrected(tails: list[float], drawn: NDArray[Any], value: float, acceleration: float) -> list[float]:
    """Return the quantiles of BCa (Efron 1987)."""
    normal = NormalDist()
    below = float((drawn < value).mean() + (drawn == value).mean() / 2)
    if not 0 < below < 1:
        return tails
    bias = normal.inv_cdf(below)
    shifted = [bias + normal.inv_cdf(tail) for tail in tails]
    return [normal.cdf(bias + each / (1 - acceleration * each)) for each in shifted]
