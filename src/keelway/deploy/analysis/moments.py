"""Moments of an arm's values, and of what was known about the same entities before: all that a mean's interval needs.

They add up, so an arm is never read twice: `moments_of(monday).merged(moments_of(tuesday))` is that of both days.
Merging is by Chan, Golub and LeVeque (1979), which keeps its digits where values are large and their spread small.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keelway.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(frozen=True, slots=True)
class Moments:
    """Count, means and centred sums of values and of a covariate.

    Attributes:
        count: How many values.
        mean: Of the values.
        squares: Sum of the squared distances from the mean.
        before: Mean of the covariate, which was known before; 0 without one.
        before_squares: Sum of its squared distances from its mean; 0 without one.
        products: Sum of the products of both distances.
    """

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    before: float = 0.0
    before_squares: float = 0.0
    products: float = 0.0

    @property
    def variance(self) -> float:
        """Of one value; NaN for fewer than two."""
        return self.squares / (self.count - 1) if self.count > 1 else math.nan

    @property
    def finite(self) -> bool:
        """Whether no value was NaN or infinite."""
        return all(math.isfinite(each) for each in (self.mean, self.squares, self.before, self.products))

    def merged(self, other: Moments) -> Moments:
        """Return the moments of the values of both."""
        count = self.count + other.count
        if not self.count or not other.count:
            return self if self.count else other
        gap, gap_before = other.mean - self.mean, other.before - self.before
        weight = self.count * other.count / count
        return Moments(
            count,
            self.mean + gap * other.count / count,
            self.squares + other.squares + gap * gap * weight,
            self.before + gap_before * other.count / count,
            self.before_squares + other.before_squares + gap_before * gap_before * weight,
            self.products + other.products + gap * gap_before * weight,
        )

    def adjusted(self, theta: float) -> tuple[float, float]:
        """Return mean and variance of the values less `theta` times the covariate."""
        squares = self.squares - 2 * theta * self.products + theta * theta * self.before_squares
        return self.mean - theta * self.before, max(squares, 0.0) / (self.count - 1)


def moments_of(values: ArrayLike, before: ArrayLike | None = None) -> Moments:
    """Return the moments of an arm's values, one an entity.

    Args:
        values: What came out; a NaN makes the moments NaN, which no judgement passes.
        before: What was known of the same entities before they were assigned, in the same order.

    Raises:
        UsageError: There are not as many values as there are of the covariate.
    """
    import numpy as np

    given = np.asarray(values, dtype=np.float64)
    known = np.zeros(len(given)) if before is None else np.asarray(before, dtype=np.float64)
    if given.shape != known.shape or given.ndim != 1:
        raise UsageError("Values and covariate do not fit", expected=f"{given.shape}", found=f"{known.shape}")
    if not len(given):
        return Moments()
    with np.errstate(invalid="ignore"):
        mean, mean_before = float(given.mean()), float(known.mean())
        away, away_before = given - mean, known - mean_before
        sums = ((away * away).sum(), (away_before * away_before).sum(), (away * away_before).sum())
    return Moments(len(given), mean, float(sums[0]), mean_before, float(sums[1]), float(sums[2]))


def pooled_theta(*arms: Moments) -> float:
    """Return the coefficient of the covariate that takes most variance out, from the spread within the arms.

    Deng, Xu, Kohavi and Walker, Improving the sensitivity of online controlled experiments (CUPED), WSDM 2013. It is one
    for all arms, so that the adjustment cannot move their difference on average.
    """
    spread = sum(each.before_squares for each in arms)
    return sum(each.products for each in arms) / spread if spread > 0 else 0.0
