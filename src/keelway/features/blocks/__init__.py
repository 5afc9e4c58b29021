"""Building blocks for feature functions, in the field's terms, that mean the same on every engine.

Engines disagree on what a difference of two times is (DuckDB counts boundaries, Spark truncates), on which of two
equally frequent values is the mode, on how half a cent is rounded, on whether -0.0 is 0.0. Every block here says what
it means and is compared value by value between engines by `keelway.testing.blocks_suite`. What they all keep:

- A missing value (null, or NaN) is passed over: it adds nothing to a sum and is not counted. Counts and sums of
  nothing are 0; means, extremes, ratios and times of nothing are null.
- A time is an instant. One without a zone is read as UTC, a day has 86,400 seconds (in the nights when clocks change
  too), and a window holds the instants from `as_of - days`, itself included, up to `as_of`, itself not included.
- Differences of times are whole seconds, each time rounded down to its second first; windows are exact.
- Texts are compared by code points, so that `B` comes before `a`.
- Nothing depends on the order of rows: where two rows tie, the block says which one counts.

Columns of a table go into a block; blocks that summarise are used inside `agg(...)`; those that need to look at rows
beside each other take the whole table and return one row an entity, to be put together by `joined`.

    from keelway.features.blocks import joined, last_value, recency, window_sum

    totals = orders.group_by("customer_id").agg(
        recency_d=recency(orders.ordered_at, as_of),
        spent_90d=window_sum(orders.amount, orders.ordered_at, as_of, days=90),
    )
    return joined(totals, last_value(orders, "channel", by="customer_id", moment="ordered_at"), by="customer_id")
"""

from __future__ import annotations

from keelway.features.blocks.entities import (
    first_value,
    joined,
    last_value,
    most_frequent,
    sessions,
)
from keelway.features.blocks.numbers import ratio, rounded, whole_ratio
from keelway.features.blocks.texts import hash_bucket, text_length
from keelway.features.blocks.times import days_since, mean_gap, recency, tenure, within
from keelway.features.blocks.totals import count_known, count_where, distinct_count, mean_of, share_where, total
from keelway.features.blocks.windows import (
    WINDOWS_D,
    over_windows,
    trend,
    window_count,
    window_distinct,
    window_max,
    window_mean,
    window_min,
    window_sum,
)

__all__ = [
    "WINDOWS_D",
    "count_known",
    "count_where",
    "days_since",
    "distinct_count",
    "first_value",
    "hash_bucket",
    "joined",
    "last_value",
    "mean_gap",
    "mean_of",
    "most_frequent",
    "over_windows",
    "ratio",
    "recency",
    "rounded",
    "sessions",
    "share_where",
    "tenure",
    "text_length",
    "total",
    "trend",
    "whole_ratio",
    "window_count",
    "window_distinct",
    "window_max",
    "window_mean",
    "window_min",
    "window_sum",
    "within",
]
