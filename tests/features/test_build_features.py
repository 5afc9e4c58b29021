"""Features cannot see the future, labels mature, the same rows give the same bytes, and broken promises are errors."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ibis
import pytest

from keelway.core import PrincipalId, digest_of, parse_time
from keelway.engines.sql import SqlState
from keelway.errors import FeatureError, MissingRecordError
from keelway.features import FeatureTable, build_features, columns_for_scoring, labels_for, online_row, rows_of
from keelway.features.blocks import days_since, ratio, trend, window_count, window_sum, within
from keelway.project import Cuts, Estimator, FeatureSet, Label, Model, feature_set
from keelway.snapshot import ExpiredSnapshot
from keelway.testing.features import ORDERS, OrderBook, ShopSnapshot

APRIL, MAY = parse_time("1997-04-01"), parse_time("1997-05-01")
NOW = parse_time("1999-01-01")


@feature_set(entity="customer", sources=[ORDERS])
def activity(orders: Any, as_of: Any) -> Any:
    at = orders.ordered_at
    return orders.group_by("customer").agg(
        recency_d=days_since(at.max(), as_of),
        frequency=orders.count(),
        spent=orders.amount.sum(),
        spent_60d=window_sum(orders.amount, at, as_of, days=60),
        orders_60d=window_count(at, as_of, days=60),
        trend_30d=trend(at, as_of, days=30),
        share=ratio(within(at, as_of, 60).cast("int64").sum(), orders.count() - 1),
        favourite=orders.kind.max(),
        buys_books=(orders.kind == "book").any(),
    )


@feature_set(entity="customer", sources=[ORDERS])
def recent(orders: Any, as_of: Any) -> Any:
    rows = orders.filter(within(orders.ordered_at, as_of, 30))
    return rows.group_by("customer").agg(recent_amount=rows.amount.sum(), recent_kind=rows.kind.max())


@Label.define(entity="customer", source=ORDERS, horizon="30d", absent=1)
def churned(orders: Any, as_of: Any) -> Any:
    return orders.group_by("customer").agg(churned=0 * orders.count())


def model(*features: FeatureSet, label: Label = churned) -> Model:
    return Model(
        "churn",
        features=features or (activity,),
        label=label,
        estimators=(Estimator("logistic", "sklearn.linear_model.LogisticRegression"),),
        cuts=Cuts(APRIL),
    )


@pytest.fixture
def build(shop: OrderBook, artifacts: Any, state: Any) -> Callable[..., FeatureTable]:
    def build(declared: Model | None = None, **changes: Any) -> FeatureTable:
        given: dict[str, Any] = {"as_ofs": (APRIL,), "purpose": "training", "with_label": True, "now": NOW}
        given["snapshots"] = {"orders": shop.snapshot(files=changes.pop("files", 1))}
        given |= changes
        snapshots = given.pop("snapshots")
        return build_features(
            declared or model(), snapshots, paths_of=shop.paths_of, artifacts=artifacts, state=state, **given
        )

    return build


def test_features_and_labels_of_one_cut(build: Any, artifacts: Any) -> None:
    rows = rows_of(build(), artifacts).to_pylist()

    assert [row["entity"] for row in rows] == ["ana", "bob"]
    ana = rows[0]
    assert ana["recency_d"] == 12.0
    assert ana["frequency"] == 2.0
    assert ana["spent"] == pytest.approx(19.6)
    assert (ana["spent_60d"], ana["orders_60d"], ana["trend_30d"], ana["share"]) == (7.1, 1.0, 1.0, 1.0)
    assert (ana["favourite"], ana["buys_books"]) == ("cd", 1.0)
    assert rows[1]["share"] is None
    assert [row["label"] for row in rows] == [1, 1]
    assert ana["label_known_at"] == datetime(1997, 5, 1, tzinfo=UTC)


def test_nothing_at_or_after_the_cut_or_known_late_changes_a_feature(
    build: Any, shop: OrderBook, artifacts: Any
) -> None:
    clean = build(with_label=False)
    shop.rows = [row for row in shop.rows if row["ordered_at"] < APRIL]
    for customer in ("ana", "bob", "new"):
        shop.order(customer, "1997-04-01", amount=1e9, kind="poison", known="1997-03-01")
        shop.order(customer, "1997-08-01", amount=float("inf"), kind="poison")
        shop.order(customer, "1997-01-01", amount=-1e9, kind="poison", known="1997-04-01")
        shop.order(customer, "1997-01-01", amount=-1e9, kind="poison", known="1998-04-01")

    assert build(with_label=False).data == clean.data


def test_system_columns_are_not_shown(build: Any) -> None:
    seen: list[str] = []

    def peek(orders: Any, as_of: Any) -> Any:
        seen.extend(orders.columns)
        return orders.group_by("customer").agg(n=orders.count())

    build(model(feature_set(entity="customer", sources=[ORDERS])(peek)))

    assert seen == ["customer", "ordered_at", "amount", "kind"] or not any(name.startswith("_") for name in seen)


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_rows_and_files_does_not_change_a_byte(build: Any, shop: OrderBook, seed: int) -> None:
    chance = random.Random(0)
    for number in range(400):
        day = chance.randrange(1, 28)
        shop.order(f"c{number % 9}", f"1997-0{chance.randrange(1, 4)}-{day:02}", amount=chance.random() * 1e3)
    first = build(as_ofs=(APRIL, MAY))
    random.Random(seed).shuffle(shop.rows)

    assert build(as_ofs=(MAY, APRIL), files=seed + 1).data == first.data


def test_a_repeat_gives_the_same_record(build: Any, shop: OrderBook, state: Any) -> None:
    snapshots = {"orders": shop.snapshot()}

    assert build(snapshots=snapshots) == build(snapshots=snapshots)
    assert Counter(kind.__name__ for kind, _ in state.kept) == {"CutRows": 1, "Profile": 1, "FeatureTable": 1}


def test_several_cuts_are_the_same_as_one_at_a_time(build: Any, artifacts: Any) -> None:
    both = rows_of(build(as_ofs=(APRIL, MAY)), artifacts).to_pylist()
    apart = [row for cut in (APRIL, MAY) for row in rows_of(build(as_ofs=(cut,)), artifacts).to_pylist()]

    assert both == apart


def test_only_matured_labels_are_returned(build: Any, shop: OrderBook) -> None:
    early = {"orders": shop.snapshot(watermark="1997-05-15")}

    assert build(as_ofs=(APRIL, MAY)).as_ofs == (APRIL, MAY)
    assert build(as_ofs=(APRIL, MAY), snapshots=early).as_ofs == (APRIL,)
    assert build(as_ofs=(APRIL, MAY), now=parse_time("1997-05-01")).as_ofs == (APRIL,)
    with pytest.raises(FeatureError, match="matured"):
        build(as_ofs=(MAY,), snapshots=early)


def test_an_entity_without_outcome_is_left_out_where_nothing_says_otherwise(build: Any, artifacts: Any) -> None:
    open_label = Label("churned", entity="customer", source=ORDERS, horizon=churned.horizon, function=churned.function)
    rows = rows_of(build(model(label=open_label), as_ofs=(MAY,)), artifacts)

    assert rows["entity"].to_pylist() == ["ana"]
    assert rows["label"].to_pylist() == [0]


def test_feature_sets_are_joined_and_gaps_are_null_or_empty(build: Any, artifacts: Any) -> None:
    rows = rows_of(build(model(activity, recent)), artifacts)

    assert rows["recent_amount"].to_pylist() == [7.1, None]
    assert rows["recent_kind"].to_pylist() == ["book", ""]


def test_scoring_needs_no_label(build: Any, artifacts: Any) -> None:
    table = build(as_ofs=(MAY,), purpose="scoring", with_label=False, now=MAY)
    rows = rows_of(table, artifacts)

    assert "label" not in rows.column_names
    assert columns_for_scoring(rows, table.features)["frequency"] == [2.0, 1.0]
    assert online_row("bob", table=table, artifacts=artifacts)["frequency"] == 1.0
    with pytest.raises(MissingRecordError):
        online_row("nobody", table=table, artifacts=artifacts)


def _wrong(**columns: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    def function(orders: Any, as_of: Any) -> Any:
        return orders.group_by("customer").agg(**{name: make(orders) for name, make in columns.items()})

    return function


WRONG: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "raises": (lambda orders, as_of: 1 // 0, "raised ZeroDivisionError"),
    "unknown column": (lambda orders, as_of: orders.agg(n=orders.nothing.sum()), "raised AttributeError"),
    "no table": (lambda orders, as_of: 3, "returned no table"),
    "no entity": (lambda orders, as_of: orders.agg(n=orders.count()), "no column 'customer'"),
    "two rows": (
        lambda orders, as_of: orders.select("customer", "amount"),
        "2 rows for one; more than one for 1 entity, the first at 1997-04-01",
    ),
    "no features": (lambda orders, as_of: orders.select("customer").distinct(), "returned no features"),
    "a time": (_wrong(last=lambda orders: orders.ordered_at.max()), "'last' as timestamp"),
    "a list": (_wrong(all=lambda orders: orders.amount.collect()), "'all' as array"),
    "infinite": (_wrong(x=lambda orders: orders.amount.max() * float("inf")), "'x' of 'churn' is infinite"),
    "reserved": (_wrong(label=lambda orders: orders.count()), "reserved name"),
    "fails in the engine": (_wrong(x=lambda orders: orders.kind.max().cast("int64")), "cannot be computed"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_function_that_breaks_its_promise_is_a_feature_error(build: Any, case: str) -> None:
    function, says = WRONG[case]
    declared = FeatureSet("wrong", entity="customer", sources=(ORDERS,), function=function)

    with pytest.raises(FeatureError, match=says):
        build(model(declared))


def test_declared_columns_must_come_back(build: Any) -> None:
    declared = FeatureSet(
        "few", entity="customer", sources=(ORDERS,), function=activity.function, columns=("recency_d", "spirit")
    )

    with pytest.raises(FeatureError, match="'spirit'"):
        build(model(declared))


def test_a_not_a_number_is_missing(build: Any, artifacts: Any) -> None:
    declared = feature_set(entity="customer", sources=[ORDERS])(
        _wrong(x=lambda orders: orders.amount.max() * ibis.literal(float("nan")))
    )

    assert rows_of(build(model(declared)), artifacts)["x"].to_pylist() == [None, None]


@pytest.mark.parametrize("value", [2, None, 0.5])
def test_a_label_that_is_neither_0_nor_1_is_refused(build: Any, value: float | None) -> None:
    def function(orders: Any, as_of: Any) -> Any:
        return orders.group_by("customer").agg(churned=ibis.literal(value).cast("float64"))

    wrong = Label("churned", entity="customer", source=ORDERS, horizon=churned.horizon, function=function, absent=1)
    with pytest.raises(FeatureError, match="neither 0 nor 1"):
        build(model(label=wrong), as_ofs=(MAY,))


def test_outcomes_of_one_cut(shop: OrderBook) -> None:
    def ask(**given: Any) -> list[tuple[str, int]]:
        found = labels_for(model(), {"orders": shop.snapshot()}, MAY, paths_of=shop.paths_of, **({"now": NOW} | given))
        return [(each.entity, each.value) for each in found]

    assert ask() == [("ana", 0), ("bob", 1)]
    assert ask(entities=["zoe", "ana"]) == [("ana", 0), ("zoe", 1)]
    assert ask(now=MAY) == []


@pytest.mark.parametrize(
    ("task", "absent", "values"), [("multiclass", "gone", ["0", "gone"]), ("regression", -2, [0.0, -2.0])]
)
def test_outcomes_are_in_the_type_of_the_task(shop: OrderBook, task: Any, absent: Any, values: list[Any]) -> None:
    label = Label(
        "churned", entity="customer", source=ORDERS, horizon=churned.horizon, function=kind_of(task), absent=absent
    )
    declared = replace(model(), label=label, task=task, metrics=())
    found = labels_for(declared, {"orders": shop.snapshot()}, MAY, paths_of=shop.paths_of, now=NOW)
    assert [each.value for each in found] == values
    assert [type(each.value) for each in found] == [type(each) for each in values]


def kind_of(task: str) -> Any:
    """Return a label function that says 0 of everybody who came, in the type of the task."""

    def function(orders: Any, as_of: Any) -> Any:
        value = ibis.literal("0") if task == "multiclass" else ibis.literal(0.0)
        return orders.group_by("customer").agg(n=orders.count()).select("customer", churned=value)

    return function


def test_a_table_is_not_stored_when_its_snapshot_was_expired_meanwhile(
    build: Any, shop: OrderBook, artifacts: Any, tmp_path: Path
) -> None:
    state = SqlState(f"sqlite:///{tmp_path}/state.db")
    snapshot = shop.snapshot()
    digest = digest_of(snapshot)

    def expired_while_read(asked: Any) -> list[Path]:
        with state.transaction() as tx:
            tx.insert(digest, ExpiredSnapshot("orders", 1, digest, digest, NOW, PrincipalId("user:ana")), at=NOW)
        return shop.paths_of(asked)

    with pytest.raises(MissingRecordError, match="no longer kept"):
        build_features(
            model(),
            {"orders": snapshot},
            as_ofs=(APRIL,),
            purpose="training",
            with_label=True,
            paths_of=expired_while_read,
            artifacts=artifacts,
            state=state,
            now=NOW,
        )
    with state.snapshot() as tx:
        assert tx.count(FeatureTable) == 0


def test_columns_that_a_file_lacks_are_null_to_a_feature(shop: OrderBook, build: Any, artifacts: Any) -> None:
    snapshot = shop.snapshot()
    wide = ShopSnapshot(snapshot.dataset, snapshot.number, snapshot.watermark, {**snapshot.columns, "plan": "string"})

    def plans(orders: Any, as_of: Any) -> Any:
        return orders.group_by("customer").agg(known=orders.plan.count(), orders=orders.amount.count())

    declared = model(feature_set(entity="customer", sources=[ORDERS])(plans))
    rows = rows_of(build(declared, snapshots={"orders": wide}), artifacts).to_pylist()
    assert {row["known"] for row in rows} == {0.0}
    assert min(row["orders"] for row in rows) > 0
