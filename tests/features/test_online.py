"""The online store is filled from the definition, once a cut date, and what it serves is what was computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.core import digest_of, parse_time
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.sql import SqlState
from keelway.engines.sql.online import SqliteOnlineStore
from keelway.errors import ConflictError, FeatureError, MissingRecordError
from keelway.features import (
    Materialised,
    ParityReport,
    build_features,
    materialise,
    online_features,
    online_status,
    parity,
    rows_of,
)
from keelway.features.blocks import days_since, window_sum
from keelway.features.same import same_value
from keelway.project import Cuts, Estimator, FeatureSet, Label, Model, feature_set
from keelway.testing.features import ORDERS, OrderBook

APRIL, MAY, JUNE = parse_time("1997-04-01"), parse_time("1997-05-01"), parse_time("1997-06-01")
NOW = parse_time("1999-01-01")


@feature_set(entity="customer", sources=[ORDERS])
def activity(orders: Any, as_of: Any) -> Any:
    return orders.group_by("customer").agg(
        recency_d=days_since(orders.ordered_at.max(), as_of),
        spent=orders.amount.sum(),
        kind=orders.kind.max(),
    )


@feature_set(entity="customer", sources=[ORDERS])
def books(orders: Any, as_of: Any) -> Any:
    rows = orders.filter(orders.kind == "book")
    return rows.group_by("customer").agg(books_60d=window_sum(rows.amount, rows.ordered_at, as_of, days=60))


@feature_set(entity="customer", sources=[ORDERS])
def ranked(orders: Any, as_of: Any) -> Any:
    totals = orders.group_by("customer").agg(total=orders.amount.sum())
    return totals.mutate(share=totals.total / totals.total.sum())


@Label.define(entity="customer", source=ORDERS, horizon="30d", absent=1)
def churned(orders: Any, as_of: Any) -> Any:
    return orders.group_by("customer").agg(churned=0 * orders.count())


def model(*features: FeatureSet) -> Model:
    return Model(
        "churn",
        features=features or (activity, books),
        label=churned,
        estimators=(Estimator("logistic", "sklearn.linear_model.LogisticRegression"),),
        cuts=Cuts(APRIL),
    )


@dataclass
class Counter:
    """A shop with stores; counts how often its files are read."""

    shop: OrderBook
    store: SqliteOnlineStore
    artifacts: LocalArtifacts
    state: SqlState
    read: int = 0
    snapshot: Any = None
    model: Model = field(default_factory=model)

    def paths_of(self, snapshot: Any) -> list[Path]:
        self.read += 1
        return self.shop.paths_of(snapshot)

    def ports(self) -> dict[str, Any]:
        return {"paths_of": self.paths_of, "artifacts": self.artifacts, "state": self.state}

    def fill(self, as_of: datetime, *, now: datetime = NOW) -> Materialised:
        self.snapshot = self.snapshot or self.shop.snapshot()
        given = {"orders": self.snapshot}
        return materialise(self.model, given, as_of=as_of, store=self.store, now=now, **self.ports())

    def parity(self, **changes: Any) -> ParityReport:
        named = lambda digests: {"orders": self.snapshot}
        return parity(self.model, self.store, snapshots=named, **self.ports(), **changes)


@pytest.fixture
def counter(shop: OrderBook, tmp_path: Path) -> Iterator[Counter]:
    with (
        closing(SqliteOnlineStore(tmp_path / "online.db")) as store,
        closing(SqlState(f"sqlite:///{tmp_path / 'state.db'}")) as state,
    ):
        yield Counter(shop, store, LocalArtifacts(tmp_path / "artifacts"), state)


def test_what_is_served_is_what_was_computed(counter: Counter) -> None:
    done = counter.fill(APRIL)
    assert (done.computed, done.written, done.cut.rows) == (True, True, 2)
    ana, bob = online_features(counter.model, ["ana", "bob"], store=counter.store)
    assert ana.values == {"recency_d": 12.0, "spent": 19.6, "kind": "cd", "books_60d": 7.1}
    assert bob.values == {"recency_d": 50.0, "spent": 30.3, "kind": "cd", "books_60d": None}
    assert ana.as_of == APRIL


def test_a_cut_that_is_there_is_not_computed_again(counter: Counter) -> None:
    counter.fill(APRIL)
    read = counter.read
    again = counter.fill(APRIL)
    assert (again.computed, again.written, counter.read) == (False, False, read)


def test_a_lost_store_is_filled_from_the_table_that_was_computed(counter: Counter, tmp_path: Path) -> None:
    counter.fill(APRIL)
    read, before = counter.read, counter.store.read("churn", ["ana"])
    with closing(SqliteOnlineStore(tmp_path / "another.db")) as counter.store:
        done = counter.fill(APRIL)
        assert (done.computed, done.written, counter.read) == (False, True, read)
        assert counter.store.read("churn", ["ana"]) == before


def test_a_later_cut_replaces_and_an_earlier_one_is_refused(counter: Counter) -> None:
    counter.fill(MAY)
    with pytest.raises(ConflictError, match="newer cut"):
        counter.fill(APRIL)
    assert counter.fill(JUNE).written
    assert counter.store.cut("churn").as_of == JUNE


def test_another_definition_or_snapshot_is_computed_anew(counter: Counter) -> None:
    counter.fill(APRIL, now=NOW)
    counter.model = model(activity)
    assert counter.fill(APRIL, now=parse_time("1999-01-02")).computed
    counter.shop.order("ana", "1997-03-30", amount=5.0)
    counter.snapshot = None
    assert counter.fill(APRIL, now=parse_time("1999-01-03")).written
    [ana] = online_features(counter.model, ["ana"], store=counter.store)
    assert ana.values["spent"] == pytest.approx(24.6)


def test_who_is_unknown_is_told(counter: Counter) -> None:
    with pytest.raises(MissingRecordError, match="nothing of 'churn'"):
        online_features(counter.model, ["ana"], store=counter.store)
    counter.fill(APRIL)
    with pytest.raises(MissingRecordError, match="'cem'"):
        online_features(counter.model, ["ana", "cem"], store=counter.store)


def test_the_status_tells_age_definition_and_missing_values(counter: Counter) -> None:
    with pytest.raises(MissingRecordError):
        online_status(counter.model, store=counter.store, state=counter.state, now=NOW)
    counter.fill(JUNE)
    before = online_status(counter.model, store=counter.store, state=counter.state, now=JUNE)
    assert {each.feature: each.trained for each in before.missing}["books_60d"] is None
    build_features(
        counter.model, {"orders": counter.snapshot}, as_ofs=(APRIL,), purpose="training", with_label=True, now=NOW, **counter.ports()
    )  # fmt: skip
    status = online_status(counter.model, store=counter.store, state=counter.state, now=parse_time("1997-06-02"))
    assert (status.age_s, status.current) == (86_400.0, True)
    books = {each.feature: each for each in status.missing}["books_60d"]
    assert (books.online, books.trained, books.skew) == (0.5, 0.5, 0.0)
    counter.model = model(activity)
    assert not online_status(counter.model, store=counter.store, state=counter.state, now=JUNE).current


def test_the_status_tells_how_often_a_number_is_0_and_whether_there_is_newer_data(counter: Counter) -> None:
    @feature_set(entity="customer", sources=[ORDERS])
    def recent(orders: Any, as_of: Any) -> Any:
        days = days_since(orders.ordered_at, as_of)
        return orders.group_by("customer").agg(recent=(days <= 30).sum(), kind=orders.kind.max())

    counter.model = model(recent)
    counter.fill(APRIL)  # ana bought in March, bob did not
    snapshots = {"orders": counter.snapshot}
    build_features(
        counter.model, snapshots, as_ofs=(MAY,), purpose="training", with_label=True, now=NOW, **counter.ports()
    )
    told = {"store": counter.store, "state": counter.state, "now": JUNE}
    status = online_status(counter.model, snapshots=snapshots, **told)
    by_name = {each.feature: each for each in status.missing}
    zeros = by_name["recent"]
    assert (zeros.zeros_online, zeros.zeros_trained, zeros.zeros_skew) == (0.5, 1.0, -0.5)
    assert by_name["kind"].zeros_online is None
    assert status.outdated == ()
    assert online_status(counter.model, snapshots={"orders": counter.shop.snapshot()}, **told).outdated == ("orders",)


def test_filling_tells_what_it_computes_and_what_it_knows(counter: Counter) -> None:
    told: list[str] = []
    given: dict[str, Any] = {"store": counter.store, "now": NOW, "progress": told.append, **counter.ports()}
    snapshots = {"orders": counter.shop.snapshot()}
    materialise(counter.model, snapshots, as_of=APRIL, **given)
    counter.shop.order("dan", "1997-06-10")
    materialise(counter.model, {"orders": counter.shop.snapshot()}, as_of=MAY, **given)
    assert told == [f"churn: 1 cut date to compute, 1997-{month}-01T00:00:00Z" for month in ("04", "05")]


def test_offline_online_and_alone_agree(counter: Counter) -> None:
    for number in range(40):
        for day in range(1, 2 + number % 5):
            counter.shop.order(
                f"o'{number}", f"1997-02-{day:02}", amount=0.1 * number, kind="book" if day % 2 else "cd"
            )
    counter.fill(APRIL)
    report = counter.parity()
    assert (report.entities, report.values, report.mismatches) == (42, 168, ())
    assert report.bit_equal == report.values


def test_a_sample_is_drawn_by_seed(counter: Counter) -> None:
    counter.fill(APRIL)
    assert counter.parity(entities=1).entities == 1
    with pytest.raises(FeatureError):
        counter.parity(entities=0)


def test_a_feature_that_looks_at_others_cannot_be_computed_alone(counter: Counter) -> None:
    counter.model = model(activity, ranked)
    counter.fill(APRIL)
    report = counter.parity()
    assert report.differing == {"share": 2}
    assert report.mismatches[0].alone == 1.0
    assert report.mismatches[0].offline == report.mismatches[0].online


def test_a_store_that_was_tampered_with_differs(counter: Counter) -> None:
    counter.fill(APRIL)
    table = rows_of_cut(counter)
    forged = [(entity, [0.0, 0.0, "x", None]) for entity in table]
    with counter.store._connected() as connection:
        connection.execute("DELETE FROM cuts")
    cut = counter.store.cut("churn")
    assert cut is None
    counter.store.write(materialised(counter), forged)
    report = counter.parity()
    assert set(report.differing) == {"recency_d", "spent", "kind", "books_60d"}


def test_parity_needs_a_cut_of_the_same_definition(counter: Counter) -> None:
    with pytest.raises(MissingRecordError):
        counter.parity()
    counter.fill(APRIL)
    counter.model = model(activity)
    with pytest.raises(ConflictError, match="declared otherwise"):
        counter.parity()


def materialised(counter: Counter) -> Any:
    """Return the record of the cut at April, as it was before the store lost it."""
    from keelway.features.online import _built_before, _cut_of

    table = _built_before(counter.model, APRIL, {"orders": digest_of(counter.snapshot)}, state=counter.state)
    assert table is not None
    return _cut_of(table, artifacts=counter.artifacts, state=counter.state, now=NOW)[0]


def rows_of_cut(counter: Counter) -> list[str]:
    from keelway.features.online import _built_before

    table = _built_before(counter.model, APRIL, {"orders": digest_of(counter.snapshot)}, state=counter.state)
    assert table is not None
    return rows_of(table, counter.artifacts)["entity"].to_pylist()


VALUES: Callable[[], Any] = lambda: st.one_of(st.none(), st.text(), st.floats(), st.lists(st.floats(), max_size=3))


@given(left=VALUES(), right=VALUES())
def test_being_the_same_goes_both_ways(left: Any, right: Any) -> None:
    assert same_value(left, left)
    assert same_value(left, right) == same_value(right, left)
