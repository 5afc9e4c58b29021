"""Sums of tree leaves by walking all trees at once, level by level: for trees whose tables of leaves would be too large."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from keelway.register.plan.records import PlanMember, PlanModel, ScoringPlan
from keelway.register.plan.rows import RowColumns, matrix_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CHUNK_ROWS = 256


class WalkedTrees:
    """The sums of trees, each row led from the roots to the leaves."""

    few = 1

    def __init__(self, model: PlanModel, member: PlanMember, plan: ScoringPlan) -> None:
        import numpy as np

        def array(name: str) -> NDArray[Any]:
            return plan.arrays[f"{model.arrays}{name}"]

        sizes = array("sizes").astype(np.intp)
        self._roots = np.cumsum(sizes) - sizes
        first = np.repeat(self._roots, sizes)
        own = np.arange(len(first))
        leaf = array("left") < 0
        self._feature = array("feature").astype(np.intp)
        self._threshold = array("threshold")
        # To the right, then to the left; a leaf leads to itself.
        ways = [np.where(leaf, own, array(side) + first) for side in ("right", "left")]
        self._next = np.stack(ways, axis=1).ravel()
        self._values, self._base = array("values"), array("base")
        self._of = [np.flatnonzero(array("outputs") == output) for output in range(model.outputs)]
        self._member, self._plan = member, plan

    def one(self, row: Sequence[Any]) -> list[float]:
        """Return the sums of one row; raises as `many`."""
        found: list[float] = self.many(RowColumns([row]))[0].tolist()
        return found

    def many(self, rows: RowColumns) -> NDArray[np.float64]:
        """Return the sums of rows, one column an output.

        Raises:
            ServingError: A number does not fit 32 bits.
            struct.error: Something is no number.
        """
        import numpy as np

        matrix = matrix_of(rows, self._member, self._plan)
        parts = range(0, rows.count, CHUNK_ROWS)
        return np.concatenate([self._chunk(matrix[begin : begin + CHUNK_ROWS]) for begin in parts])

    def _chunk(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        import numpy as np

        flat, width = matrix.ravel(), matrix.shape[1]
        first = np.arange(len(matrix))[:, None] * width
        places = np.repeat(self._roots[None, :], len(matrix), axis=0)
        while True:
            left = flat.take(first + self._feature.take(places)) <= self._threshold.take(places)
            further = self._next.take(2 * places + left)
            if (further == places).all():
                break
            places = further
        leaves = self._values[places]
        start = np.broadcast_to(self._base, (len(matrix), 1, len(self._base)))
        if leaves.shape[2] > 1:
            whole: NDArray[np.float64] = np.concatenate([start, leaves], axis=1).cumsum(1)[:, -1]
            return whole
        sums = [
            np.concatenate([start[:, :, output], leaves[:, own, 0]], axis=1).cumsum(1)[:, -1]
            for output, own in enumerate(self._of)
        ]
        return np.stack(sums, axis=1)
