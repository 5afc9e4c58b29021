"""Quantiles of two arms, looked at all the time: is the slow end of one arm's latencies slower than the other's?

How many values lie below a quantile is a count of coin flips, so the exact bet of `rates` applies, at every place where
the shared quantile could be; the evidence is the smallest product over those places. No distribution is assumed, but
values have to be exchangeable within an arm.

Howard and Ramdas, Sequential estimation of quantiles with applications to A/B testing and best-arm identification,
Bernoulli 28 (2022), theorem 5.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from keelway.deploy.analysis.mixtures import TIGHTEST_ALPHA
from keelway.deploy.analysis.rates import log_bet
from keelway.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Numbers = NDArray[np.float64]

FURTHEST_RATIO = 1024.0
HALVINGS = 24
TABLES = 4  # two arms, asked about in both directions


def sorted_values(values: ArrayLike) -> Numbers:
    """Return values in ascending order.

    Raises:
        UsageError: One is NaN or infinite.
    """
    import numpy as np

    found = np.sort(np.asarray(values, dtype=np.float64).ravel())
    if len(found) and not np.isfinite(found).all():
        raise UsageError("A quantile needs numbers", expected="finite values", found="NaN or infinity")
    return found


def log_slower(
    first: Numbers,
    second: Numbers,
    ratio: float = 1.0,
    *,
    quantile: float,
    planned: tuple[float, float],
    alpha: float = TIGHTEST_ALPHA,
) -> float:
    """Return the log e-value against "the first quantile is at most `ratio` times the second".

    Args:
        first: One arm's values, ascending.
        second: The other's.
        ratio: Above 0.
        quantile: Which one, as 0.95.
        planned: The number of values of each arm about which the test is best; a choice made before.
        alpha: The level at which it is best.
    """
    import numpy as np

    if not len(first) or not len(second):
        return 0.0
    other = second * ratio
    bets = [_bets(len(each), quantile, rows, alpha) for each, rows in zip((first, other), planned, strict=True)]
    valleys = [int(each.argmin()) for each in bets]
    high, low = (float(each[min(at, len(each) - 1)]) for each, at in zip((first, other), valleys, strict=True))
    if high <= low:
        return 0.0
    places = np.concatenate([each[(each >= low) & (each <= high)] for each in (first, other)])
    total = np.zeros(len(places))
    for values, bet, valley in zip((first, other), bets, valleys, strict=True):
        below, not_above = (np.searchsorted(values, places, side=side) for side in ("left", "right"))
        total += bet[np.clip(valley, below, not_above)]  # of ties as many as make the least evidence
    return float(total.min())


def quantile_p(
    first: ArrayLike, second: ArrayLike, *, quantile: float, planned: float, alpha: float = TIGHTEST_ALPHA
) -> float:
    """Return the always-valid two-sided p-value that a quantile is the same in both arms.

    >>> round(quantile_p(range(1000), range(100, 1100), quantile=0.5, planned=100), 5)
    0.00549
    """
    one, two = sorted_values(first), sorted_values(second)
    both = (planned, planned)
    found = [log_slower(*pair, quantile=quantile, planned=both, alpha=alpha) for pair in ((one, two), (two, one))]
    return min(1.0, math.exp(-max(found)))


def ratio_bound(
    first: Numbers,
    second: Numbers,
    *,
    quantile: float,
    alpha: float,
    planned: tuple[float, float],
    side: Literal["low", "high"],
) -> float:
    """Return an end of the confidence sequence of the first quantile over the second; 0 or infinity where there is none.

    Values have to be positive.
    """
    if side == "high":
        low = ratio_bound(second, first, quantile=quantile, alpha=alpha, planned=planned[::-1], side="low")
        return 1 / low if low > 0 else math.inf

    def shown(ratio: float) -> bool:
        found = log_slower(first, second, ratio, quantile=quantile, planned=planned, alpha=alpha)
        return found > -math.log(alpha)

    low, high = -math.log(FURTHEST_RATIO), math.log(FURTHEST_RATIO)
    if not shown(math.exp(low)):
        return 0.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if shown(math.exp(middle)) else (low, middle)
    return math.exp(low)


@lru_cache(maxsize=TABLES)
def _bets(rows: int, quantile: float, planned: float, alpha: float) -> Numbers:
    """Return the log bet against a place being the quantile, by how many of the values lie below it."""
    import numpy as np

    found = log_bet(np.arange(rows + 1), rows, quantile, planned=planned, alpha=alpha)
    found.flags.writeable = False
    return found
