"""Profiles of several cut dates as one, and a profile counted into the bins of another; neither needs the rows.

What is added up stays exact: values, missing ones, zeros, mean and standard deviation, least and greatest. Bins that differ are
counted by the quantile sketches, so that a bin may be off by as much as a sketch is. A level that one profile counts
among the others is missed from that profile.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from keelway.errors import FeatureError
from keelway.features.profile import DECILES, shown_levels, whole_bins
from keelway.features.records import ColumnProfile, Profile
from keelway.features.sketch import QuantileSketch, merged_sketch, quantile_of, ranks


def merged_profile(profiles: Sequence[Profile]) -> Profile:
    """Return the profile of the rows of all some profiles.

    Raises:
        FeatureError: There is none, they have different columns, or one has no sketch where bins differ.
    """
    columns = [{name: each.kind for name, each in profile.columns.items()} for profile in profiles]
    if not profiles or any(each != columns[0] for each in columns):
        raise FeatureError(
            "These profiles cannot be merged",
            expected="one profile or more, all of the same columns",
            found=" and ".join(sorted({", ".join(sorted(each)) for each in columns})) or "none",
        )
    return Profile(
        rows=sum(profile.rows for profile in profiles),
        columns={name: _merged(name, [profile.columns[name] for profile in profiles]) for name in columns[0]},
    )


def recounted(profile: Profile, reference: Profile) -> Profile:
    """Return a profile whose columns are counted into the bins and levels of a reference where that has them.

    Raises:
        FeatureError: A column has no sketch, because an earlier version of Keelway wrote the profile.
    """
    known = reference.columns
    columns = {
        name: _recounted(name, each, known[name]) if name in known and known[name].kind == each.kind else each
        for name, each in profile.columns.items()
    }
    return replace(profile, columns=columns)


def _merged(name: str, columns: Sequence[ColumnProfile]) -> ColumnProfile:
    first, count, nulls = columns[0], sum(each.count for each in columns), sum(each.nulls for each in columns)
    if len(columns) == 1:
        return first
    if first.kind == "categorical":
        levels: Counter[str] = Counter()
        for each in columns:
            levels.update(each.levels)
        return ColumnProfile("categorical", count, nulls, levels=shown_levels(levels, None))
    sketch = merged_sketch([_sketch(name, each) for each in columns])
    deciles = [quantile_of(sketch, share) for share in DECILES]
    filled = [each for each in columns if each.count]
    edges = {each.edges for each in filled}
    bins = edges.pop() if len(edges) == 1 else whole_bins([each for each in deciles if each is not None])
    counts = [_counts(name, each, bins) for each in filled] or [(0,)]
    mean, std = _moments(filled)
    return ColumnProfile(
        kind=first.kind,
        count=count,
        nulls=nulls,
        edges=bins if filled else (),
        counts=tuple(sum(each) for each in zip(*counts, strict=True)),
        mean=mean,
        std=std,
        minimum=min((each.minimum for each in filled if each.minimum is not None), default=None),
        maximum=max((each.maximum for each in filled if each.maximum is not None), default=None),
        zeros=sum(each.zeros for each in columns),
        sketch=sketch,
    )


def _recounted(name: str, column: ColumnProfile, reference: ColumnProfile) -> ColumnProfile:
    if column.kind == "categorical":
        return replace(column, levels=shown_levels(column.levels, reference))
    return replace(column, edges=reference.edges, counts=_counts(name, column, reference.edges))


def _counts(name: str, column: ColumnProfile, edges: tuple[float, ...]) -> tuple[int, ...]:
    """Return how many values each bin between some edges has; all together as many as there are."""
    if column.edges == edges:
        return column.counts
    ends = [0, *(round(rank) for rank in ranks(_sketch(name, column), edges)), column.count]
    return tuple(end - start for start, end in itertools.pairwise(ends))


def _moments(columns: Sequence[ColumnProfile]) -> tuple[float | None, float | None]:
    """Return mean and population standard deviation of the values of all columns.

    The sums of squares are put together as in Chan, Golub and LeVeque, "Updating formulae", 1979.
    """
    known = [(each.count, each.mean, each.std) for each in columns if each.mean is not None and each.std is not None]
    total = sum(count for count, _, _ in known)
    if not total:
        return None, None
    mean = math.fsum(count / total * each for count, each, _ in known)
    parts = [math.sqrt(count / total) * math.hypot(std, each - mean) for count, each, std in known]
    return mean, math.hypot(*parts)


def _sketch(name: str, column: ColumnProfile) -> QuantileSketch:
    if column.sketch is None:
        raise FeatureError(
            f"The profile of {name!r} has no quantile sketch",
            expected="a profile of this version of Keelway",
            found="one of an earlier version",
            fix="Build the feature table again.",
        )
    return column.sketch
