"""Says whether a delivery has far fewer or far more rows than those before it.

Feeds have their hours: what counts as usual on Monday at nine is what came on Mondays at nine. So a delivery is
compared, on the scale of factors (logarithms), with the finest of these that has at least 8 deliveries:

1. the same hour of the same weekday: against the median of those;
2. the same hour of any day, over at least a week: against the range of those, because it mixes weekdays;
3. all, over at least a week: likewise.

How far off is too far follows from how much the deliveries scatter around the medians of their own hours (the median
absolute deviation, in the hours whose usual volume is nearest, with the chance of counting added), and from how many
there are: few deliveries tell little about scatter. Nothing is odd that is no further off than one of those was that
was not odd itself. Where deliveries scatter like a normal distribution on the scale of factors, one in 10,000 is
called odd by chance; an hourly feed raises about one false alarm a year.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Literal

ENOUGH = 8
"""Deliveries without which nothing is said."""
WINDOW = 8 * 7 * 24
"""Newest deliveries that are looked at: eight weeks of hours."""
WEEK = timedelta(days=7) - timedelta(hours=1)  # eight daily files span seven days, give or take their minutes
MAD_TO_SD = 1.4826
RESIDUALS = 100
"""Deliveries on which scatter is measured, where there are so many."""
LEAST_SCATTER = 0.02
"""Scatter below this is not believed: every feed varies by some percent sooner or later."""

VolumeVerdict = Literal["usual", "low", "high"]


@dataclass(frozen=True, slots=True)
class Delivery:
    """The rows that came for one due time (without a schedule: in one hour, per file)."""

    at: datetime
    rows: float
    verdict: VolumeVerdict = "usual"


@dataclass(frozen=True, slots=True)
class VolumeCheck:
    """A delivery against those before it.

    Attributes:
        usual: The median of what it is compared with.
        low: Fewer rows than this are called odd; `high` likewise.
        of: How many deliveries it is compared with.
        like: Which those are.
    """

    at: datetime
    rows: float
    usual: float
    low: float
    high: float
    of: int
    like: str
    verdict: VolumeVerdict


@dataclass(frozen=True, slots=True)
class _Level:
    """One way to say which deliveries are alike."""

    name: str
    key: Callable[[datetime], object]
    mixed: bool


_LEVELS = (
    _Level("the same hour of the same weekday", lambda at: (at.weekday(), at.hour), mixed=False),
    _Level("the same hour of any day", lambda at: at.hour, mixed=True),
    _Level("all before", lambda _: None, mixed=True),
)


def check_volume(delivery: Delivery, history: Sequence[Delivery]) -> VolumeCheck | None:
    """Return how a delivery compares with earlier ones, or None where these are too few to tell.

    >>> from datetime import UTC
    >>> days = [Delivery(datetime(2026, 3, day, tzinfo=UTC), 1000 + day) for day in range(1, 29)]
    >>> found = check_volume(Delivery(datetime(2026, 3, 29, tzinfo=UTC), 300), days)
    >>> found.verdict, round(found.usual)
    ('low', 1014)
    """
    for level in _LEVELS:
        alike = [item for item in history if level.key(item.at) == level.key(delivery.at)]
        if len(alike) >= ENOUGH and (not level.mixed or _span(alike) >= WEEK):
            return _check(delivery, alike, history, level)
    return None


def band_factor(of: int) -> float:
    """Return by how many scatters a value may differ, given how many values the scatter was measured on.

    Fitted to a simulation of one false alarm in 10,000; 3.89 is what a normal distribution asks of a scatter that is known.

    >>> round(band_factor(8), 1), round(band_factor(1000), 1)
    (22.0, 3.9)
    """
    return 3.89 * (1 + 14 / (of - 5))


def _check(delivery: Delivery, alike: list[Delivery], history: Sequence[Delivery], level: _Level) -> VolumeCheck:
    usual = median(_log(item.rows) for item in alike)
    residuals = _residuals(history, level, usual)
    scatter = max(MAD_TO_SD * median(abs(value) for value, _ in residuals), LEAST_SCATTER)
    reach = band_factor(len(residuals)) * math.sqrt(1 + math.pi / 2 / len(alike))
    reach *= math.hypot(scatter, 1 / math.sqrt(math.exp(usual)))
    seen = [value for value, verdict in residuals if verdict == "usual"] or [0.0]
    low, high = usual + min(-reach, *seen), usual + max(reach, *seen)
    if level.mixed:
        logs = [_log(item.rows) for item in alike if item.verdict == "usual"] or [usual]
        low, high = min(low, min(logs) - reach), max(high, max(logs) + reach)
    value = _log(delivery.rows)
    verdict: VolumeVerdict = "low" if value < low else "high" if value > high else "usual"
    return VolumeCheck(
        at=delivery.at,
        rows=delivery.rows,
        usual=_rows(usual),
        low=_rows(low),
        high=_rows(high),
        of=len(alike),
        like=level.name,
        verdict=verdict,
    )


def _residuals(history: Sequence[Delivery], level: _Level, usual: float) -> list[tuple[float, VolumeVerdict]]:
    """Return how far deliveries are from the median of their like, in the hours whose usual volume is nearest.

    Few rows scatter more than many, and rows that come in baskets more than single ones: so the scatter at night is
    measured at night.
    """
    groups: dict[object, list[Delivery]] = {}
    for item in history:
        groups.setdefault(level.key(item.at), []).append(item)
    medians = [(median(_log(item.rows) for item in mine), mine) for mine in groups.values() if len(mine) >= ENOUGH]
    found: list[tuple[float, VolumeVerdict]] = []
    for middle, mine in sorted(medians, key=lambda group: abs(group[0] - usual)):
        if len(found) >= RESIDUALS:
            break
        widen = math.sqrt(len(mine) / (len(mine) - 1))  # values are nearer to their own median than to the true one
        found += [((_log(item.rows) - middle) * widen, item.verdict) for item in mine]
    return found


def _span(deliveries: Sequence[Delivery]) -> timedelta:
    times = [item.at for item in deliveries]
    return max(times) - min(times)


def _log(rows: float) -> float:
    return math.log1p(rows)


def _rows(log: float) -> float:
    """Return the rows of a logarithm, at most a number that a record can hold."""
    return max(0.0, math.expm1(min(log, 40.0)))
