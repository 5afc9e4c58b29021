"""How finders tell what they found."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from keelway.report.past import PastEntry
from keelway.report.records import NOT_APPLICABLE, ORDER, FoundEvidence, Point

DAY_S = 86_400


def met(text: str, *entries: PastEntry | None) -> Point:
    """Return that something is as it should be."""
    return Point("met", text, _numbers(entries))


def partly(text: str, *entries: PastEntry | None) -> Point:
    """Return that something is there, but not whole or not fresh."""
    return Point("partly", text, _numbers(entries))


def gap(text: str, *entries: PastEntry | None) -> Point:
    """Return that something is missing or wrong."""
    return Point("gap", text, _numbers(entries))


def not_applicable(text: str, *entries: PastEntry | None) -> Point:
    """Return that there is nothing to look at."""
    return Point(NOT_APPLICABLE, text, _numbers(entries))


def found(finder: str, points: Iterable[Point], *, nothing: str) -> FoundEvidence:
    """Return what a finder found; without any point that is a gap.

    Args:
        nothing: What is missing where there are no points.
    """
    given = tuple(points) or (gap(nothing),)
    judged = [point.status for point in given if point.status != NOT_APPLICABLE]
    status = max(judged, key=ORDER.index) if judged else NOT_APPLICABLE
    rank = {NOT_APPLICABLE: -1, **{each: place for place, each in enumerate(ORDER)}}
    return FoundEvidence(finder, status, tuple(sorted(given, key=lambda point: -rank[point.status])))


def days_before(then: datetime, now: datetime) -> int:
    """Return how many whole days lie between two moments."""
    return int((now - then).total_seconds() // DAY_S)


def _numbers(entries: Iterable[PastEntry | None]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(entry.index for entry in entries if entry is not None))
