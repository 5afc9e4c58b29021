"""What every building block must give on every engine; inherit it and give the fixture `engine`.

class TestBlocksOnDuckDb(BlocksConformance):
    @pytest.fixture
    def engine(self): return lambda rows: ...          # an Arrow table becomes an Ibis table of the engine

`BLOCK_CASES` holds at least one case for each public block: the block as people use it, and what plain Python gives.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from keelway.features import blocks
from keelway.testing import blocks_reference as plain
from keelway.testing.blocks_rows import AS_OF, Row, as_arrow, generated_rows

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa

Engine = Callable[["pa.Table"], "ir.Table"]
Answer = dict[str, Any]
_UTC = "timestamp('UTC')"
_ENTITY: dict[str, Any] = {"by": "entity"}
_TIMED: dict[str, Any] = {"by": "entity", "moment": "at"}


@dataclass(frozen=True, slots=True)
class BlockCase:
    """One way to use some blocks, and what must come out.

    Attributes:
        name: What the case is called in a report.
        blocks: The public blocks that it proves.
        key: `row` for blocks that give a value a row, `entity` for those that summarise.
        asked: Makes the table of answers, with the column `key`, out of a table and the cut date.
        expected: Gives the answers of one key out of its rows and the cut date.
    """

    name: str
    blocks: tuple[str, ...]
    key: str
    asked: Callable[[Any, Any], Any]
    expected: Callable[[Sequence[Row], datetime], Answer]


def _rows(
    name: str, proves: str, asked: Callable[[Any, Any], Any], expected: Callable[[Row, datetime], Any]
) -> BlockCase:
    return BlockCase(
        name,
        tuple(proves.split()),
        "row",
        lambda table, as_of: table.select("row", answer=asked(table, as_of)),
        lambda rows, as_of: {"answer": expected(rows[0], as_of)},
    )


def _groups(
    name: str, proves: str, asked: Callable[[Any, Any], Any], expected: Callable[[Sequence[Row], datetime], Any]
) -> BlockCase:
    return BlockCase(
        name,
        tuple(proves.split()),
        "entity",
        lambda table, as_of: table.group_by("entity").agg(answer=asked(table, as_of)),
        lambda rows, as_of: {"answer": expected(rows, as_of)},
    )


def _tables(
    name: str, proves: str, asked: Callable[[Any], Any], expected: Callable[[Sequence[Row]], Answer]
) -> BlockCase:
    return BlockCase(
        name, tuple(proves.split()), "entity", lambda table, as_of: asked(table), lambda rows, as_of: expected(rows)
    )


def _trend(rows: Sequence[Row], as_of: datetime, days: int) -> float | None:
    recent, earlier = plain.inside(rows, as_of, days), plain.inside(rows, as_of, 2 * days, days)
    return plain.trend(*(plain.total(plain.column(each, "units")) for each in (recent, earlier)))


def _sessions(rows: Sequence[Row]) -> Answer:
    count, mean_s = plain.sessions(rows, 1_800)
    return {"session_count": count, "session_mean_s": mean_s}


_OF_ROWS = (
    _rows(
        "ratio of doubles",
        "ratio",
        lambda t, _: blocks.ratio(t.amount, t.units),
        lambda r, _: plain.divided(r["amount"], r["units"]),
    ),
    _rows(
        "ratio of integers",
        "ratio",
        lambda t, _: blocks.ratio(t.units, t.row),
        lambda r, _: plain.divided(r["units"], r["row"]),
    ),
    _rows(
        "whole ratio",
        "whole_ratio",
        lambda t, _: blocks.whole_ratio(t.units, 2),
        lambda r, _: plain.floored(plain.divided(r["units"], 2)),
    ),
    _rows(
        "whole ratio by what may be zero",
        "whole_ratio",
        lambda t, _: blocks.whole_ratio(t.row, t.units),
        lambda r, _: plain.floored(plain.divided(r["row"], r["units"])),
    ),
    _rows("rounded", "rounded", lambda t, _: blocks.rounded(t.amount), lambda r, _: plain.rounded(r["amount"], 0)),
    _rows(
        "rounded to a digit",
        "rounded",
        lambda t, _: blocks.rounded(t.amount / 3.0, 1),
        lambda r, _: plain.rounded(None if r["amount"] is None else r["amount"] / 3.0, 1),
    ),
    _rows(
        "days since", "days_since", lambda t, n: blocks.days_since(t.at, n), lambda r, n: plain.days_since(r["at"], n)
    ),
    _rows("within", "within", lambda t, n: blocks.within(t.at, n, 7), lambda r, n: bool(plain.inside([r], n, 7))),
    _rows(
        "within half a day",
        "within",
        lambda t, n: blocks.within(t.at, n, 0.5),
        lambda r, n: bool(plain.inside([r], n, 0.5)),
    ),
    _rows(
        "text length",
        "text_length",
        lambda t, _: blocks.text_length(t.kind),
        lambda r, _: None if r["kind"] is None else len(r["kind"]),
    ),
    _rows("hash", "hash_bucket", lambda t, _: blocks.hash_bucket(t.kind, 97), lambda r, _: plain.bucket(r["kind"], 97)),
)
_OF_GROUPS = (
    _groups("total", "total", lambda t, _: blocks.total(t.amount), lambda r, _: plain.total(plain.column(r, "amount"))),
    _groups(
        "mean of integers",
        "mean_of",
        lambda t, _: blocks.mean_of(t.units),
        lambda r, _: plain.mean(plain.column(r, "units")),
    ),
    _groups(
        "mean of truth values",
        "mean_of",
        lambda t, _: blocks.mean_of(t.flag),
        lambda r, _: plain.mean(plain.column(r, "flag")),
    ),
    _groups(
        "count of known values",
        "count_known",
        lambda t, _: blocks.count_known(t.amount),
        lambda r, _: len(plain.column(r, "amount")),
    ),
    _groups(
        "count where",
        "count_where",
        lambda t, _: blocks.count_where(t.units > 0),
        lambda r, _: sum(value > 0 for value in plain.column(r, "units")),
    ),
    _groups(
        "share where",
        "share_where",
        lambda t, _: blocks.share_where(t.flag),
        lambda r, _: plain.share([row["flag"] for row in r]),
    ),
    _groups(
        "distinct numbers",
        "distinct_count",
        lambda t, _: blocks.distinct_count(t.amount),
        lambda r, _: len({*plain.column(r, "amount")}),
    ),
    _groups(
        "distinct texts",
        "distinct_count",
        lambda t, _: blocks.distinct_count(t.kind),
        lambda r, _: len({*plain.column(r, "kind")}),
    ),
    _groups(
        "recency",
        "recency",
        lambda t, n: blocks.recency(t.at, n),
        lambda r, n: plain.days_since(max(plain.column(r, "at"), default=None), n),
    ),
    _groups(
        "tenure",
        "tenure",
        lambda t, n: blocks.tenure(t.at, n),
        lambda r, n: plain.days_since(min(plain.column(r, "at"), default=None), n),
    ),
    _groups(
        "mean gap", "mean_gap", lambda t, _: blocks.mean_gap(t.at), lambda r, _: plain.mean_gap(plain.column(r, "at"))
    ),
    _groups(
        "trend of rows",
        "trend",
        lambda t, n: blocks.trend(t.at, n, 30),
        lambda r, n: plain.trend(len(plain.inside(r, n, 30)), len(plain.inside(r, n, 60, 30))),
    ),
    _groups(
        "trend of a sum",
        "trend",
        lambda t, n: blocks.trend(t.at, n, 30, value=t.units),
        lambda r, n: _trend(r, n, 30),
    ),
)
_OF_WINDOWS = (
    _groups(
        "window count",
        "window_count WINDOWS_D",
        lambda t, n: blocks.window_count(t.at, n, blocks.WINDOWS_D[0]),
        lambda r, n: len(plain.inside(r, n, 7)),
    ),
    _groups(
        "window sum",
        "window_sum",
        lambda t, n: blocks.window_sum(t.amount, t.at, n, 30),
        lambda r, n: plain.total(plain.column(plain.inside(r, n, 30), "amount")),
    ),
    _groups(
        "window mean",
        "window_mean",
        lambda t, n: blocks.window_mean(t.amount, t.at, n, 90),
        lambda r, n: plain.mean(plain.column(plain.inside(r, n, 90), "amount")),
    ),
    _groups(
        "window minimum",
        "window_min",
        lambda t, n: blocks.window_min(t.amount, t.at, n, 30),
        lambda r, n: min(plain.column(plain.inside(r, n, 30), "amount"), default=None),
    ),
    _groups(
        "window maximum",
        "window_max",
        lambda t, n: blocks.window_max(t.amount, t.at, n, 30),
        lambda r, n: max(plain.column(plain.inside(r, n, 30), "amount"), default=None),
    ),
    _groups(
        "window of distinct texts",
        "window_distinct",
        lambda t, n: blocks.window_distinct(t.kind, t.at, n, 90),
        lambda r, n: len({*plain.column(plain.inside(r, n, 90), "kind")}),
    ),
    _groups(
        "window of distinct numbers",
        "window_distinct",
        lambda t, n: blocks.window_distinct(t.amount, t.at, n, 90),
        lambda r, n: len({*plain.column(plain.inside(r, n, 90), "amount")}),
    ),
    BlockCase(
        "several windows",
        ("over_windows",),
        "entity",
        lambda t, n: t.group_by("entity").agg(**blocks.over_windows("sum", blocks.window_sum, t.units, t.at, as_of=n)),
        lambda r, n: {
            f"sum_{days}d": plain.total(plain.column(plain.inside(r, n, days), "units")) for days in (7, 30, 90)
        },
    ),
)
_OF_TABLES = (
    _tables(
        "last text",
        "last_value",
        lambda t: blocks.last_value(t, "kind", **_TIMED),
        lambda r: {"last_kind": plain.by_time(r, "kind", max)},
    ),
    _tables(
        "last number",
        "last_value",
        lambda t: blocks.last_value(t, "amount", **_TIMED, name="newest"),
        lambda r: {"newest": plain.by_time(r, "amount", max)},
    ),
    _tables(
        "first text",
        "first_value",
        lambda t: blocks.first_value(t, "kind", **_TIMED),
        lambda r: {"first_kind": plain.by_time(r, "kind", min)},
    ),
    _tables(
        "mode of a text",
        "most_frequent",
        lambda t: blocks.most_frequent(t, "kind", **_ENTITY),
        lambda r: {"most_frequent_kind": plain.mode([row["kind"] for row in r])},
    ),
    _tables(
        "mode of a number",
        "most_frequent",
        lambda t: blocks.most_frequent(t, "amount", **_ENTITY, name="usual"),
        lambda r: {"usual": plain.mode([row["amount"] for row in r])},
    ),
    _tables("sessions", "sessions", lambda t: blocks.sessions(t, **_TIMED), _sessions),
    _tables(
        "tables side by side",
        "joined",
        lambda t: blocks.joined(
            t.group_by("entity").agg(rows=t.count()),
            blocks.most_frequent(t.filter(t.units > 0), "kind", **_ENTITY, name="mode"),
            blocks.sessions(t, **_TIMED),
            by="entity",
        ),
        lambda r: {
            "rows": len(r),
            "mode": plain.mode([row["kind"] for row in r if row["units"] is not None and row["units"] > 0]),
            **_sessions(r),
        },
    ),
)
BLOCK_CASES: tuple[BlockCase, ...] = (*_OF_ROWS, *_OF_GROUPS, *_OF_WINDOWS, *_OF_TABLES)


def expected_answers(case: BlockCase, rows: Sequence[Row], *, as_of: datetime = AS_OF) -> dict[Any, Answer]:
    """Return what plain Python gives for each key; rows without an entity belong to none."""
    grouped: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        grouped[row[case.key]].append(row)
    return {key: case.expected(group, as_of) for key, group in grouped.items() if key is not None}


def asked_answers(
    case: BlockCase, rows: Sequence[Row], engine: Engine, *, as_of: datetime = AS_OF
) -> dict[Any, Answer]:
    """Return what an engine gives for each key.

    Raises:
        AssertionError: It gives a key twice.
    """
    import ibis

    answers = case.asked(engine(as_arrow(rows)), ibis.literal(as_of, type=_UTC)).to_pyarrow().to_pylist()
    keyed = {answer.pop(case.key): answer for answer in answers}
    assert len(keyed) == len(answers), f"{case.name}: a key is given twice"
    keyed.pop(None, None)
    return keyed


def told_apart(asked: dict[Any, Answer], expected: dict[Any, Answer]) -> list[str]:
    """Return where two sets of answers differ, in words; at most five places."""
    keys = sorted({*asked, *expected}, key=str)
    pairs = [(key, asked.get(key), expected.get(key)) for key in keys]
    return [f"{key!r}: expected {want}, found {have}" for key, have, want in pairs if have != want][:5]


class BlocksConformance:
    """Promises of the building blocks. Subclasses give the fixture `engine`."""

    @pytest.mark.parametrize("case", BLOCK_CASES, ids=lambda case: case.name)
    def test_a_block_gives_what_plain_python_gives(self, case: BlockCase, engine: Engine) -> None:
        rows = generated_rows(250, seed=7)
        assert told_apart(asked_answers(case, rows, engine), expected_answers(case, rows)) == []

    @pytest.mark.parametrize("case", BLOCK_CASES, ids=lambda case: case.name)
    def test_a_block_takes_a_table_without_rows_of_any_entity(self, case: BlockCase, engine: Engine) -> None:
        rows = [{**row, "entity": None} for row in generated_rows(8, seed=1)]
        assert told_apart(asked_answers(case, rows, engine), expected_answers(case, rows)) == []

    @pytest.mark.parametrize("case", BLOCK_CASES, ids=lambda case: case.name)
    def test_a_block_does_not_ask_in_which_order_rows_stand(self, case: BlockCase, engine: Engine) -> None:
        rows = generated_rows(60, seed=3)
        assert told_apart(asked_answers(case, rows[::-1], engine), asked_answers(case, rows, engine)) == []
