"""Numbers in ascending order, as many as there are: few in memory, many in a file, and sums of them that come out the same.

Many are sorted a run at a time, each run into a file. Numbers taken at even distances from all runs cut them into ranges that are
small enough to be sorted together, one after the other. A number that is very frequent is no range but copied.

    numbers = ascending(parts, folder=scratch)
    numbers.values[len(numbers) // 2]
    numbers.total(lambda part: part * part)
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HELD = 1 << 22
"""Numbers that are held in memory at most, 32 MB; more are sorted in files."""
RUN = 1 << 20
"""Numbers that are sorted and added up at a time."""
STEP = 1 << 12
"""Numbers of a run from one that may become the end of a range to the next."""
_BYTES = 8
_SIDES: tuple[Literal["left"], Literal["right"]] = ("left", "right")


@dataclass(frozen=True, slots=True)
class Ascending:
    """Finite numbers in ascending order.

    Attributes:
        values: All of them, to look at some; of a file only what is looked at is read.
        file: Where they lie as doubles; None for numbers in memory.
    """

    values: NDArray[np.float64]
    file: Path | None = None

    def __len__(self) -> int:
        return len(self.values)

    def parts(self) -> Iterator[NDArray[np.float64]]:
        """Yield all numbers, some at a time."""
        for start in range(0, len(self), RUN):
            yield self._read(start, min(start + RUN, len(self)))

    def total(self, of: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> float:
        """Return the sum of what a function makes of the numbers, to the last bit as numpy adds up one array of them.

        It halves an array, each time at a multiple of 8, and adds the sums of the halves (pairwise summation).
        """
        return self._total(of, 0, len(self))

    def _total(self, of: Callable[[NDArray[np.float64]], NDArray[np.float64]], start: int, count: int) -> float:
        if count <= RUN:
            return float(of(self._read(start, start + count)).sum())
        half = count // 2 - count // 2 % 8
        return self._total(of, start, half) + self._total(of, start + half, count - half)

    def _read(self, start: int, stop: int) -> NDArray[np.float64]:
        return self.values[start:stop] if self.file is None else _doubles(self.file, start, stop)


def ascending(parts: Iterable[NDArray[np.float64]], *, folder: Path | None) -> Ascending:
    """Return numbers in ascending order.

    Args:
        parts: Finite numbers in any order.
        folder: Where many of them may lie until the caller is done with them; None to hold all in memory.
    """
    import numpy as np

    held: list[NDArray[np.float64]] = []
    given = iter(parts)
    for part in given:
        held.append(part)
        if folder is not None and sum(map(len, held)) > HELD:
            runs = folder / "runs"
            with runs.open("wb") as file:
                ends = _sorted_runs(held, given, file)
            found = _merged(runs, ends, folder / "ascending")
            runs.unlink()
            return found
    values = np.concatenate([np.empty(0), *held])
    values.sort()
    return Ascending(values)


def _sorted_runs(held: list[NDArray[np.float64]], given: Iterator[NDArray[np.float64]], file: BinaryIO) -> list[int]:
    """Write numbers in sorted runs, and return where each of them ends; what is held is let go."""
    import numpy as np

    ends = [0]
    while held:
        values = np.concatenate(held)
        held.clear()
        values.sort()
        values.tofile(file)
        ends.append(ends[-1] + len(values))
        count = 0
        while count < RUN and (part := next(given, None)) is not None:
            held.append(part)
            count += len(part)
    return ends


def _merged(file: Path, ends: list[int], target: Path) -> Ascending:
    """Write the numbers of sorted runs into one file, in ascending order."""
    import numpy as np

    values = np.memmap(file, np.float64, mode="r")
    runs = [values[start:end] for start, end in itertools.pairwise(ends)]
    chosen = np.sort(np.concatenate([run[STEP - 1 :: STEP] for run in runs]))
    done = ends[:-1]
    with target.open("wb") as stream:
        for limit in np.unique(chosen[:: RUN // STEP]):
            below, beyond = (
                [start + int(np.searchsorted(run, limit, side)) for start, run in zip(ends, runs, strict=False)]
                for side in _SIDES
            )
            _sorted_range(file, done, below).tofile(stream)
            for start, stop in zip(below, beyond, strict=True):
                for begin in range(start, stop, RUN):
                    _doubles(file, begin, min(begin + RUN, stop)).tofile(stream)
            done = beyond
        _sorted_range(file, done, ends[1:]).tofile(stream)
    return Ascending(np.memmap(target, np.float64, mode="r"), target)


def _sorted_range(file: Path, starts: Sequence[int], stops: Sequence[int]) -> NDArray[np.float64]:
    """Return a range of each run, sorted together."""
    import numpy as np

    values = np.concatenate([_doubles(file, start, stop) for start, stop in zip(starts, stops, strict=True)])
    values.sort()
    return values


def _doubles(file: Path, start: int, stop: int) -> NDArray[np.float64]:
    """Read numbers of a file; other than those of a map, they do not stay in memory."""
    import numpy as np

    return np.fromfile(file, np.float64, count=stop - start, offset=start * _BYTES)
