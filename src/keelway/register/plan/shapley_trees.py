"""What each feature adds to the sums of trees: exact Shapley values, where what is not known is weighed by the training.

The game is that of path-dependent TreeSHAP (Lundberg et al., Nature Machine Intelligence 2, 2020, algorithm 1): a split on
a known feature is followed, a split on another one goes both ways, each as often as the training did (`cover`). Here the
players are the declared features, not the columns they were encoded to.

A leaf of value v is reached with v * prod(o) * prod(z): of each feature on its way, o is 1 where the row satisfies all its
splits and else 0, and z is the share of the training that does. So what feature i adds by this leaf is

    v * (o_i - z_i) * sum over k of k! (m - 1 - k)! / m! * [t^k] prod over p != i of (z_p + o_p t)
  = v * (o_i - z_i) * integral from 0 to 1 of prod over p != i of ((1 - t) z_p + t o_p) dt,

because k! (m - 1 - k)! / m! is the beta integral of t^k (1 - t)^(m - 1 - k). What is integrated is a polynomial of a degree
below m, so that m / 2 points of Gauss and Legendre give it exactly. That is a few products over all leaves at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from keelway.register.plan.records import PlanMember, PlanModel, ScoringPlan
from keelway.register.plan.rows import RowColumns, matrix_of
from keelway.register.plan.shapley_linear import owners_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_PAIRS = 4_000_000
"""So many pairs of a leaf and a feature on its way are held; larger forests are not explained exactly."""

_Between = dict[int, tuple[float, float]]
"""The numbers that a way takes, by column: above the first, up to the second."""


class TreeShares:
    """The shares of trees.

    Attributes:
        base: What the sums are on average over the training, one an output.

    Raises:
        NotImplementedError: The plan does not say how the training went through the trees, or they are too many.
    """

    def __init__(self, model: PlanModel, member: PlanMember, plan: ScoringPlan) -> None:
        import numpy as np

        ways = _ways(model, member, plan)
        self._member, self._plan = member, plan
        self._features, self._outputs = len(plan.head.features), model.outputs
        self._column = np.array(ways.columns, dtype=np.intp)
        self._low, self._high = np.array(ways.lows), np.array(ways.highs)
        self._first_condition = np.array(ways.first_conditions, dtype=np.intp)
        self._owner = np.array(ways.owners, dtype=np.intp)
        self._share = np.array(ways.shares)
        self._first_pair = np.array(ways.first_pairs, dtype=np.intp)
        self._pairs = np.diff([*ways.first_pairs, len(ways.owners)])
        wide = plan.arrays[f"{model.arrays}values"].shape[1]
        values, outputs = np.array(ways.values).reshape(-1, wide), np.array(ways.outputs, dtype=np.intp)
        self._values, self._output = (np.repeat(each, self._pairs, axis=0) for each in (values, outputs))
        points, weights = np.polynomial.legendre.leggauss(max(1, -(-int(self._pairs.max(initial=1)) // 2)))
        self._points = list(zip(((points + 1) / 2).tolist(), (weights / 2).tolist(), strict=True))
        self.base: NDArray[np.float64] = plan.arrays[f"{model.arrays}base"] + ways.constant
        if len(self._first_pair):
            reached = np.multiply.reduceat(self._share, self._first_pair)
            self.base = self.base + _by_output(reached[:, None] * values, outputs, 1, self._outputs)[0]

    def of(self, rows: RowColumns) -> NDArray[np.float64]:
        """Return what each feature adds, of shape (rows, features, outputs); raises as `matrix_of`."""
        import numpy as np

        matrix = matrix_of(rows, self._member, self._plan)
        if not len(self._first_pair):
            return np.zeros((rows.count, self._features, self._outputs))
        return np.stack([self._one(row) for row in matrix])

    def _one(self, row: NDArray[np.float64]) -> NDArray[np.float64]:
        import numpy as np

        given = row.take(self._column)
        met = (given > self._low) & (given <= self._high)
        taken = np.logical_and.reduceat(met, self._first_condition).astype(np.float64)
        never = (self._share == 0) & (taken == 0)
        is_out = np.repeat(np.logical_or.reduceat(never, self._first_pair), self._pairs)
        whole = np.zeros(len(taken))
        for point, weight in self._points:
            factor = (1 - point) * self._share + point * taken
            factor[never] = 1.0  # its leaf is out; nothing is divided by zero
            product = np.multiply.reduceat(factor, self._first_pair)
            whole += weight * np.repeat(product, self._pairs) / factor
        whole[is_out] = 0.0
        parts = ((taken - self._share) * whole)[:, None] * self._values
        return _by_output(parts, self._owner * self._outputs + self._output, self._features, self._outputs)


def _by_output(parts: NDArray[np.float64], places: NDArray[np.intp], rows: int, outputs: int) -> NDArray[np.float64]:
    """Return sums of shape (rows, outputs) of parts that belong to `row * outputs + output`, or to all outputs of a row."""
    import numpy as np

    if parts.shape[1] == 1:
        flat: NDArray[np.float64] = np.bincount(places, parts[:, 0], minlength=rows * outputs).astype(np.float64)
        return flat.reshape(rows, outputs)
    return np.stack([np.bincount(places // outputs, each, minlength=rows) for each in parts.T], axis=1)


@dataclass(slots=True)
class _Ways:
    """All ways from roots to leaves, flat: conditions belong to pairs of a leaf and a feature, pairs to leaves.

    Attributes:
        constant: What trees of a single leaf add to each sum.
    """

    constant: Any
    values: list[Any] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    first_pairs: list[int] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    first_conditions: list[int] = field(default_factory=list)
    columns: list[int] = field(default_factory=list)
    lows: list[float] = field(default_factory=list)
    highs: list[float] = field(default_factory=list)

    def add(self, output: int, value: Any, owned: dict[int, tuple[float, _Between]]) -> None:
        """Add a leaf: by each feature on its way, the share of the training, and the numbers that the way takes."""
        self.values.append(value)
        self.outputs.append(output)
        self.first_pairs.append(len(self.owners))
        for owner, (share, between) in owned.items():
            self.owners.append(owner)
            self.shares.append(share)
            self.first_conditions.append(len(self.columns))
            for column, (low, high) in between.items():
                self.columns.append(column)
                self.lows.append(low)
                self.highs.append(high)
        if len(self.owners) > MOST_PAIRS:
            raise NotImplementedError("its trees are too many to be gone through for each row")


def _ways(model: PlanModel, member: PlanMember, plan: ScoringPlan) -> _Ways:
    import numpy as np

    arrays = {name: plan.arrays.get(f"{model.arrays}{name}") for name in ("cover", "values", "sizes", "outputs")}
    cover, values = arrays["cover"], arrays["values"]
    if cover is None or not (cover > 0).any():
        raise NotImplementedError("its plan does not say how the training went through the trees")
    assert values is not None
    found = _Ways(np.zeros(model.outputs))
    owners = owners_of(member)
    nodes = {name: plan.arrays[f"{model.arrays}{name}"].tolist() for name in ("feature", "threshold", "left", "right")}
    begin = 0
    for size, output in zip(
        *(plan.arrays[f"{model.arrays}{name}"].tolist() for name in ("sizes", "outputs")), strict=True
    ):
        part = {name: each[begin : begin + size] for name, each in nodes.items()}
        for leaf, owned in _leaves(part, cover[begin : begin + size].tolist(), owners):
            value = values[begin + leaf]
            if owned:
                found.add(output, value, owned)
            elif len(value) > 1:
                found.constant = found.constant + value
            else:
                found.constant[output] += value[0]
        begin += size
    return found


def _leaves(
    tree: dict[str, list[Any]], cover: Sequence[float], owners: Sequence[int]
) -> Iterator[tuple[int, dict[int, tuple[float, _Between]]]]:
    """Yield the leaves of a tree, with what the way to each asks of each feature."""
    waiting: list[tuple[int, dict[int, tuple[float, _Between]]]] = [(0, {})]
    while waiting:
        place, owned = waiting.pop()
        if tree["left"][place] < 0:
            yield place, owned
            continue
        column, cut = tree["feature"][place], tree["threshold"][place]
        share, between = owned.get(owners[column], (1.0, {}))
        low, high = between.get(column, (float("-inf"), float("inf")))
        for side, limits in (("left", (low, min(high, cut))), ("right", (max(low, cut), high))):
            child = tree[side][place]
            part = cover[child] / cover[place] if cover[place] else 0.5  # nobody came by
            step = (share * part, {**between, column: limits})
            waiting.append((child, {**owned, owners[column]: step}))
