"""Numbers in ascending order, as many as there are: few in memory, many in a file, and sums of them that come out the same.

    numbers = ascending(parts, folder=scratch)
    numbers.values[len(numbers) // 2]
    numbers.total(lambda part: part * part)

Many are sorted by DuckDB, which takes what it needs beyond its memory on disk.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.core import memory_duckdb

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HELD = 1 << 22
"""Numbers that are held in memory at most, 32 MB; more are sorted in files."""
RUN = 1 << 20
"""Numbers that are read and added up at a time."""
MEMORY_LIMIT = "250MB"
"""What sorting in files takes of memory; the rest lies on disk meanwhile."""
_BYTES = 8


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
            return _in_file(itertools.chain(held, given), folder)
    values = np.concatenate([np.empty(0), *held])
    values.sort()
    return Ascending(values)


def _in_file(parts: Iterator[NDArray[np.float64]], folder: Path) -> Ascending:
    """Let DuckDB sort numbers into a file."""
    import numpy as np
    import pyarrow as pa

    schema = pa.schema([("number", pa.float64())])
    given = pa.RecordBatchReader.from_batches(schema, (pa.record_batch([part], schema) for part in parts))
    target = folder / "ascending"
    with (
        memory_duckdb(memory_limit=MEMORY_LIMIT, temp_directory=str(folder / "spill")) as connection,
        target.open("wb") as file,
    ):
        connection.register("given", given)
        for batch in connection.sql("SELECT number FROM given ORDER BY number").to_arrow_reader(RUN):
            batch.column(0).to_numpy().tofile(file)
    return Ascending(np.memmap(target, np.float64, mode="r"), target)


def _doubles(file: Path, start: int, stop: int) -> NDArray[np.float64]:
    """Read numbers of a file; other than those of a map, they do not stay in memory."""
    import numpy as np

    return np.fromfile(file, np.float64, count=stop - start, offset=start * _BYTES)
