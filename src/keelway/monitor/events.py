"""Takes in business events, exactly once: the same event again changes nothing, another amount for it is refused.

An event is told by its entity and its id, or its entity and its time where it has no id. A stream knows how far it is
complete: up to its newest event, or to the moment that is told with a batch. What is later has not been heard of yet,
which is not the same as nothing having happened.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from keelway.core import BusinessEvent, PrincipalId, checked_name, time_text
from keelway.errors import DataError
from keelway.monitor.batches import EXAMPLES, batches_of, keep_batch, put_lines, read_lines
from keelway.monitor.record import EventBatch

if TYPE_CHECKING:
    from keelway.core import ArtifactStore
    from keelway.ledger.ports import StateStore, Transaction

_Case = tuple[str, str]


def record_events(
    events: Iterable[BusinessEvent],
    stream: str,
    *,
    complete_until: datetime | None = None,
    state: StateStore,
    artifacts: ArtifactStore,
    now: datetime,
    actor: PrincipalId,
) -> EventBatch | None:
    """Store the events of a stream that are not known yet; None when all of them are, and the stream reaches as far already.

    Args:
        complete_until: Everything before this moment has been recorded now; None takes the time of the newest event.

    Raises:
        DataError: An event contradicts a known one or another in the batch, has no finite amount, is of another stream or
            of the future; nothing is written.
    """
    given = list(events)
    checked_name(stream, what="stream")
    newest = max((one.event_time for one in given), default=None)
    until = complete_until or newest
    if until is None:
        return None
    _check_time(max(until, newest or until), now)
    with state.transaction() as tx:
        known = {_case(one): one for one in read_events(tx, artifacts, stream)}
        new = _unknown(given, stream, known)
        reached = events_complete_until(tx, stream)
        if not new and reached is not None and until <= reached:
            return None
        number = tx.count(EventBatch, parent=stream) + 1
        data = put_lines(new, f"{stream}-events-{number}.jsonl", artifacts)
        batch = EventBatch(stream, number, len(new), until, data, now, actor)
        told = f"{len(new)} events, complete until {time_text(until)}"
        keep_batch(batch, stream, what="events", comment=told, tx=tx)
    return batch


def read_events(tx: Transaction, artifacts: ArtifactStore, stream: str) -> list[BusinessEvent]:
    """Return every event of a stream, in the order they were learned."""
    return read_lines(BusinessEvent, batches_of(EventBatch, stream, tx), artifacts)


def events_complete_until(tx: Transaction, stream: str) -> datetime | None:
    """Return the moment before which everything that happened in a stream is known; None where nothing was recorded."""
    return max((batch.complete_until for batch in tx.newest(EventBatch, parent=stream)), default=None)


def _unknown(given: list[BusinessEvent], stream: str, known: dict[_Case, BusinessEvent]) -> list[BusinessEvent]:
    """Return the events that say something new, sorted."""
    new: dict[_Case, BusinessEvent] = {}
    wrong: list[str] = []
    for one in given:
        before = known.get(_case(one)) or new.get(_case(one))
        if one.stream != stream:
            wrong.append(f"{_told(one)} is of {one.stream}, not {stream}")
        elif not math.isfinite(one.amount):
            wrong.append(f"{_told(one)} has the amount {one.amount}")
        elif before is None:
            new[_case(one)] = one
        elif (before.amount, before.event_time) != (one.amount, one.event_time):
            wrong.append(
                f"{_told(one)} has the amount {one.amount:g}, had {before.amount:g} at {time_text(before.event_time)}"
            )
    if wrong:
        raise DataError(
            f"{len(wrong)} of {len(given)} events of {stream} cannot be taken",
            expected="finite amounts, and one for each event",
            found="; ".join(wrong[:EXAMPLES]),
            fix="Mend the file and record it again; nothing was written. Events of an entity at the same time need an event_id.",
        )
    return [new[case] for case in sorted(new)]


def _check_time(newest: datetime, now: datetime) -> None:
    if newest > now:
        raise DataError(
            "Events of the future cannot be recorded", expected=f"until {time_text(now)}", found=time_text(newest)
        )


def _case(event: BusinessEvent) -> _Case:
    return event.entity, event.event_id or time_text(event.event_time)


def _told(event: BusinessEvent) -> str:
    return f"{event.entity} at {time_text(event.event_time)}"
