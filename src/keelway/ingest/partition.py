"""Partition: the day, or the hour of it, that the folders of a file speak of in the style of Hive.

Known are `dt=`, `date=` and `day=YYYY-MM-DD` (also written `YYYYMMDD`), `year=/month=/day=`, and below a day `hour=`
or `hr=`. A folder that is no date says nothing.

>>> partition_of("raw/dt=1997-01-31/orders.csv").event_date
'1997-01-31'
>>> partition_of("raw/year=1997/month=1/day=31/hour=05/orders.csv").begins.isoformat()
'1997-01-31T05:00:00+00:00'
>>> partition_of("raw/region=eu/orders.csv") is None
True
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from keelway.core import in_utc

_FOLDER = re.compile(r"(?:^|/)(dt|date|year|month|day|hour|hr)=([0-9-]{1,10})(?=/)")
_DAY = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})")


@dataclass(frozen=True, slots=True)
class Partition:
    """The stretch of time that a file speaks of: a day, or one hour of it (UTC)."""

    day: date
    hour: int | None = None

    @property
    def event_date(self) -> str:
        """The day as ISO text."""
        return self.day.isoformat()

    @property
    def begins(self) -> datetime:
        """Its first moment."""
        return datetime.combine(self.day, time(self.hour or 0), UTC)

    @property
    def ends(self) -> datetime:
        """The first moment after it."""
        return self.begins + (timedelta(days=1) if self.hour is None else timedelta(hours=1))


@dataclass(frozen=True, slots=True)
class Span:
    """The stretch of time that a backfill asks for, `since` included and `until` not; None leaves an end open."""

    since: datetime | None = None
    until: datetime | None = None

    @classmethod
    def of(cls, since: date | datetime | None, until: date | datetime | None) -> Span:
        """Return the span between two days, both included, or two moments, the second not included.

        >>> Span.of(date(1997, 1, 1), date(1997, 1, 2)).until.isoformat()
        '1997-01-03T00:00:00+00:00'
        """
        return cls(_moment(since), _moment(until, after=timedelta(days=1)))

    def holds(self, name: str, modified_at: datetime) -> bool:
        """Say whether a file belongs here: by its partition, or where it has none by when it was written."""
        if self.since is None and self.until is None:
            return True
        partition = partition_of(name)
        begins, ends = (partition.begins, partition.ends) if partition else (modified_at, modified_at)
        early = self.since is not None and (ends <= self.since if partition else begins < self.since)
        return not early and (self.until is None or begins < self.until)


def partition_of(name: str) -> Partition | None:
    """Return the partition that a name speaks of; the last folder of a kind counts."""
    found: dict[str, str] = dict(_FOLDER.findall(name))
    day = _day(found)
    if day is None:
        return None
    hour = found.get("hour") or found.get("hr") or ""
    return Partition(day, int(hour) if hour.isdigit() and int(hour) < 24 else None)


def _day(found: dict[str, str]) -> date | None:
    for name in ("dt", "date", "day"):
        written = _DAY.fullmatch(found.get(name, ""))
        if written and (day := _date(*written.groups())):
            return day
    if {"year", "month", "day"} <= found.keys():
        return _date(found["year"], found["month"], found["day"])
    return None


def _date(year: str, month: str, day: str) -> date | None:
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None


def _moment(value: date | datetime | None, *, after: timedelta = timedelta()) -> datetime | None:
    """Return a moment in UTC; of a day, its first moment and what is added to it."""
    if value is None or isinstance(value, datetime):
        return None if value is None else in_utc(value)
    return datetime.combine(value, time(), UTC) + after
