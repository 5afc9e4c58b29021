"""A small summary of many numbers that tells quantiles and ranks, and can be merged with others of its kind.

It is a list of bins, each with its least and its greatest number and how many there are. Where there are few different
numbers every one has its own bin and nothing is lost. Otherwise a bin is as narrow in rank as a cluster of a t-digest
(Dunning and Ertl, "Computing extremely accurate quantiles using t-digests", 2019, scale function k1): 1.6 % of the numbers
in the middle, ever fewer towards both ends.

The same numbers give the same sketch, so that a record that holds one can be named by its digest. Sketches that toss coins
(KLL, REQ) do not have that property.

    sketch = sketch_of(np.sort(values))
    quantile_of(merged_sketch([sketch, other]), 0.5)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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


def sketch_of(values: NDArray[np.float64]) -> QuantileSketch:
    """Return the sketch of some numbers.

    Args:
        values: Finite numbers in ascending order, shape (n,).
    """
    import numpy as np

    if not len(values):
        return QuantileSketch((), (), ())
    starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    counts = np.diff(np.append(starts, len(values)))
    return _compressed(values[starts], values[starts], counts)


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
    return _compressed(lows[starts], highs[starts], np.add.reduceat(counts, starts))


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


def _compressed(lows: NDArray[np.float64], highs: NDArray[np.float64], counts: NDArray[np.int64]) -> QuantileSketch:
    """Return bins in order as a sketch, joined where there are too many."""
    import numpy as np

    if len(counts) > MOST_BINS:
        ends = np.cumsum(counts)
        middles = (ends - counts / 2) / ends[-1]
        steps = np.arange(1, MOST_BINS)
        edges = (np.sin(2 * np.pi * (steps - MOST_BINS / 2) / _COMPRESSION) + 1) / 2
        starts = np.unique(np.concatenate([[0], np.searchsorted(middles, edges)]))
        starts = starts[starts < len(counts)]
        lows, highs = np.minimum.reduceat(lows, starts), np.maximum.reduceat(highs, starts)
        counts = np.add.reduceat(counts, starts)
    return QuantileSketch(
        tuple(float(each) for each in lows + 0.0),  # plus zero, so that -0.0 and 0.0 are one number
        tuple(float(each) for each in highs + 0.0),
        tuple(int(each) for each in counts),
    )
