"""Summaries over the last days before the cut date, used inside `agg(...)`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from keelway.features.blocks.numbers import number, ratio
from keelway.features.blocks.times import between, within
from keelway.features.blocks.totals import known

if TYPE_CHECKING:
    import ibis.expr.types as ir

WINDOWS_D = (7, 30, 90)
"""The usual windows, in days."""


def window_count(moment: ir.Value, as_of: ir.Value, days: float) -> ir.IntegerScalar:
    """Return how many rows lie in the last `days` days; 0 where there are none."""
    return _amount(None, moment, within(moment, as_of, days))


def window_sum(value: ir.Value, moment: ir.Value, as_of: ir.Value, days: float) -> ir.FloatingScalar:
    """Return the sum of a column over the last `days` days; 0 where no value is known."""
    return _amount(value, moment, within(moment, as_of, days))


def window_mean(value: ir.Value, moment: ir.Value, as_of: ir.Value, days: float) -> ir.FloatingScalar:
    """Return the mean of a column over the last `days` days; null where no value is known."""
    result: Any = number(value).mean(where=within(moment, as_of, days))
    return result


def window_min(value: ir.Value, moment: ir.Value, as_of: ir.Value, days: float) -> ir.FloatingScalar:
    """Return the smallest number of a column in the last `days` days; null where no value is known."""
    result: Any = known(number(value)).min(where=within(moment, as_of, days))
    return result


def window_max(value: ir.Value, moment: ir.Value, as_of: ir.Value, days: float) -> ir.FloatingScalar:
    """Return the largest number of a column in the last `days` days; null where no value is known."""
    result: Any = known(number(value)).max(where=within(moment, as_of, days))
    return result


def window_distinct(value: ir.Value, moment: ir.Value, as_of: ir.Value, days: float) -> ir.IntegerScalar:
    """Return how many different values of a column are known in the last `days` days; 0.0 and -0.0 are one."""
    result: Any = known(value).nunique(where=within(moment, as_of, days))
    return result


def trend(moment: ir.Value, as_of: ir.Value, days: float, *, value: ir.Value | None = None) -> ir.FloatingValue:
    """Return how the last `days` days compare with as many before: (recent - earlier) / (recent + earlier).

    The answer lies in [-1, 1] for values that are not negative; null where recent and earlier add up to 0, as they do
    where both windows are empty.

    Args:
        value: What is summed; None counts rows.
    """
    recent = _amount(value, moment, between(moment, as_of, days, 0))
    earlier = _amount(value, moment, between(moment, as_of, 2 * days, days))
    return ratio(recent - earlier, recent + earlier)


def over_windows(
    name: str,
    block: Callable[..., Any],
    *columns: ir.Value,
    as_of: ir.Value,
    days: Sequence[int] = WINDOWS_D,
) -> dict[str, Any]:
    """Return one block over several windows, named after them.

        orders.group_by("customer_id").agg(**over_windows("spent", window_sum, orders.amount, orders.at, as_of=as_of))

    Args:
        name: What the names begin with: `spent` gives `spent_7d`, `spent_30d`, `spent_90d`.
        block: A block of this package that takes columns, the cut date and `days`.
        columns: What the block takes before the cut date.
    """
    return {f"{name}_{each}d": block(*columns, as_of, days=each) for each in days}


def _amount(value: Any, moment: Any, inside: Any) -> Any:
    """Return the sum over the rows inside, or how many there are; rows outside are passed over, which costs nothing."""
    return moment.count(where=inside) if value is None else number(value).sum(where=inside).fill_null(0)
