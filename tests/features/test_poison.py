"""Features of a cut date stay what they are whatever becomes known later, and a function that reaches elsewhere is found."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from keelway.core import parse_time
from keelway.errors import FeatureError
from keelway.features import PoisonReport, poison
from keelway.features.blocks import days_since
from keelway.project import Cuts, Dataset, Estimator, FeatureSet, Label, Model, RandomSplit, feature_set
from keelway.testing.features import ORDERS, OrderBook, StaticTable

CUT = datetime(1997, 4, 1, tzinfo=UTC)
FROM_ELSEWHERE = pa.table({"customer": ["ana"], "spent": [1.0]})


@feature_set(entity="customer", sources=[ORDERS])
def honest(orders: Any, as_of: Any) -> Any:
    return orders.group_by("customer").agg(
        recency_d=days_since(orders.ordered_at.max(), as_of), spent=orders.amount.sum(), kind=orders.kind.max()
    )


@feature_set(entity="customer", sources=[ORDERS])
def backdoor(orders: Any, as_of: Any) -> Any:
    everything = orders.get_backend().table("keelway_orders")
    totals = everything.group_by("customer").agg(total=everything.amount.sum())
    seen = orders.group_by("customer").agg(count=orders.count())
    return seen.left_join(totals, "customer").select("customer", "count", "total")


@feature_set(entity="customer", sources=[ORDERS])
def everybody(orders: Any, as_of: Any) -> Any:
    everything = orders.get_backend().table("keelway_orders")
    return everything.group_by("customer").agg(one=everything.count() * 0 + 1)


@feature_set(entity="customer", sources=[ORDERS])
def closure(orders: Any, as_of: Any) -> Any:
    best = FROM_ELSEWHERE["customer"].to_pylist()
    return orders.group_by("customer").agg(best=orders.customer.isin(best).any())


@Label.define(entity="customer", source=ORDERS, horizon="30d", absent=1)
def churned(orders: Any, as_of: Any) -> Any:
    return orders.group_by("customer").agg(churned=0 * orders.count())


def model(*features: FeatureSet) -> Model:
    return Model(
        "churn",
        features=features,
        label=churned,
        estimators=(Estimator("logistic", "sklearn.linear_model.LogisticRegression"),),
        cuts=Cuts(CUT),
    )


@pytest.fixture
def poisoned(shop: OrderBook, tmp_path: Path) -> Callable[..., PoisonReport]:
    def poisoned(*features: FeatureSet) -> PoisonReport:
        work = tmp_path / "work"
        work.mkdir()
        return poison(model(*features), {"orders": shop.snapshot()}, as_of=CUT, paths_of=shop.paths_of, work=work)

    return poisoned


def test_an_honest_feature_set_does_not_move(poisoned: Callable[..., PoisonReport]) -> None:
    report = poisoned(honest)
    assert report.findings == ()
    assert {world.how: world.rows for world in report.worlds} == {
        "changed": {"orders": 2}, "added": {"orders": 10}, "removed": {"orders": 2},
    }  # fmt: skip


def test_a_row_that_becomes_known_late_is_poisoned_too(shop: OrderBook, poisoned: Callable[..., PoisonReport]) -> None:
    shop.order("bob", "1997-03-01", known="1997-04-02")
    report = poisoned(honest)
    assert report.findings == ()
    assert report.worlds[0].rows == {"orders": 3}


def test_a_function_that_reads_the_whole_table_moves(poisoned: Callable[..., PoisonReport]) -> None:
    findings = poisoned(honest, backdoor).findings
    assert {(each.feature_set, each.how, each.columns) for each in findings} == {
        ("backdoor", "changed", ("total",)), ("backdoor", "added", ("total",)), ("backdoor", "removed", ("total",)),
    }  # fmt: skip


def test_entities_that_come_and_go_are_told(poisoned: Callable[..., PoisonReport]) -> None:
    findings = {each.how: each for each in poisoned(everybody).findings}
    assert "3 entities come and 0 go" in findings["added"].text
    assert "0 entities come and 1 go" in findings["removed"].text
    assert findings["removed"].columns == ()


def test_a_function_that_opens_a_file_is_found(poisoned: Callable[..., PoisonReport], tmp_path: Path) -> None:
    secret = tmp_path / "best.txt"
    secret.write_text("ana\n")

    @feature_set(entity="customer", sources=[ORDERS])
    def reader(orders: Any, as_of: Any) -> Any:
        best = secret.read_text().split()
        return orders.group_by("customer").agg(best=orders.customer.isin(best).any())

    [finding] = poisoned(reader).findings
    assert (finding.feature_set, finding.how) == ("reader", "reaches")
    assert str(secret) in finding.text


def test_a_function_that_closes_over_data_is_found(poisoned: Callable[..., PoisonReport]) -> None:
    [finding] = poisoned(honest, closure).findings
    assert (finding.feature_set, finding.how) == ("closure", "reaches")
    assert "FROM_ELSEWHERE" in finding.text


def test_a_function_that_reads_another_table_is_found(poisoned: Callable[..., PoisonReport], tmp_path: Path) -> None:
    path = tmp_path / "elsewhere.parquet"
    pq.write_table(FROM_ELSEWHERE, path)

    @feature_set(entity="customer", sources=[ORDERS])
    def joiner(orders: Any, as_of: Any) -> Any:
        other = orders.get_backend().read_parquet(path, table_name="elsewhere")
        seen = orders.group_by("customer").agg(count=orders.count())
        return seen.left_join(other, "customer").select("customer", "count", "spent")

    texts = [each.text for each in poisoned(joiner).findings if each.how == "reaches"]
    assert any("'elsewhere'" in text for text in texts)


def test_a_function_that_fails_on_poison_is_told(poisoned: Callable[..., PoisonReport]) -> None:
    @feature_set(entity="customer", sources=[ORDERS])
    def nervous(orders: Any, as_of: Any) -> Any:
        counted = orders.get_backend().con.execute("SELECT count(*) FROM keelway_orders").fetchall()
        if counted != [(5,)]:
            raise ValueError("not the table I know")
        return orders.group_by("customer").agg(count=orders.count())

    findings = poisoned(nervous).findings
    assert {each.how for each in findings} == {"added", "removed"}
    assert all("fails" in each.text for each in findings)


def test_a_table_without_a_time_is_poisoned_by_when_it_was_known(tmp_path: Path) -> None:
    people = Dataset("people", contract="people.yaml", source="people/*.csv", event_time="")

    @feature_set(entity="person", sources=[people])
    def facts(people: Any, as_of: Any) -> Any:
        return people

    @Label.define(entity="person", source=people)
    def rich(people: Any, as_of: Any) -> Any:
        return people.select("person", rich=people.income > 50)

    declared = Model(
        "rich", features=(facts,), label=rich, cuts=None, split=RandomSplit(),
        estimators=(Estimator("logistic", "sklearn.linear_model.LogisticRegression"),),
    )  # fmt: skip
    known = parse_time("2025-01-01")
    columns = {"person": ["a", "b"], "age": [30, 40], "town": ["bonn", None], "income": [10, 90], "vip": [True, None]}
    table = StaticTable(tmp_path, "people", columns, known)
    work = tmp_path / "work"
    work.mkdir()
    snapshots = {"people": table.snapshot()}
    report = poison(declared, snapshots, as_of=parse_time("2025-01-02"), paths_of=table.paths_of, work=work)
    assert report.findings == ()
    assert [world.rows["people"] for world in report.worlds] == [0, 4, 0]


def test_a_missing_snapshot_is_told(shop: OrderBook, tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match="orders"):
        poison(model(honest), {}, as_of=CUT, paths_of=shop.paths_of, work=tmp_path)


def test_a_constant_of_the_module_is_no_data(poisoned: Callable[..., PoisonReport]) -> None:
    @feature_set(entity="customer", sources=[ORDERS])
    def windowed(orders: Any, as_of: Any) -> Any:
        return orders.group_by("customer").agg(known=orders.count() + ibis.literal(CUT.year))

    assert poisoned(windowed).findings == ()
