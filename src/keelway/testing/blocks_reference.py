"""What every building block gives, worked out in plain Python from one entity's rows, one value at a time.

Written from the definitions in `docs/features.md` and not from the blocks, so that both can be wrong only alike.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from keelway.testing.blocks_rows import Row

Rows = Sequence[Row]


def known(values: Iterable[Any]) -> list[Any]:
    """Return the values that are not missing, with one zero only."""
    kept = [value for value in values if value is not None and value == value]
    return [0.0 if isinstance(value, float) and value == 0 else value for value in kept]


def column(rows: Rows, name: str) -> list[Any]:
    """Return the known values of a column."""
    return known(row[name] for row in rows)


def inside(rows: Rows, as_of: datetime, days: float, newest: float = 0) -> Rows:
    """Return the rows of [as_of - days, as_of - newest)."""
    oldest, end = as_of - timedelta(days=days), as_of - timedelta(days=newest)
    return [row for row in rows if row["at"] is not None and oldest <= row["at"] < end]


def mean(values: Sequence[Any]) -> float | None:
    """Return the mean; None of nothing."""
    return float(math.fsum(values)) / len(values) if values else None


def total(values: Sequence[Any]) -> float:
    """Return the exact sum as a double."""
    return float(math.fsum(values))


def divided(part: Any, whole: Any) -> float | None:
    """Return a ratio; None where there is none."""
    if not known([part]) or not known([whole]) or whole == 0:
        return None
    return float(part) / float(whole)


def floored(value: float | None) -> float | None:
    """Return a ratio rounded down."""
    return None if value is None else float(math.floor(value))


def rounded(value: float | None, digits: int) -> float | None:
    """Return a number rounded half upwards by the arithmetic of doubles."""
    if not known([value]) or value is None:
        return None
    scale = float(10**digits)
    return value if abs(value * scale) >= 2**52 else math.floor(value * scale + 0.5) / scale


def second(moment: datetime) -> datetime:
    """Return a moment rounded down to the second."""
    return moment.replace(microsecond=0)


def seconds_between(earlier: datetime, later: datetime) -> int:
    """Return the whole seconds between two moments."""
    return (second(later) - second(earlier)) // timedelta(seconds=1)


def days_since(moment: datetime | None, as_of: datetime) -> float | None:
    """Return the days from a moment to the cut date."""
    return None if moment is None else seconds_between(moment, as_of) / 86_400


def mean_gap(moments: Sequence[datetime]) -> float | None:
    """Return the mean days between moments."""
    if len(moments) < 2:
        return None
    return seconds_between(min(moments), max(moments)) / 86_400 / (len(moments) - 1)


def trend(recent: float, earlier: float) -> float | None:
    """Return the change between two windows."""
    return divided(recent - earlier, recent + earlier)


def share(flags: Sequence[bool | None]) -> float | None:
    """Return the share of true ones among those that are known."""
    told = [flag for flag in flags if flag is not None]
    return sum(told) / len(told) if told else None


def by_time(rows: Rows, name: str, pick: Callable[[Iterable[Any]], Any]) -> Any:
    """Return the latest (`max`) or earliest (`min`) known value; ties go the same way."""
    timed = [(row["at"], value) for row in rows if row["at"] is not None for value in known([row[name]])]
    return pick(timed)[1] if timed else None


def mode(values: Sequence[Any]) -> Any:
    """Return the most frequent value, the smallest of several."""
    counts = Counter(known(values))
    return min((value for value in counts if counts[value] == max(counts.values())), default=None)


def sessions(rows: Rows, gap_s: int) -> tuple[int, float | None]:
    """Return how many sessions there are, and their mean length in seconds."""
    moments = sorted(second(row["at"]) for row in rows if row["at"] is not None)
    runs: list[list[datetime]] = []
    for moment in moments:
        if runs and seconds_between(runs[-1][-1], moment) <= gap_s:
            runs[-1].append(moment)
        else:
            runs.append([moment])
    return len(runs), mean([float(seconds_between(run[0], run[-1])) for run in runs])


def bucket(text: str | None, buckets: int) -> int | None:
    """Return the bucket of a text."""
    if text is None:
        return None
    return int(hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()[:7], 16) % buckets
