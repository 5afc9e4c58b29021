"""The levels that a column parts rows into: its values, or quarters of its range where it holds many numbers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from keelway.errors import TrainingError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FEW_VALUES = 10
"""Numbers with at most so many different values are levels themselves."""
MISSING = "(missing)"
MAX_LEVELS = 200


def levels_of(values: Sequence[Any], *, column: str) -> dict[str, NDArray[np.bool_]]:
    """Return which rows are of each level, by the level's name in order; missing values are a level of their own.

    Raises:
        TrainingError: The column has more levels than anybody could look at.
    """
    import numpy as np

    missing = np.array([each is None or each == "" or each != each for each in values], dtype=np.bool_)  # noqa: PLR0124 - NaN
    kept = [each for each, lost in zip(values, missing, strict=True) if not lost]
    found: dict[str, NDArray[np.bool_]] = {}
    if kept and all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in kept):
        if len(set(kept)) > FEW_VALUES:
            found = _quarters(
                np.array([np.nan if lost else float(each) for each, lost in zip(values, missing, strict=True)])
            )
        else:
            numbers = sorted(set(kept))
            found = {f"{number:g}": np.array([each == number for each in values]) for number in numbers}
    else:
        names = np.array([MISSING if lost else str(each) for each, lost in zip(values, missing, strict=True)])
        levels = sorted(set(names[~missing].tolist()))
        if len(levels) > MAX_LEVELS:
            raise TrainingError(
                f"Column {column!r} has too many levels to slice by",
                expected=f"at most {MAX_LEVELS}",
                found=str(len(levels)),
                fix="Slice by a coarser column, such as the region instead of the postcode.",
            )
        found = {level: (names == level) & ~missing for level in levels}
    return {**found, MISSING: missing} if missing.any() else found


def _quarters(numbers: NDArray[np.float64]) -> dict[str, NDArray[np.bool_]]:
    """Return the rows between the quartiles; equal quartiles make one range."""
    import numpy as np

    edges = np.unique(np.nanquantile(numbers, [0, 0.25, 0.5, 0.75, 1], method="inverted_cdf"))
    found = {}
    for place, (low, high) in enumerate(pairwise(edges.tolist())):
        from_low = numbers >= low if place == 0 else numbers > low
        sign = "[" if place == 0 else "("
        found[f"{sign}{low:g}, {high:g}]"] = from_low & (numbers <= high)
    return found
