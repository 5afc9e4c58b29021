"""What business events say of the entities of an arm, from the first answer that each of them got.

An entity counts once its window is over and its stream has been recorded that far: until then it waits, so that no
missing record is taken for nothing having happened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from keelway.deploy.analysis import Moments, RateCounts, moments_of
from keelway.monitor.rollout.answers import microseconds

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from keelway.core import BusinessEvent
    from keelway.monitor.rollout.answers import SealedAnswers
    from keelway.project import BusinessMetric

    Whole = NDArray[np.int64]
    Numbers = NDArray[np.float64]

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class EventColumns:
    """The events of a stream that are known by now.

    Attributes:
        entities: Names.
        at: Microseconds since 1970, UTC.
        amounts: In the unit of the stream.
        complete_until: Before this moment nothing is missing.
    """

    entities: pa.Array
    at: Whole
    amounts: Numbers
    complete_until: int


@dataclass(frozen=True, slots=True)
class EntitySums:
    """What events say of entities whose window is over, one value an entity.

    Attributes:
        counts: Events in the window.
        sums: Of their amounts.
        before: Sums over as long a time before the entity's first answer in the rollout; None where the stream does not
            reach back so far.
        pending: Entities that wait.
    """

    counts: Whole
    sums: Numbers
    before: Numbers | None
    pending: int

    def rate(self) -> RateCounts:
        """Return how many entities have any event."""
        return RateCounts(int((self.counts > 0).sum()), len(self.counts))

    def moments(self, *, with_before: bool) -> Moments:
        """Return the moments of the sums, with what the same entities did before where that is wanted."""
        return moments_of(self.sums, self.before if with_before else None)


def event_columns(events: Sequence[BusinessEvent], *, complete_until: datetime, now: datetime) -> EventColumns:
    """Return events in columns, those that were known by now."""
    import numpy as np
    import pyarrow as pa

    known = [one for one in events if one.known_at <= now]
    return EventColumns(
        pa.array([one.entity for one in known], pa.string()),
        np.array([microseconds(one.event_time) for one in known], dtype=np.int64),
        np.array([one.amount for one in known], dtype=np.float64),
        microseconds(min(complete_until, now)),
    )


def entity_sums(first: SealedAnswers, ever: SealedAnswers, events: EventColumns, metric: BusinessMetric) -> EntitySums:
    """Return what events say of the entities of an arm.

    Args:
        first: The first answer to each entity of the arm that is judged: its window begins there.
        ever: The first answer to each entity in the whole rollout: what is before cannot come from it.
        events: Of the metric's stream.
        metric: How long they count, and up to what sum.
    """
    import numpy as np

    window, delay = metric.window_time // _MICROSECOND, metric.delay_time // _MICROSECOND
    ripe = first.at + window + delay <= events.complete_until
    names, begun = first.entities, first.at[ripe]
    entered = _by_entity(ever, len(names))[first.entity[ripe]]
    place = np.full(len(names) + 1, -1, dtype=np.int64)
    place[first.entity[ripe]] = np.arange(len(begun))
    rows = place[_found(events.entities, names)]
    here = rows >= 0
    rows, at, amounts = rows[here], events.at[here], events.amounts[here]
    inside = (at >= begun[rows]) & (at < begun[rows] + window)
    counts = np.bincount(rows[inside], minlength=len(begun))
    sums = np.bincount(rows[inside], weights=amounts[inside], minlength=len(begun))
    earlier = (at < entered[rows]) & (at >= entered[rows] - window)
    before = np.bincount(rows[earlier], weights=amounts[earlier], minlength=len(begun))
    reaches = len(begun) and len(events.at) and events.at.min() <= entered.min() - window
    return EntitySums(
        counts.astype(np.int64),
        _capped(sums, metric.cap),
        _capped(before, metric.cap) if reaches else None,
        int((~ripe).sum()),
    )


def _found(entities: pa.Array, names: pa.Array) -> Whole:
    """Return the number of each entity among names; as many as there are names where it is none of them."""
    import numpy as np
    import pyarrow.compute as pc

    return np.asarray(pc.fill_null(pc.index_in(entities, value_set=names), len(names)).to_numpy(), dtype=np.int64)


def _by_entity(first: SealedAnswers, count: int) -> Whole:
    """Return the times of first answers by the number of the entity."""
    import numpy as np

    found = np.zeros(count, dtype=np.int64)
    found[first.entity] = first.at
    return found


def _capped(sums: NDArray[Any], cap: float | None) -> Numbers:
    import numpy as np

    return np.asarray(sums if cap is None else np.clip(sums, -cap, cap), dtype=np.float64)
