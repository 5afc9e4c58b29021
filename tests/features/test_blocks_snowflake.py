"""The building blocks as Snowflake's SQL give what plain Python gives, on an emulator of Snowflake.

The emulator's connector wants older libraries than ours, so it has an environment of its own; name its Python:

    make build/env-snowflake/.done
    KEELWAY_SNOWFLAKE=build/env-snowflake/bin/python pytest tests/features/test_blocks_snowflake.py
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from keelway.core import parse_time
from keelway.features import feature_sql
from keelway.features.blocks import joined, last_value, most_frequent, recency, sessions, trend, window_sum
from keelway.project import feature_set
from keelway.testing.blocks_proven import GIVEN, NOT_EMULATED, is_emulated, proofs_table, snowflake_sql
from keelway.testing.blocks_rows import Row, generated_rows
from keelway.testing.blocks_suite import BLOCK_CASES, BlockCase, expected_answers, told_apart
from keelway.testing.features import ORDERS, OrderBook

PAGE = Path(__file__).parents[2] / "docs" / "features.md"
PYTHON = os.environ.get("KEELWAY_SNOWFLAKE", "")
RUN = """
import json, math, sys
import fakesnow, snowflake.connector
tables, queries = json.load(sys.stdin)

def told(value):
    kind = type(value).__name__
    return float(value) if kind == "Decimal" else str(value) if kind == "datetime" else value

answers = {}
with fakesnow.patch():
    cursor = snowflake.connector.connect(database="lake", schema="shop").cursor()
    for statement in tables:
        cursor.execute(statement)
    for name, query in queries.items():
        try:
            rows = cursor.execute(query).fetchall()
            columns = [each[0] for each in cursor.description]
            answers[name] = [{c: told(v) for c, v in zip(columns, row)} for row in rows]
        except snowflake.connector.errors.Error as error:
            answers[name] = str(error)
print(json.dumps(answers))
"""
KINDS = {
    "row": "BIGINT", "entity": "TEXT", "at": "TIMESTAMP_TZ", "amount": "DOUBLE", "units": "BIGINT", "kind": "TEXT",
    "flag": "BOOLEAN",
}  # fmt: skip
ORDER_KINDS = {
    "customer": "TEXT", "ordered_at": "TIMESTAMP_TZ", "amount": "DOUBLE", "kind": "TEXT", "_known_at": "TIMESTAMP_TZ",
}  # fmt: skip
SEEDS = (7, 11)
Ask = Callable[[Sequence[str], Mapping[str, str]], dict[str, Any]]


def literal(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "NULL" if value is None else str(value).upper()
    if isinstance(value, datetime):
        return f"'{value.isoformat(sep=' ')}'::TIMESTAMP_TZ"
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
    return f"'{value!r}'::DOUBLE" if isinstance(value, float) else str(value)


def filled(name: str, kinds: Mapping[str, str], rows: Sequence[Row]) -> list[str]:
    columns = ", ".join(f'"{column}" {kind}' for column, kind in kinds.items())
    values = ", ".join(f"({', '.join(literal(row[column]) for column in kinds)})" for row in rows)
    return [f'CREATE OR REPLACE TABLE "{name}" ({columns})', f'INSERT INTO "{name}" VALUES {values}']


@pytest.fixture(scope="module")
def ask() -> Ask:
    if not PYTHON:
        pytest.skip("KEELWAY_SNOWFLAKE names no Python that has an emulator of Snowflake")

    def answered(tables: Sequence[str], queries: Mapping[str, str]) -> dict[str, Any]:
        given = json.dumps([tables, queries])
        done = subprocess.run([PYTHON, "-c", RUN], input=given, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    return answered


@pytest.fixture(scope="module")
def answers(ask: Ask) -> dict[int, dict[str, Any]]:
    """What every case gives, for the rows of each seed."""
    queries = {case.name: snowflake_sql(case) for case in BLOCK_CASES}
    return {seed: ask(filled(GIVEN, KINDS, generated_rows(250, seed=seed)), queries) for seed in SEEDS}


@pytest.mark.parametrize("case", BLOCK_CASES, ids=lambda case: case.name)
def test_a_block_gives_what_plain_python_gives(case: BlockCase, answers: dict[int, dict[str, Any]]) -> None:
    for seed in SEEDS:
        found = answers[seed][case.name]
        assert isinstance(found, str) is (case.name in NOT_EMULATED), found
        if not isinstance(found, str):
            keyed = {answer.pop(case.key): answer for answer in [dict(each) for each in found]}
            assert len(keyed) == len(found)
            keyed.pop(None, None)
            assert told_apart(keyed, expected_answers(case, generated_rows(250, seed=seed))) == []


@feature_set(entity="customer", sources=[ORDERS])
def activity(orders: Any, as_of: Any) -> Any:
    at = orders.ordered_at
    totals = orders.group_by("customer").agg(
        recency_d=recency(at, as_of),
        spent_90d=window_sum(orders.amount, at, as_of, days=90),
        trend_30d=trend(at, as_of, days=30),
    )
    return joined(
        totals,
        last_value(orders, "kind", by="customer", moment="ordered_at"),
        most_frequent(orders, "kind", by="customer"),
        sessions(orders, by="customer", moment="ordered_at"),
        by="customer",
    )


def test_the_script_of_a_feature_set_gives_what_duckdb_gives(ask: Ask, tmp_path: Path) -> None:
    import duckdb

    shop = OrderBook(tmp_path)
    for number in range(60):  # some of them at the cut dates, some known only long after they happened
        shop.order("abcd"[number % 4], f"1997-0{1 + number % 5}-01", amount=number / 4, kind="xyz"[number % 3])
        shop.order("ab"[number % 2], f"1997-03-{1 + number % 28:02d}T23:59:59", amount=1.0, known="1997-04-01")
    schemas = {"orders": {"customer": "string", "ordered_at": "timestamp", "amount": "number", "kind": "string"}}
    cuts = [parse_time("1997-04-01"), parse_time("1997-05-01")]
    scripts = {engine: feature_sql(activity, schemas, engine=engine, as_ofs=cuts) for engine in ("duckdb", "snowflake")}
    (file,) = shop.paths_of(shop.snapshot())
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"CREATE VIEW orders AS SELECT * FROM '{file}'")
    expected = connection.sql(scripts["duckdb"].statement).to_arrow_table().to_pylist()
    found = ask(filled("orders", ORDER_KINDS, shop.rows), {"script": scripts["snowflake"].statement})["script"]
    assert not isinstance(found, str), found
    assert len(expected) == 8
    assert in_order(found) == in_order(expected)


def in_order(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rows by cut and entity, the cut as its day."""
    told = [{**row, "as_of": str(row["as_of"])[:10]} for row in rows]
    return sorted(told, key=lambda row: (row["as_of"], row["entity"]))


def test_only_cases_that_there_are_stand_as_compiled_only() -> None:
    assert {*NOT_EMULATED} <= {case.name for case in BLOCK_CASES}
    assert all(NOT_EMULATED.values())


def test_a_block_is_compiled_only_as_soon_as_one_of_its_cases_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_emulated("trend")
    monkeypatch.setitem(NOT_EMULATED, "trend of a sum", "not to be had")
    assert not is_emulated("trend")
    assert "| trend | run | run | compiled only | compiled only |" in proofs_table()


def test_the_page_has_the_table() -> None:
    (found,) = re.findall(r"<!-- proofs -->\n\n(.+?)\n\n<!-- proofs end -->", PAGE.read_text("utf8"), re.DOTALL)
    assert found == proofs_table(), "write it anew: python -m keelway.testing.blocks_proven"
