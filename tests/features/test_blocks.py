"""The building blocks on DuckDB give what plain Python gives, for odd rows and for any rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import ibis
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keelway.errors import FeatureError
from keelway.features import blocks
from keelway.testing.blocks_rows import AMOUNTS, AS_OF, ENTITIES, FLAGS, KINDS, MOMENTS, UNITS, as_arrow, generated_rows
from keelway.testing.blocks_suite import (
    BLOCK_CASES,
    BlockCase,
    BlocksConformance,
    Engine,
    asked_answers,
    expected_answers,
    told_apart,
)

# Ibis 12 calls a method that DuckDB 2.0 has renamed; the answer is the same.
UTC = "timestamp('UTC')"


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    connection = ibis.duckdb.connect(":memory:", threads=2)
    connection.raw_sql("SET TimeZone = 'UTC'")

    def table_of(rows: pa.Table) -> Any:
        connection.con.register("given", rows)
        return connection.table("given")

    yield table_of
    connection.disconnect()


class TestBlocksOnDuckDb(BlocksConformance):
    """DuckDB gives what plain Python gives."""


def test_every_public_block_is_proved_by_a_case() -> None:
    assert {name for case in BLOCK_CASES for name in case.blocks} == {*blocks.__all__}


def test_case_names_are_unique() -> None:
    assert len({case.name for case in BLOCK_CASES}) == len(BLOCK_CASES)


def test_the_generated_rows_hold_what_engines_disagree_on() -> None:
    rows = generated_rows(250, seed=7)
    assert {row["entity"] for row in rows} >= {*ENTITIES}
    assert {row["at"] for row in rows} >= {*MOMENTS}
    zeros = [math.copysign(1, row["amount"]) for row in rows if row["amount"] == 0]
    assert {*zeros} == {1.0, -1.0}
    modes = expected_answers(next(case for case in BLOCK_CASES if case.name == "mode of a text"), rows)
    assert any(answer["most_frequent_kind"] is None for answer in modes.values())
    assert rows == generated_rows(250, seed=7)


KINDS_OF_ROWS = {
    "entity": st.sampled_from(["ana", "bob", None]),
    "at": st.one_of(
        st.sampled_from(MOMENTS),
        st.integers(0, 200 * 86_400 * 4).map(lambda quarters: AS_OF - timedelta(seconds=quarters / 4)),
    ),
    "amount": st.one_of(
        st.sampled_from([amount for amount in AMOUNTS if amount is None or not abs(amount) > 2**50]),
        st.integers(-(2**30), 2**30).map(lambda quarters: quarters / 4),
    ),
    "units": st.one_of(st.sampled_from(UNITS), st.integers(-1000, 1000)),
    "kind": st.one_of(
        st.sampled_from(KINDS), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
    ),
    "flag": st.sampled_from(FLAGS),
}


@pytest.mark.parametrize("case", BLOCK_CASES, ids=lambda case: case.name)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=st.lists(st.fixed_dictionaries(KINDS_OF_ROWS), max_size=12))
def test_a_block_gives_what_plain_python_gives_for_any_rows(
    case: BlockCase, drawn: Sequence[dict[str, Any]], engine: Engine
) -> None:
    rows = [{"row": number, **row} for number, row in enumerate(drawn)]
    assert told_apart(asked_answers(case, rows, engine), expected_answers(case, rows)) == []


@pytest.mark.parametrize("days", [1, 7, 29.5, 30, 90, 365])
def test_a_window_is_the_same_for_a_cut_date_that_stands_in_a_column(engine: Engine, days: float) -> None:
    table = engine(as_arrow(generated_rows(100, seed=5))).mutate(cut=ibis.literal(AS_OF, type=UTC))
    by_column = blocks.within(table.at, table.cut, days)
    by_literal = blocks.within(table.at, ibis.literal(AS_OF, type=UTC), days)
    apart = table.filter(by_column != by_literal)
    assert apart.count().to_pyarrow().as_py() == 0


def test_a_time_without_a_zone_and_a_date_are_read_as_utc(engine: Engine) -> None:
    noon = datetime(2026, 4, 5, 12)
    rows = pa.table({"naive": pa.array([noon], pa.timestamp("us")), "day": pa.array([noon.date()], pa.date32())})
    table, as_of = engine(rows), ibis.literal(AS_OF, type=UTC)
    asked = table.select(
        naive=blocks.days_since(table.naive, as_of),
        day=blocks.days_since(table.day, as_of),
        inside=blocks.within(table.day, as_of, 2),
        outside=blocks.within(table.day, as_of, 1),
    )
    (found,) = asked.to_pyarrow().to_pylist()
    assert found == {"naive": 13.5 / 24, "day": 25.5 / 24, "inside": True, "outside": False}


def test_a_day_in_a_window_has_24_hours_in_the_night_when_clocks_change(engine: Engine) -> None:
    late = [datetime.fromisoformat(text) for text in ("2026-03-29T00:59:59+01:00", "2026-03-29T03:00:00+02:00")]
    table = engine(pa.table({"at": pa.array(late, pa.timestamp("us", tz="UTC"))}))
    as_of = ibis.literal(datetime.fromisoformat("2026-03-30T01:00:00+02:00"), type=UTC)
    # On the wall these are 24 h 1 s and 22 h ago; an hour of them never was.
    found = table.select(days=blocks.days_since(table.at, as_of), inside=blocks.within(table.at, as_of, 1)).to_pyarrow()
    assert [round(days * 86_400) for days in found["days"].to_pylist()] == [23 * 3600 + 1, 22 * 3600]
    assert found["inside"].to_pylist() == [True, True]


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [(2.5, 0, 3.0), (-2.5, 0, -2.0), (0.125, 2, 0.13), (1.005, 2, 1.0), (math.inf, 2, math.inf), (1e300, 3, 1e300)],
)
def test_halves_are_rounded_upwards(engine: Engine, value: float, digits: int, expected: float) -> None:
    table = engine(pa.table({"x": [value]}))
    assert table.select(y=blocks.rounded(table.x, digits)).to_pyarrow()["y"].to_pylist() == [expected]


def test_decimals_and_truth_values_are_numbers(engine: Engine) -> None:
    import decimal

    rows = pa.table({"price": [decimal.Decimal("0.25"), decimal.Decimal("1.50")], "paid": [True, False]})
    table = engine(rows)
    found = table.agg(price=blocks.total(table.price), paid=blocks.total(table.paid)).to_pyarrow().to_pylist()
    assert found == [{"price": 1.75, "paid": 1.0}]


def test_sums_of_integers_do_not_overflow(engine: Engine) -> None:
    table = engine(pa.table({"n": [2**62, 2**62, 2**62]}))
    assert table.agg(n=blocks.total(table.n)).to_pyarrow().to_pylist() == [{"n": 3 * 2.0**62}]


def test_buckets_are_spread_evenly(engine: Engine) -> None:
    table = engine(pa.table({"text": [f"word {number}" for number in range(4000)]}))
    found = table.select(bucket=blocks.hash_bucket(table.text, 8)).to_pyarrow()["bucket"].value_counts().to_pylist()
    assert len(found) == 8
    assert all(400 < each["counts"] < 600 for each in found)


def refusals() -> dict[str, Any]:
    table = ibis.table({"e": "string", "x": "float64", "at": UTC, "text": "string"}, name="t")
    as_of = ibis.literal(AS_OF, type=UTC)
    counted = table.group_by("e").agg(n=table.count())
    return {
        "a window without length": lambda: blocks.window_sum(table.x, table.at, as_of, days=0),
        "a window into the future": lambda: blocks.within(table.at, as_of, days=-1),
        "a trend without length": lambda: blocks.trend(table.at, as_of, days=0),
        "no buckets": lambda: blocks.hash_bucket(table.text, 0),
        "more buckets than the hash can fill": lambda: blocks.hash_bucket(table.text, 2**21),
        "too many digits": lambda: blocks.rounded(table.x, 16),
        "a negative gap": lambda: blocks.sessions(table, by="e", moment="at", gap_s=-1),
        "two columns of one name": lambda: blocks.joined(counted, counted, by="e"),
    }


@pytest.mark.parametrize("name", refusals())
def test_a_block_refuses_what_has_no_meaning(name: str) -> None:
    with pytest.raises(FeatureError) as refused:
        refusals()[name]()
    assert refused.value.expected
    assert refused.value.found
