"""Times as instants: how long ago, how far apart, and whether in a window."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from keelway.errors import FeatureError
from keelway.features.blocks.numbers import number, ratio

if TYPE_CHECKING:
    import ibis.expr.types as ir

SECONDS_A_DAY = 86_400


def days_since(moment: ir.Value, as_of: ir.Value) -> ir.FloatingValue:
    """Return the days from a moment to the cut date, as a number with a fraction; null for a missing moment.

    Both are rounded down to the second first. A moment after the cut date gives a negative number.
    """
    result: Any = number(seconds(as_of) - seconds(moment)) / SECONDS_A_DAY
    return result


def recency(moment: ir.Value, as_of: ir.Value) -> ir.FloatingValue:
    """Return the days since the last of some moments; null where there are none."""
    last: Any = moment
    return days_since(last.max(), as_of)


def tenure(moment: ir.Value, as_of: ir.Value) -> ir.FloatingValue:
    """Return the days since the first of some moments; null where there are none."""
    first: Any = moment
    return days_since(first.min(), as_of)


def mean_gap(moment: ir.Value) -> ir.FloatingValue:
    """Return the mean days between one moment and the next: (last - first) / (moments - 1).

    Null for fewer than two moments; several at one instant count each, with a gap of 0 between them.
    """
    at: Any = moment
    days = number(seconds(at.max()) - seconds(at.min())) / SECONDS_A_DAY
    return ratio(days, at.count() - 1)


def within(moment: ir.Value, as_of: ir.Value, days: float) -> ir.BooleanValue:
    """Return whether a moment lies in the last `days` days before the cut date; false for a missing moment.

    The oldest instant, `as_of - days`, lies in the window, `as_of` itself does not; fractions of a second count.

    Args:
        days: Days of 86,400 seconds; a fraction is rounded to whole seconds.

    Raises:
        FeatureError: The window has no length.
    """
    return between(moment, as_of, days, 0)


def between(moment: Any, as_of: Any, oldest_d: float, newest_d: float) -> Any:
    """Return whether a moment lies in [as_of - oldest, as_of - newest)."""
    if not oldest_d > newest_d:
        raise FeatureError("A window has no length", expected="a positive number of days", found=str(oldest_d))
    at = instant(moment)
    return ((at >= _before(as_of, oldest_d)) & (at < _before(as_of, newest_d))).fill_null(False)


def instant(moment: Any) -> Any:
    """Return a moment as a time in UTC; a time without a zone and a date are read as UTC."""
    kind = moment.type()
    return moment if kind.is_timestamp() and kind.timezone == "UTC" else moment.cast("timestamp('UTC')")


def seconds(moment: Any) -> Any:
    """Return the whole seconds since 1970, rounded down (engines round a fraction differently)."""
    return instant(moment).truncate("s").epoch_seconds().cast("int64")


def _before(as_of: Any, days: float) -> Any:
    """Return the instant some days before the cut date; a cut date that is known is computed here, once."""
    import ibis
    import ibis.expr.operations as ops

    at = instant(as_of)
    length = timedelta(seconds=round(days * SECONDS_A_DAY))
    if not length:
        return at
    if isinstance(at.op(), ops.Literal) and at.op().value is not None:
        return ibis.literal(at.op().value - length, type=at.type())
    return at - ibis.interval(seconds=int(length.total_seconds()))
