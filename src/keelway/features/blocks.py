"""Building blocks for feature functions, in the field's terms, that mean the same on every engine.

Engines disagree on what a difference of two times is (DuckDB counts boundaries, Spark truncates), so every block
here works on seconds since 1970 instead. A block takes columns of an Ibis table; those that summarise are used
inside `agg(...)`.

    from keelway.features.blocks import days_since, window_sum

    orders.group_by("customer_id").agg(
        recency_d=days_since(orders.ordered_at.max(), as_of),
        spent_90d=window_sum(orders.amount, orders.ordered_at, as_of, days=90),
    )
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keelway.errors import FeatureError

if TYPE_CHECKING:
    import ibis.expr.types as ir

SECONDS_A_DAY = 86_400

__all__ = ["days_since", "ratio", "trend", "window_count", "window_sum", "within"]


def days_since(moment: ir.Value, as_of: ir.Value) -> ir.FloatingValue:
    """Return the days from a moment to the cut date, as a number with a fraction; null for a null moment."""
    result: Any = (_seconds(as_of) - _seconds(moment)).cast("float64") / float(SECONDS_A_DAY)
    return result


def within(moment: ir.Value, as_of: ir.Value, days: float) -> ir.BooleanValue:
    """Return whether a moment lies in the last `days` days before the cut date (the oldest instant included)."""
    return _between(moment, as_of, days, 0)


def window_count(moment: ir.Value, as_of: ir.Value, days: float) -> ir.IntegerScalar:
    """Return how many rows lie in the last `days` days; 0 where there are none."""
    return _sum(within(moment, as_of, days).cast("int64"))


def window_sum(value: ir.Value, moment: ir.Value, as_of: ir.Value, days: float) -> ir.FloatingScalar:
    """Return the sum of a column over the last `days` days; 0 where there are no rows."""
    return _sum(within(moment, as_of, days).ifelse(_number(value), 0.0))


def ratio(part: ir.Value, whole: ir.Value) -> ir.FloatingValue:
    """Return part divided by whole; null where the whole is zero or missing."""
    result: Any = _number(part) / _number(whole).nullif(0.0)
    return result


def trend(moment: ir.Value, as_of: ir.Value, days: float, *, value: ir.Value | None = None) -> ir.FloatingValue:
    """Return how the last `days` days compare with as many before: (recent - earlier) / (recent + earlier).

    The answer lies in [-1, 1] for values that are not negative; null where both windows are empty.

    Args:
        value: What is summed; None counts rows.
    """
    amount: Any = 1.0 if value is None else _number(value)
    recent: Any = _sum(_between(moment, as_of, days, 0).ifelse(amount, 0.0))
    earlier: Any = _sum(_between(moment, as_of, 2 * days, days).ifelse(amount, 0.0))
    return ratio(recent - earlier, recent + earlier)


def _seconds(moment: Any) -> Any:
    return moment.cast("timestamp('UTC')").epoch_seconds()


def _number(value: Any) -> Any:
    return value.cast("float64")


def _sum(value: Any) -> Any:
    return value.sum().fill_null(0)


def _between(moment: Any, as_of: Any, oldest_d: float, newest_d: float) -> Any:
    if not oldest_d > newest_d:
        raise FeatureError("A window has no length", expected="a positive number of days", found=str(oldest_d))
    age = _seconds(as_of) - _seconds(moment)
    before = age > round(newest_d * SECONDS_A_DAY) if newest_d else moment.cast("timestamp('UTC')") < as_of
    return (before & (age <= round(oldest_d * SECONDS_A_DAY))).fill_null(False)
