"""Blocks that look at several rows of an entity beside each other; each returns one row an entity.

Rows without an entity are left out. `joined` puts the answers together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keelway.errors import FeatureError
from keelway.features.blocks.numbers import number, ratio
from keelway.features.blocks.times import instant, seconds
from keelway.features.blocks.totals import known

if TYPE_CHECKING:
    import ibis.expr.types as ir

HALF_AN_HOUR_S = 1_800


def last_value(table: ir.Table, column: str, *, by: str, moment: str, name: str = "") -> ir.Table:
    """Return for each entity the known value of a column with the latest moment.

    Of several values with that same moment the largest counts (texts by code points). Null where no row has both a
    value and a moment.

    Args:
        by: The column of the entity.
        moment: The column that orders the rows.
        name: What the answer is called; `last_COLUMN` by default.
    """
    rows = _timed(table, column, by=by, moment=moment)
    chosen = _where_equal(rows, rows.at, rows.at.max())
    found = chosen.group_by("entity").agg(value=chosen.value.max())
    return _of_every_entity(table, found, by=by, name=name or f"last_{column}")


def first_value(table: ir.Table, column: str, *, by: str, moment: str, name: str = "") -> ir.Table:
    """Return for each entity the known value of a column with the earliest moment.

    Of several values with that same moment the smallest counts (texts by code points). Null where no row has both a
    value and a moment.

    Args:
        by: The column of the entity.
        moment: The column that orders the rows.
        name: What the answer is called; `first_COLUMN` by default.
    """
    rows = _timed(table, column, by=by, moment=moment)
    chosen = _where_equal(rows, rows.at, rows.at.min())
    found = chosen.group_by("entity").agg(value=chosen.value.min())
    return _of_every_entity(table, found, by=by, name=name or f"first_{column}")


def most_frequent(table: ir.Table, column: str, *, by: str, name: str = "") -> ir.Table:
    """Return for each entity the most frequent known value of a column (its mode); null where none is known.

    Of several values that are equally frequent the smallest counts (texts by code points).

    Args:
        by: The column of the entity.
        name: What the answer is called; `most_frequent_COLUMN` by default.
    """
    rows = _known_rows(table.select(entity=table[by], value=known(table[column])))
    counted = rows.group_by(["entity", "value"]).agg(times=rows.count())
    chosen = _where_equal(counted, counted.times, counted.times.max())
    found = chosen.group_by("entity").agg(value=chosen.value.min())
    return _of_every_entity(table, found, by=by, name=name or f"most_frequent_{column}")


def sessions(table: ir.Table, *, by: str, moment: str, gap_s: int = HALF_AN_HOUR_S, name: str = "session") -> ir.Table:
    """Return for each entity how many sessions it had and how long they lasted in the mean.

    A session is a run of moments none of which is more than `gap_s` seconds after the one before; moments are rounded
    down to the second. Its length reaches from its first moment to its last, so one moment alone is a session of
    length 0. Rows without a moment are left out.

    Args:
        by: The column of the entity.
        gap_s: The longest pause inside a session, in seconds.
        name: What the answers' names begin with.

    Returns:
        `by`, `NAME_count` (0 without moments) and `NAME_mean_s` (seconds; null without moments).

    Raises:
        FeatureError: The gap is negative.
    """
    if gap_s < 0:
        raise FeatureError("A session has no such gap", expected="0 seconds or more", found=str(gap_s))
    rows = table.select(entity=table[by], second=seconds(table[moment]))
    rows = rows.filter(rows.entity.notnull())
    pause = rows.second - rows.second.lag().over(group_by="entity", order_by=[rows.second.isnull(), rows.second])
    paused = rows.mutate(pause=pause)
    opens = paused.second.notnull() & (paused.pause.isnull() | (paused.pause > gap_s))
    summed = paused.group_by("entity").agg(
        count=opens.cast("int64").sum().fill_null(0),
        length=(paused.pause <= gap_s).ifelse(number(paused.pause), 0).sum().fill_null(0),
    )
    return summed.select(
        summed.entity.name(by),
        summed["count"].name(f"{name}_count"),
        ratio(summed.length, summed["count"]).name(f"{name}_mean_s"),
    )


def joined(first: ir.Table, *others: ir.Table, by: str) -> ir.Table:
    """Return tables of one row an entity side by side: the rows of the first, with null where another has none.

    Raises:
        FeatureError: Two tables have a column of the same name beside the entity's.
    """
    result: Any = first
    for other in others:
        if twice := sorted(({*result.columns} & {*other.columns}) - {by}):
            raise FeatureError(
                f"Two tables both have a column {twice[0]!r}",
                expected="different names",
                found=", ".join(twice),
                fix="Give one of the blocks another name=...",
            )
        key = f"{by}__of_the_other"
        right: Any = other.rename({key: by})
        kept = [name for name in right.columns if name != key]
        both = result.left_join(right, result[by] == right[key])
        result = both.select([*result.columns, *kept])
    return result


def _timed(table: Any, column: str, *, by: str, moment: str) -> Any:
    """Return entity, moment and value of the rows that have all three."""
    rows = _known_rows(table.select(entity=table[by], at=instant(table[moment]), value=known(table[column])))
    return rows.filter(rows.at.notnull())


def _known_rows(rows: Any) -> Any:
    return rows.filter(rows.entity.notnull(), rows.value.notnull())


def _where_equal(rows: Any, column: Any, summary: Any) -> Any:
    """Return the rows whose value is the summary of their entity's; in two steps, as Spark has no QUALIFY."""
    beside = rows.mutate(_wanted=summary.over(group_by="entity"), _given=column)
    return beside.filter(beside["_given"] == beside["_wanted"]).drop("_wanted", "_given")


def _of_every_entity(table: Any, found: Any, *, by: str, name: str) -> Any:
    """Return the answers with a row for the entities that have none too."""
    everyone = table.select(entity=table[by]).distinct()
    everyone = everyone.filter(everyone.entity.notnull())
    both = joined(everyone, found, by="entity")
    return both.select(both.entity.name(by), both.value.name(name))
