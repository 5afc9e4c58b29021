"""Whether a query has the same answer in whatever order its rows come.

What is not known to have one counts as if it had not: a first or an arbitrary value, a list, a variance, a limit, a rank
by position, a window that runs along rows that tie. `exact` makes sums of fractions and extremes such that they have one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ibis.expr.operations as ops


def is_order_free(query: Any) -> bool:
    """Return whether an Ibis table has the same rows in whatever order those of its tables come, once sums are exact."""
    import ibis.expr.operations as ops

    root = query.op()
    windows = root.find(ops.WindowFunction)
    beside = {window.func for window in windows}
    return (
        all(_gives_rows(each) for each in root.find(ops.Relation))
        and all(_looks_beside(each) for each in windows)
        and all(type(each) in _summaries() for each in root.find(ops.Reduction) if each not in beside)
        and all(each in beside for each in root.find(ops.Analytic))
    )


def adds_fractions(node: Any) -> bool:
    """Return whether a node adds up floating-point numbers."""
    import ibis.expr.operations as ops

    return type(node) in (ops.Sum, ops.Mean) and bool(node.arg.dtype.is_floating())


def _summaries() -> frozenset[type[ops.Node]]:
    import ibis.expr.operations as ops

    counts = {ops.Count, ops.CountStar, ops.CountDistinct, ops.CountDistinctStar, ops.Any, ops.All}
    numbers = {ops.Sum, ops.Mean, ops.Max, ops.Min, ops.Quantile, ops.MultiQuantile, ops.Median}
    return frozenset(counts | numbers | {ops.BitAnd, ops.BitOr, ops.BitXor})


def _gives_rows(relation: Any) -> bool:
    """Return whether a relation has the same rows in whatever order those below come."""
    import ibis.expr.operations as ops

    if type(relation) in (ops.Distinct, ops.Union, ops.Intersection, ops.Difference):
        distinct = not isinstance(relation, ops.Set) or relation.distinct
        return not (distinct and _has_fractions(relation.schema.values()))
    if type(relation) is ops.JoinChain:
        return all(link.how not in ("asof", "any_inner", "any_left", "positional") for link in relation.rest)
    rows = (
        ops.Aggregate,
        ops.Project,
        ops.Filter,
        ops.Sort,
        ops.DropColumns,
        ops.DropNull,
        ops.FillNull,
        ops.DummyTable,
    )
    return type(relation) in (*rows, ops.SelfReference, ops.JoinReference, ops.DatabaseTable, ops.InMemoryTable)


def _looks_beside(window: Any) -> bool:
    """Return whether a window function gives each row what it gives in any other order of rows."""
    import ibis.expr.operations as ops

    if type(window.func) in (ops.MinRank, ops.DenseRank, ops.PercentRank, ops.CumeDist):
        return True
    if adds_fractions(window.func):
        return False
    if not window.order_by:
        return type(window.func) in _summaries() and window.start is None and window.end is None
    given = {*window.group_by, *(key.arg for key in window.order_by)}
    (relation,) = window.relations
    told_apart = all(ops.Field(relation, name) in given for name in relation.schema.names)
    return told_apart and not _has_fractions(relation.schema.values())  # rows that still tie are the same rows


def _has_fractions(kinds: Any) -> bool:
    """Return whether some type is floating-point: -0.0 and 0.0 are equal there, and the engine keeps the one it met first."""
    return any(kind.is_floating() for kind in kinds)
