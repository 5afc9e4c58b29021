"""Time as an argument: UTC, zone-aware, and replaceable by a clock that a test or a simulation sets.

>>> clock = SimulatedClock(parse_time("1998-01-01"))
>>> clock.advance(timedelta(days=1))
>>> time_text(clock.now())
'1998-01-02T00:00:00Z'
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Protocol

from keelway.errors import UsageError

_DURATION = re.compile(r"(?P<count>[0-9]+)\s*(?P<unit>[smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Clock(Protocol):
    """Tells the time. Implementations return zone-aware UTC and never go backwards."""

    def now(self) -> datetime:
        """Return the present moment in UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the present moment in UTC."""
        return datetime.now(UTC)


class SimulatedClock:
    """A clock that stands still until it is moved."""

    def __init__(self, start: datetime) -> None:
        self._now = in_utc(start)

    def now(self) -> datetime:
        """Return the moment the clock was last set to."""
        return self._now

    def advance(self, step: timedelta) -> None:
        """Move the clock forward.

        Raises:
            UsageError: `step` is negative.
        """
        if step < timedelta(0):
            raise UsageError("A clock cannot go back", expected="a step of zero or more", found=str(step))
        self._now += step

    def set(self, moment: datetime) -> None:
        """Move the clock forward to a moment."""
        self.advance(in_utc(moment) - self._now)


def in_utc(moment: datetime) -> datetime:
    """Return the same moment in UTC.

    Raises:
        UsageError: The time has no zone.
    """
    if moment.tzinfo is None:
        raise UsageError("A time needs a zone", expected="a zone-aware time", found=moment.isoformat())
    return moment.astimezone(UTC)


def parse_time(text: str) -> datetime:
    """Return the UTC time that ISO 8601 text names; a bare date or time is read as UTC.

    Raises:
        UsageError: The text is not a time.

    >>> parse_time("1998-01-01").isoformat()
    '1998-01-01T00:00:00+00:00'
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            "This is not a time",
            expected="ISO 8601, such as 2026-03-01 or 2026-03-01T12:00:00Z",
            found=repr(text),
        ) from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def time_text(moment: datetime) -> str:
    """Return RFC 3339 text in UTC, with microseconds only where there are any."""
    return in_utc(moment).isoformat().replace("+00:00", "Z")


def parse_duration(text: str) -> timedelta:
    """Return the length of time that text such as `180d`, `12h` or `30m` names.

    Raises:
        UsageError: The text is not a duration.

    >>> parse_duration("180d").days
    180
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise UsageError(
            "This is not a duration", expected="a number and one of s, m, h, d, w (such as 180d)", found=repr(text)
        )
    return timedelta(**{_UNITS[match["unit"]]: int(match["count"])})
