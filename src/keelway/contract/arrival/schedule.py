"""Reads a dataset's schedule: when files are due, and since when one is overdue. Cron expressions are in UTC.

>>> from keelway.core import parse_time, time_text
>>> time_text(due_after("5 * * * *", parse_time("2026-03-01T09:30:00Z")))
'2026-03-01T10:05:00Z'
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from keelway.errors import ProjectError

if TYPE_CHECKING:
    from keelway.project import Dataset

LEAST_GRACE = timedelta(minutes=1)
MOST_GRACE = timedelta(hours=1)


def due_after(schedule: str, moment: datetime) -> datetime:
    """Return the first due time after a moment.

    Raises:
        ProjectError: The schedule is no cron expression, or never comes.
    """
    return _next(schedule, moment, reverse=False)


def due_before(schedule: str, moment: datetime) -> datetime:
    """Return the last due time before a moment."""
    return _next(schedule, moment, reverse=True)


def nearest_due(schedule: str, moment: datetime) -> datetime:
    """Return the due time that a moment is nearest to: files come a little early or late.

    >>> from keelway.core import parse_time, time_text
    >>> time_text(nearest_due("0 * * * *", parse_time("2026-03-01T09:58:00Z")))
    '2026-03-01T10:00:00Z'
    """
    whole = moment.replace(microsecond=0)
    before = due_before(schedule, whole + timedelta(seconds=1))
    after = due_after(schedule, before)
    return before if moment - before <= after - moment else after


def grace_of(schedule: str, due: datetime) -> timedelta:
    """Return how long after a due time a file may still come: a quarter of the time to the next, a minute to an hour."""
    gap = due_after(schedule, due) - due
    return min(max(gap / 4, LEAST_GRACE), MOST_GRACE)


def overdue_since(dataset: Dataset, newest_file: datetime | None, now: datetime) -> datetime | None:
    """Return the first due time that no file came for, once its grace is over; None where all is in time.

    Args:
        newest_file: When the newest file was written; None where none ever came, and so none can be missed.
    """
    if not dataset.schedule or newest_file is None:
        return None
    due = due_after(dataset.schedule, nearest_due(dataset.schedule, newest_file))
    last = due + grace_of(dataset.schedule, due) + timedelta(seconds=dataset.settle_s)
    return due if now > last else None


def _next(schedule: str, moment: datetime, *, reverse: bool) -> datetime:
    from cronsim import CronSim, CronSimError

    try:
        found = next(CronSim(schedule, moment, reverse=reverse), None)
    except CronSimError as error:
        raise ProjectError(
            "This is no schedule", expected="a cron expression in UTC, such as 5 * * * *", found=repr(schedule),
            fix="Mend the dataset's schedule.",
        ) from error  # fmt: skip
    if found is None:
        raise ProjectError(f"The schedule {schedule!r} never comes", expected="a date that exists", found=schedule)
    return found
