"""What was read about a rollout at one look, before anything is made of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from keelway.monitor.events import events_complete_until, read_events
from keelway.monitor.outcomes import read_outcomes
from keelway.monitor.record import OutcomeBatch
from keelway.monitor.rollout.business import EventColumns, event_columns
from keelway.monitor.rollout.figures import known_labels
from keelway.monitor.rollout.log import SegmentCache, sealed_columns
from keelway.project import LABEL_KINDS
from keelway.register import ModelVersion
from keelway.serve import request_figures

if TYPE_CHECKING:
    import pyarrow as pa

    from keelway.core import ArtifactStore
    from keelway.ledger import Transaction
    from keelway.project import Analysis, BusinessMetric, LabelValue, Task
    from keelway.serve import RequestFigures


@dataclass(frozen=True, slots=True)
class RolloutReadings:
    """What was read about a rollout.

    Attributes:
        now: What became known later is not there.
        table: Its sealed predictions, see `sealed_columns`; others may be among them.
        gone: Predictions that cannot be read any more.
        requests: What servers counted, by whichever process.
        labels: What became of entities, by entity and cut date; None where no outcome was ever recorded.
        events: By stream; a stream that was never recorded is not there.
        task: What the model predicts.
        classes: The names of the probabilities that a version answers with, in their order; of versions with classes only.
    """

    now: datetime
    table: pa.Table
    gone: int = 0
    requests: Sequence[RequestFigures] = ()
    labels: Mapping[tuple[str, int], LabelValue] | None = None
    events: Mapping[str, EventColumns] = field(default_factory=dict)
    task: Task = "binary"
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def rollout_readings(
    model: str,
    environment: str,
    *,
    since: datetime,
    analysis: Analysis,
    label: str,
    business: Iterable[BusinessMetric],
    task: Task = "binary",
    tx: Transaction,
    artifacts: ArtifactStore,
    now: datetime,
    cache: SegmentCache,
) -> RolloutReadings:
    """Read what an analysis asks for; one look reads once, whatever it looks at.

    Args:
        since: When the first deployment began that is looked at.
        label: The label whose outcomes tell how answers turned out; empty for none.
        business: The model's business metrics.
        task: What the model predicts.
        now: What became known later does not count.
        cache: Keeps what was read of the log for the next look.
    """
    asked = {figure.name for figure in analysis.figures}
    streams = {metric.stream for metric in business if metric.name in asked}
    wants_labels = any(figure.kind in LABEL_KINDS for figure in analysis.figures)
    labels = _labels(label, tx, artifacts, now) if wants_labels else None
    table, gone = sealed_columns(model, environment, since=since, tx=tx, artifacts=artifacts, cache=cache)
    found = {stream: _events(stream, tx, artifacts, now) for stream in sorted(streams)}
    return RolloutReadings(
        now=now,
        table=table,
        gone=gone,
        requests=request_figures(model, environment, since=since, tx=tx),
        labels=labels,
        events={stream: events for stream, events in found.items() if events is not None},
        task=task,
        classes=_classes(table, tx) if task == "multiclass" else {},
    )


def _classes(table: pa.Table, tx: Transaction) -> dict[str, tuple[str, ...]]:
    """Return the classes of the versions that answered, those whose record is there."""
    found = {name: tx.find(ModelVersion, name) for name in table["version"].unique().to_pylist()}
    return {name: version.classes for name, version in found.items() if version is not None}


def _labels(
    label: str, tx: Transaction, artifacts: ArtifactStore, now: datetime
) -> Mapping[tuple[str, int], LabelValue] | None:
    if not label or not tx.count(OutcomeBatch, parent=label):
        return None
    return known_labels(read_outcomes(tx, artifacts, label), now)


def _events(stream: str, tx: Transaction, artifacts: ArtifactStore, now: datetime) -> EventColumns | None:
    until = events_complete_until(tx, stream)
    return None if until is None else event_columns(read_events(tx, artifacts, stream), complete_until=until, now=now)
