"""Linear models, folded: one weight for each number, one addend for each level, and no matrix in between.

Imputing, scaling and the coefficients become `weight * number`, or one addend where the number is missing; encoding and the
coefficients become one addend a level. One row is summed in plain Python, many rows column by column in the same order, so
that a row alone is answered as among others to the last bit.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import repeat
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from keelway.errors import ServingError
from keelway.register.plan.records import NOWHERE, PlanMember, PlanModel, ScoringPlan
from keelway.register.plan.rows import NAN, RowColumns

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class _Sum:
    """One output: what it starts from, weight and missing addend of each number, and the addends of levels."""

    start: float
    numbers: tuple[tuple[float, float], ...]
    levels: tuple[tuple[int, dict[str | None, float], float], ...]


class FoldedWeights:
    """The sums of a linear model."""

    few = 16

    def __init__(self, model: PlanModel, member: PlanMember, plan: ScoringPlan) -> None:
        numbers = [each for each in member.numbers if (each.column, each.indicator) != (NOWHERE, NOWHERE)]
        self._places = tuple(each.feature for each in numbers)
        self._pick = _picker(self._places)
        self._packed = struct.Struct(f"{len(numbers)}f")
        weights = plan.arrays[f"{model.arrays}weights"].tolist()
        intercepts = plan.arrays[f"{model.arrays}intercepts"].tolist()
        self._sums = [
            _folded(row, start, member, plan, numbers) for row, start in zip(weights, intercepts, strict=True)
        ]

    def one(self, row: Sequence[Any]) -> list[float]:
        """Return the sums of one row.

        Raises:
            ServingError: A number is infinite.
            TypeError: Something is no number.
        """
        given = [NAN if value is None else value for value in self._pick(row)]
        packed = self._packed
        rounded = packed.unpack(packed.pack(*given))
        made = []
        for each in self._sums:
            total = each.start
            for value, (weight, missing) in zip(rounded, each.numbers, strict=True):
                total += weight * value if value == value else missing  # noqa: PLR0124  (NaN is not)
            for place, addends, other in each.levels:
                total += addends.get(row[place], other)
            if not math.isfinite(total):
                raise ServingError("A number does not fit 32 bits", expected="finite numbers", found=str(total))
            made.append(total)
        return made

    def many(self, rows: RowColumns) -> NDArray[np.float64]:
        """Return the sums of rows, one column an output."""
        import numpy as np

        made = np.empty((rows.count, len(self._sums)))
        given = rows.rounded(self._places)
        gone = np.isnan(given)
        for output, each in enumerate(self._sums):
            total = np.full(rows.count, each.start)
            weights, missing = np.array(each.numbers).reshape(-1, 2).T[:, :, None]
            for addend in np.where(gone, missing, weights * given):  # one after the other, as `one` adds them
                total += addend
            for place, addends, other in each.levels:
                total += np.fromiter(map(addends.get, rows.categories(place), repeat(other)), np.float64, rows.count)
            made[:, output] = total
        return made


def _picker(places: Sequence[int]) -> Callable[[Sequence[Any]], Sequence[Any]]:
    """Return what takes some values of a row."""
    if len(places) > 1:
        return itemgetter(*places)
    return lambda row: [row[place] for place in places]


def _folded(weights: Sequence[float], start: float, member: PlanMember, plan: ScoringPlan, numbers: Any) -> _Sum:
    told = []
    for each in numbers:
        weight, missing = 0.0, 0.0
        if each.column != NOWHERE:
            weight = weights[each.column] * each.slope
            start += weights[each.column] * each.shift
            # What is given has the shift in the start; what is missing has it in `each.missing`.
            missing = weights[each.column] * (each.missing - each.shift)
        if each.indicator != NOWHERE:
            missing += weights[each.indicator]
        told.append((weight, missing))
    levels = []
    for each in member.levels:
        table = plan.arrays[each.table].tolist()
        addends = [
            math.fsum(weights[column] * value for column, value in zip(each.columns, row, strict=True)) for row in table
        ]
        known: dict[str | None, float] = dict(zip(each.levels, addends, strict=False))
        if "" in known:
            known[None] = known[""]
        levels.append((each.feature, known, addends[-1]))
    return _Sum(start, tuple(told), tuple(levels))
