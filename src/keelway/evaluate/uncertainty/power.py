"""How many rows a difference takes to be shown, and how likely so many rows show it (Cohen 1988).

>>> import math
>>> math.ceil(rows_for_rates(0.5, 0.75, power=0.9))
77
"""

from __future__ import annotations

import math
from statistics import NormalDist

from keelway.errors import TrainingError
from keelway.evaluate.uncertainty.interval import SIGNIFICANT

POWER = 0.8
MOST_ROWS = 1e12


def power_of_rates(first: float, second: float, rows: float, *, level: float = SIGNIFICANT) -> float:
    """Return how likely `rows` rows on each side show that two rates differ (pooled z, two-sided, as R's power.prop.test)."""
    _check_rates(first, second)
    normal = NormalDist()
    middle = (first + second) / 2
    pooled = normal.inv_cdf(1 - level / 2) * math.sqrt(2 * middle * (1 - middle))
    apart = math.sqrt(first * (1 - first) + second * (1 - second))
    return normal.cdf((math.sqrt(rows) * abs(first - second) - pooled) / apart)


def rows_for_rates(first: float, second: float, *, power: float = POWER, level: float = SIGNIFICANT) -> float:
    """Return how many rows each side needs to show that two rates differ; round up.

    Raises:
        TrainingError: The rates are equal, or not between 0 and 1.
    """
    _check_rates(first, second)
    normal = NormalDist()
    middle = (first + second) / 2
    pooled = normal.inv_cdf(1 - level / 2) * math.sqrt(2 * middle * (1 - middle))
    apart = normal.inv_cdf(power) * math.sqrt(first * (1 - first) + second * (1 - second))
    return ((pooled + apart) / (first - second)) ** 2


def power_of_means(difference: float, rows: float, *, level: float = SIGNIFICANT) -> float:
    """Return how likely `rows` rows on each side show that two means differ (t-test, two-sided, as R's power.t.test).

    Args:
        difference: Of the means, in standard deviations of one row.
        rows: On each side, more than 1.
        level: The chance of a false alarm.
    """
    from scipy.stats import nct, t

    freedom = 2 * (rows - 1)
    return float(nct.sf(t.ppf(1 - level / 2, freedom), freedom, abs(difference) * math.sqrt(rows / 2)))


def rows_for_means(difference: float, *, power: float = POWER, level: float = SIGNIFICANT) -> float:
    """Return how many rows each side needs to show that two means differ; round up.

    Raises:
        TrainingError: The difference is 0 or not finite, or so small that no number of rows would do.
    """
    from scipy.optimize import brentq

    if not (math.isfinite(difference) and difference):
        raise TrainingError("No number of rows shows that", expected="a difference other than 0", found=str(difference))

    def missing(rows: float) -> float:
        return power_of_means(difference, rows, level=level) - power

    high = 4.0
    while missing(high) < 0:
        high *= 2
        if high > MOST_ROWS:
            raise TrainingError("No number of rows shows that", expected="a larger difference", found=str(difference))
    return float(brentq(missing, 1.5, high, xtol=1e-9)) if missing(1.5) < 0 else 2.0


def effect_of_rates(first: float, second: float) -> float:
    """Return Cohen's h: how far two rates are apart, on the scale on which all rates are equally hard to tell apart."""
    return 2 * math.asin(math.sqrt(second)) - 2 * math.asin(math.sqrt(first))


def _check_rates(first: float, second: float) -> None:
    if not (0 <= first <= 1 and 0 <= second <= 1) or first == second:
        raise TrainingError(
            "Rates cannot be told apart", expected="two different ones, 0 to 1", found=f"{first}, {second}"
        )
