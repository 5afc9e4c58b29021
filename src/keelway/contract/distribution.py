"""The distribution of a column against the version before: tenths of its numbers, or its most frequent values.

The bins are those of the version before, so that one pass over the batch counts them beside everything else. Missing
values have a bin of their own.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keelway.contract.condition_nodes import double
from keelway.core import psi as stability

if TYPE_CHECKING:
    import ibis.expr.types as ir

BINS = 10
VALUES = 50
"""The most frequent values that have a bin of their own; all others share one."""


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

    def counts(self, table: ir.Table) -> list[ir.IntegerScalar]:
        """Return how many rows fall into each bin."""
        value = table[self.name]
        present = value.count()
        if self.values:
            own = [table.count(where=value == each) for each in self.values]
            bins = [*own, present - sum(own[1:], own[0])]
        else:
            below = [*(table.count(where=value <= double(edge)) for edge in self.edges), present]
            bins = [below[0], *(after - before for before, after in itertools.pairwise(below))]
        return [*bins, table.count(where=value.isnull())]


def bins_of(table: ir.Table, name: str) -> Bins:
    """Return the bins of a column as it was in the version before."""
    present = table.filter(table[name].notnull()).select(name)
    if table[name].type().is_numeric():
        return Bins(name, edges=_edges(present))
    counted = present.group_by(name).agg(keelway_n=lambda rows: rows.count())
    order = [counted.keelway_n.desc(), counted[name].asc()]
    return Bins(name, values=tuple(counted.order_by(order).limit(VALUES).to_pyarrow()[name].to_pylist()))


def _edges(present: ir.Table) -> tuple[float, ...]:
    """Return the inner tenths, each a value that stands in the column: engines interpolate in different ways."""
    import ibis

    value = present[present.columns[0]].cast("float64")
    ranked = present.select(value=value, share=ibis.cume_dist().over(order_by=value))
    tenths = {f"q{step}": ranked.value.min(where=ranked.share >= double(step / BINS)) for step in range(1, BINS)}
    (row,) = ranked.aggregate(**tenths).to_pyarrow().to_pylist()
    return tuple(sorted({edge for edge in row.values() if edge is not None}))


def psi(before: Sequence[float], after: Sequence[float]) -> float | None:
    """Return the population stability index of two histograms over the same bins, in nats; None where one is empty.

    >>> psi([50, 50], [0, 0]) is None
    True
    """
    return stability(before, after) if any(before) and any(after) else None
