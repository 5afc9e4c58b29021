"""When a search has tried enough, and what is best of it: a pure function of its trials.

>>> from datetime import UTC, datetime
>>> at = datetime(2026, 1, 1, tzinfo=UTC)
>>> tried = [TuningTrial(n, "complete", {"C": n}, value, (value,), at, at) for n, value in enumerate((0.7, 0.8, 0.75))]
>>> considered(tried, Search(trials=3), larger_is_better=True)[1]
'trials'
>>> best_of(tried, larger_is_better=True).number
1
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from keelway.project import Search
from keelway.train.tuning.record import Ending, TuningTrial

UNCOUNTED = ("stale", "stopped")
"""Trials that say nothing: their parameters are tried again."""
MOST_FAILURES = 10
"""A search in which so many trials failed before any other came to something is ended."""


def considered(
    trials: Sequence[TuningTrial], search: Search, *, larger_is_better: bool
) -> tuple[tuple[TuningTrial, ...], Ending | None]:
    """Return the trials that count for a search, and what ends it; None where more are wanted.

    A study may hold more trials than a search asks for: only the first of them count, so that the answer depends on the
    search alone, whoever went on with the study.

    Args:
        trials: All trials of the study, in order.
        search: What is declared.
        larger_is_better: Which way the metric points.
    """
    counted: list[TuningTrial] = []
    best: TuningTrial | None = None
    since = 0  # trials that ended after the best one, in order
    for trial in trials:
        if trial.status in UNCOUNTED:
            continue
        counted.append(trial)
        if trial.status != "running":
            better = best_of(filter(None, (best, trial)), larger_is_better=larger_is_better)
            since = since + 1 if better is best else 0
            best = better
        if search.patience is not None and best is not None and since >= search.patience:
            return tuple(counted), "patience"
        if len(counted) >= search.trials:
            return tuple(counted), "trials"
        if len(counted) >= MOST_FAILURES and all(each.status == "failed" for each in counted):
            return tuple(counted), "failing"
    return tuple(counted), None


def best_of(trials: Iterable[TuningTrial], *, larger_is_better: bool) -> TuningTrial | None:
    """Return the best complete trial, the earliest of equals; None where none is complete."""
    sign = -1.0 if larger_is_better else 1.0
    complete = [(sign * trial.value, trial.number, trial) for trial in trials if trial.value is not None]
    return min(complete, key=lambda each: each[:2])[2] if complete else None


def seconds_spent(trials: Iterable[TuningTrial]) -> float:
    """Return for how many seconds at least one trial ran; a time in which nobody worked does not count.

    >>> from datetime import UTC, datetime, timedelta
    >>> at = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=each) for each in range(100)]
    >>> pairs = ((0, 10), (5, 20), (90, 95))
    >>> seconds_spent(TuningTrial(0, "complete", {}, 1.0, (), at[a], at[b]) for a, b in pairs)
    25.0
    """
    spans = sorted((trial.started_at, trial.ended_at) for trial in trials if trial.ended_at is not None)
    total, until = 0.0, None
    for start, end in spans:
        begin = start if until is None else max(start, until)
        if end > begin:
            total += (end - begin).total_seconds()
        until = end if until is None else max(until, end)
    return total
