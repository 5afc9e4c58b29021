"""Profiles: how values are spread, in bins that later data can be counted into.

A number belongs to the first bin whose edge is not below it; the first and the last bin are open, so every number
belongs somewhere. Edges are the deciles of the data, each once. Of a text its length in characters is counted, of an
array the mean of its numbers. A profile is exact but for its quantile sketch, which other profiles can be merged with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from keelway.features.records import ColumnProfile, FeatureColumn, Kind, Profile
from keelway.features.sketch import sketch_of

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

OTHER_LEVELS = "__other__"
MAX_LEVELS = 50
LARGE = 1e100
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
        columns={each.name: _column(rows[each.name], each, known.get(each.name)) for each in features},
    )


def _column(column: pa.ChunkedArray, feature: FeatureColumn, reference: ColumnProfile | None) -> ColumnProfile:
    import pyarrow.compute as pc

    if feature.kind == "categorical":
        return _categorical(column, reference)
    if feature.kind == "text":
        lengths = pc.utf8_length(column)
        column = pc.if_else(pc.equal(lengths, 0), None, lengths)
    if feature.kind == "array":
        column = pc.divide(_sums(column, feature.length), feature.length)
    return _numeric(column, feature.kind, reference)


def _sums(column: pa.ChunkedArray, length: int) -> pa.Array:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    numbers = pc.list_flatten(column).to_numpy().astype(np.float64)
    return pa.array(numbers.reshape(-1, length).sum(axis=1))


def _numeric(column: pa.ChunkedArray, kind: Kind, reference: ColumnProfile | None) -> ColumnProfile:
    import numpy as np

    present = np.sort(column.drop_null().to_numpy(zero_copy_only=False).astype(np.float64))
    values = present[: len(present) - np.count_nonzero(np.isnan(present))]  # sorting puts NaN last
    scale = _scale(values)
    scaled = values if scale == 1.0 else values / scale
    edges = _edges(scaled, scale) if reference is None else reference.edges
    places = [0, *np.searchsorted(values, np.array(edges), side="right"), len(values)]
    return ColumnProfile(
        kind=kind,
        count=len(values),
        nulls=len(column) - len(values),
        edges=edges,
        counts=tuple(int(each) for each in np.diff(places)),
        mean=float(scaled.mean() * scale) if len(values) else None,
        std=float(scaled.std() * scale) if len(values) else None,
        minimum=float(values[0] + 0.0) if len(values) else None,
        maximum=float(values[-1] + 0.0) if len(values) else None,
        zeros=int(np.searchsorted(values, 0.0, side="right") - np.searchsorted(values, 0.0, side="left")),
        sketch=sketch_of(values),
    )


def _scale(values: NDArray[np.float64]) -> float:
    """Return what to divide very large numbers by, so that their squares stay finite; 1 for all others.

    Args:
        values: Numbers in ascending order.
    """
    largest = max(abs(float(values[0])), abs(float(values[-1]))) if len(values) else 0.0
    return largest if largest > LARGE else 1.0


def _edges(scaled: NDArray[np.float64], scale: float) -> tuple[float, ...]:
    if not len(scaled):
        return ()
    return whole_bins(sorted_deciles(scaled) * scale)


def sorted_deciles(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the deciles of numbers in ascending order, to the last bit as `np.quantile` does, which would sort them.

    Between two numbers lies what is nearer reckoned from there (numpy's method `linear`).
    """
    import numpy as np

    places = (len(values) - 1) * np.asarray(DECILES)
    before = np.floor(places).astype(np.intp)
    low, high, share = values[before], values[np.minimum(before + 1, len(values) - 1)], places - before
    step = high - low
    made: NDArray[np.float64] = np.where(share >= 0.5, high - step * (1 - share), low + step * share)
    return made


def whole_bins(deciles: Sequence[float] | NDArray[np.float64]) -> tuple[float, ...]:
    """Return the edges of bins that begin and end at some numbers, each once."""
    import numpy as np

    edges = np.unique(np.asarray(deciles) + 0.0)  # plus zero, so that -0.0 and 0.0 are one edge
    if len(edges) == 1:  # almost everything is one number: give it a bin of its own, so that a move either way shows
        edges = np.array([np.nextafter(edges[0], -np.inf), edges[0]])
    return tuple(float(edge) for edge in edges)


def _categorical(column: pa.ChunkedArray, reference: ColumnProfile | None) -> ColumnProfile:
    counted = counted_levels(column)
    levels = shown_levels(counted, reference)
    return ColumnProfile(kind="categorical", count=len(column), nulls=counted.get("", 0), levels=levels)


def counted_levels(column: pa.ChunkedArray) -> dict[str, int]:
    """Return how often each text stands in a column, which may be coded; a missing text is empty."""
    import numpy as np

    codes, texts = coded_texts(column)
    counts = np.bincount(codes, minlength=len(texts)).tolist()
    return {text: count for text, count in zip(texts, counts, strict=True) if count}


def coded_texts(column: pa.ChunkedArray | pa.Array) -> tuple[NDArray[np.int32], list[str]]:
    """Return the place of each text of a column among distinct ones, and these; a missing text is empty.

    A column that is coded already keeps its codes: some of its distinct texts may stand in no row.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    coded = pc.fill_null(whole, "").dictionary_encode()
    return coded.indices.to_numpy(), coded.dictionary.to_pylist()


def shown_levels(counted: Mapping[str, int], reference: ColumnProfile | None) -> dict[str, int]:
    """Return the most frequent levels, or those of a reference, and how many values are none of them.

    Args:
        counted: Level to count; what a profile counted as other levels stays there.
    """
    known = [level for level in counted if level != OTHER_LEVELS]
    if reference is None:
        named = sorted(known, key=lambda level: (-counted[level], level))[:MAX_LEVELS]
    else:
        named = [level for level in reference.levels if level != OTHER_LEVELS]
    levels = {level: counted.get(level, 0) for level in named}
    other = sum(counted.values()) - sum(levels.values())
    if other or (reference is not None and OTHER_LEVELS in reference.levels):
        levels[OTHER_LEVELS] = other
    return levels
