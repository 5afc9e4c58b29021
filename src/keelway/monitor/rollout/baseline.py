"""What a business metric is now, before any experiment: of the entities that were answered, each from its first answer on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keelway.monitor.rollout.answers import SealedAnswers
from keelway.monitor.rollout.business import entity_sums

if TYPE_CHECKING:
    import pyarrow as pa

    from keelway.monitor.rollout.business import EntitySums, EventColumns
    from keelway.project import BusinessMetric


def baseline_sums(answers: pa.Table, events: EventColumns, metric: BusinessMetric) -> EntitySums:
    """Return what events say of the entities that a model answered for.

    Args:
        answers: Columns `entity` and `event_time` of sealed predictions, one row a prediction.
        events: Of the metric's stream.
        metric: How long they count, and up to what sum.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    times = answers["event_time"].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
    rows = pa.table({"entity": answers["entity"].cast(pa.string()), "at": times})
    firsts = rows.group_by("entity", use_threads=False).aggregate([("at", "min")])
    firsts = firsts.take(pc.sort_indices(firsts, sort_keys=[("at_min", "ascending"), ("entity", "ascending")]))
    at = firsts["at_min"].to_numpy().astype(np.int64)
    nowhere = np.zeros(len(at), dtype=np.int64)
    first = SealedAnswers(
        names=("stable",),
        entities=firsts["entity"].combine_chunks(),
        deployment=nowhere,
        assigned=nowhere,
        answered=nowhere,
        entity=np.arange(len(at), dtype=np.int64),
        values=nowhere.astype(np.float64),
        row=np.arange(len(at), dtype=np.int64),
        as_of=at,
        at=at,
    )
    return entity_sums(first, first, events, metric)
