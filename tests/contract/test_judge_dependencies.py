"""A functional dependency is judged on a table as it is on files, on every engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pytest
import sqlglot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keelway.contract import Column, Contract, Rule, RuleKind, Severity, judge
from keelway.contract.rules.judge import _at_home, _strangers, _TableCase
from keelway.engines.local.checker import DuckDbChecker
from keelway.testing.checker_dependencies import of_another_value
from keelway.testing.checks import DAY, CheckRoom, contract_of

# Ibis 12 calls a method that DuckDB 2.0 has renamed; the answer is the same.
TODAY = date(2026, 3, 1)
SCHEMA = pa.schema(
    {
        "zip": pa.string(), "number": pa.int64(), "city": pa.string(), "height": pa.float64(), "large": pa.bool_(),
        "since": pa.date32(), "seen": pa.timestamp("us"), "day": pa.date32(),
    }
)  # fmt: skip
COLUMNS = tuple(
    Column(name, kind)
    for name, kind in {
        "zip": "string", "number": "integer", "city": "string", "height": "number", "large": "boolean", "since": "date",
        "seen": "timestamp",
    }.items()
)  # fmt: skip
BY_ZIP = [
    Rule(RuleKind.FUNCTIONAL_DEPENDENCY, ("zip", name), f"{name}: does not follow from zip", Severity.WARN)
    for name in ("number", "city", "height", "large", "since", "seen")
]
OF_PAIR = Rule(RuleKind.FUNCTIONAL_DEPENDENCY, ("zip", "number", "city"), "city: does not follow from zip, number")
COUNTED = Rule(RuleKind.ROW_COUNT, (), "too few rows", Severity.STOP, minimum="5")
ALL = contract_of(*COLUMNS, DAY, rules=(*BY_ZIP, OF_PAIR))
Row = tuple[Any, ...]
Put = Callable[[str, pa.Table], ibis.Table]


def table_of(rows: list[Row]) -> pa.Table:
    columns = [pa.array([(*row, TODAY)[at] for row in rows], field.type) for at, field in enumerate(SCHEMA)]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def town(city: str | None, *, at: str | None = "10", number: int | None = 1) -> Row:
    """Return a row in which nothing but the city can be wrong."""
    return (at, number, city, None, None, None, None)


def expected(contract: Contract, rows: list[Row]) -> dict[str, int]:
    """Return how many rows break each dependency, told row by row."""
    counts = {}
    for rule in contract.rules:
        if rule.kind is RuleKind.FUNCTIONAL_DEPENDENCY:
            asked = [tuple(row[SCHEMA.names.index(name)] for name in rule.columns) for row in rows]
            counts[rule.reason] = len(of_another_value(asked))
    return {reason: count for reason, count in counts.items() if count}


@pytest.fixture(scope="module")
def put() -> Iterator[Put]:
    """Puts a table into DuckDB."""
    connection = ibis.duckdb.connect()

    def put_into(name: str, rows: pa.Table) -> ibis.Table:
        connection.con.register("arrow", rows)
        connection.con.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT * FROM arrow")
        connection.con.unregister("arrow")
        return connection.table(name)

    yield put_into
    connection.disconnect()


@pytest.fixture
def room(tmp_path: Path) -> CheckRoom:
    return CheckRoom(DuckDbChecker(threads=1), tmp_path)


def rows_of_towns() -> st.SearchStrategy[list[Row]]:
    few = [
        ["10", "20", None], [1, 2, None], ["Ulm", "ulm", None], [0.0, -0.0, 1.5, None], [True, False, None],
        [date(1900, 1, 1), TODAY, None], [datetime(1900, 1, 1), datetime(2026, 3, 1, 12, 0, 0, 1), None],
    ]  # fmt: skip
    return st.lists(st.tuples(*map(st.sampled_from, few)), min_size=1, max_size=12)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=rows_of_towns())
def test_table_and_file_say_what_is_told_row_by_row(put: Put, room: CheckRoom, rows: list[Row]) -> None:
    given = table_of(rows)
    found = room.check(ALL, {"a.parquet": room.parquet({name: given[name] for name in given.column_names})})
    assert judge(put("towns", given), ALL, event_time="day") == expected(ALL, rows)
    assert {**found.reasons, **found.warnings} == expected(ALL, rows)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=rows_of_towns(), order=st.randoms(use_true_random=False))
def test_the_order_of_the_rows_says_nothing(put: Put, rows: list[Row], order: Any) -> None:
    before = judge(put("towns", table_of(rows)), ALL, event_time="day")
    order.shuffle(rows)
    assert judge(put("towns", table_of(rows)), ALL, event_time="day") == before


def test_rules_on_the_batch_see_the_rows_that_follow(put: Put) -> None:
    contract = contract_of(*COLUMNS, DAY, rules=(OF_PAIR, COUNTED))
    rows = [town("Ulm"), town("Ulm"), town("Bonn"), town(None), town("Bonn", at=None)]
    found = judge(put("towns", table_of(rows)), contract, event_time="day")
    assert found == {OF_PAIR.reason: 1, COUNTED.reason: 1}
    more = [*rows, town("Bonn", number=2)]
    assert judge(put("towns", table_of(more)), contract, event_time="day") == {OF_PAIR.reason: 1}


def test_a_dependency_that_warns_keeps_its_rows(put: Put) -> None:
    contract = contract_of(*COLUMNS, DAY, rules=(BY_ZIP[1], COUNTED))
    rows = [town("Ulm"), town("Ulm"), town("Bonn"), town(None), town("Bonn", at=None)]
    assert judge(put("towns", table_of(rows)), contract, event_time="day") == {BY_ZIP[1].reason: 1}


@pytest.mark.filterwarnings("ignore")  # the Spark client is behind on pandas
def test_spark_says_the_same(spark: Any) -> None:
    rows = [
        ("10", 1, "Ulm", 1.5, True, TODAY, datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("10", 1, "Ulm", 1.5, True, TODAY, None),
        ("10", 2, "ulm", 0.0, False, None, datetime(2026, 3, 1, 13, tzinfo=UTC)),
        ("20", None, "Ulm", None, False, date(1900, 1, 1), None),
        ("20", 2, "Bonn", 0.0, None, TODAY, datetime(2026, 3, 1, 13, tzinfo=UTC)),
        (None, 3, "Bonn", 2.0, True, date(1900, 1, 1), None),
    ]
    kinds = "zip string, number long, city string, height double, large boolean, since date, seen timestamp, day date"
    spark._session.createDataFrame([(*row, TODAY) for row in rows], kinds).createOrReplaceTempView("towns")
    assert judge(spark.table("towns"), ALL, event_time="day") == expected(ALL, rows) != {}


@pytest.mark.parametrize("engine", ["duckdb", "snowflake", "databricks", "pyspark"])
@pytest.mark.parametrize("rule", [*BY_ZIP, OF_PAIR], ids=lambda rule: ", ".join(rule.columns))
def test_a_dependency_compiles_for_each_engine(rule: Rule, engine: str) -> None:
    pytest.importorskip(engine if engine == "pyspark" else "ibis", reason=f"{engine} is not installed")
    table = ibis.table(ibis.Schema.from_pyarrow(SCHEMA), name="towns")
    case = _TableCase(table, ALL, None, {}, "day", None)
    read = "databricks" if engine == "pyspark" else engine
    for question in (_strangers(table, rule, case), _at_home(table, rule, case)):
        (statement,) = sqlglot.parse(str(ibis.to_sql(question, dialect=engine)), read=read)
        assert statement is not None
        assert {column.name.lower() for column in statement.find_all(sqlglot.exp.Column)} >= {*rule.columns}
