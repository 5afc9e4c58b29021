"""Means and differences of means with intervals that hold at every look: asymptotic confidence sequences.

Where a figure's error is nearly normal, its interval is the usual one, with another number of standard errors in place of
1.96: about 3 at the planned size, more long before and after it, in exchange for as many looks as anybody likes. Time is
what the figure has been told so far, 1 / (standard error squared), in parts of what the plan promised; that clock is
right for unequal and changing shares too.

Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, Time-uniform central limit theory and asymptotic confidence sequences,
Annals of Statistics 52 (2024): for the long run only, so first looks at a handful of rows are not covered; see `FEWEST`.

>>> round(float(reach(1.0, alpha=0.05)), 4)
3.0352
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keelway.deploy.analysis.mixtures import TIGHTEST_ALPHA, Sides, best_rho
from keelway.deploy.analysis.moments import Moments, pooled_theta
from keelway.errors import UsageError
from keelway.evaluate import Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Numbers = NDArray[np.float64]

FEWEST = 100
"""With fewer rows in an arm the normal approximation is not to be relied on; callers look no earlier."""
NEWTON_STEPS = 40


@dataclass(frozen=True, slots=True)
class Contrast:
    """A figure of one arm minus that of another, before any interval.

    Attributes:
        value: The difference.
        error: Its standard error now.
        planned_error: Its standard error once the planned rows are in.
    """

    value: float
    error: float
    planned_error: float

    @property
    def progress(self) -> float:
        """How much is known, in parts of what the plan promised."""
        return (self.planned_error / self.error) ** 2 if self.error > 0 else math.inf

    def interval(self, *, level: float, sides: Sides = 2) -> Interval:
        """Return the difference with its interval; with one side, either end holds by itself at `level`.

        Values that do not vary at all tell nothing about those to come, so their interval has no end.
        """
        known = self.error > 0
        half = float(reach(self.progress, alpha=1 - level, sides=sides)) * self.error if known else math.inf
        return Interval(self.value, self.value - half, self.value + half, level, "normal-mixture confidence sequence")

    def log_evidence(self, margin: float, *, alpha: float = TIGHTEST_ALPHA) -> float:
        """Return the log e-value against "the difference is at most `margin`"; 0 where values do not vary."""
        if not self.error > 0:
            return 0.0
        return float(log_evidence((self.value - margin) / self.error, self.progress, alpha=alpha, sides=1))


def reach(progress: ArrayLike, *, alpha: float, sides: Sides = 2) -> Numbers:
    """Return how many standard errors the interval reaches, at every look, where a usual one takes 1.96.

    Args:
        progress: How much is known, in parts of the plan; it is tightest about 1.
        alpha: The chance that the truth is ever outside.
        sides: 1 where only one end is wanted.
    """
    import numpy as np
    from scipy.special import log_ndtr

    known = np.asarray(progress, dtype=np.float64)
    rho = best_rho(1.0, alpha=alpha, sides=sides)
    wanted = np.log1p(known / rho) / 2 - math.log(alpha)
    if sides == 2:
        return np.asarray(np.sqrt(2 * wanted * (1 + rho / known)))
    wanted = wanted - math.log(2)
    root = np.sqrt(2 * np.maximum(wanted, 0.5))
    for _ in range(NEWTON_STEPS):  # of u^2 / 2 + log Phi(u) = wanted, which grows with u
        below = log_ndtr(root)
        slope = root + np.exp(-root * root / 2 - below) / math.sqrt(2 * math.pi)
        root = root - (root * root / 2 + below - wanted) / slope
    return np.asarray(root * np.sqrt(1 + rho / known))


def log_evidence(z: ArrayLike, progress: ArrayLike, *, alpha: float = TIGHTEST_ALPHA, sides: Sides = 2) -> Numbers:
    """Return the log e-value of a figure that is `z` standard errors from no difference.

    It exceeds log(1 / alpha) exactly where the interval of `reach` leaves no difference out.
    """
    import numpy as np
    from scipy.special import log_ndtr

    away, known = np.asarray(z, dtype=np.float64), np.asarray(progress, dtype=np.float64)
    rho = best_rho(1.0, alpha=alpha, sides=sides)
    shrunk = away * np.sqrt(known / (known + rho))
    found = shrunk * shrunk / 2 - np.log1p(known / rho) / 2
    return np.asarray(found if sides == 2 else found + math.log(2) + log_ndtr(shrunk))


def always_valid_p(log_e: float) -> float:
    """Return the p-value of a log e-value: below alpha at any look with probability at most alpha, if nothing is the matter."""
    return min(1.0, math.exp(-log_e)) if log_e > 0 else 1.0


def mean_sequence(arm: Moments, *, level: float, planned: float, sides: Sides = 2) -> Interval:
    """Return a mean with an interval that holds at all looks.

    Args:
        arm: The moments of the values, one an entity.
        level: The confidence.
        planned: The number of rows about which it is tightest; a choice made before.
        sides: 1 where only one end is wanted.

    Raises:
        UsageError: There are fewer than two values, or one is not finite.
    """
    _check(arm)
    gap = Contrast(arm.mean, math.sqrt(arm.variance / arm.count), math.sqrt(arm.variance / planned))
    return gap.interval(level=level, sides=sides)


def mean_gap(
    first: Moments, second: Moments, *, planned: tuple[float, float], ratio: float = 1.0, adjust: bool = True
) -> Contrast:
    """Return the first mean minus `ratio` times the second, adjusted by what was known before.

    Args:
        first: One arm, moments of one value an entity.
        second: The other.
        planned: The rows of each arm that the plan promised.
        ratio: What the second mean is multiplied by: 1.5 asks whether the first is half as large again.
        adjust: Whether the covariate takes variance out (CUPED); only with `ratio` 1.

    Raises:
        UsageError: An arm has fewer than two values, or one that is not finite.
    """
    _check(first, second)
    theta = pooled_theta(first, second) if adjust and ratio == 1 else 0.0
    (one, one_variance), (two, two_variance) = first.adjusted(theta), second.adjusted(theta)
    two_variance *= ratio * ratio
    return Contrast(
        one - ratio * two,
        math.sqrt(one_variance / first.count + two_variance / second.count),
        math.sqrt(one_variance / planned[0] + two_variance / planned[1]),
    )


def mean_difference_sequence(
    first: Moments, second: Moments, *, level: float, planned: tuple[float, float], sides: Sides = 2
) -> Interval:
    """Return the difference of two means, adjusted by their covariate, with an interval that holds at all looks.

    Raises:
        UsageError: An arm has fewer than two values, or one that is not finite.
    """
    return mean_gap(first, second, planned=planned).interval(level=level, sides=sides)


def rate_moments(count: int, rows: int) -> Moments:
    """Return the moments of coin flips; one of each kind is added to the spread, so that it is never 0.

    Agresti and Caffo, American Statistician 54 (2000), add as many for differences of two rates.
    """
    rate, likely = count / rows if rows else 0.0, (count + 1) / (rows + 2)
    return Moments(rows, rate, likely * (1 - likely) * max(rows - 1, 0))


def _check(*arms: Moments) -> None:
    for each in arms:
        if each.count < 2 or not each.finite:
            raise UsageError(
                "A mean has no interval",
                expected="two or more finite values",
                found=f"{each.count}, mean {each.mean:g}",
            )
