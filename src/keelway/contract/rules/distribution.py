"""The distribution of a column against the version before: tenths of its numbers, or its most frequent values.

The bins are those of the version before. One query finds them and counts the rows of both tables in them; its text
depends on the column alone, so it can be kept. Missing values have a bin of their own.
"""

from __future__ import annotations

from collections.abc import Iterable
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


def bins_of(before: ir.Table, after: ir.Table, name: str, *, at_once: bool) -> ir.Table | None:
    """Return the query for how many rows of two tables fall into each bin, as `bin`, `before` and `after`.

    Bins without any row do not come up. The bin of missing values is null.

    Args:
        before: The version before, which says where the bins are.
        at_once: Whether the engine finds several quantiles of a column in one pass.

    Returns:
        None where the version before has no such column, or has it of another kind: nothing can be compared.
    """
    if name not in before.columns or _kind(before[name]) != _kind(after[name]):
        return None
    old, new = _values(before, name, now=False), _values(after, name, now=True)
    if before[name].type().is_numeric():
        return _by_tenth(old.union(new), _edges(old, at_once))
    return _by_value(old.union(new), _frequent(old))


def psi(bins: Iterable[tuple[int | None, int, int]]) -> float | None:
    """Return the population stability index of what `bins_of` asks for, in nats; None where a table has no rows.

    >>> psi([(0, 50, 0), (None, 50, 0)]) is None
    True
    """
    ordered = sorted(bins, key=lambda row: (row[0] is None, row[0] or 0))  # the same sum, however an engine orders rows
    before, after = [row[1] for row in ordered], [row[2] for row in ordered]
    return stability(before, after) if any(before) and any(after) else None


def _kind(column: ir.Value) -> str:
    """Return the type by which a column is compared: one for all numbers, whole or not, and one for all texts."""
    found = column.type()
    if found.is_numeric():
        return "float64"
    return "string" if found.is_string() else str(found.copy(nullable=True))


def _values(table: ir.Table, name: str, *, now: bool) -> ir.Table:
    """Return the values of a column as `value`, and whether they are of `now`."""
    import ibis

    return table.select(value=table[name].cast(_kind(table[name])), now=ibis.literal(now))


def _edges(old: ir.Table, at_once: bool) -> ir.Table:
    """Return one row of the inner tenths, a little above, so that no engine's way to interpolate cuts off the value."""
    shares = [step / BINS for step in range(1, BINS)]
    if at_once:
        found = old.aggregate(tenths=old.value.quantile(shares))
        tenths = [found.tenths[step] for step in range(len(shares))]
    else:
        found = old.aggregate(**{f"tenth{step}": old.value.quantile(share) for step, share in enumerate(shares)})
        tenths = [found[column] for column in found.columns]
    return found.select(**{f"edge{step}": tenth + tenth.abs() * double(NUDGE) for step, tenth in enumerate(tenths)})


def _by_tenth(both: ir.Table, edges: ir.Table) -> ir.Table:
    """Return how many numbers of both tables lie up to each edge and above the one before it."""
    import ibis

    placed = both.cross_join(edges)
    upper = [(placed.value <= placed[edge], step) for step, edge in enumerate(edges.columns)]
    return _counted(placed, ibis.cases((placed.value.isnull(), None), *upper, else_=BINS - 1))


def _frequent(old: ir.Table) -> ir.Table:
    """Return the values that have a bin of their own, each with its place, the most frequent in bin 0."""
    import ibis

    seen = old.filter(old.value.notnull()).group_by("value").agg(rows=lambda same: same.count())
    first = seen.order_by([seen.rows.desc(), seen.value.asc()]).limit(VALUES)
    return first.select("value", place=ibis.row_number().over(order_by=[first.rows.desc(), first.value.asc()]))


def _by_value(both: ir.Table, frequent: ir.Table) -> ir.Table:
    """Return how many rows of both tables have each frequent value.

    Rows are joined as they are: to count every value first takes much memory where texts never repeat.
    """
    import ibis

    placed = both.left_join(frequent, "value")
    return _counted(placed, ibis.cases((placed.value.isnull(), None), else_=placed.place.fill_null(VALUES)))


def _counted(placed: ir.Table, place: ir.Value) -> ir.Table:
    """Return how many rows of each table have the same place."""
    return placed.group_by(bin=place).agg(before=placed.count(where=~placed.now), after=placed.count(where=placed.now))
