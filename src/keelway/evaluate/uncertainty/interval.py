"""Interval: a figure with its uncertainty."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

LEVEL = 0.95
SIGNIFICANT = 0.05


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its confidence interval and the method that made it."""

    value: float
    low: float
    high: float
    level: float
    method: str


def quantile_of(level: float) -> float:
    """Return how many standard errors a two-sided interval reaches.

    >>> round(quantile_of(0.95), 6)
    1.959964
    """
    return NormalDist().inv_cdf(0.5 + level / 2)
