"""Says how old the newest of a dataset is, against what its contract promises and its schedule expects."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from keelway.contract.arrival.alerts import IngestAlert, IngestAlertKind
from keelway.contract.arrival.schedule import overdue_since
from keelway.contract.quarantine.stopped import stopped_batch
from keelway.core import time_text

if TYPE_CHECKING:
    from keelway.contract.arrival.anomalies import Account
    from keelway.ledger.ports import Transaction
    from keelway.project import Dataset

AGAIN = 2
"""Stops of one batch from which on it is told as an alert."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """How old the newest of a dataset is.

    Attributes:
        newest_event: When the youngest row happened that is not dated after the file it came in; None while there is
            none.
        newest_file: When the youngest file was written; None while there is none.
        event_age_s: Seconds since the youngest row happened; `file_age_s` likewise.
        max_age_s: How old the youngest row may be; None for no promise.
        undated: Whether rows came, and all are dated after the files they came in: nobody knows how old they are.
        stale: Whether it is older, or undated where something is promised.
        fresh_until: The newest row's time when the dataset last was as young as promised; each time it grows older
            than that is one outage, whatever old rows still come.
        overdue_since: The first due time that no file came for; None where all is in time.
    """

    newest_event: datetime | None
    newest_file: datetime | None
    event_age_s: float | None
    file_age_s: float | None
    max_age_s: int | None
    undated: bool
    stale: bool
    fresh_until: datetime | None
    overdue_since: datetime | None


def freshness(dataset: Dataset, account: Account, *, max_age_s: int | None, now: datetime) -> Freshness:
    """Return how old the newest of a dataset is, against what its contract promises."""
    event_age, file_age = _age(account.newest_event, now), _age(account.newest_file, now)
    undated = event_age is None and any(item.is_undated for item in account.arrivals)
    return Freshness(
        newest_event=account.newest_event,
        newest_file=account.newest_file,
        event_age_s=event_age,
        file_age_s=file_age,
        max_age_s=max_age_s,
        undated=undated,
        stale=max_age_s is not None and (undated or (event_age is not None and event_age > max_age_s)),
        fresh_until=_fresh_until(account, max_age_s),
        overdue_since=overdue_since(dataset, account.newest_file, now),
    )


def freshness_alerts(dataset: str, found: Freshness, *, now: datetime) -> list[IngestAlert]:
    """Return the alerts that a dataset's age gives reason for; each outage is one."""
    alerts = []
    if found.stale:
        about = time_text(found.fresh_until) if found.fresh_until else "the first batch"
        told = f"{_age_told(found)}; promised is {_told(found.max_age_s or 0)}"
        alerts.append(IngestAlert(dataset, IngestAlertKind.STALE, about, (told,), {}, now))
    if found.overdue_since is not None:
        assert found.newest_file is not None
        about = time_text(found.overdue_since)
        told = f"no file came for {about}; the newest was written {time_text(found.newest_file)}"
        alerts.append(IngestAlert(dataset, IngestAlertKind.MISSING, about, (told,), {}, now))
    return alerts


def stop_alerts(dataset: str, *, tx: Transaction, now: datetime) -> list[IngestAlert]:
    """Return an alert where the contract stopped the waiting batch more than once."""
    stopped = stopped_batch(dataset, tx)
    if stopped is None or stopped.stops < AGAIN:
        return []
    told = f"batch {stopped.batch} was stopped {stopped.stops} times, nothing after it is loaded: "
    reasons = (told + "; ".join(stopped.reasons[:5]),)
    about = f"batch {stopped.batch}"
    return [IngestAlert(dataset, IngestAlertKind.STOPPED, about, reasons, {"batch": stopped.digest}, now)]


def _age_told(found: Freshness) -> str:
    if found.newest_event is None or found.event_age_s is None:
        return "every row is dated after the file it came in, so nobody knows how old the data is"
    return f"the youngest row happened {time_text(found.newest_event)}, {_told(found.event_age_s)} ago"


def _fresh_until(account: Account, limit_s: int | None) -> datetime | None:
    """Return the time of the newest row of the last batch that was young enough when it was written."""
    for item in reversed(account.arrivals):
        event, written = item.newest_event, item.newest_file
        if limit_s is None or event is None or written is None or item.is_undated:
            continue
        if (written - event).total_seconds() <= limit_s:
            return event
    return None


def _age(moment: datetime | None, now: datetime) -> float | None:
    """Return the seconds since a moment; where clocks differ, none."""
    return None if moment is None else max(0.0, (now - moment).total_seconds())


def _told(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
