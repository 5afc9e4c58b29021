"""Do the arms predict alike? PSI and Kolmogorov-Smirnov say how far apart they are, an e-value whether that is chance.

Both measures are above 0 by chance alone, the more so the fewer the rows, and a fixed cut-off that is looked at often is
crossed sooner or later. So a drift is told where the distance is above a declared effect and the e-value says that the
arms do differ, which holds at every look.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from keelway.deploy.analysis.mixtures import TIGHTEST_ALPHA, best_rho
from keelway.errors import UsageError


def ks_distance(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the largest distance between the distribution functions of two histograms with the same bins, 0 to 1.

    >>> round(ks_distance([1, 1, 0], [0, 1, 1]), 6)
    0.5

    Raises:
        UsageError: The histograms differ in length, or one is empty.
    """
    import numpy as np

    _check(first, second)
    one, two = (np.cumsum(np.asarray(each, dtype=np.float64)) / sum(each) for each in (first, second))
    return float(np.abs(one - two).max())


def ks_null_quantile(first_rows: float, second_rows: float, *, level: float) -> float:
    """Return what the distance stays under with probability `level`, at one look, where both are drawn alike.

    The first term of the limit of Kolmogorov (1933) and Smirnov (1939), which is a little more than the limit; with bins or
    ties the distance is less.

    >>> round(ks_null_quantile(2, 2, level=0.95), 7)
    1.3581015
    """
    return math.sqrt(-math.log((1 - level) / 2) / 2 * (1 / first_rows + 1 / second_rows))


def log_unlike(
    first: Sequence[float], second: Sequence[float], *, share: float, planned: float, alpha: float = TIGHTEST_ALPHA
) -> float:
    """Return the log e-value against "both histograms are drawn from one distribution".

    If they are, which arm a row is of has nothing to do with its bin. In each bin a player bets that it has; the odds are
    those against the share of rows that explains the data best, so the share need not be known, and the e-value holds at
    every look (Wasserman, Ramdas and Balakrishnan, Universal inference, PNAS 117, 2020).

    Args:
        first: Counts of one arm, by bin.
        second: Counts of the other.
        share: The declared share of the first arm, 0 to 1; the bets start there.
        planned: The number of rows of both about which it is best; a choice made before.
        alpha: The level at which it is best.

    Raises:
        UsageError: The histograms differ in length, or one is empty.
    """
    import numpy as np
    from scipy.special import betaln, xlogy

    _check(first, second)
    one, two = (np.asarray(each, dtype=np.float64) for each in (first, second))
    held = max(planned / len(one) * best_rho(1.0, alpha=alpha) - 1, 1.0)
    a, b = held * share, held * (1 - share)
    drawn = float((betaln(a + one, b + two) - betaln(a, b)).sum())
    observed = one.sum() / (one.sum() + two.sum())
    return drawn - float(xlogy(one.sum(), observed) + xlogy(two.sum(), 1 - observed))


def _check(first: Sequence[float], second: Sequence[float]) -> None:
    if len(first) != len(second) or not sum(first) > 0 or not sum(second) > 0:
        raise UsageError(
            "These histograms cannot be compared",
            expected="as many bins, and rows in both",
            found=f"{len(first)} and {len(second)} bins, {sum(first):g} and {sum(second):g} rows",
        )
