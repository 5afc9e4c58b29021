"""Rows as columns, read once however many members of an ensemble ask for them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from keelway.errors import ServingError
from keelway.register.plan.records import NOWHERE, PlanMember, ScoringPlan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LARGEST = 3.4028234663852886e38
"""The largest number of 32 bits."""
NAN = float("nan")


class RowColumns:
    """The columns of some rows.

    Args:
        rows: At least one; each holds a value for each feature.

    Raises:
        ValueError: They differ in length.
    """

    def __init__(self, rows: Sequence[Sequence[Any]]) -> None:
        self.count = len(rows)
        self._columns: Sequence[Sequence[Any]] = list(zip(*rows, strict=True))
        self._numbers: dict[tuple[int, ...], NDArray[np.float64]] = {}

    @classmethod
    def of_columns(cls, columns: Sequence[Sequence[Any]]) -> RowColumns:
        """Return columns that are at hand; numbers are arrays of float64, in which those that are missing are NaN."""
        made = cls(())
        made.count, made._columns = len(columns[0]), columns
        return made

    def matrix(self, places: tuple[int, ...]) -> NDArray[np.float64]:
        """Return columns of numbers, each a row of what is returned, with NaN for those that are missing.

        Raises:
            struct.error: Something is no number.
            ServingError: A number does not fit 32 bits.
        """
        import numpy as np

        if not places:
            return np.empty((0, self.count))
        if places not in self._numbers:
            given: Any = [self._columns[place] for place in places]
            if isinstance(given[0], np.ndarray):
                found = np.stack(given)
            else:
                flat = [NAN if value is None else value for column in given for value in column]
                packed = struct.pack(f"{len(flat)}d", *flat)  # refuses texts, which an array of numpy reads as numbers
                found = np.frombuffer(packed, dtype=np.float64).reshape(len(places), self.count)
            too_large = np.abs(found) > LARGEST
            if too_large.any():
                raise beyond(places[int(too_large.any(axis=1).argmax())])
            self._numbers[places] = found
        return self._numbers[places]

    def rounded(self, places: tuple[int, ...]) -> NDArray[np.float64]:
        """Return the same as `matrix`, of each number the one with 32 bits that is nearest."""
        import numpy as np

        return self.matrix(places).astype(np.float32).astype(np.float64)

    def categories(self, place: int) -> Sequence[Any]:
        """Return a column of categories; a missing one is None or ''."""
        return self._columns[place]


def matrix_of(rows: RowColumns, member: PlanMember, plan: ScoringPlan) -> NDArray[np.float64]:
    """Return the columns that the estimators of a member see, one row per row."""
    import numpy as np

    made = np.zeros((rows.count, member.width))
    columns = rows.rounded(tuple(number.feature for number in member.numbers))
    for number, given in zip(member.numbers, columns, strict=True):
        if number.column != NOWHERE:
            made[:, number.column] = np.where(np.isnan(given), number.missing, number.slope * given + number.shift)
        if number.indicator != NOWHERE:
            made[:, number.indicator] = np.isnan(given)
    for each in member.levels:
        places = places_of_levels(each.levels)
        other = len(each.levels)
        told = [places.get(value, other) for value in rows.categories(each.feature)]
        made[:, each.columns] = plan.arrays[each.table][told]
    return made


def places_of_levels(levels: Sequence[str]) -> dict[str | None, int]:
    """Return the place of each level; a missing category has that of the empty one, where it is a level."""
    places: dict[str | None, int] = {level: place for place, level in enumerate(levels)}
    if "" in places:
        places[None] = places[""]
    return places


def beyond(place: int) -> ServingError:
    """Return the error about a number that is too large."""
    return ServingError(
        "A number does not fit 32 bits", expected=f"at most {LARGEST:.7e}", found=f"another at place {place} of a row"
    )
