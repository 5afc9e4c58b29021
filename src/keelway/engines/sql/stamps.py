"""Times as the database keeps them: whole microseconds since 1970, so that they sort the same everywhere."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from keelway.core import in_utc

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def stamp(moment: datetime) -> int:
    """Return the number of a moment."""
    return (in_utc(moment) - _EPOCH) // _MICROSECOND


def moment_of(number: int) -> datetime:
    """Return the moment of a number, in UTC."""
    return _EPOCH + number * _MICROSECOND
