"""What each feature adds to the sums of a linear model, against the mean of the rows that it was compared on.

For a linear model the Shapley value of a column is `weight * (value - mean)` (Lundberg and Lee, NeurIPS 2017, corollary 1),
with the column's mean over the reference. A feature has the sum of its columns: those of its levels, and the one that says
that it is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from keelway.register.plan.records import NOWHERE, PlanMember, PlanModel, ScoringPlan
from keelway.register.plan.rows import RowColumns, matrix_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PART_ROWS = 10_000


class LinearShares:
    """The shares of a linear model.

    Attributes:
        base: What the sums are at the mean of the reference, one an output.

    Raises:
        NotImplementedError: The plan was made before means were kept.
    """

    def __init__(self, model: PlanModel, member: PlanMember, plan: ScoringPlan) -> None:
        means = plan.arrays.get(f"{model.arrays}means")
        if means is None:
            raise NotImplementedError("the version was registered before the means of its columns were kept")
        self._weights, self._means = plan.arrays[f"{model.arrays}weights"], means
        self._member, self._plan = member, plan
        self.base: NDArray[np.float64] = plan.arrays[f"{model.arrays}intercepts"] + self._weights @ means
        self._owners = owners_of(member)
        self._features = len(plan.head.features)

    def of(self, rows: RowColumns) -> NDArray[np.float64]:
        """Return what each feature adds, of shape (rows, features, outputs); raises as `matrix_of`."""
        import numpy as np

        away = matrix_of(rows, self._member, self._plan) - self._means
        made = np.zeros((rows.count, self._features, len(self.base)))
        for column, owner in enumerate(self._owners):
            made[:, owner] += away[:, column, None] * self._weights[:, column]
        return made


def owners_of(member: PlanMember) -> list[int]:
    """Return the place of the feature that fills each column."""
    owners = [0] * member.width
    for number in member.numbers:
        for column in (number.column, number.indicator):
            if column != NOWHERE:
                owners[column] = number.feature
    for each in member.levels:
        for column in each.columns:
            owners[column] = each.feature
    return owners


def with_means(plan: ScoringPlan, columns: Mapping[str, Sequence[Any]]) -> ScoringPlan:
    """Return a plan whose linear models know the mean of each column over some rows.

    Args:
        columns: The values of each feature by its name, all of one length; at least one row.
    """
    rows = list(zip(*(columns[each.name] for each in plan.head.features), strict=True))
    arrays = dict(plan.arrays)
    for member in plan.head.members:
        linear = [model for model in member.models if model.kind == "linear"]
        if linear:
            means = _means(rows, member, plan)
            arrays |= {f"{model.arrays}means": means for model in linear}
    return replace(plan, arrays=arrays)


def _means(rows: Sequence[Sequence[Any]], member: PlanMember, plan: ScoringPlan) -> NDArray[np.float64]:
    import numpy as np

    total = np.zeros(member.width)
    for begin in range(0, len(rows), PART_ROWS):
        total += matrix_of(RowColumns(rows[begin : begin + PART_ROWS]), member, plan).sum(axis=0)
    means: NDArray[np.float64] = total / len(rows)
    return means
