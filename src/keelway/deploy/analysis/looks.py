"""What several looks do to a test: how likely a normal figure is to have crossed its boundary by each of them.

The chance that a test of 5 % is ever significant at one of five looks is 14 %, at one of fifty 32 %. The density of what
has not crossed yet is carried from look to look by numerical integration (Armitage, McPherson and Rowe, JRSS A 132, 1969).

>>> round(float(crossing_chances([1.959964] * 5)[-1]), 4)
0.1417
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING

from keelway.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

NODES, NODES_A_LOOK = 16, 8  # places of the integration: the more looks, the narrower what is carried over
CUT_OFF = 8.0  # standard deviations beyond which nothing is left


def crossing_chances(reaches: Sequence[float], *, drift: float = 0.0) -> Numbers:
    """Return the chance of having crossed by each look, for looks at equal steps of what is known.

    Args:
        reaches: How many standard errors away from 0 is a crossing, at each look, on either side.
        drift: How many standard errors from 0 the figure is at the last look, on average.

    Raises:
        UsageError: There is no look, or a reach is not positive.
    """
    import numpy as np

    limits = np.asarray(reaches, dtype=np.float64)
    if not len(limits) or not (limits > 0).all():
        raise UsageError("A test needs looks", expected="one positive reach for each", found=str(list(reaches))[:80])
    step = 1 / len(limits)
    count = NODES + math.ceil(NODES_A_LOOK * math.sqrt(len(limits)))
    nodes, weights = np.polynomial.legendre.leggauss(count)
    places, density = np.zeros(1), np.ones(1)
    crossed = []
    for number, limit in enumerate(limits, start=1):
        time = number * step
        low, high = _inside(float(limit) * math.sqrt(time), drift * time, math.sqrt(time))
        middle, half = (low + high) / 2, (high - low) / 2
        ahead = middle + half * nodes
        away = (ahead[:, None] - places[None, :] - drift * step) / math.sqrt(step)
        found = (np.exp(-away * away / 2) / math.sqrt(2 * math.pi * step)) @ density
        places, density = ahead, found * weights * half
        crossed.append(1 - float(density.sum()))
    return np.clip(np.maximum.accumulate(crossed), 0.0, 1.0)


def drift_for(reaches: Sequence[float], *, power: float) -> float:
    """Return how many standard errors away a figure has to be at the last look, to cross by then with this power."""
    from scipy.optimize import brentq

    farthest = max(reaches) + NormalDist().inv_cdf(power) + 1

    def missing(drift: float) -> float:
        return float(crossing_chances(reaches, drift=drift)[-1]) - power

    return float(brentq(missing, 0.0, farthest, xtol=1e-6))


def _inside(limit: float, mean: float, deviation: float) -> tuple[float, float]:
    """Return where what has not crossed can be: within the limits, and not further out than a normal reaches."""
    low, high = max(-limit, mean - CUT_OFF * deviation), min(limit, mean + CUT_OFF * deviation)
    return (low, high) if low < high else (-limit, limit)
