"""Rates that are looked at all the time: exact confidence sequences and tests for coin flips, one arm or two.

Against every rate p a player bets with a beta prior around p; the mixture is a martingale if the rate is p, so it exceeds
1 / alpha at some time with probability at most alpha. Nothing is approximated: it holds from the first row on, for rates
near 0 too. Rows have to be exchangeable within an arm: many rows of one entity are one row, not many.

Howard et al. 2021 (beta-binomial mixture); two arms by the smallest product of two martingales over the rate they share,
as Howard and Ramdas, Sequential estimation of quantiles, Bernoulli 28 (2022), do for quantiles (theorem 5).

>>> found = rate_sequence(700, 1000, level=0.95, planned=100)
>>> round(found.low, 5), round(found.high, 5)
(0.65163, 0.74595)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from keelway.deploy.analysis.mixtures import TIGHTEST_ALPHA, best_rho
from keelway.errors import UsageError
from keelway.evaluate import Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Numbers = NDArray[np.float64]
    Function = Callable[[Numbers], Numbers]

EDGE = 1e-9  # rates are kept so far from 0 and 1
LEAST_CONCENTRATION = 1e-3
GOLDEN = (math.sqrt(5) - 1) / 2
STEPS = 24  # of the golden section: the place of the minimum to one in 100,000 of where it can be
ROUNDS, POINTS = 3, 48  # of the search for an end: two in 47**3


@dataclass(frozen=True, slots=True)
class RateCounts:
    """How many of an arm's rows were of a kind.

    Attributes:
        count: Those of the kind.
        rows: All.
    """

    count: int
    rows: int

    def __post_init__(self) -> None:
        if not 0 <= self.count <= self.rows:
            raise UsageError("This is no tally", expected="0 <= count <= rows", found=f"{self.count} of {self.rows}")

    @property
    def rate(self) -> float:
        """The share of the kind; NaN without rows."""
        return self.count / self.rows if self.rows else math.nan


def log_bet(
    counts: ArrayLike, rows: ArrayLike, rate: ArrayLike, *, planned: ArrayLike, alpha: float = TIGHTEST_ALPHA
) -> Numbers:
    """Return the logarithm of what one unit betted against `rate` has become; all arguments broadcast.

    Args:
        counts: How many rows were of the kind.
        rows: How many there were.
        rate: The rate that is betted against.
        planned: The number of rows about which the bet is best; a choice made before.
        alpha: The level at which it is best.
    """
    import numpy as np
    from scipy.special import betaln, xlog1py, xlogy

    x, n = np.asarray(counts, dtype=np.float64), np.asarray(rows, dtype=np.float64)
    p = np.clip(np.asarray(rate, dtype=np.float64), EDGE, 1 - EDGE)
    held = np.maximum(np.asarray(planned) * best_rho(1.0, alpha=alpha) - 1, LEAST_CONCENTRATION)
    a, b = held * p, held * (1 - p)
    return np.asarray(betaln(a + x, b + n - x) - betaln(a, b) - xlogy(x, p) - xlog1py(n - x, -p))


def rate_sequence(count: int, rows: int, *, level: float, planned: float) -> Interval:
    """Return a rate with an interval that holds at all looks at once with probability `level`.

    Args:
        count: How many rows are of the kind.
        rows: How many there are.
        level: The confidence, as 0.95.
        planned: The number of rows about which the interval is tightest; a choice made before.

    Raises:
        UsageError: There are no rows, or more of the kind than rows.
    """
    from scipy.optimize import brentq

    rate = RateCounts(count, rows).rate
    if not rows:
        raise UsageError("A rate needs rows", expected="one or more", found="0")
    wanted = -math.log(1 - level)

    def excess(at: float) -> float:
        return float(log_bet(count, rows, at, planned=planned)) - wanted

    low = brentq(excess, EDGE, rate, xtol=1e-12) if excess(EDGE) > 0 and count else 0.0
    high = brentq(excess, rate, 1 - EDGE, xtol=1e-12) if excess(1 - EDGE) > 0 and count < rows else 1.0
    return Interval(rate, float(low), float(high), level, "beta-binomial confidence sequence")


def log_excess(
    first: tuple[ArrayLike, ArrayLike],
    second: tuple[ArrayLike, ArrayLike],
    margin: ArrayLike = 0.0,
    *,
    planned: tuple[float, float],
    alpha: float = TIGHTEST_ALPHA,
) -> Numbers:
    """Return the log e-value against "the first rate is at most the second plus a margin", for counts of any shape.

    It exceeds log(1 / alpha) at some look with probability at most alpha, whatever the two rates are, if that is true.

    Args:
        first: Counts and rows of one arm.
        second: Counts and rows of the other.
        margin: In units of the rate, -1 to 1.
        planned: The number of rows of each arm about which the test is best; a choice made before.
        alpha: The level at which it is best.
    """
    import numpy as np

    x, n, y, m, gap = np.broadcast_arrays(*(np.asarray(each, dtype=np.float64) for each in (*first, *second, margin)))

    def together(shared: Numbers) -> Numbers:
        bet = log_bet(x, n, shared + gap, planned=planned[0], alpha=alpha)
        return bet + log_bet(y, m, shared, planned=planned[1], alpha=alpha)

    lowest, highest = np.maximum(0.0, -gap), np.minimum(1.0, 1 - gap)
    low, high = y / np.maximum(m, 1), x / np.maximum(n, 1) - gap
    level = np.minimum(together(np.clip((low + high) / 2, lowest, highest)), 0.0)
    if not (high > low).any():  # not above the margin is no evidence of being above
        return level
    width = 1 / np.maximum(np.minimum(n, m), 1)  # the prior moves the valley a little
    found = _smallest(together, np.clip(low - width, lowest, highest), np.clip(high + width, lowest, highest))
    return np.where(high > low, found, level)


def excess_bound(
    first: RateCounts, second: RateCounts, *, alpha: float, planned: tuple[float, float], side: Literal["low", "high"]
) -> float:
    """Return the end of the one-sided confidence sequence of the first rate minus the second, to five digits.

    Args:
        first: One arm.
        second: The other.
        alpha: The chance that the difference is ever beyond it.
        planned: See `log_excess`.
        side: Which end.
    """
    import numpy as np

    if side == "high":
        return -excess_bound(second, first, alpha=alpha, planned=planned[::-1], side="low")
    one, two, wanted = (first.count, first.rows), (second.count, second.rows), -math.log(alpha)
    if not (first.rows and second.rows):
        return -1.0
    low, high = -1.0, first.rate - second.rate
    for _ in range(ROUNDS):
        margins = np.linspace(low, high, POINTS)
        shown = log_excess(one, two, margins, planned=planned, alpha=alpha) > wanted
        if not shown[0]:
            return -1.0
        last = int(np.argmin(shown)) - 1  # the margins that are shown come first
        low, high = float(margins[last]), float(margins[last + 1])
    return low


def _smallest(of: Function, low: Numbers, high: Numbers) -> Numbers:
    """Return the smallest value of a function with one valley between two ends, elementwise, by golden section."""
    import numpy as np

    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_left, at_right = of(left), of(right)
    best = np.minimum(at_left, at_right)
    for _ in range(STEPS):
        falls = at_left > at_right
        low, high = np.where(falls, left, low), np.where(falls, high, right)
        new = np.where(falls, low + GOLDEN * (high - low), high - GOLDEN * (high - low))
        value = of(new)
        left, right = np.where(falls, right, new), np.where(falls, new, left)
        at_left, at_right = np.where(falls, at_right, value), np.where(falls, value, at_left)
        best = np.minimum(best, value)
    return np.asarray(best)
