"""Profiles: how values are spread, in bins that later data can be counted into.

A number belongs to the first bin whose edge is not below it; the first and the last bin are open, so every number
belongs somewhere. Edges are the deciles of the data, each once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from keelway.features.records import ColumnProfile, FeatureColumn, Profile

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

OTHER_LEVELS = "__other__"
MAX_LEVELS = 50
DECILES = tuple(tenth / 10 for tenth in range(1, 10))


def profile_of(rows: pa.Table, features: Sequence[FeatureColumn], reference: Profile | None = None) -> Profile:
    """Return the profile of some columns.

    Args:
        rows: A table that has the columns.
        features: The columns to profile.
        reference: Count into the bins and levels of this profile where it has the column.
    """
    known = reference.columns if reference is not None else {}
    return Profile(
        rows=rows.num_rows,
        columns={
            feature.name: _numeric(rows[feature.name], known.get(feature.name))
            if feature.kind == "numeric"
            else _categorical(rows[feature.name], known.get(feature.name))
            for feature in features
        },
    )


def _numeric(column: pa.ChunkedArray, reference: ColumnProfile | None) -> ColumnProfile:
    import numpy as np

    present = column.drop_null().to_numpy().astype(np.float64)
    values = present[~np.isnan(present)]
    edges = _edges(values) if reference is None else reference.edges
    bins = np.bincount(np.searchsorted(np.array(edges), values, side="left"), minlength=len(edges) + 1)
    return ColumnProfile(
        kind="numeric",
        count=len(values),
        nulls=len(column) - len(values),
        edges=edges,
        counts=tuple(int(each) for each in bins),
        mean=float(values.mean()) if len(values) else None,
        std=float(values.std()) if len(values) else None,
    )


def _edges(values: NDArray[np.float64]) -> tuple[float, ...]:
    import numpy as np

    if not len(values):
        return ()
    edges = np.unique(np.quantile(values, DECILES) + 0.0)  # plus zero, so that -0.0 and 0.0 are one edge
    if len(edges) == 1:  # almost everything is one number: give it a bin of its own, so that a move either way shows
        edges = np.array([np.nextafter(edges[0], -np.inf), edges[0]])
    return tuple(float(edge) for edge in edges)


def _categorical(column: pa.ChunkedArray, reference: ColumnProfile | None) -> ColumnProfile:
    counted = Counter(value or "" for value in column.to_pylist())
    if reference is None:
        named = [level for level, _ in sorted(counted.items(), key=lambda each: (-each[1], each[0]))[:MAX_LEVELS]]
    else:
        named = [level for level in reference.levels if level != OTHER_LEVELS]
    levels = {level: counted[level] for level in named}
    other = len(column) - sum(levels.values())
    if other or (reference is not None and OTHER_LEVELS in reference.levels):
        levels[OTHER_LEVELS] = other
    return ColumnProfile(kind="categorical", count=len(column), nulls=counted[""], levels=levels)
