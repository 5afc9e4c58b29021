"""The arithmetic of drift, small enough to check by hand: PSI, Jensen-Shannon distance, and how far chance reaches.

The fixed cut-offs 0.1 and 0.25 that people use for PSI are wrong for small samples: without any drift, PSI of B bins
is about (1/n + 1/m) times a chi-squared variable with B - 1 degrees of freedom. So a drift has to be above a declared
effect and above that quantile.

>>> round(psi([0.5, 0.5], [0.6, 0.4]), 7)
0.0405465
>>> round(js_distance([1, 0], [0.5, 0.5]), 7)
0.557923
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from keelway.errors import UsageError

HALF_A_ROW = 0.5
"""What an empty bin counts in PSI, which has no value there."""


def psi(reference: Sequence[float], current: Sequence[float]) -> float:
    """Return the population stability index of two histograms with the same bins, in nats.

    A bin that is empty on one side counts half a row there; one that is empty on both sides is left out.

    Raises:
        UsageError: The histograms differ in length, are empty, or hold a negative or undefined count.
    """
    pairs, n, m = _pairs(reference, current)
    total = 0.0
    for before, after in pairs:
        p, q = (before or HALF_A_ROW) / n, (after or HALF_A_ROW) / m
        total += (q - p) * math.log(q / p)
    return total


def js_distance(reference: Sequence[float], current: Sequence[float]) -> float:
    """Return the Jensen-Shannon distance, base 2: the square root of the divergence in bits, from 0 to 1.

    Raises:
        UsageError: The histograms cannot be compared; see `psi`.
    """
    pairs, n, m = _pairs(reference, current)
    bits = 0.0
    for before, after in pairs:
        p, q = before / n, after / m
        middle = (p + q) / 2
        bits += sum(share * math.log2(share / middle) / 2 for share in (p, q) if share)
    return math.sqrt(min(max(bits, 0.0), 1.0))


def psi_null_mean(reference_rows: float, current_rows: float, bins: int) -> float:
    """Return what PSI is on average when nothing drifted."""
    return (1 / reference_rows + 1 / current_rows) * (bins - 1)


def psi_null_quantile(reference_rows: float, current_rows: float, bins: int, *, level: float) -> float:
    """Return what PSI stays under with probability `level` when nothing drifted.

    >>> round(psi_null_quantile(1000, 1000, 10, level=0.95), 7)
    0.033838
    """
    from scipy.stats import chi2

    if bins < 2:
        return 0.0
    return (1 / reference_rows + 1 / current_rows) * float(chi2.ppf(level, bins - 1))


def filled_bins(reference: Sequence[float], current: Sequence[float]) -> int:
    """Return how many bins hold anything on either side."""
    return len(_pairs(reference, current)[0])


def _pairs(reference: Sequence[float], current: Sequence[float]) -> tuple[list[tuple[float, float]], float, float]:
    """Return the bins that hold anything, and both totals."""
    both = (*reference, *current)
    n, m = math.fsum(reference), math.fsum(current)
    usable = len(reference) == len(current) and all(count >= 0 and math.isfinite(count) for count in both)
    if not usable or not n > 0 or not m > 0:
        raise UsageError(
            "These histograms cannot be compared",
            expected="two of the same length, with counts of zero or more and at least one row",
            found=f"{len(reference)} and {len(current)} bins with {n:g} and {m:g} rows",
        )
    return [(a, b) for a, b in zip(reference, current, strict=True) if a or b], n, m
