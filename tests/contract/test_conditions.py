"""A condition means what its SQL says, on every engine; what could mean something else is refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

import duckdb
import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.contract.rules.conditions import columns_of, condition
from keelway.errors import ContractError

# Ibis 12 calls a method that DuckDB 2.0 has renamed; the answer is the same.
HYPOTHESIS = settings(max_examples=60, deadline=None)
D = date
SCHEMA = pa.schema(
    {
        "n": pa.int64(),
        "ordered": pa.date32(),
        "shipped": pa.date32(),
        "seen": pa.timestamp("us"),
        "quantity": pa.int64(),
        "amount": pa.float64(),
        "plan": pa.string(),
        "paid": pa.bool_(),
        "Odd name": pa.int64(),
    }
)
ROWS: list[tuple[Any, ...]] = [
    (1, D(2026, 1, 31), D(2026, 2, 2), datetime(2026, 1, 31, 23, 59, 59, 999999), 2, 10.0, "basic", True, 1),
    (2, D(2026, 2, 1), D(2026, 1, 1), datetime(2026, 2, 1), 0, 0.1, "it's", False, 2),
    (3, D(2024, 2, 29), None, datetime(2024, 2, 29, 12), 3, -1.5, "gold plus", None, 3),
    (4, None, None, None, None, None, None, None, None),
    (5, D(2026, 3, 1), D(2026, 3, 1), datetime(2026, 3, 1, 1), -3, 1e300, "ünïcode", True, 5),
    (6, D(2026, 3, 1), D(2026, 3, 9), datetime(2026, 3, 1, 1), 7, 21.0, "a\nb", False, 6),
]
SAME_AS_SQL = [
    "shipped >= ordered",
    "shipped < ordered OR shipped IS NULL",
    "NOT (quantity > 1 AND paid)",
    "amount <> 0.1",
    "amount = 10",
    "quantity * 2 + 1 > amount",
    "amount - quantity < 5",
    "quantity % 2 = 1",
    "-amount < 0",
    "abs(quantity) >= 3",
    "quantity BETWEEN 0 AND 3",
    "quantity NOT IN (2, 3)",
    "plan IN ('basic', 'it''s')",
    "plan LIKE 'g%'",
    "plan NOT LIKE '_asic'",
    "plan >= 'basic'",
    "length(plan) = 7",
    "substr(plan, 2, 3) = 'asi'",
    "plan || '!' = 'basic!'",
    "starts_with(plan, 'gold')",
    "contains(plan, 'n')",
    "regexp_matches(plan, '^[a-z]+$')",
    "regexp_matches(plan, '^a.b$')",
    "regexp_matches(plan, 'ba|pl')",
    "CASE WHEN quantity > 2 THEN amount > 0 WHEN quantity = 0 THEN amount < 1 ELSE paid END",
    "CASE plan WHEN 'basic' THEN 1 WHEN 'gold plus' THEN 2 END = 2",
    "if(paid, amount, 0) > 1",
    "coalesce(quantity, 0) = 0",
    "nullif(quantity, 2) IS NULL",
    "paid IS NOT NULL",
    "paid",
    "paid = TRUE",
    "shipped IS NOT DISTINCT FROM ordered",
    "shipped IS DISTINCT FROM ordered",
    "ordered >= DATE '2026-02-01'",
    "ordered < '2026-02-01'",
    "seen <= TIMESTAMP '2026-02-01 00:00:00'",
    "seen > '2026-01-31 23:59:59.5'",
    "shipped - ordered <= 2",
    "date_diff('day', ordered, shipped) = 2",
    "ordered + INTERVAL 8 DAY = shipped",
    "seen - INTERVAL 1 HOUR < '2026-03-01 00:00:01'",
    "CAST(seen AS DATE) = ordered",
    "year(ordered) = 2024 AND month(ordered) = 2 AND day(ordered) = 29",
    "year(seen) = 2026 AND month(seen) = 2 AND day(seen) = 1",
    "hour(seen) = 23",
    "hour(seen - INTERVAL 1 HOUR) BETWEEN 0 AND 11",
    '"Odd name" > 2',
    '"odd NAME" > 2 -- case does not matter where it is clear',
    "CAST(quantity AS DOUBLE) > 2.5",
]

WEEKDAYS = [f"weekday({name}) = {number}" for name in ("ordered", "shipped", "seen") for number in range(1, 8)]
"""Conditions on the day of the week, which DuckDB's own `weekday` counts otherwise."""


@pytest.fixture(scope="module")
def table() -> Iterator[ibis.Table]:
    connection = ibis.duckdb.connect()
    columns = [pa.array([row[index] for row in ROWS], field.type) for index, field in enumerate(SCHEMA)]
    connection.con.register("arrow", pa.Table.from_arrays(columns, schema=SCHEMA))
    connection.con.execute("CREATE TABLE orders AS SELECT * FROM arrow")
    yield connection.table("orders")
    connection.disconnect()


def found(table: ibis.Table, text: str) -> list[bool | None]:
    value = condition(text, table)
    rows: list[bool | None] = table.order_by("n").select(value.name("found")).to_pyarrow()["found"].to_pylist()
    return rows


@pytest.mark.parametrize("text", SAME_AS_SQL)
def test_a_condition_means_what_duckdb_says(table: ibis.Table, text: str) -> None:
    raw = table.get_backend().con.execute(f"SELECT ({text}\n) FROM orders ORDER BY n").fetchall()
    assert found(table, text) == [value for (value,) in raw]


@pytest.mark.filterwarnings("ignore")  # the Spark client is behind on pandas
def test_conditions_mean_the_same_on_spark(table: ibis.Table, spark: Any) -> None:
    schema = (
        "n long, ordered date, shipped date, seen timestamp, quantity long, amount double, plan string, paid boolean"
    )
    there = spark._session.createDataFrame(ROWS, f"{schema}, `Odd name` long")
    there.createOrReplaceTempView("orders")
    there = spark.table("orders")
    texts = [*SAME_AS_SQL, *WEEKDAYS]
    values = {f"c{index}": condition(text, there, engine="pyspark") for index, text in enumerate(texts)}
    answered = there.order_by("n").select(**values).to_pyarrow()
    for index, text in enumerate(texts):
        assert answered[f"c{index}"].to_pylist() == found(table, text), text


@pytest.mark.parametrize("text", [*SAME_AS_SQL, WEEKDAYS[0]])
@pytest.mark.parametrize("dialect", ["snowflake", "databricks"])
def test_a_condition_compiles_for_a_warehouse(table: ibis.Table, text: str, dialect: str) -> None:
    unbound = ibis.table(table.schema(), name="orders")
    assert ibis.to_sql(unbound.filter(condition(text, unbound, engine=dialect)), dialect=dialect)


def test_the_days_of_the_week_count_from_monday(table: ibis.Table) -> None:
    assert found(table, "weekday(ordered) = 6") == [True, False, False, None, False, False]
    assert found(table, "weekday(ordered) = 7") == [False, True, False, None, True, True]
    assert found(table, "weekday(shipped) = 1") == [True, False, None, None, False, True]
    assert found(table, "WeekDay(seen) BETWEEN 1 AND 5") == [False, False, True, None, False, False]


@pytest.mark.parametrize("kind", ["date", "timestamp"])
@HYPOTHESIS
@given(day=st.dates())
def test_parts_of_time_are_those_of_python(one_date: Any, kind: str, day: date) -> None:
    names = ("year", "month", "day", "weekday")
    wanted = dict(zip(names, (day.year, day.month, day.day, day.isoweekday()), strict=True))
    text = " AND ".join(f"{name}(at) = {number}" for name, number in wanted.items())
    assert one_date(kind, day, text) is True
    assert one_date(kind, day, f"weekday(at) <> {wanted['weekday']}") is False


@pytest.fixture(scope="module")
def one_date() -> Iterator[Any]:
    """Asks a condition of the one column `at`."""
    connection = duckdb.connect()

    def ask(kind: str, day: date, text: str) -> bool | None:
        table = ibis.table({"at": kind}, name="t")
        query = ibis.to_sql(table.select(found=condition(text, table)), dialect="duckdb")
        connection.execute(f"CREATE OR REPLACE TABLE t AS SELECT CAST(DATE '{day.isoformat()}' AS {kind}) AS at")
        ((answer,),) = connection.execute(str(query)).fetchall()
        return answer

    yield ask
    connection.close()


def test_parts_of_nothing_are_nothing_and_break_nothing(table: ibis.Table) -> None:
    for text in ("year(seen) = 1", "month(seen) = 1", "day(seen) = 99", "hour(seen) = 99", "weekday(seen) = 99"):
        assert found(table, text)[3] is None, text


def test_the_hour_of_a_time_with_a_zone_is_that_of_utc() -> None:
    zoned = ibis.table({"at": "timestamp('UTC')"}, name="t")
    query = str(
        ibis.to_sql(zoned.select(found=condition("hour(at) = 22 AND weekday(at) = 7", zoned)), dialect="duckdb")
    )
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("CREATE TABLE t AS SELECT TIMESTAMPTZ '2026-03-02 00:30:00+02:00' AS at")
        assert connection.execute(query).fetchall() == [(True,)]


@pytest.mark.parametrize("dialect", ["duckdb", "snowflake", "databricks", "pyspark"])
def test_the_day_of_the_week_hangs_on_no_setting_of_the_engine(dialect: str) -> None:
    table = ibis.table({"day": "date", "at": "timestamp"}, name="t")
    value = condition("weekday(day) < 6 AND weekday(at) < 6 AND hour(at) >= 8", table, engine=dialect)
    sql = str(ibis.to_sql(table.filter(value), dialect=dialect)).upper()
    assert "DAYOFWEEK" not in sql
    assert "% 7" in sql
    assert "HOUR" in sql


def test_a_division_by_zero_is_no_value_and_breaks_nothing(table: ibis.Table) -> None:
    assert found(table, "amount / quantity < 4") == [False, None, True, None, True, True]


def test_arithmetic_cannot_overflow(table: ibis.Table) -> None:
    assert found(table, "quantity * 9223372036854775807 > 0") == [True, False, True, None, False, True]


def test_integers_divide_to_fractions(table: ibis.Table) -> None:
    assert found(table, "7 / quantity = 3.5") == [True, None, False, None, False, False]


def test_times_with_a_zone_compare_with_texts() -> None:
    zoned = ibis.table({"at": "timestamp('UTC')"}, name="t")
    sql = str(ibis.to_sql(zoned.filter(condition("at >= '2026-01-01T01:00:00+01:00'", zoned)), dialect="duckdb"))
    assert "MAKE_TIMESTAMPTZ(2026, 1, 1, 0, 0, 0.0, 'UTC')" in sql


def test_the_columns_of_a_condition_are_those_it_names() -> None:
    assert columns_of("b > 1 AND coalesce(A, b) < c", ("c", "a", "b", "d")) == ("c", "a", "b")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "nothing"),
        ("amount >", "one condition in SQL"),
        ("amount > 1; DROP TABLE orders", "2 statements"),
        ("SELECT amount > 1 FROM orders", "SELECT"),
        ("amount > (SELECT 1)", "SELECT 1"),
        ("amount IN (SELECT 1)", "In without query"),
        ("EXISTS (SELECT 1)", "EXISTS"),
        ("amount > ALL (SELECT 1)", "ALL"),
        ("read_csv('/etc/passwd') IS NULL", "READ_CSV"),
        ("getenv('HOME') = plan", "GETENV"),
        ("random() < amount", "RAND"),
        ("ordered < current_date", "CURRENT_DATE"),
        ("sum(amount) > 1", "SUM"),
        ("row_number() OVER () > 1", "OVER"),
        ("lower(plan) = 'basic'", "LOWER"),
        ("round(amount, 1) = 1", "ROUND"),
        ("greatest(amount, 1) = 1", "GREATEST"),
        ("nope = 1", "nope"),
        ("orders.amount = 1", "Column without table"),
        ("amount", "float64"),
        ("1 = 1", "at least one column"),
        ("amount = NULL", "IS NULL"),
        ("paid IS TRUE", "IS NOT NULL"),
        ("amount = '1'", "two values of one kind"),
        ("seen > ordered", "two values of one kind"),
        ("ordered > 'yesterday'", "yesterday"),
        ("plan + 1 = 2", "a number"),
        ("length(amount) = 2", "text"),
        ("NOT amount", "a condition"),
        ("plan LIKE 'a\\%'", "backslash"),
        ("plan LIKE amount", "text in quotes"),
        ("plan LIKE 'a%' ESCAPE 'x'", "ESCAPE"),
        ("plan ILIKE 'a%'", "ILIKE"),
        ("amount BETWEEN SYMMETRIC 3 AND 1", "symmetric"),
        ("amount % 2 = 1", "two integers"),
        ("substr(plan, 0, 2) = 'a'", "from 1"),
        ("ordered + INTERVAL 1 MONTH > shipped", "whole number of days"),
        ("ordered + INTERVAL 1 HOUR > shipped", "whole number of days"),
        ("seen - seen > 1", "a number"),
        ("date_diff('month', ordered, shipped) = 1", "in days"),
        ("date_diff('day', seen, seen) = 1", "two dates"),
        ("year(plan) = 1", "plan, a string"),
        ("year(seen, ordered) = 1", "one condition in SQL"),
        ("hour(ordered) < 12", "a date has no hours"),
        ("hour('2026-01-01 10:00:00') < quantity", "a string"),
        ("hour(quantity) < 12", "a date or a time in hour()"),
        ("weekday(amount) < 6", "a date or a time in weekday()"),
        ("weekday(ordered, 1) < 6", "one date or time in weekday()"),
        ("weekday() < quantity", "one date or time in weekday()"),
        ("dayofweek(ordered) < 6", "DAYOFWEEK"),
        ("isodow(ordered) < 6", "ISODOW"),
        ("minute(seen) = 0", "MINUTE"),
        ("extract(hour FROM seen) = 0", "EXTRACT"),
        ("CAST(plan AS INTEGER) = 1", "a cast of"),
        ("amount = ?", "?"),
        (r"regexp_matches(plan, '\bgold\b')", "read differently"),
        ("regexp_matches(plan, '(')", "missing )"),
    ],
)
def test_what_engines_do_not_agree_on_is_refused(table: ibis.Table, text: str, said: str) -> None:
    with pytest.raises(ContractError) as caught:
        condition(text, table)
    assert said in f"{caught.value} {caught.value.expected} {caught.value.found}"


def test_a_name_that_two_columns_share_but_for_case_must_be_exact() -> None:
    table = ibis.table({"Day": "int64", "day": "int64"}, name="t")
    assert columns_of("day > 1", table.columns) == ("day",)
    with pytest.raises(ContractError, match="DAY"):
        condition("DAY > 1", table)


def test_the_moment_of_a_plain_time_is_utc() -> None:
    table = ibis.table({"at": "timestamp"}, name="t")
    sql = str(ibis.to_sql(table.filter(condition("at = '2026-01-01T01:00:00+01:00'", table)), dialect="duckdb"))
    assert "MAKE_TIMESTAMP(2026, 1, 1, 0, 0, 0.0)" in sql
