"""The printed SQL of a feature set gives what building it gives, and says so where it cannot be written."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import duckdb
import ibis
import pyarrow as pa
import pytest
import sqlglot

from keelway.core import parse_time
from keelway.errors import FeatureError, UsageError
from keelway.features import SQL_ENGINES, feature_sql
from keelway.features.blocks import (
    hash_bucket,
    joined,
    last_value,
    most_frequent,
    recency,
    rounded,
    sessions,
    window_count,
    window_sum,
)
from keelway.features.compute import feature_rows, opened
from keelway.project import Dataset, FeatureSet, Label, feature_set
from keelway.snapshot import SnapshotRows
from keelway.testing.blocks_suite import BLOCK_CASES, BlockCase
from keelway.testing.features import ORDERS, OrderBook

# Ibis 12 calls a method that DuckDB 2.0 has renamed; the answer is the same.
APRIL, MAY = parse_time("1997-04-01"), parse_time("1997-05-01")
SCHEMAS = {"orders": {"customer": "string", "ordered_at": "timestamp", "amount": "number", "kind": "string"}}
DIALECTS = {"duckdb": "duckdb", "snowflake": "snowflake", "databricks": "databricks", "spark": "spark"}


@feature_set(entity="customer", sources=[ORDERS])
def activity(orders: Any, as_of: Any) -> Any:
    at = orders.ordered_at
    totals = orders.group_by("customer").agg(
        recency_d=recency(at, as_of),
        orders_30d=window_count(at, as_of, days=30),
        spent_90d=window_sum(orders.amount, at, as_of, days=90),
        mean=rounded(orders.amount.mean(), 1),
        weight=orders.amount.sum() * 0.5,
    )
    return joined(
        totals,
        last_value(orders, "kind", by="customer", moment="ordered_at"),
        most_frequent(orders, "kind", by="customer"),
        sessions(orders, by="customer", moment="ordered_at"),
        by="customer",
    )


def declared(function: Any, *, source: Dataset = ORDERS, entity: str = "customer") -> FeatureSet:
    return FeatureSet("declared", entity=entity, sources=(source,), function=function)


def written(features: FeatureSet = activity, *, engine: str = "duckdb", **given: Any) -> Any:
    return feature_sql(
        features, given.pop("schemas", SCHEMAS), engine=engine, as_ofs=given.pop("cuts", (APRIL,)), **given
    )


def sorted_rows(rows: pa.Table) -> list[dict[str, Any]]:
    return sorted(rows.to_pylist(), key=lambda row: (row["as_of"], row["entity"]))


def in_duckdb(shop: OrderBook, *, file_type: str = "TIMESTAMPTZ") -> duckdb.DuckDBPyConnection:
    snapshot = shop.snapshot()
    connection = duckdb.connect()
    place = shop.paths_of(snapshot)[0]
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(
        f"CREATE TABLE orders AS SELECT * REPLACE (ordered_at::{file_type} AS ordered_at) FROM '{place}'"
    )
    connection.execute("SET TimeZone = 'America/New_York'")  # the script has to say otherwise
    return connection


def run(connection: duckdb.DuckDBPyConnection, script: str) -> list[dict[str, Any]]:
    return sorted_rows(connection.sql(script).to_arrow_table())


def test_the_sql_gives_what_building_gives(shop: OrderBook) -> None:
    shop.order("ana", "1997-03-31T23:59:59.5", amount=2.25, kind="book", known="1997-03-31T23:59:59.9")
    shop.order("ana", "1997-03-01", amount=1000.0, known="1997-06-01")
    snapshot = shop.snapshot()
    with opened([ORDERS], {"orders": SnapshotRows(tuple(shop.paths_of(snapshot)), snapshot.columns)}) as tables:
        built, _ = feature_rows(activity, tables, as_ofs=(APRIL, MAY))

    sql = written(cuts=(APRIL, MAY))
    connection = in_duckdb(shop)
    connection.execute(sql.session)
    found = connection.sql(sql.statement).to_arrow_table()

    assert sorted_rows(found) == sorted_rows(built)
    assert {row["entity"] for row in found.to_pylist()} == {"ana", "bob"}


def test_the_whole_text_is_a_script(shop: OrderBook) -> None:
    sql = written()
    assert sql.text.startswith("-- activity as of 1997-04-01")
    assert [row["entity"] for row in run(in_duckdb(shop), sql.text)] == ["ana", "bob"]


def test_a_row_that_became_known_at_the_cut_is_not_there_to_be_seen(shop: OrderBook) -> None:
    sql, before = written(), run(in_duckdb(shop), written().text)
    shop.order("ana", "1997-03-30", amount=500.0, known="1997-04-01")
    shop.order("dan", "1997-04-01", known="1997-03-01")
    assert run(in_duckdb(shop), sql.text) == before


@pytest.mark.parametrize("engine", SQL_ENGINES)
def test_every_engine_is_given_the_filters_of_the_cut(engine: str) -> None:
    sql = written(engine=engine)
    tree = sqlglot.parse_one(sql.statement, dialect=DIALECTS[engine])
    filtered = [each for each in tree.find_all(sqlglot.exp.Where) if "_known_at" in each.sql()]
    scans = [each for each in tree.find_all(sqlglot.exp.Table) if each.name == "orders"]
    assert len(filtered) == len(scans) > 0
    assert all("ordered_at" in each.sql() for each in filtered)
    assert "1997" in sql.statement
    assert "UTC" in sql.session
    assert "TIMESTAMP(6)" not in sql.statement


@pytest.mark.parametrize("engine", SQL_ENGINES)
@pytest.mark.parametrize("case", BLOCK_CASES, ids=lambda case: case.name)
def test_every_block_compiles_for_every_engine(case: BlockCase, engine: str) -> None:
    source = Dataset("rows", contract="rows.yaml", source="rows/*.csv", event_time="at")
    schema = {"row": "integer", "entity": "string", "at": "timestamp", "amount": "number", "units": "integer"}
    schemas = {"rows": {**schema, "kind": "string", "flag": "boolean"}}
    features = declared(case.asked, source=source, entity=case.key)
    sql = written(features, engine=engine, schemas=schemas)
    assert sqlglot.parse_one(sql.statement, dialect=DIALECTS[engine]).find(sqlglot.exp.Select)


def test_the_sql_of_other_engines_needs_none_of_their_packages() -> None:
    code = (
        "import sys; sys.modules['pyspark'] = sys.modules['snowflake'] = sys.modules['databricks'] = None\n"
        "from datetime import UTC, datetime\n"
        "from keelway.features import SQL_ENGINES, feature_sql\n"
        "from keelway.project import Dataset, FeatureSet\n"
        "d = Dataset('orders', contract='c.yaml', source='*.csv', event_time='at')\n"
        "f = FeatureSet('f', entity='c', sources=(d,), function=lambda orders, as_of: orders.group_by('c').agg(x=orders.x.sum() / 2.5))\n"
        "s = {'orders': {'c': 'string', 'at': 'timestamp', 'x': 'number'}}\n"
        "for e in SQL_ENGINES: print(feature_sql(f, s, engine=e, as_ofs=[datetime(2026, 1, 1, tzinfo=UTC)]).engine)\n"
    )
    told = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert told.stdout.split() == [*SQL_ENGINES], told.stderr


def test_an_event_time_that_is_a_date_is_read_as_midnight_in_utc(shop: OrderBook) -> None:
    schemas = {"orders": SCHEMAS["orders"] | {"ordered_at": "date"}}
    sql = written(schemas=schemas)
    assert run(in_duckdb(shop, file_type="DATE"), sql.text)[0]["recency_d"] == 12.0


@pytest.mark.parametrize(("place", "table"), [("shop", '"shop"."orders"'), ("lake.shop", '"lake"."shop"."orders"')])
def test_tables_stand_where_they_are_said_to(place: str, table: str) -> None:
    assert table in written(database=place).statement


def test_what_a_label_without_a_horizon_is_made_of_is_hidden() -> None:
    @Label.define(entity="customer", source=ORDERS, horizon=None)
    def rich(orders: Any, as_of: Any) -> Any:
        return orders.group_by("customer").agg(rich=(orders.amount.sum() > 100).cast("int8"))

    with pytest.raises(FeatureError, match="which the label is made of"):
        written(label=rich)
    by_kind = declared(lambda orders, as_of: most_frequent(orders, "kind", by="customer"))
    assert '"amount"' not in written(by_kind, label=rich).statement


def test_a_static_table_is_cut_by_when_it_became_known() -> None:
    people = Dataset("people", contract="people.yaml", source="people/*.csv", event_time="")
    features = declared(lambda people, as_of: people.select("person", "age"), source=people, entity="person")
    sql = written(features, schemas={"people": {"person": "string", "age": "integer"}})
    assert '"_known_at" <' in sql.statement


def python_function(orders: Any, as_of: Any) -> Any:
    @ibis.udf.scalar.python
    def shout(text: str) -> str:
        return text.upper()

    return orders.group_by("customer").agg(x=shout(orders.kind.max()))


def memory_table(orders: Any, as_of: Any) -> Any:
    names = ibis.memtable(pa.table({"kind": ["cd", "book"], "weight": [1.0, 2.0]}))
    return orders.join(names, "kind").group_by("customer").agg(x=lambda t: t.weight.sum())


def no_such_column(orders: Any, as_of: Any) -> Any:
    return orders.group_by("customer").agg(x=orders.colour.max())


REFUSED: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "an unknown engine": ({"engine": "oracle"}, UsageError, "no SQL for this engine"),
    "no cut date": ({"cuts": ()}, UsageError, "need a cut date"),
    "a place with too many parts": ({"database": "a.b.c"}, UsageError, "no place of tables"),
    "a place with an empty part": ({"database": "lake."}, UsageError, "no place of tables"),
    "a function in Python": ({"features": declared(python_function)}, FeatureError, "cannot be written as SQL"),
    "a table in memory": ({"features": declared(memory_table)}, FeatureError, "cannot be written as SQL"),
    "an unknown column": ({"features": declared(no_such_column)}, FeatureError, "raised AttributeError"),
    "a contract without the event time": (
        {"schemas": {"orders": {"customer": "string"}}},
        FeatureError,
        "has no column 'ordered_at'",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_written_is_told(name: str) -> None:
    given, kind, what = REFUSED[name]
    with pytest.raises(kind, match=what) as refused:
        written(**given)
    assert refused.value.expected  # type: ignore[attr-defined]
    assert refused.value.found  # type: ignore[attr-defined]


def test_an_operation_that_an_engine_lacks_is_told_with_the_way_out() -> None:
    hashed = declared(lambda orders, as_of: orders.group_by("customer").agg(x=orders.kind.max().hexdigest("sha256")))
    with pytest.raises(FeatureError, match="cannot be written for snowflake") as refused:
        written(hashed, engine="snowflake")
    assert "HexDigest" in refused.value.found
    assert "blocks" in refused.value.fix


def test_the_block_for_hashing_is_that_way_out() -> None:
    hashed = declared(lambda orders, as_of: orders.group_by("customer").agg(x=hash_bucket(orders.kind.max(), 16)))
    assert "MD5(" in written(hashed, engine="snowflake").statement
