"""Outcomes: the labels of entities, once their horizon has ended, as observations to judge predictions by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.core import Outcome, in_utc
from keelway.errors import FeatureError
from keelway.features.build import feature_sources, rows_in
from keelway.features.compute import Tables, label_rows, opened
from keelway.features.label_values import absent_label
from keelway.features.model_rows import model_rows
from keelway.features.names import ENTITY, LABEL
from keelway.project import LabelValue, Model

if TYPE_CHECKING:
    from keelway.snapshot import Snapshot


def labels_for(
    model: Model,
    snapshots: Mapping[str, Snapshot],
    as_of: datetime,
    *,
    entities: Sequence[str] | None = None,
    paths_of: Callable[[Snapshot], list[Path]],
    now: datetime,
) -> list[Outcome]:
    """Return what became of entities after `as_of`, by entity; empty while the horizon has not ended.

    Args:
        entities: Whose outcomes are wanted; None takes those that have features at `as_of`.
        now: What is later than this has not happened yet.

    Raises:
        FeatureError: The label function broke its promise, or a snapshot is missing.
        NotImplementedError: The label has no horizon.
    """
    as_of, now, label = in_utc(as_of), in_utc(now), model.label
    if label.horizon is None:
        raise NotImplementedError(
            f"Outcomes are computed for labels with a horizon only; label {label.name!r} has none."
        )
    datasets = {label.source.name: label.source}
    if entities is None:
        datasets |= {source.name: source for source in feature_sources(model)}
    for name in datasets:
        if name not in snapshots:
            raise FeatureError(f"There is no snapshot of {name!r}", expected=name, fix="Run `keelway ingest` first.")
    known_at = as_of + label.horizon
    if known_at > min(now, snapshots[label.source.name].watermark):
        return []
    with opened(list(datasets.values()), rows_in({name: snapshots[name] for name in datasets}, paths_of)) as tables:
        rows = label_rows(label, tables, task=model.task, as_ofs=(as_of,), now=now)
        wanted = _spine(model, tables, as_of, now=now) if entities is None else set(entities)
    absent = None if label.absent is None else absent_label(label.absent, model.task)
    values: dict[str, LabelValue | None] = dict.fromkeys(wanted, absent)
    found = zip(rows[ENTITY].to_pylist(), rows[LABEL].to_pylist(), strict=True)
    values |= {entity: value for entity, value in found if entity in wanted}
    return [
        Outcome(label=label.name, entity=entity, as_of=as_of, value=value, event_time=known_at, known_at=known_at)
        for entity, value in sorted(values.items())
        if value is not None
    ]


def _spine(model: Model, tables: Tables, as_of: datetime, *, now: datetime) -> set[str]:
    rows = model_rows(model, tables, as_ofs=(as_of,), now=now)
    return {entity for part in rows.parts for entity in part[ENTITY].to_pylist()}
