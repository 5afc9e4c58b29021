"""Profiles: how values are spread, in bins that later data can be counted into.

A number belongs to the first bin whose edge is not below it; the first and the last bin are open, so every number
belongs somewhere. Edges are the deciles of the data, each once. Of a text its length in characters is counted, of an
array the mean of its numbers. A profile is exact but for its quantile sketch, which other profiles can be merged with.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.core import memory_duckdb
from keelway.features.ascending import ascending
from keelway.features.records import ColumnProfile, FeatureColumn, Profile
from keelway.features.sketch import sketch_of
from keelway.features.table_file import parts_of

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    Parts = Callable[[], Iterable[pa.ChunkedArray]]
    """Returns the values of a column, some at a time, from the first on."""

OTHER_LEVELS = "__other__"
MAX_LEVELS = 50
LARGE = 1e100
MOST_HELD = 100_000
"""Different texts of a column that are counted in memory; more are counted by DuckDB."""
MEMORY_LIMIT = "250MB"
DECILES = tuple(tenth / 10 for tenth in range(1, 10))


def profile_of(rows: pa.Table, features: Sequence[FeatureColumn], reference: Profile | None = None) -> Profile:
    """Return the profile of some columns.

    Args:
        rows: A table that has the columns.
        features: The columns to profile.
        reference: Count into the bins and levels of this profile where it has the column.
    """
    known = reference.columns if reference is not None else {}

    def column(feature: FeatureColumn) -> ColumnProfile:
        return _column(lambda: (rows[feature.name],), feature, known.get(feature.name))

    return Profile(rows=rows.num_rows, columns={each.name: column(each) for each in features})


def profile_of_file(path: Path, features: Sequence[FeatureColumn], *, folder: Path) -> Profile:
    """Return the profile of the rows in a Parquet file; a column and some of its rows are read at a time, however many there are.

    Args:
        folder: Where a column may lie meanwhile.
    """
    import pyarrow.parquet as pq

    def column(feature: FeatureColumn) -> ColumnProfile:
        return _column(
            lambda: (part[feature.name] for part in parts_of(path, [feature.name])), feature, None, folder=folder
        )

    return Profile(rows=pq.read_metadata(path).num_rows, columns={each.name: column(each) for each in features})


def _column(
    parts: Parts, feature: FeatureColumn, reference: ColumnProfile | None, *, folder: Path | None = None
) -> ColumnProfile:
    if feature.kind == "categorical":
        return _categorical(parts, reference, folder=folder)
    return _numeric(parts, feature, reference, folder=folder)


def _numbers(column: pa.ChunkedArray, feature: FeatureColumn) -> NDArray[np.float64]:
    """Return what is counted of a column, in any order, without what is missing."""
    import numpy as np
    import pyarrow.compute as pc

    if feature.kind == "text":
        lengths = pc.utf8_length(column)
        column = pc.if_else(pc.equal(lengths, 0), None, lengths)
    if feature.kind == "array":
        column = pc.divide(_sums(column, feature.length), feature.length)
    present = column.drop_null().to_numpy(zero_copy_only=False).astype(np.float64)
    values: NDArray[np.float64] = present[~np.isnan(present)]
    return values


def _sums(column: pa.ChunkedArray, length: int) -> pa.Array:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    numbers = pc.list_flatten(column).to_numpy().astype(np.float64)
    return pa.array(numbers.reshape(-1, length).sum(axis=1))


def _numeric(
    parts: Parts, feature: FeatureColumn, reference: ColumnProfile | None, *, folder: Path | None
) -> ColumnProfile:
    import numpy as np

    rows = 0

    def present() -> Iterator[NDArray[np.float64]]:
        nonlocal rows
        for part in parts():
            rows += len(part)
            yield _numbers(part, feature)

    numbers = ascending(present(), folder=folder)
    values, count = numbers.values, len(numbers)
    scale = _scale(values)
    edges = _edges(values, scale) if reference is None else reference.edges
    places = [0, *np.searchsorted(values, np.array(edges), side="right"), count]
    mean = numbers.total(lambda part: part / scale) / count if count else 0.0
    variance = numbers.total(lambda part: np.square(part / scale - mean)) / count if count else 0.0
    return ColumnProfile(
        kind=feature.kind,
        count=count,
        nulls=rows - count,
        edges=edges,
        counts=tuple(int(each) for each in np.diff(places)),
        mean=mean * scale if count else None,
        std=math.sqrt(variance) * scale if count else None,
        minimum=float(values[0] + 0.0) if count else None,
        maximum=float(values[-1] + 0.0) if count else None,
        zeros=int(np.searchsorted(values, 0.0, side="right") - np.searchsorted(values, 0.0, side="left")),
        sketch=sketch_of(numbers.parts(), count),
    )


def _scale(values: NDArray[np.float64]) -> float:
    """Return what to divide very large numbers by, so that their squares stay finite; 1 for all others.

    Args:
        values: Numbers in ascending order.
    """
    largest = max(abs(float(values[0])), abs(float(values[-1]))) if len(values) else 0.0
    return largest if largest > LARGE else 1.0


def _edges(values: NDArray[np.float64], scale: float) -> tuple[float, ...]:
    if not len(values):
        return ()
    return whole_bins(sorted_deciles(values, scale) * scale)


def sorted_deciles(values: NDArray[np.float64], scale: float = 1.0) -> NDArray[np.float64]:
    """Return the deciles of numbers in ascending order, to the last bit as `np.quantile` does, which would sort them.

    Between two numbers lies what is nearer reckoned from there (numpy's method `linear`).

    Args:
        values: The numbers; only those around the deciles are looked at.
        scale: What they are divided by.
    """
    import numpy as np

    places = (len(values) - 1) * np.asarray(DECILES)
    before = np.floor(places).astype(np.intp)
    low, high = (np.asarray(values[each]) / scale for each in (before, np.minimum(before + 1, len(values) - 1)))
    share, step = places - before, high - low
    made: NDArray[np.float64] = np.where(share >= 0.5, high - step * (1 - share), low + step * share)
    return made


def whole_bins(deciles: Sequence[float] | NDArray[np.float64]) -> tuple[float, ...]:
    """Return the edges of bins that begin and end at some numbers, each once."""
    import numpy as np

    edges = np.unique(np.asarray(deciles) + 0.0)  # plus zero, so that -0.0 and 0.0 are one edge
    if len(edges) == 1:  # almost everything is one number: give it a bin of its own, so that a move either way shows
        edges = np.array([np.nextafter(edges[0], -np.inf), edges[0]])
    return tuple(float(edge) for edge in edges)


def _categorical(parts: Parts, reference: ColumnProfile | None, *, folder: Path | None) -> ColumnProfile:
    counted: Mapping[str, int] = _counted(parts(), most=None if folder is None else MOST_HELD)
    if folder is not None and len(counted) > MOST_HELD:
        counted = _most_frequent(parts(), folder)
    levels = shown_levels(counted, reference)
    return ColumnProfile(kind="categorical", count=sum(counted.values()), nulls=counted.get("", 0), levels=levels)


def _counted(parts: Iterable[pa.ChunkedArray], *, most: int | None) -> Counter[str]:
    """Return how often each text comes, or stop as soon as there are more than so many."""
    counted: Counter[str] = Counter()
    for part in parts:
        counted.update(counted_levels(part))
        if most is not None and len(counted) > most:
            break
    return counted


def _most_frequent(parts: Iterable[pa.ChunkedArray], folder: Path) -> dict[str, int]:
    """Return how often the empty and the most frequent texts come; all others are counted as other levels."""
    import pyarrow as pa
    import pyarrow.compute as pc

    batches = (batch for part in parts for batch in pa.table({"level": pc.fill_null(part, "")}).to_batches())
    with memory_duckdb(memory_limit=MEMORY_LIMIT, temp_directory=str(folder / "spill")) as connection:
        connection.register("texts", pa.RecordBatchReader.from_batches(pa.schema([("level", pa.string())]), batches))
        connection.execute("CREATE TABLE counted AS SELECT level, count(*) AS times FROM texts GROUP BY level")
        found = connection.execute(
            "SELECT level, times FROM counted ORDER BY level = '' DESC, times DESC, level LIMIT $1", [MAX_LEVELS + 2]
        ).fetchall()
        ((count,),) = connection.execute("SELECT sum(times)::BIGINT FROM counted").fetchall()
    counted = dict(found)
    counted[OTHER_LEVELS] = counted.get(OTHER_LEVELS, 0) + count - sum(counted.values())
    return counted


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
