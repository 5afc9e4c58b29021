"""Ingests again and again: when files are due by the dataset's schedule, or every so many seconds.

The rules:

1. A scheduled dataset is looked at when a file is due and has had time to settle; while it is missing, a few times
   more until its grace is over; then at the next due time.
2. What cannot be done now (a store that does not answer, a batch that its contract stops, somebody else who is
   faster) is told, and tried again after a pause that doubles each time.
3. The bell ends the watch: at once while it waits, after the running batch while it works.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from keelway.app.ingest_report import IngestReport
from keelway.core import Clock
from keelway.errors import ConflictError, DataError, EngineError, KeelwayError

if TYPE_CHECKING:
    from keelway.project import Dataset

EVERY_S = 60.0
"""Seconds between two looks at a dataset without a schedule, unless said otherwise."""
FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 900.0
LOOKS_IN_GRACE = 3
"""How often a missing file is looked for before its grace is over."""


class Bell(Protocol):
    """Ends a watch; a `threading.Event` is one."""

    def is_set(self) -> bool:
        """Say whether it rang."""
        ...

    def wait(self, timeout: float | None = None) -> bool:
        """Wait so many seconds, or until it rings; say whether it rang."""
        ...


@dataclass(frozen=True, slots=True)
class Turn:
    """One look at a dataset.

    Attributes:
        report: What was done; None where it failed.
        error: What went wrong, with what was found and how to mend it; empty where nothing did.
        next_at: When the dataset is looked at again.
    """

    dataset: str
    at: datetime
    report: IngestReport | None
    error: str
    fix: str
    next_at: datetime


@dataclass(frozen=True, slots=True)
class _Watched:
    """A dataset, when it is looked at next, and how often in a row that failed."""

    dataset: Dataset
    next_at: datetime
    failures: int = 0


def watch(
    datasets: Sequence[Dataset],
    *,
    ingest: Callable[[str], IngestReport],
    every_s: float | None,
    clock: Clock,
    bell: Bell,
    told: Callable[[Turn], None],
) -> None:
    """Look at each dataset at once, then whenever it is its turn, until the bell rings.

    Args:
        ingest: Brings one dataset in.
        every_s: Seconds between two looks; None goes by the schedules.

    Raises:
        KeelwayError: Something is wrong that waiting does not mend: a setting, a damaged file.
    """
    watched = [_Watched(dataset, clock.now()) for dataset in datasets]
    while watched and not bell.is_set():
        one = min(watched, key=lambda item: item.next_at)  # of several the first: the order in which they refer
        if bell.wait(max(0.0, (one.next_at - clock.now()).total_seconds())):
            return
        after, turn = _looked(one, ingest, every_s, clock)
        watched[watched.index(one)] = after
        told(turn)


def _looked(
    one: _Watched, ingest: Callable[[str], IngestReport], every_s: float | None, clock: Clock
) -> tuple[_Watched, Turn]:
    """Look at a dataset once."""
    name, begun = one.dataset.name, clock.now()
    try:
        report = ingest(name)
    except (DataError, ConflictError, EngineError) as error:
        pause = min(FIRST_PAUSE_S * 2**one.failures, LONGEST_PAUSE_S)
        next_at = clock.now() + timedelta(seconds=pause)
        return replace(one, next_at=next_at, failures=one.failures + 1), _failed(name, begun, error, next_at)
    newest = report.freshness.newest_file
    next_at = next_look(one.dataset, newest_file=newest, now=clock.now(), every_s=every_s)
    return replace(one, next_at=next_at, failures=0), Turn(name, begun, report, "", "", next_at)


def next_look(dataset: Dataset, *, newest_file: datetime | None, now: datetime, every_s: float | None) -> datetime:
    """Return when a dataset is looked at again.

    Args:
        newest_file: When the newest file was written; None while there is none.
        every_s: Seconds between two looks; None goes by the schedule.
    """
    from keelway.contract import due_after, due_before, grace_of, nearest_due

    if every_s is not None or not dataset.schedule:
        return now + timedelta(seconds=every_s or EVERY_S)
    settle = timedelta(seconds=dataset.settle_s)
    coming = due_after(dataset.schedule, now - settle) + settle
    last = due_before(dataset.schedule, now - settle + timedelta(seconds=1))
    grace = grace_of(dataset.schedule, last)
    came = newest_file is not None and nearest_due(dataset.schedule, newest_file) >= last
    if came or now - last - settle > grace:
        return coming
    return min(coming, now + grace / LOOKS_IN_GRACE + timedelta(seconds=1))


def _failed(name: str, at: datetime, error: KeelwayError, next_at: datetime) -> Turn:
    return Turn(name, at, None, f"{type(error).__name__}: {error}", error.fix, next_at)
