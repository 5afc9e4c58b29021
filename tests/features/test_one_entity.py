"""One entity alone, computed by statements that are prepared once, has the features of a shop where nobody else ever bought."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ibis
import pytest

from keelway.core import parse_time
from keelway.features import one_entity
from keelway.features.blocks import joined, last_value, trend, window_count, window_sum
from keelway.features.compute import feature_rows, opened
from keelway.features.names import AS_OF, ENTITY
from keelway.features.one_entity import OneEntity
from keelway.project import Cuts, Dataset, Estimator, FeatureSet, Label, Model, RandomSplit, feature_set
from keelway.snapshot import SnapshotRows
from keelway.testing.features import ORDERS, OrderBook, StaticTable

APRIL = parse_time("1997-04-01")
PRICES = Dataset("prices", contract="prices.yaml", source="prices/*.csv", event_time="")


@feature_set(entity="customer", sources=[ORDERS])
def habits(orders: Any, as_of: Any) -> Any:
    at = orders.ordered_at
    totals = orders.group_by("customer").agg(
        spent=orders.amount.sum(),
        spent_30d=window_sum(orders.amount, at, as_of, days=30),
        orders_90d=window_count(at, as_of, days=90),
        trend_30d=trend(at, as_of, days=30),
        kinds=orders.kind.nunique(),
    )
    return joined(totals, last_value(orders, "kind", by="customer", moment="ordered_at"), by="customer")


@feature_set(entity="customer", sources=[ORDERS])
def first_kind(orders: Any, as_of: Any) -> Any:
    """What comes first depends on the order of rows, so theirs must be the one that they have among all."""
    return orders.group_by("customer").agg(first_kind=orders.kind.first(), spread=orders.amount.std())


@feature_set(entity="customer", sources=[ORDERS, PRICES])
def worth(orders: Any, prices: Any, as_of: Any) -> Any:
    priced = orders.join(prices, "kind")
    return priced.group_by("customer").agg(worth=(priced.amount * priced.price).sum())


@Label.define(entity="customer", source=ORDERS, horizon="30d", absent=1)
def left(orders: Any, as_of: Any) -> Any:
    return orders.select("customer").distinct().mutate(left=0)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> OrderBook:
    shop, rng = OrderBook(tmp_path_factory.mktemp("shop")), random.Random(3)
    for number in range(240):
        known = "1997-04-02" if number % 11 == 0 else ""
        day = f"1997-0{rng.randint(1, 4)}-{rng.randint(1, 28):02d}"
        shop.order(f"o'{number % 31}", day, amount=rng.randint(-400, 4000) / 100, kind=rng.choice("xyz"), known=known)
    return shop


def prices_in(folder: Path) -> StaticTable:
    return StaticTable(folder, "prices", {"kind": ["x", "y", "z"], "price": [1.5, 2.0, 0.25]}, parse_time("1997-01-01"))


def rows_of(shop: OrderBook, folder: Path) -> dict[str, SnapshotRows]:
    orders, prices = shop.snapshot(), prices_in(folder)
    priced = prices.snapshot()
    return {
        "orders": SnapshotRows(tuple(shop.paths_of(orders)), orders.columns),
        "prices": SnapshotRows(tuple(prices.paths_of(priced)), priced.columns),
    }


def declared(*features: FeatureSet) -> Model:
    cuts = Cuts(first=APRIL, every="month")
    return Model("left", features=list(features), label=left, estimators=[Estimator("any", "any.Model")], cuts=cuts)


def alone(model: Model, rows: Mapping[str, SnapshotRows], entities: Sequence[str]) -> dict[str, Any]:
    sources = {source.name: source for each in model.features for source in each.sources}
    with opened([*sources.values()], rows, in_order=True) as tables:
        columns = [column for each in model.features for column in feature_rows(each, tables, as_ofs=(APRIL,))[1]]
        return dict(OneEntity(model, tables, as_of=APRIL, features=columns).values(entities))


def where_nobody_else_bought(model: Model, shop: OrderBook, entity: str, folder: Path) -> dict[str, Any]:
    own = OrderBook(folder / "own", [row for row in shop.rows if row["customer"] == entity])
    sources = {source.name: source for each in model.features for source in each.sources}
    found: dict[str, Any] = {}
    with opened([*sources.values()], rows_of(own, folder), in_order=True) as tables:
        for each in model.features:
            (row,) = feature_rows(each, tables, as_ofs=(APRIL,))[0].to_pylist()
            found |= {name: value for name, value in row.items() if name not in (ENTITY, AS_OF)}
    return found


@pytest.mark.parametrize("features", [(habits,), (first_kind, worth)], ids=["blocks", "in order, and priced"])
def test_an_entity_has_the_features_of_a_shop_without_others(
    features: tuple[FeatureSet, ...], shop: OrderBook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(one_entity, "AT_ONCE", 7)  # several rounds
    model, entities = declared(*features), [f"o'{number}" for number in range(31)]
    found = alone(model, rows_of(shop, tmp_path / "all"), entities)
    assert list(found) == entities
    for number in (0, 7):
        entity = f"o'{number}"
        assert found[entity] == where_nobody_else_bought(model, shop, entity, tmp_path / str(number))


def test_how_many_are_there_at_once_changes_nothing(
    shop: OrderBook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, entities = declared(first_kind), [f"o'{number}" for number in range(31)]
    rows = rows_of(shop, tmp_path)
    at_once = alone(model, rows, entities)
    monkeypatch.setattr(one_entity, "AT_ONCE", 1)
    assert alone(model, rows, entities) == at_once


def test_somebody_unknown_has_no_features(shop: OrderBook, tmp_path: Path) -> None:
    found = alone(declared(habits), rows_of(shop, tmp_path), ["nobody", "o'1", ""])
    assert (found["nobody"], found[""]) == (None, None)
    assert found["o'1"]["spent"] is not None


def test_an_entity_that_is_a_number_is_asked_for_by_its_digits(tmp_path: Path) -> None:
    people = Dataset("people", contract="people.yaml", source="people/*.csv", event_time="")
    table = StaticTable(
        tmp_path, "people", {"person": [1, 2, 22], "age": [30, None, 50], "income": [0, 1, 1]}, parse_time("1997-01-01")
    )
    snapshot = table.snapshot()

    @feature_set(entity="person", sources=[people])
    def ages(people: Any, as_of: Any) -> Any:
        return people.select("person", "age", old=ibis.ifelse(people.age >= 50, "yes", "no"))

    @Label.define(entity="person", source=people)
    def rich(people: Any, as_of: Any) -> Any:
        return people.select("person", rich=people.income)

    estimators = [Estimator("any", "any.Model")]
    model = Model("rich", features=[ages], label=rich, estimators=estimators, cuts=None, split=RandomSplit())
    found = alone(model, {"people": SnapshotRows(tuple(table.paths_of(snapshot)), snapshot.columns)}, ["22", "2"])
    assert found == {"22": {"age": 50.0, "old": "yes"}, "2": {"age": None, "old": "no"}}
