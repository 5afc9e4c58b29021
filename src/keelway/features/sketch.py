"""A small summary of many numbers that tells quantiles and ranks, and can be merged with others of its kind.

It is a list of bins, each with its least and its greatest number and how many there are. Where there are few different
numbers every one has its own bin and nothing is lost. Otherwise a bin is as narrow in rank as a cluster of a t-digest
(Dunning and Ertl, "Computing extremely accurate quantiles using t-digests", 2019, scale function k1): 1.6 % of the numbers
in the middle, ever fewer towards both ends.

The same numbers give the same sketch, so that a record that holds one can be named by its digest. Sketches that toss coins
(KLL, REQ) do not have that property.

    sketch = sketch_of([np.sort(values)], len(values))
    quantile_of(merged_sketch([sketch, other]), 0.5)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Bins: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]

MOST_BINS = 100
_COMPRESSION = 2 * MOST_BINS  # k1 runs through half of it


@dataclass(frozen=True, slots=True)
class QuantileSketch:
    """Bins of numbers, by their place; bins of merged sketches may overlap.

    Attributes:
        lows: The least number of each bin.
        highs: The greatest number of each bin.
        counts: How many numbers each bin holds, one or more.
    """

    lows: tuple[float, ...]
    highs: tuple[float, ...]
    counts: tuple[int, ...]


def sketch_of(parts: Iterable[NDArray[np.float64]], count: int) -> QuantileSketch:
    """Return the sketch of some numbers; in whatever parts they come, it is the same.

    Args:
        parts: Finite numbers, all in ascending order, each of shape (n,).
        count: How many come in all.
    """
    import numpy as np

    few: list[Bins] = []
    many: list[tuple[NDArray[np.intp], Bins]] = []
    before = different = 0
    for values, counts in _runs(parts):
        places = _places(before + np.cumsum(counts), counts, count)
        many.append(_by_place(places, (values, values, counts)))
        before, different = before + int(counts.sum()), different + len(values)
        few = [*few, (values, values, counts)] if different <= MOST_BINS else []
    if not different:
        return QuantileSketch((), (), ())
    if different <= MOST_BINS:
        return _sketch(_together(few))
    places = np.concatenate([each for each, _ in many])
    return _sketch(_by_place(places, _together([bins for _, bins in many]))[1])


def _runs(parts: Iterable[NDArray[np.float64]]) -> Iterator[tuple[NDArray[np.float64], NDArray[np.int64]]]:
    """Yield different numbers and how often each comes; one that ends a part waits, for it may go on in the next."""
    import numpy as np

    values, counts = np.empty(0), np.empty(0, np.int64)
    for part in parts:
        if not len(part):
            continue
        starts = _starts(part)
        goes_on = len(values) and values[0] == part[0]
        lengths = np.diff(np.append(starts, len(part)))
        lengths[0] += counts[0] if goes_on else 0
        if len(values) and not goes_on:
            yield values, counts
        yield from [(part[starts[:-1]], lengths[:-1])] if len(starts) > 1 else []
        values, counts = part[starts[-1:]], lengths[-1:]
    if len(values):
        yield values, counts


def merged_sketch(sketches: Sequence[QuantileSketch]) -> QuantileSketch:
    """Return the sketch of all the numbers of some sketches together; their order does not matter."""
    import numpy as np

    lows = np.array([low for each in sketches for low in each.lows], dtype=np.float64)
    if not len(lows):
        return QuantileSketch((), (), ())
    highs = np.array([high for each in sketches for high in each.highs], dtype=np.float64)
    counts = np.array([count for each in sketches for count in each.counts], dtype=np.int64)
    order = np.lexsort((counts, highs, lows, lows / 2 + highs / 2))
    lows, highs, counts = lows[order], highs[order], counts[order]
    another = np.concatenate([[True], (lows[1:] != lows[:-1]) | (highs[1:] != highs[:-1])])
    starts = np.flatnonzero(another)
    bins = lows[starts], highs[starts], np.add.reduceat(counts, starts)
    if len(starts) > MOST_BINS:
        places = _places(np.cumsum(bins[2]), bins[2], int(counts.sum()))
        bins = _by_place(places, bins)[1]
    return _sketch(bins)


def ranks(sketch: QuantileSketch, numbers: Sequence[float]) -> list[float]:
    """Return how many of the sketch's numbers are not above each of some numbers.

    Inside a bin they are taken to be spread evenly.
    """
    import numpy as np

    lows, highs, counts = (np.array(each, np.float64) for each in (sketch.lows, sketch.highs, sketch.counts))
    found = []
    for number in numbers:
        inside = (lows <= number) & (number < highs)
        whole = counts[highs <= number].sum()
        low, high = lows[inside] / 2, highs[inside] / 2  # halved, so that no difference is infinite
        found.append(float(whole + (counts[inside] * ((number / 2 - low) / (high - low))).sum()))
    return found


def quantile_of(sketch: QuantileSketch, share: float) -> float | None:
    """Return the number that a share of all, in [0, 1], is not above; None where there are no numbers."""
    import numpy as np

    if not sketch.counts:
        return None
    ends = np.cumsum(sketch.counts)
    wanted = min(max(share, 0.0), 1.0) * float(ends[-1])
    place = min(int(np.searchsorted(ends, wanted, side="left")), len(ends) - 1)
    inside = (wanted - (ends[place] - sketch.counts[place])) / sketch.counts[place]
    inside = min(max(float(inside), 0.0), 1.0)
    value = sketch.lows[place] * (1 - inside) + sketch.highs[place] * inside
    return float(min(max(value, sketch.lows[place]), sketch.highs[place]))


def _places(ends: NDArray[np.int64], counts: NDArray[np.int64], count: int) -> NDArray[np.intp]:
    """Return which bin each of some numbers in order belongs to where there are too many, by the rank of its middle.

    Args:
        ends: How many numbers end with each.
        counts: How often each comes.
        count: Of all.
    """
    import numpy as np

    steps = np.arange(1, MOST_BINS)
    edges = (np.sin(2 * np.pi * (steps - MOST_BINS / 2) / _COMPRESSION) + 1) / 2
    return np.searchsorted(edges, (ends - counts / 2) / count, side="right")


def _by_place(places: NDArray[np.intp], bins: Bins) -> tuple[NDArray[np.intp], Bins]:
    """Return bins that follow each other as one where their place is the same, and these places."""
    import numpy as np

    lows, highs, counts = bins
    starts = _starts(places)
    joined = np.minimum.reduceat(lows, starts), np.maximum.reduceat(highs, starts), np.add.reduceat(counts, starts)
    return places[starts], joined


def _starts(values: NDArray[Any]) -> NDArray[np.intp]:
    """Return where another value begins."""
    import numpy as np

    return np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))


def _together(several: Sequence[Bins]) -> Bins:
    import numpy as np

    lows, highs, counts = (np.concatenate(each) for each in zip(*several, strict=True))
    return lows, highs, counts


def _sketch(bins: Bins) -> QuantileSketch:
    lows, highs, counts = bins
    return QuantileSketch(
        tuple(float(each) for each in lows + 0.0),  # plus zero, so that -0.0 and 0.0 are one number
        tuple(float(each) for each in highs + 0.0),
        tuple(int(each) for each in counts),
    )
