"""The building blocks on Spark give what plain Python gives, value by value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from keelway.core import parse_time
from keelway.features import feature_sql
from keelway.features.blocks import joined, most_frequent, recency, sessions, window_sum
from keelway.project import feature_set
from keelway.testing.blocks_suite import BlocksConformance, Engine
from keelway.testing.features import ORDERS, OrderBook

pytestmark = pytest.mark.filterwarnings("ignore")  # the Spark client is behind on pandas
SPARK_TYPES = {
    "int64": "bigint", "string": "string", "timestamp[us, tz=UTC]": "timestamp", "double": "double", "bool": "boolean",
}  # fmt: skip


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    """Ibis on a Spark Connect server without a JVM, in this process."""
    pytest.importorskip("pysail", reason="pysail is not installed")
    pytest.importorskip("pyspark", reason="pyspark-client is not installed")
    import ibis
    from pysail.spark import SparkConnectServer
    from pyspark.sql import SparkSession

    server = SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    _, port = server.listening_address
    session = SparkSession.builder.remote(f"sc://127.0.0.1:{port}").getOrCreate()
    session.conf.set("spark.sql.session.timeZone", "UTC")
    yield ibis.pyspark.connect(session)
    session.stop()
    server.stop()


@pytest.fixture(scope="module")
def engine(spark: Any) -> Engine:
    def table_of(rows: pa.Table) -> Any:
        schema = ", ".join(f"`{field.name}` {SPARK_TYPES[str(field.type)]}" for field in rows.schema)
        values = [tuple(row.values()) for row in rows.to_pylist()]
        spark._session.createDataFrame(values, schema).createOrReplaceTempView("given")
        return spark.table("given")

    return table_of


class TestBlocksOnSpark(BlocksConformance):
    """Spark gives what plain Python gives."""


def test_what_goes_into_spark_keeps_nan_and_null_apart(engine: Engine) -> None:
    table = engine(pa.table({"x": [float("nan"), None, 1.0]}))
    assert [str(value) for value in table.x.isnan().to_pyarrow().to_pylist()] == ["True", "None", "False"]


@feature_set(entity="customer", sources=[ORDERS])
def activity(orders: Any, as_of: Any) -> Any:
    totals = orders.group_by("customer").agg(
        recency_d=recency(orders.ordered_at, as_of),
        spent_90d=window_sum(orders.amount, orders.ordered_at, as_of, days=90),
        half=orders.amount.sum() * 0.5,
    )
    mode = most_frequent(orders, "kind", by="customer")
    return joined(totals, mode, sessions(orders, by="customer", moment="ordered_at"), by="customer")


def test_the_printed_sql_runs_on_spark_and_hides_what_was_not_known(spark: Any, shop: OrderBook) -> None:
    shop.order("ana", "1997-03-30", amount=500.0, known="1997-04-01")
    values = [(row["customer"], row["ordered_at"], row["amount"], row["kind"], row["_known_at"]) for row in shop.rows]
    schema = "customer string, ordered_at timestamp, amount double, kind string, _known_at timestamp"
    spark._session.createDataFrame(values, schema).createOrReplaceTempView("orders")
    types = {"orders": {"customer": "string", "ordered_at": "timestamp", "amount": "number", "kind": "string"}}
    april, may = parse_time("1997-04-01"), parse_time("1997-05-01")

    sql = feature_sql(activity, types, engine="spark", as_ofs=(april, may))
    found = {(row["entity"], row["as_of"]): row for row in spark._session.sql(sql.statement).toArrow().to_pylist()}

    assert {*found} == {("ana", april), ("bob", april), ("ana", may), ("bob", may)}
    ana = found["ana", april]
    assert (ana["recency_d"], ana["spent_90d"], ana["half"], ana["most_frequent_kind"]) == (12.0, 19.6, 9.8, "book")
    assert (ana["session_count"], ana["session_mean_s"]) == (2.0, 0.0)
    assert found["ana", may]["spent_90d"] == 507.1
