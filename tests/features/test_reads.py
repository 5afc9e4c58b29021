"""What a feature function reads is found from its expression: nothing that it reads is missed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from keelway.errors import FeatureError
from keelway.features import FeatureReads, features_read, label_reads
from keelway.project import Dataset, FeatureSet, Label

AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
ORDERS = Dataset("orders", contract="c.yaml", source="o/*", event_time="day")
PLANS = Dataset("plans", contract="p.yaml", source="p/*", event_time="since")
SCHEMAS = {
    "orders": {
        "customer": "string",
        "day": "date",
        "amount": "number",
        "units": "integer",
        "plan": "string",
        "ok": "boolean",
        "paid_at": "timestamp",
    },
    "plans": {"plan": "string", "price": "number", "since": "timestamp", "tier": "string"},
}
ALWAYS = {"orders.day", "orders.customer"}


def reads(function: Any, *sources: Dataset, schemas: Any = SCHEMAS) -> FeatureReads:
    features = FeatureSet("activity", entity="customer", sources=sources or (ORDERS,), function=function)
    return features_read(features, schemas, as_of=AS_OF)


def behind(found: FeatureReads) -> dict[str, set[str]]:
    """Return the columns behind each feature, without those that are always read."""
    return {name: {".".join(each) for each in sources} - ALWAYS for name, sources in found.reads.items()}


def test_each_feature_is_followed_to_its_own_columns() -> None:
    def activity(orders: Any, as_of: Any) -> Any:
        return orders.group_by("customer").agg(spent=orders.amount.sum(), units=orders.units.max(), n=orders.count())

    found = reads(activity)
    assert behind(found) == {"spent": {"orders.amount"}, "units": {"orders.units"}, "n": set()}
    assert [(column.name, column.kind) for column in found.columns] == [
        ("spent", "numeric"), ("units", "numeric"), ("n", "numeric"),
    ]  # fmt: skip
    assert found.features_of("orders", "amount") == ("spent",)
    assert found.features_of("orders", "day") == ("spent", "units", "n")
    assert found.features_of("orders", "plan") == ()


def test_the_entity_and_the_event_time_are_always_read() -> None:
    def activity(orders: Any, as_of: Any) -> Any:
        return orders.group_by("customer").agg(n=orders.count())

    assert reads(activity).reads["n"] == {("orders", "customer"), ("orders", "day")}


def test_columns_made_of_columns_are_followed_to_the_end() -> None:
    def activity(orders: Any, as_of: Any) -> Any:
        totals = orders.mutate(each=orders.amount / orders.units).group_by("customer").agg(mean=lambda t: t.each.mean())
        return totals.mutate(double=totals["mean"] * 2, one=1).drop("mean").rename(twice="double")

    assert behind(reads(activity)) == {"twice": {"orders.amount", "orders.units"}, "one": set()}


def test_a_condition_inside_a_sum_belongs_to_that_feature() -> None:
    def activity(orders: Any, as_of: Any) -> Any:
        return orders.group_by("customer").agg(
            good=orders.amount.sum(where=orders.ok), all=orders.units.sum(), late=(orders.paid_at < as_of).sum()
        )

    assert behind(reads(activity)) == {
        "good": {"orders.amount", "orders.ok"},
        "all": {"orders.units"},
        "late": {"orders.paid_at"},
    }


@pytest.mark.parametrize(
    "rows",
    [
        lambda orders: orders.filter(orders.ok),
        lambda orders: orders.drop_null("ok"),
        lambda orders: orders.filter(lambda t: t.ok.isin([True])),
        lambda orders: orders.order_by("ok").limit(5),
        lambda orders: orders.select("customer", "amount", "ok").distinct(),
    ],
    ids=["filter", "drop null", "lambda", "order and limit", "distinct"],
)
def test_what_decides_the_rows_is_read_by_every_feature(rows: Any) -> None:
    def activity(orders: Any, as_of: Any) -> Any:
        kept = rows(orders)
        return kept.group_by("customer").agg(spent=kept.amount.sum(), n=kept.count())

    found = behind(reads(activity))
    assert "orders.ok" in found["spent"]
    assert "orders.ok" in found["n"]


def test_a_window_reads_its_groups_and_its_order() -> None:
    import ibis

    def activity(orders: Any, as_of: Any) -> Any:
        window = ibis.window(group_by="customer", order_by="paid_at")
        ranked = orders.mutate(rank=ibis.row_number().over(window))
        return ranked.filter(ranked.rank == 0).select("customer", "plan")

    assert behind(reads(activity)) == {"plan": {"orders.plan", "orders.paid_at"}}


def test_a_join_reads_what_it_joins_on() -> None:
    def activity(orders: Any, plans: Any, as_of: Any) -> Any:
        joined = orders.left_join(plans, "plan")
        return joined.group_by("customer").agg(price=joined.price.max(), spent=joined.amount.sum())

    found = behind(reads(activity, ORDERS, PLANS))
    on = {"orders.plan", "plans.plan", "plans.since"}
    assert found == {"price": on | {"plans.price"}, "spent": on | {"orders.amount"}}


def test_a_semi_join_and_a_subquery_are_read() -> None:
    def activity(orders: Any, plans: Any, as_of: Any) -> Any:
        known = orders.filter(orders.plan.isin(plans.filter(plans.tier == "gold").plan))
        return known.group_by("customer").agg(n=known.count(), share=known.amount.sum() / plans.price.sum().as_scalar())

    found = behind(reads(activity, ORDERS, PLANS))
    assert {"orders.plan", "plans.plan", "plans.tier"} <= found["n"]
    assert {"orders.amount", "plans.price"} <= found["share"]


def test_both_sides_of_a_union_are_read() -> None:
    def activity(orders: Any, as_of: Any) -> Any:
        one = orders.select("customer", value=orders.amount)
        other = orders.filter(orders.ok).select("customer", value=orders.units.cast("float64"))
        both = one.union(other)
        return both.group_by("customer").agg(total=both.value.sum())

    assert behind(reads(activity)) == {"total": {"orders.amount", "orders.units", "orders.ok"}}


def test_a_table_filled_and_joined_with_itself_is_followed() -> None:
    def activity(orders: Any, as_of: Any) -> Any:
        filled = orders.fill_null({"amount": 0.0})
        other = filled.view()
        joined = filled.join(other, [filled.customer == other.customer, filled.paid_at < other.paid_at])
        return joined.group_by("customer").agg(more=(joined.amount_right - joined.amount).max())

    assert behind(reads(activity)) == {"more": {"orders.amount", "orders.paid_at"}}


def test_the_vetted_building_blocks_are_followed() -> None:
    from keelway.features.blocks import days_since, window_sum

    def activity(orders: Any, as_of: Any) -> Any:
        return orders.group_by("customer").agg(
            recency=days_since(orders.day.max(), as_of), spent=window_sum(orders.amount, orders.day, as_of, days=30)
        )

    assert behind(reads(activity)) == {"recency": set(), "spent": {"orders.amount"}}


def test_a_function_that_cannot_be_built_on_the_columns_says_why() -> None:
    def activity(orders: Any, as_of: Any) -> Any:
        return orders.group_by("customer").agg(spent=orders.amount.sum())

    lacking = {"orders": {name: kind for name, kind in SCHEMAS["orders"].items() if name != "amount"}}
    with pytest.raises(FeatureError, match="amount"):
        reads(activity, schemas=lacking)
    texts = {"orders": {**SCHEMAS["orders"], "amount": "string"}}
    with pytest.raises(FeatureError, match="sum"):
        reads(activity, schemas=texts)


def test_a_feature_of_another_type_is_another_column() -> None:
    def activity(orders: Any, as_of: Any) -> Any:
        return orders.group_by("customer").agg(last=orders.plan.max())

    numbers = {"orders": {**SCHEMAS["orders"], "plan": "integer"}}
    assert reads(activity).columns[0].kind == "categorical"
    assert reads(activity, schemas=numbers).columns[0].kind == "numeric"


def test_a_label_is_followed_too() -> None:
    def churned(orders: Any, as_of: Any) -> Any:
        return orders.filter(orders.ok).select("customer").distinct().mutate(churned=0)

    label = Label.define(entity="customer", source=ORDERS, horizon="30d", absent=1)(churned)
    found = label_reads(label, SCHEMAS, as_of=AS_OF)
    assert found.reads == {"churned": {("orders", "ok"), ("orders", "customer"), ("orders", "day")}}
    with pytest.raises(FeatureError, match="ok"):
        label_reads(label, {"orders": {"customer": "string", "day": "date"}}, as_of=AS_OF)
