"""Intervals for rates in closed form: Wilson, Clopper-Pearson, Newcombe for differences, Katz for ratios."""

from __future__ import annotations

import math

from keelway.errors import TrainingError
from keelway.evaluate.uncertainty.interval import LEVEL, Interval, quantile_of


def wilson_interval(successes: int, trials: int, *, level: float = LEVEL) -> Interval:
    """Return a rate with Wilson's score interval (1927).

    >>> found = wilson_interval(81, 263)
    >>> round(found.low, 7), round(found.high, 7)
    (0.2552885, 0.3662096)

    Raises:
        TrainingError: There are no trials, or more successes than trials.
    """
    _check(successes, trials)
    z = quantile_of(level)
    rate = successes / trials
    centre = rate + z * z / (2 * trials)
    half = z * math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    low = 0.0 if successes == 0 else (centre - half) / scale
    high = 1.0 if successes == trials else (centre + half) / scale
    return Interval(rate, low, high, level, "Wilson")


def exact_interval(successes: int, trials: int, *, level: float = LEVEL) -> Interval:
    """Return a rate with the exact interval of Clopper and Pearson (1934), which covers at least `level`.

    Raises:
        TrainingError: There are no trials, or more successes than trials.
    """
    from scipy.stats import beta

    _check(successes, trials)
    tail, failures = (1 - level) / 2, trials - successes
    low = float(beta.ppf(tail, successes, failures + 1)) if successes else 0.0
    high = float(beta.ppf(1 - tail, successes + 1, failures)) if failures else 1.0
    return Interval(successes / trials, low, high, level, "Clopper-Pearson")


def newcombe_interval(first: tuple[int, int], second: tuple[int, int], *, level: float = LEVEL) -> Interval:
    """Return the difference of two rates, each (successes, trials), with Newcombe's interval (1998, method 10)."""
    a, b = wilson_interval(*first, level=level), wilson_interval(*second, level=level)
    difference = a.value - b.value
    low = difference - math.hypot(a.value - a.low, b.high - b.value)
    high = difference + math.hypot(a.high - a.value, b.value - b.low)
    return Interval(difference, low, high, level, "Newcombe")


def wald_interval(first: tuple[int, int], second: tuple[int, int], *, level: float = LEVEL) -> Interval:
    """Return the difference of two rates by the normal approximation; it covers too little where rates are extreme."""
    _check(*first)
    _check(*second)
    rates = [successes / trials for successes, trials in (first, second)]
    variance = sum(rate * (1 - rate) / trials for rate, (_, trials) in zip(rates, (first, second), strict=True))
    difference, half = rates[0] - rates[1], quantile_of(level) * math.sqrt(variance)
    return Interval(difference, difference - half, difference + half, level, "Wald")


def ratio_interval(first: tuple[int, int], second: tuple[int, int], *, level: float = LEVEL) -> Interval:
    """Return the ratio of two rates, each (successes, trials), with the interval of Katz et al. (1978).

    Where a rate is 0, half a success is added on both sides for the interval, and its lower end is 0.

    Raises:
        TrainingError: There are no trials, more successes than trials, or the second rate is 0.
    """
    _check(*first)
    _check(*second)
    (a, m), (b, n) = first, second
    if not b:
        raise TrainingError("A ratio of rates needs a second rate above 0", expected="one success or more", found="0")
    shift = 0.0 if a else 0.5
    logarithm = math.log((a + shift) / (m + shift)) - math.log((b + shift) / (n + shift))
    variance = 1 / (a + shift) - 1 / (m + shift) + 1 / (b + shift) - 1 / (n + shift)
    half = quantile_of(level) * math.sqrt(max(variance, 0.0))
    low = math.exp(logarithm - half) if a else 0.0
    return Interval((a / m) / (b / n), low, math.exp(logarithm + half), level, "Katz")


def _check(successes: int, trials: int) -> None:
    if not 0 <= successes <= trials or trials < 1:
        raise TrainingError(
            "A rate needs trials", expected="0 <= successes <= trials, and one trial", found=f"{successes} of {trials}"
        )
