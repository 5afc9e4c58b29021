"""A change of a contract is followed to the functions that read it, their models, versions and deployments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from keelway.app.impact import AT_REST, OUTLOOK, Effect, ImpactReport, LiveShare, impact_of
from keelway.contract import ChangeKind, ChangeLevel, Column, Contract, Rule, RuleKind, UnknownColumns
from keelway.core import VersionName, digest_bytes, plain, revive
from keelway.project import Cuts, Dataset, Estimator, FeatureSet, Label, Model

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ORDERS = Dataset("orders", contract="o.yaml", source="o/*", event_time="day")
PLANS = Dataset("plans", contract="p.yaml", source="p/*", event_time="since")


def contract(dataset: str, *columns: Column, rules: Sequence[Rule] = ()) -> Contract:
    return Contract(
        dataset, dataset, "1", columns, tuple(rules), (), UnknownColumns.IGNORE, 1.0, "", ",", '"', "utf-8", True, "",
        None, digest_bytes(b""), "",
    )  # fmt: skip


DAY, WHO, PAID, UNITS, NOTE = (
    Column("day", "date"),
    Column("customer", "string"),
    Column("paid", "number"),
    Column("units", "integer"),
    Column("note", "string"),
)
CAP = Rule(RuleKind.MAXIMUM, ("note",), "note: long", maximum="9")
OLD = contract("orders", DAY, WHO, PAID, UNITS, NOTE, rules=(CAP,))
OTHERS = {
    "plans": contract("plans", Column("customer", "string"), Column("since", "timestamp"), Column("price", "number"))
}


def spending(orders: Any, as_of: Any) -> Any:
    return orders.group_by("customer").agg(spent=orders.paid.sum(), largest=orders.paid.max())


def counting(orders: Any, as_of: Any) -> Any:
    return orders.group_by("customer").agg(units=orders.units.max())


def prices(orders: Any, plans: Any, as_of: Any) -> Any:
    return orders.left_join(plans, "customer").group_by("customer").agg(price=lambda t: t.price.max())


def churned(orders: Any, as_of: Any) -> Any:
    return orders.select("customer").distinct().mutate(churned=0)


def feature_set(function: Any, *sources: Dataset) -> FeatureSet:
    return FeatureSet(function.__name__, entity="customer", sources=sources or (ORDERS,), function=function)


LABEL = Label.define(entity="customer", source=ORDERS, horizon="30d", absent=1)(churned)
SPENDING, COUNTING = feature_set(spending), feature_set(counting)
PRICES = feature_set(prices, ORDERS, PLANS)
V1, V2, W1 = VersionName("churn:1"), VersionName("churn:2"), VersionName("worth:1")
LIVE = {V2: [LiveShare("prod", 90), LiveShare("staging", 100)], V1: [LiveShare("prod", 10)]}


def model(name: str, *features: FeatureSet) -> Model:
    return Model(
        name,
        features=features,
        label=LABEL,
        estimators=(Estimator("logistic", "sklearn.linear_model.LogisticRegression", {}),),
        cuts=Cuts(first=NOW, every="month"),
    )


CHURN, WORTH = model("churn", SPENDING, COUNTING), model("worth", SPENDING)


def impact(new: Contract, *models: Model, old: Contract = OLD) -> ImpactReport:
    return impact_of(
        old,
        new,
        models=models or (CHURN, WORTH),
        contracts=OTHERS,
        versions={"churn": [V2, V1], "worth": [W1]},
        live=LIVE,
        now=NOW,
    )


def with_column(old: Column, **changes: Any) -> Contract:
    return replace(OLD, columns=tuple(replace(each, **changes) if each is old else each for each in OLD.columns))


def reached(report: ImpactReport) -> dict[str, tuple[str, ...]]:
    """Return the effect on each reader, with the features it reaches."""
    return {
        reader.name: (reader.effect.value, *reader.features) for change in report.changes for reader in change.readers
    }


def effects(report: ImpactReport) -> dict[str, Effect]:
    return {each.model: each.effect for each in report.models}


def test_a_change_reaches_only_those_who_read_the_column() -> None:
    report = impact(with_column(UNITS, multiply_by=12.0))
    assert reached(report) == {"counting": ("values shift", "units")}
    assert effects(report) == {"churn": Effect.SHIFT, "worth": Effect.NOTHING}
    assert report.changes[0].readers[0].models == ("churn",)


def test_a_feature_set_of_two_models_names_both() -> None:
    report = impact(with_column(PAID, multiply_by=0.01))
    assert report.changes[0].readers[0].models == ("churn", "worth")
    assert effects(report) == {"churn": Effect.SHIFT, "worth": Effect.SHIFT}


def test_each_version_is_told_what_will_happen_where_it_is_live() -> None:
    churn, worth = impact(with_column(PAID, multiply_by=0.01)).models
    assert [(each.version, each.live, each.outlook) for each in churn.versions] == [
        (V2, (LiveShare("prod", 90), LiveShare("staging", 100)), OUTLOOK[Effect.SHIFT]),
        (V1, (LiveShare("prod", 10),), OUTLOOK[Effect.SHIFT]),
    ]
    assert [(each.version, each.live, each.outlook) for each in worth.versions] == [(W1, (), AT_REST)]


@pytest.mark.parametrize(
    ("new", "effect"),
    [
        (with_column(PAID, name="amount"), "breaks at build"),
        (with_column(PAID, name="amount", aliases=("paid",)), "breaks at build"),
        (with_column(PAID, kind="string"), "breaks at build"),
        (replace(OLD, columns=(DAY, WHO, UNITS, NOTE)), "breaks at build"),
        (with_column(PAID, kind="integer"), "values shift"),
        (with_column(PAID, default="0"), "values shift"),
        (with_column(PAID, missing=("-1",)), "values shift"),
    ],
    ids=["renamed", "renamed with an alias", "a text now", "removed", "whole numbers now", "filled", "missing"],
)
def test_whether_a_function_still_builds_is_tried(new: Contract, effect: str) -> None:
    report = impact(new)
    assert {found[0] for name, found in reached(report).items() if name == "spending"} == {effect}


def test_why_a_function_does_not_build_is_told() -> None:
    report = impact(replace(OLD, columns=(DAY, WHO, UNITS, NOTE)))
    (reader,) = report.changes[0].readers
    assert "paid" in reader.why
    assert effects(report)["churn"] is Effect.BREAK
    assert report.models[0].versions[0].outlook == OUTLOOK[Effect.BREAK]


def test_a_wider_type_is_watched() -> None:
    assert reached(impact(with_column(UNITS, kind="number"))) == {"counting": ("watch drift", "units")}


def test_a_feature_that_becomes_a_text_breaks() -> None:
    report = impact(with_column(UNITS, kind="string"))
    (reader,) = report.changes[0].readers
    assert (reader.effect, reader.why) == (Effect.BREAK, "units is no longer of the same kind")


def test_a_column_that_the_label_needs_breaks_the_label() -> None:
    report = impact(replace(OLD, columns=tuple(each for each in OLD.columns if each is not WHO)))
    labels = {reader.name: reader.is_label for change in report.changes for reader in change.readers}
    assert labels == {"spending": False, "counting": False, "churned": True}
    assert {found[0] for found in reached(report).values()} == {"breaks at build"}


def test_other_rows_reach_everybody_who_reads_the_dataset() -> None:
    tighter = replace(OLD, rules=(replace(CAP, maximum="5"),))
    report = impact(tighter)
    assert {name: found[0] for name, found in reached(report).items()} == {
        "spending": "watch drift", "counting": "watch drift", "churned": "watch drift",
    }  # fmt: skip
    assert {reader.why for reader in report.changes[0].readers} == {"other rows are kept"}


def test_another_way_of_reading_files_reaches_every_feature() -> None:
    report = impact(replace(OLD, delimiter=";"))
    assert reached(report)["spending"] == ("values shift", "spent", "largest")
    assert reached(report)["churned"] == ("values shift", "churned")


@pytest.mark.parametrize(
    "new",
    [
        OLD,
        replace(OLD, owner="ana"),
        replace(OLD, columns=(*OLD.columns, Column("extra", "string"))),
        with_column(PAID, aliases=("amount",)),
        with_column(NOTE, multiply_by=2.0),
    ],
    ids=["nothing", "owner", "new column", "alias", "a column nobody reads"],
)
def test_what_reaches_nobody_does_nothing(new: Contract) -> None:
    report = impact(new)
    assert reached(report) == {}
    assert set(effects(report).values()) == {Effect.NOTHING}
    assert report.models[0].versions[0].outlook == OUTLOOK[Effect.NOTHING]


def test_a_model_that_does_not_read_the_dataset_is_left_out() -> None:
    plans = OTHERS["plans"]
    old, new = plans, replace(plans, columns=(plans.columns[0], plans.columns[1]))
    report = impact_of(
        old,
        new,
        models=[WORTH, model("prices", PRICES)],
        contracts={"orders": OLD},
        versions={},
        live={},
        now=NOW,
    )
    assert reached(report) == {"prices": ("breaks at build", "price")}
    assert [(each.model, each.effect, each.versions) for each in report.models] == [("prices", Effect.BREAK, ())]


def test_a_function_that_does_not_build_before_is_told_as_such() -> None:
    broken = replace(OLD, columns=(DAY, WHO, UNITS, NOTE))
    report = impact(replace(broken, owner="ana"), old=broken)
    (reader,) = report.changes[0].readers
    assert (reader.name, reader.effect, reader.why) == ("spending", Effect.BREAK, "it does not build now")


def test_the_report_is_a_record() -> None:
    report = impact(with_column(PAID, multiply_by=0.01))
    assert report.level is ChangeLevel.BREAKING
    assert report.changes[0].change.what is ChangeKind.UNIT_CHANGED
    assert revive(plain(report), ImpactReport) == report
