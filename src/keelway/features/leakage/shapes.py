"""Columns that are no features by their shape: names of rows, and moments after the cut date."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from keelway.features.leakage.alone import numbers_of
from keelway.features.leakage.report import LeakageFinding
from keelway.features.names import AS_OF
from keelway.features.records import FeatureColumn

if TYPE_CHECKING:
    import pyarrow as pa

LEAST_ROWS = 50
NEARLY_ALL = 0.95


def identifiers(rows: pa.Table, features: Sequence[FeatureColumn]) -> list[LeakageFinding]:
    """Return the columns that name rows: nearly every value is another one, or whole numbers count the rows."""
    found = []
    for feature in features:
        if rows.num_rows < LEAST_ROWS or feature.kind not in ("numeric", "categorical"):
            continue
        share, why = (_named if feature.kind == "categorical" else _counted)(rows[feature.name])
        if why:
            text = f"{feature.name!r} looks like the name of a row: {why}. A model can only learn it by heart; leave it out."
            found.append(LeakageFinding("identifier", "note", feature.name, share, share, text))
    return found


def late_times(rows: pa.Table, features: Sequence[FeatureColumn]) -> list[LeakageFinding]:
    """Return the columns of moments that lie at or after their row's cut date."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found = []
    for feature in features:
        kind = rows.schema.field(feature.name).type
        if AS_OF not in rows.column_names or not (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
            continue
        utc = pa.timestamp("us", tz="UTC")
        moments = rows[feature.name]
        moments = moments.cast(pa.timestamp("us")).cast(utc) if getattr(kind, "tz", None) is None else moments.cast(utc)
        late = pc.sum(pc.greater_equal(moments, rows[AS_OF].cast(utc))).as_py() or 0
        if late:
            text = f"{feature.name!r} lies at or after the cut date in {late} of {rows.num_rows} rows: it knows the future."
            found.append(LeakageFinding("late", "stop", feature.name, late, late, text))
    return found


def _named(column: pa.ChunkedArray) -> tuple[float, str]:
    values = [value for value in column.to_pylist() if value]
    share = len(set(values)) / len(values) if values else 0.0
    if len(values) < LEAST_ROWS or not share >= NEARLY_ALL:
        return share, ""
    return share, f"{len(set(values))} different values in {len(values)} rows"


def _counted(column: pa.ChunkedArray) -> tuple[float, str]:
    """Judge numbers: whole ones of which each is another, and any that rise or fall with the order of the rows."""
    import numpy as np

    numbers = numbers_of(column)
    values = numbers[~np.isnan(numbers)]
    if len(values) < LEAST_ROWS:
        return 0.0, ""
    steps = np.diff(values)
    if (steps > 0).all() or (steps < 0).all():
        return 1.0, "it rises or falls with every row"
    share = len(np.unique(values)) / len(values)
    whole = bool((values == np.floor(values)).all())
    return share, "whole numbers, each another" if whole and share == 1.0 else ""
