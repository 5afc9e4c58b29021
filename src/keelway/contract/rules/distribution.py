"""The distribution of a column against the version before: tenths of its numbers, or its most frequent values.

The bins are those of the version before, so that one pass over the batch counts them beside everything else. Missing
values have a bin of their own.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keelway.contract.rules.condition_nodes import double
from keelway.core import psi as stability

if TYPE_CHECKING:
    import ibis.expr.types as ir

BINS = 10
VALUES = 50
"""The most frequent values that have a bin of their own; all others share one."""
NUDGE = 1e-12
"""How far an edge lies above its tenth, as a share of it."""


@dataclass(frozen=True, slots=True)
class Bins:
    """The bins of a column.

    Attributes:
        edges: Upper ends of the bins of a number, each within its bin; the last bin is open.
        values: The values of other columns that have a bin of their own.
    """

    name: str
    edges: tuple[float, ...] = ()
    values: tuple[str | bool, ...] = ()

    def counts(self, table: ir.Table) -> list[int]:
        """Return how many rows fall into each bin, in one pass."""
        value = table[self.name]
        if self.values:
            found = table.group_by(key=value.isin(self.values).ifelse(value, None), there=value.notnull())
            rows = found.agg(n=lambda each: each.count()).to_pyarrow().to_pylist()
            own = {row["key"]: row["n"] for row in rows if row["key"] is not None}
            rest = {row["there"]: row["n"] for row in rows if row["key"] is None}
            return [*(own.get(each, 0) for each in self.values), rest.get(True, 0), rest.get(False, 0)]
        below = {f"b{i}": table.count(where=value <= double(edge)) for i, edge in enumerate(self.edges)}
        (row,) = table.aggregate(**below, present=value.count(), rows=table.count()).to_pyarrow().to_pylist()
        *ends, rows_in_all = row.values()
        return [ends[0], *(after - before for before, after in itertools.pairwise(ends)), rows_in_all - ends[-1]]


def bins_of(table: ir.Table, name: str) -> Bins:
    """Return the bins of a column as it was in the version before."""
    value = table[name]
    if value.type().is_numeric():
        return Bins(name, edges=_edges(table, value.cast("float64")))
    counted = table.filter(value.notnull()).group_by(name).agg(keelway_n=lambda rows: rows.count())
    order = [counted.keelway_n.desc(), counted[name].asc()]
    return Bins(name, values=tuple(counted.order_by(order).limit(VALUES).to_pyarrow()[name].to_pylist()))


def _edges(table: ir.Table, value: ir.FloatingColumn) -> tuple[float, ...]:
    """Return the inner tenths, a little above, so that no engine's way to interpolate cuts off the value itself."""
    import ibis.expr.operations as ops

    shares = [step / BINS for step in range(1, BINS)]
    if table.get_backend().has_operation(ops.MultiQuantile):
        asked = {"tenths": value.quantile(shares)}
    else:
        asked = {f"q{step}": value.quantile(share) for step, share in enumerate(shares)}
    (row,) = table.aggregate(**asked).to_pyarrow().to_pylist()
    found = (row["tenths"] or []) if "tenths" in row else list(row.values())
    return tuple(sorted({edge + abs(edge) * NUDGE for edge in found if edge is not None}))


def psi(before: Sequence[float], after: Sequence[float]) -> float | None:
    """Return the population stability index of two histograms over the same bins, in nats; None where one is empty.

    >>> psi([50, 50], [0, 0]) is None
    True
    """
    return stability(before, after) if any(before) and any(after) else None
