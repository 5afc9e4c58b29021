"""A cut date that cannot have changed is not computed again, and nobody can tell the table from one computed as a whole."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keelway.core import parse_time
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.sql import SqlState
from keelway.errors import FeatureError, IntegrityError
from keelway.features import CutRows, FeatureTable, Profile, build_features, rows_of
from keelway.features import build as building
from keelway.features.blocks import window_sum
from keelway.project import Cuts, Estimator, FeatureSet, Label, Model, feature_set
from keelway.testing.crash import CrashingArtifacts, CrashingState, CrashPoint
from keelway.testing.features import ORDERS, OrderBook, ShopSnapshot

CUTS = tuple(parse_time(f"1997-0{month}-01") for month in range(2, 7))
FEBRUARY, MARCH, APRIL, MAY, JUNE = CUTS
NOW = parse_time("1998-01-01")


def doubled(amount: Any) -> Any:
    return amount * 2


@feature_set(entity="customer", sources=[ORDERS], texts=["note"], arrays={"pair": 2})
def activity(orders: Any, as_of: Any) -> Any:
    import ibis

    return orders.group_by("customer").agg(
        spent=doubled(orders.amount).sum(),
        recent=window_sum(orders.amount, orders.ordered_at, as_of, days=30),
        kind=orders.kind.max(),
        note=orders.kind.min(),
        pair=ibis.array([orders.amount.min(), orders.amount.max()]),
    )


@Label.define(entity="customer", source=ORDERS, horizon="30d", absent=1)
def churned(orders: Any, as_of: Any) -> Any:
    return orders.group_by("customer").agg(churned=0 * orders.count())


def model(features: FeatureSet = activity) -> Model:
    estimators = (Estimator("logistic", "sklearn.linear_model.LogisticRegression"),)
    return Model("churn", features=(features,), label=churned, estimators=estimators, cuts=Cuts(FEBRUARY))


@dataclass
class GrowingShop:
    """Orders come in batches, each one file for ever; a table is built in stores that last, or in fresh ones.

    Attributes:
        fresh: Returns an empty artifact store and an empty state.
    """

    folder: Path
    fresh: Callable[[], tuple[Any, Any]]
    book: OrderBook = field(init=False)
    files: list[Path] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.book = OrderBook(self.folder / "batches")
        self.artifacts, self.state = self.fresh()

    def load(self) -> None:
        """Put the orders since the last time into a file of their own."""
        taken = self.book.snapshot()
        self.files += self.book.paths_of(taken)
        self.columns = taken.columns
        self.book.rows.clear()

    def build(self, *cuts: datetime, fresh: bool = False, **changes: Any) -> FeatureTable:
        artifacts, state = self.fresh() if fresh else (self.artifacts, self.state)
        files = list(self.files)
        given: dict[str, Any] = {"model": model(), "with_label": True, "now": NOW} | changes
        return build_features(
            given.pop("model"),
            {"orders": ShopSnapshot("orders", len(files), parse_time("2000-01-01"), self.columns)},
            as_ofs=cuts,
            purpose="training",
            paths_of=lambda _: files,
            artifacts=artifacts,
            state=state,
            progress=self.told.append,
            **given,
        )

    def as_a_whole(self, *cuts: datetime, **changes: Any) -> FeatureTable:
        return self.build(*cuts, fresh=True, reuse=False, **changes)

    def computed(self) -> int:
        """Return how many cut dates the last build computed, as it told."""
        line = next(line for line in reversed(self.told) if "to compute" in line)
        found = re.search(r"(\d+)(?: cut dates?)? to compute", line)
        assert found is not None
        return int(found[1])


@pytest.fixture
def in_memory(artifacts: Any, state: Any) -> Callable[[], tuple[Any, Any]]:
    return lambda: (type(artifacts)(), type(state)())


@pytest.fixture
def on_disk(tmp_path: Path) -> Callable[[], tuple[LocalArtifacts, SqlState]]:
    def fresh() -> tuple[LocalArtifacts, SqlState]:
        place = Path(tempfile.mkdtemp(dir=tmp_path))
        return LocalArtifacts(place / "artifacts"), SqlState(f"sqlite:///{place / 'state.db'}")

    return fresh


@pytest.fixture
def shop(tmp_path: Path, in_memory: Any) -> GrowingShop:
    shop = GrowingShop(tmp_path, in_memory)
    for day in range(1, 28):
        for month in (1, 2, 3):
            shop.book.order(f"c{(day * month) % 5}", f"1997-0{month}-{day:02}", amount=0.1 * day, kind=f"k{day % 3}")
    shop.load()
    return shop


def test_only_new_cut_dates_are_computed(shop: GrowingShop) -> None:
    shop.build(FEBRUARY, MARCH)
    assert shop.computed() == 2
    again = shop.build(FEBRUARY, MARCH, APRIL)
    assert shop.computed() == 1
    assert "2 of 3 cut dates known already, 1997-02-01T00:00:00Z to 1997-03-01T00:00:00Z; 1 to compute" in shop.told[-1]
    assert again == shop.as_a_whole(FEBRUARY, MARCH, APRIL)
    assert shop.build(FEBRUARY, MARCH, APRIL) == again
    assert shop.computed() == 0


def test_the_order_in_which_cut_dates_came_does_not_matter(shop: GrowingShop) -> None:
    for cuts in ((APRIL,), (FEBRUARY, APRIL), (MARCH, APRIL), (FEBRUARY, MARCH, APRIL)):
        last = shop.build(*cuts)
    assert shop.computed() == 0
    assert last == shop.as_a_whole(*cuts)
    assert shop.build(MARCH) == shop.as_a_whole(MARCH)


def test_a_table_of_one_cut_date_is_stored_once(shop: GrowingShop, on_disk: Any) -> None:
    shop.artifacts, shop.state = on_disk()
    alone = shop.build(MARCH)
    with shop.state.snapshot() as tx:
        (kept,) = tx.newest(CutRows, parent="churn")
    assert alone.data == kept.data
    shop.build(FEBRUARY, MARCH)
    assert shop.build(MARCH) == alone == shop.as_a_whole(MARCH)


def test_every_cut_date_has_a_profile(shop: GrowingShop) -> None:
    table = shop.build(FEBRUARY, MARCH)
    with shop.state.snapshot() as tx:
        profiles = [tx.by_digest(Profile, digest) for digest in table.cut_profiles]
        whole = tx.by_digest(Profile, table.profile)
    assert sum(profile.rows for profile in profiles) == whole.rows == table.rows
    assert shop.build(MARCH).profile == table.cut_profiles[1]


def test_rows_that_become_known_later_leave_earlier_cut_dates_alone(shop: GrowingShop) -> None:
    shop.build(FEBRUARY, MARCH, with_label=False)
    shop.book.order("c1", "1997-01-10", amount=99.0, known="1997-03-02")  # happened before, known after
    shop.book.order("new", "1997-03-20", amount=5.0)
    shop.load()
    table = shop.build(FEBRUARY, MARCH, APRIL, with_label=False)
    assert shop.computed() == 1
    assert table == shop.as_a_whole(FEBRUARY, MARCH, APRIL, with_label=False)


def test_a_late_file_of_rows_that_were_known_in_time_is_seen(shop: GrowingShop) -> None:
    before = shop.build(FEBRUARY, MARCH, APRIL, with_label=False)
    shop.book.order("c1", "1997-02-10", amount=99.0, known="1997-02-11")
    shop.load()
    table = shop.build(FEBRUARY, MARCH, APRIL, with_label=False)
    assert shop.computed() == 2  # February's rows are as they were
    assert table == shop.as_a_whole(FEBRUARY, MARCH, APRIL, with_label=False) != before


def test_an_outcome_that_comes_late_is_seen(shop: GrowingShop) -> None:
    shop.build(FEBRUARY, MARCH)
    shop.book.order("c1", "1997-03-10", amount=1.0, known="1997-08-01")
    shop.load()
    table = shop.build(FEBRUARY, MARCH)
    assert shop.computed() == 1
    assert table == shop.as_a_whole(FEBRUARY, MARCH)


def test_the_present_matters_only_while_it_hides_an_outcome(shop: GrowingShop) -> None:
    shop.book.order("zoe", "1997-01-10", known="1997-01-11")
    shop.book.order("zoe", "1997-02-10", known="1997-06-10")
    shop.load()
    early, later, last = (parse_time(f"1997-{month}") for month in ("06-01", "07-01", "08-01"))
    labels = []
    for now, computed in ((early, 1), (later, 1), (last, 0)):
        table = shop.build(FEBRUARY, now=now)
        assert shop.computed() == computed
        assert table == shop.as_a_whole(FEBRUARY, now=now)
        rows = rows_of(table, shop.artifacts).to_pylist()
        labels.append(next(row["label"] for row in rows if row["entity"] == "zoe"))
    assert labels == [1, 0, 0]


def test_features_with_and_without_labels_are_kept_apart(shop: GrowingShop) -> None:
    shop.build(MARCH, with_label=False)
    assert shop.build(MARCH).label == "churned"
    assert shop.computed() == 1


def test_another_function_or_another_helper_is_computed_anew(
    shop: GrowingShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    @feature_set(entity="customer", sources=[ORDERS])
    def another(orders: Any, as_of: Any) -> Any:
        return orders.group_by("customer").agg(spent=orders.amount.sum())

    before = shop.build(MARCH)
    shop.build(MARCH, model=model(another))
    assert shop.computed() == 1

    def tripled(amount: Any) -> Any:
        return amount * 3

    monkeypatch.setitem(activity.function.__globals__, "doubled", tripled)
    after = shop.build(MARCH)
    assert shop.computed() == 1
    assert after.definition == before.definition
    assert after == shop.as_a_whole(MARCH) != before


def test_a_function_that_cannot_be_told_is_always_computed(shop: GrowingShop, monkeypatch: pytest.MonkeyPatch) -> None:
    class Doubling:
        def __call__(self, amount: Any) -> Any:
            return amount * 2

    monkeypatch.setitem(activity.function.__globals__, "doubled", Doubling())
    first = shop.build(MARCH)
    assert shop.build(MARCH) == first
    assert shop.computed() == 1


def test_a_check_computes_everything_anew(shop: GrowingShop) -> None:
    table = shop.build(MARCH)
    assert shop.build(MARCH, reuse=False) == table
    assert shop.computed() == 1


def test_a_new_column_is_seen_by_every_cut_date(shop: GrowingShop) -> None:
    shop.build(MARCH)
    shop.columns = {**shop.columns, "plan": "string"}
    shop.build(MARCH)
    assert shop.computed() == 1


def test_functions_that_return_other_columns_at_other_dates_are_refused(shop: GrowingShop) -> None:
    @feature_set(entity="customer", sources=[ORDERS])
    def changing(orders: Any, as_of: Any) -> Any:
        name = "old" if as_of.op().value < APRIL else "new"
        return orders.group_by("customer").agg(**{name: orders.amount.sum()})

    shop.build(MARCH, model=model(changing))
    with pytest.raises(FeatureError, match="others at 1997-04-01"):
        shop.build(MARCH, APRIL, model=model(changing))


def test_a_cut_date_before_all_rows_is_kept_too(shop: GrowingShop) -> None:
    dawn = parse_time("1996-12-01")
    with pytest.raises(FeatureError, match="no rows"):
        shop.build(dawn)
    table = shop.build(dawn, MARCH)
    assert shop.computed() == 1
    assert table == shop.as_a_whole(dawn, MARCH)
    assert table.as_ofs == (dawn, MARCH)


def test_bytes_that_are_gone_are_computed_again_and_altered_ones_refused(shop: GrowingShop, on_disk: Any) -> None:
    shop.artifacts, shop.state = on_disk()
    table = shop.build(FEBRUARY, MARCH)
    with shop.state.snapshot() as tx:
        kept = {record.as_of: record.data for record in tx.newest(CutRows, parent="churn")}
    shop.artifacts.delete(kept[MARCH])
    assert shop.build(FEBRUARY, MARCH) == table
    assert shop.computed() == 1
    path = shop.artifacts.path_of(kept[FEBRUARY])
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(IntegrityError):
        shop.build(FEBRUARY, MARCH)


class Interruption(CrashPoint):
    """Interrupts the build at an instant instead of ending the whole process."""

    def pass_by(self) -> None:
        self.count += 1
        if self.count == self.at:
            raise KeyboardInterrupt


def test_a_build_that_dies_leaves_whole_cut_dates_behind(
    shop: GrowingShop, on_disk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "CUTS_AT_ONCE", 1)
    whole = shop.as_a_whole(FEBRUARY, MARCH)
    assert shop.told[-2:] == ["churn: 1 of 2 cut dates computed", "churn: 2 of 2 cut dates computed"]
    kept_at = []
    for at in (4, 9, 14, 15):
        artifacts, state = on_disk()
        point = Interruption(at)
        shop.artifacts, shop.state = CrashingArtifacts(artifacts, point), CrashingState(state, point)
        with pytest.raises(KeyboardInterrupt):
            shop.build(FEBRUARY, MARCH)
        with state.snapshot() as tx:
            kept_at.append((tx.count(CutRows), tx.count(FeatureTable)))
        shop.artifacts, shop.state = artifacts, state
        assert shop.build(FEBRUARY, MARCH) == whole
        assert shop.computed() == 2 - kept_at[-1][0]
    assert kept_at == [(0, 0), (1, 0), (2, 0), (2, 1)]


orders = st.lists(
    st.tuples(
        st.integers(0, 6),
        st.integers(0, 170),
        st.sampled_from([0, 1, 20, 60]),
        st.floats(-1e6, 1e6, allow_nan=False),
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.tuples(orders, st.sets(st.sampled_from(CUTS), min_size=1)), min_size=2, max_size=3))
def test_whatever_comes_in_between_the_table_is_the_one_computed_as_a_whole(
    tmp_path_factory: pytest.TempPathFactory, in_memory: Any, batches: Any
) -> None:
    shop = GrowingShop(tmp_path_factory.mktemp("growing"), in_memory)
    start = parse_time("1997-01-01")
    shop.book.order("first", "1997-01-01", known="1997-01-02")
    for rows, cuts in batches:
        for customer, day, late, amount in rows:
            happened = start + timedelta(days=day)
            known = happened + timedelta(days=late, hours=1)
            shop.book.order(f"c{customer}", happened.isoformat(), amount=amount, known=known.isoformat())
        shop.load()
        assert shop.build(*cuts) == shop.as_a_whole(*cuts)
