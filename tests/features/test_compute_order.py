"""It is known of a query whether the order of rows decides its answer, and where it does, rows are put in one order."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pytest

from keelway.core import parse_time
from keelway.features.compute import feature_rows, opened
from keelway.features.order import is_order_free
from keelway.features.trace import Trace
from keelway.project import feature_set
from keelway.snapshot import SnapshotRows
from keelway.testing.blocks_rows import AS_OF, as_arrow, generated_rows
from keelway.testing.blocks_suite import BLOCK_CASES, BlockCase
from keelway.testing.features import ORDERS, OrderBook

APRIL, MAY = parse_time("1997-04-01"), parse_time("1997-05-01")

SAME_IN_ANY_ORDER: dict[str, Callable[[Any], Any]] = {
    "a sum": lambda t: t.group_by("g").agg(x=t.x.sum()),
    "a mean where": lambda t: t.group_by("g").agg(x=t.x.mean(where=t.n > 1)),
    "counts and extremes": lambda t: t.agg(a=t.x.max(), b=t.k.min(), c=t.count(), d=t.k.nunique(), e=(t.n > 1).any()),
    "groups by fractions": lambda t: t.group_by("x").agg(n=t.count()),
    "a median": lambda t: t.agg(x=t.x.median(), y=t.x.quantile(0.9)),
    "a rank": lambda t: t.mutate(r=ibis.rank().over(group_by="g", order_by=t.x)),
    "a share of the group": lambda t: t.mutate(most=t.n.sum().over(group_by="g")),
    "the one before, of rows that can tie only when they are the same": lambda t: t.select("g", "n").mutate(
        before=lambda s: s.n.lag().over(group_by="g", order_by="n")
    ),
    "distinct texts": lambda t: t.select("g", "k").distinct(),
    "a join": lambda t: t.left_join(t.view().group_by("g").agg(n2=lambda s: s.n.sum()), "g"),
    "sorted rows": lambda t: t.order_by("x"),
}
DECIDED_BY_ORDER: dict[str, Callable[[Any], Any]] = {
    "a standard deviation": lambda t: t.group_by("g").agg(x=t.x.std()),
    "a first": lambda t: t.group_by("g").agg(x=t.x.first()),
    "a last in an order with ties": lambda t: t.group_by("g").agg(x=t.x.last(order_by="n")),
    "an arbitrary one": lambda t: t.group_by("g").agg(x=t.k.arbitrary()),
    "a mode": lambda t: t.group_by("g").agg(x=t.k.mode()),
    "a list": lambda t: t.group_by("g").agg(x=t.n.collect()),
    "joined texts": lambda t: t.group_by("g").agg(x=t.k.group_concat()),
    "the one of the largest": lambda t: t.group_by("g").agg(x=t.k.argmax(t.n)),
    "some rows": lambda t: t.limit(3),
    "a sample": lambda t: t.sample(0.5),
    "a place": lambda t: t.mutate(r=ibis.row_number().over(group_by="g", order_by="n")),
    "the one before, of rows that tie": lambda t: t.mutate(b=t.x.lag().over(group_by="g", order_by="n")),
    "the one before, by fractions": lambda t: t.select("g", "x").mutate(
        b=lambda s: s.x.lag().over(group_by="g", order_by="x")
    ),
    "a running sum": lambda t: t.mutate(b=t.n.cumsum()),
    "a sum of fractions beside each row": lambda t: t.mutate(b=t.x.sum().over(group_by="g")),
    "distinct fractions": lambda t: t.select("x").distinct(),
    "a quantile that is about right": lambda t: t.agg(x=t.x.approx_median()),
}


@pytest.fixture(scope="module")
def connection() -> Iterator[Any]:
    made = ibis.duckdb.connect(":memory:")
    made.raw_sql("SET TimeZone = 'UTC'")
    made.con.execute("CREATE TABLE t AS SELECT 'a' AS g, 'k' AS k, 1 AS n, 0.5::DOUBLE AS x").fetchall()
    made.con.register("given", as_arrow(generated_rows(20, seed=1)))
    yield made
    made.disconnect()


@pytest.mark.parametrize("name", SAME_IN_ANY_ORDER)
def test_what_has_one_answer_is_known(connection: Any, name: str) -> None:
    assert is_order_free(SAME_IN_ANY_ORDER[name](connection.table("t")))


@pytest.mark.parametrize("name", DECIDED_BY_ORDER)
def test_what_the_order_decides_is_known_wherever_it_stands(connection: Any, name: str) -> None:
    query = DECIDED_BY_ORDER[name](connection.table("t"))
    assert not is_order_free(query)
    assert not is_order_free(query.filter(ibis.literal(True)).view().count().as_table())


@pytest.mark.parametrize("case", BLOCK_CASES, ids=lambda case: case.name)
def test_no_block_needs_rows_in_order(connection: Any, case: BlockCase) -> None:
    as_of = ibis.literal(AS_OF, type="timestamp('UTC')")
    assert is_order_free(case.asked(connection.table("given"), as_of))


@feature_set(entity="customer", sources=[ORDERS])
def in_any_order(orders: Any, as_of: Any) -> Any:
    return orders.group_by("customer").agg(
        total=orders.amount.sum(), mean=orders.amount.mean(), kinds=orders.kind.nunique(), most=orders.amount.max()
    )


@feature_set(entity="customer", sources=[ORDERS], arrays={"last": 1})
def by_order(orders: Any, as_of: Any) -> Any:
    return orders.group_by("customer").agg(
        spread=orders.amount.std(),
        first=orders.amount.first(),
        last=ibis.array([orders.amount.last()]),
        total=orders.amount.sum(),
    )


@feature_set(entity="customer", sources=[ORDERS])
def without_kinds(orders: Any, as_of: Any) -> Any:
    return orders.group_by("customer").agg(spread=orders.amount.std(), first=orders.amount.first())


def many(shop: OrderBook, *, seed: int) -> OrderBook:
    """Orders of a few customers, several at the same instant, amounts that no power of two divides."""
    chance = random.Random(seed)
    for _ in range(600):
        shop.order(
            f"c{chance.randrange(9)}",
            f"1997-0{chance.randrange(1, 4)}-{chance.randrange(1, 28):02}",
            amount=round(chance.random() * 1e4, 2),
            kind=chance.choice(["cd", "book", "pen"]),
        )
    return shop


def computed(shop: OrderBook, features: Any, *, files: int = 1, at: Any = (APRIL,)) -> list[dict[str, Any]]:
    snapshot = shop.snapshot(files=files)
    with opened([ORDERS], {"orders": SnapshotRows(tuple(shop.paths_of(snapshot)), snapshot.columns)}) as tables:
        rows, _ = feature_rows(features, tables, as_ofs=at)
    return sorted(rows.to_pylist(), key=lambda row: (row["as_of"], row["entity"]))


@pytest.mark.parametrize("features", [in_any_order, by_order], ids=lambda each: each.name)
@pytest.mark.parametrize("files", [1, 5])
def test_rows_and_files_in_another_order_give_the_same_bits(tmp_path: Path, features: Any, files: int) -> None:
    shop = many(OrderBook(tmp_path), seed=1)
    first = computed(shop, features)
    random.Random(files).shuffle(shop.rows)
    assert computed(shop, features, files=files) == first


def test_the_first_of_rows_is_the_earliest(shop: OrderBook) -> None:
    ana = next(row for row in computed(shop, by_order, files=2, at=(MAY,)) if row["entity"] == "ana")
    assert (ana["first"], ana["last"]) == (12.5, [pytest.approx(7.1)])
    shop.rows.reverse()
    assert computed(shop, by_order, at=(MAY,))[0] == ana


@pytest.mark.parametrize("features", [in_any_order, by_order], ids=lambda each: each.name)
def test_the_future_changes_no_bit_whatever_way_of_adding_it_brings_about(tmp_path: Path, features: Any) -> None:
    shop = many(OrderBook(tmp_path), seed=2)
    before = computed(shop, features)
    for amount in (1e300, 1e-300, float("inf"), float("nan"), 0.1 + 0.2):
        shop.order("c1", "1997-06-01", amount=amount, kind=f"new {amount}")
        shop.order("c2", "1997-02-01", amount=amount, kind=f"late {amount}", known="1997-04-01")
    for number in range(70):  # more kinds than there are bits
        shop.order("c3", "1997-07-01", kind=f"kind {number}")
    assert computed(shop, features) == before


def test_cut_dates_together_are_the_cut_dates_apart(tmp_path: Path) -> None:
    shop = many(OrderBook(tmp_path), seed=3)
    march = parse_time("1997-03-01")
    for features in (in_any_order, by_order):
        apart = [row for at in (march, APRIL) for row in computed(shop, features, at=(at,))]
        assert computed(shop, features, at=(APRIL, march)) == apart


def test_a_copy_in_order_holds_only_what_is_read(shop: OrderBook) -> None:
    snapshot = shop.snapshot()
    with opened([ORDERS], {"orders": SnapshotRows(tuple(shop.paths_of(snapshot)), snapshot.columns)}) as tables:
        feature_rows(without_kinds, tables, as_ofs=(APRIL,))
        feature_rows(without_kinds, tables, as_ofs=(MAY,))
        assert tables.engine is not None
        found = tables.engine.connection.con.execute("SELECT table_name FROM duckdb_tables()").fetchall()
        (copy,) = [name for (name,) in found if " in order " in name]
        rows = tables.engine.connection.table(copy).to_pyarrow()
    assert rows["kind"].null_count == rows.num_rows == 5
    assert rows["amount"].to_pylist() == [12.5, 30.3, 7.1, 9.9, 50.0]
    assert rows["customer"].null_count == 0


@feature_set(entity="customer", sources=[ORDERS])
def woven(orders: Any, as_of: Any) -> Any:
    """Reads each column somewhere: in a filter, a join, a window, a condition, a union."""
    big = orders.filter(orders.amount > orders.amount.mean())
    kinds = big.group_by("customer", "kind").agg(n=big.count()).filter(lambda t: t.n > 0)
    placed = orders.mutate(place=ibis.row_number().over(group_by="customer", order_by="ordered_at"))
    second = placed.filter(placed.place == 1).select("customer", late=placed.kind)
    both = kinds.union(kinds).group_by("customer").agg(n=lambda t: t.n.sum(), kind=lambda t: t.kind.first())
    return both.left_join(second, "customer").select("customer", "n", "kind", "late")


@pytest.mark.parametrize("features", [woven, by_order], ids=lambda each: each.name)
def test_copies_of_what_is_read_answer_as_whole_tables_do(tmp_path: Path, features: Any) -> None:
    shop = many(OrderBook(tmp_path), seed=4)
    snapshot = shop.snapshot(files=3)
    given, found = {"orders": SnapshotRows(tuple(shop.paths_of(snapshot)), snapshot.columns)}, []
    for in_order in (False, True):
        with opened([ORDERS], given, in_order=in_order) as tables:
            rows, _ = feature_rows(features, tables, as_ofs=(APRIL,))
        found.append(rows.sort_by("entity").to_pylist())
    assert found[0] == found[1]
    assert len(found[0]) == 9


def test_the_columns_of_a_query_are_traced_to_stored_tables(connection: Any) -> None:
    table = connection.table("t")
    query = table.filter(table.n > 0).group_by("g").agg(total=table.x.sum()).op()
    trace = Trace()
    assert trace.column(query, "total") == {("t", "x")}
    assert trace.rows(query) == {("t", "n"), ("t", "g")}
    assert pa.types.is_floating(table.to_pyarrow()["x"].type)
