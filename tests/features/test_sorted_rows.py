"""Queries side by side in order, some rows at a time: nothing is lost, lists stay with their entity, and memory is bounded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ibis
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keelway.core import parse_time
from keelway.features import execute
from keelway.features.execute import QueryEngine

KEYS = ("as_of", "entity")
PRESENT = parse_time("1997-04-01")


@pytest.fixture(scope="module")
def engine() -> Iterator[QueryEngine]:
    connection = ibis.duckdb.connect(":memory:")
    connection.raw_sql("SET TimeZone = 'UTC'")
    yield QueryEngine(connection, {})
    connection.disconnect()


def rows_of(numbers: list[int], name: str) -> pa.Table:
    return pa.table(
        {
            "as_of": pa.array([PRESENT] * len(numbers), pa.timestamp("us", "UTC")),
            "entity": pa.array([f"e{number}" for number in numbers], pa.string()),
            name: pa.array([[float(number)] * 2 for number in numbers], pa.list_(pa.float32())),
        }
    )


def sorted_rows(engine: QueryEngine, *sides: pa.Table, beside: pa.Table | None = None) -> list[dict[str, Any]]:
    queries = {f"side {number}": ibis.memtable(side) for number, side in enumerate(sides)}
    parts = engine.sorted_rows(queries, KEYS, beside=beside)
    return [row for part in parts for row in part.to_pylist()]


numbers = st.lists(st.integers(0, 20), unique=True, max_size=12)


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(numbers, numbers, numbers)
def test_every_list_comes_with_its_entity_in_order(
    engine: QueryEngine, left: list[int], right: list[int], labels: list[int]
) -> None:
    # Names that differ in case alone are one to the engine and two to a model.
    found = sorted_rows(engine, rows_of(left, "a"), rows_of(right, "A"), beside=rows_of(labels, "label"))
    assert [row["entity"] for row in found] == sorted(f"e{number}" for number in {*left, *right})
    for row in found:
        number = int(row["entity"][1:])
        for name, known in (("a", left), ("A", right), ("label", labels)):
            assert row[name] == ([float(number)] * 2 if number in known else None)


def test_three_queries_share_their_entities(engine: QueryEngine) -> None:
    found = sorted_rows(engine, rows_of([1], "a"), rows_of([2], "b"), rows_of([2, 3], "c"))
    assert [(row["entity"], row["a"] is None, row["b"] is None, row["c"] is None) for row in found] == [
        ("e1", False, True, True), ("e2", True, False, False), ("e3", True, True, False),
    ]  # fmt: skip


def test_rows_come_some_at_a_time_and_none_at_first(engine: QueryEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute, "ROWS_AT_ONCE", 2048)
    many = rows_of(list(range(10_000)), "a")
    parts = [part.num_rows for part in engine.sorted_rows({"many": ibis.memtable(many)}, KEYS)]
    assert parts[0] == 0
    assert sum(parts) == 10_000
    assert max(parts) <= 2048


def test_nothing_of_a_question_stays_behind(engine: QueryEngine) -> None:
    for _ in range(2):
        sorted_rows(engine, rows_of([1], "a"), rows_of([2], "b"), beside=rows_of([1], "label"))
    left = engine.connection.raw_sql("SELECT count(*) FROM duckdb_tables() WHERE table_name LIKE 'keelway%'").fetchall()
    assert left == [(0,)]
