"""Summaries over all rows of an entity, used inside `agg(...)`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keelway.features.blocks.numbers import number, ratio

if TYPE_CHECKING:
    import ibis.expr.types as ir


def total(value: ir.Value) -> ir.FloatingScalar:
    """Return the sum, as a double; 0 where no value is known."""
    result: Any = number(value).sum().fill_null(0)
    return result


def mean_of(value: ir.Value) -> ir.FloatingScalar:
    """Return the mean of the known values, with a fraction for integers too; null where none is known."""
    result: Any = number(value).mean()
    return result


def count_known(value: ir.Value) -> ir.IntegerScalar:
    """Return how many rows have a value: not null, and not NaN."""
    result: Any = known(value).count()
    return result


def count_where(condition: ir.BooleanValue) -> ir.IntegerScalar:
    """Return how many rows keep a condition; a row where it cannot be told does not."""
    result: Any = condition.cast("int64").sum().fill_null(0)
    return result


def share_where(condition: ir.BooleanValue) -> ir.FloatingScalar:
    """Return the share, from 0 to 1, of the rows that keep a condition among those where it can be told.

    Null where it can be told of no row.
    """
    return ratio(count_where(condition), condition.count())


def distinct_count(value: ir.Value) -> ir.IntegerScalar:
    """Return how many different values are known; 0.0 and -0.0 are one value, a missing one is none."""
    result: Any = known(value).nunique()
    return result


def known(value: Any) -> Any:
    """Return a column in which NaN is null and -0.0 is 0.0; other than floating-point columns stay as they are."""
    if not value.type().is_floating():
        return value
    given = number(value)
    return (given == 0).ifelse(0, given)
