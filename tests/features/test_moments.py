"""Moments at the edges: of cut dates, windows and horizons, to the microsecond, on leap days, in nights when clocks change, in any zone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import ibis
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keelway.core import parse_time
from keelway.errors import UsageError
from keelway.features import FeatureTable, blocks, build_features
from keelway.features.compute import feature_rows, label_rows, opened
from keelway.project import Cuts, Estimator, Label, Model, feature_set
from keelway.snapshot import SnapshotRows
from keelway.testing.features import ORDERS, OrderBook

# Ibis 12 calls a method that DuckDB 2.0 has renamed; the answer is the same.
INSTANT, DAY = timedelta(microseconds=1), timedelta(days=1)
OFFSETS = (-366 * DAY, -DAY, -INSTANT, 0 * DAY, INSTANT, DAY)
CUTS = tuple(
    map(
        parse_time,
        (
            "2024-02-29T00:00:00Z",  # a leap day
            "2024-03-01T00:00:00Z",
            "2000-02-29T23:59:59.999999Z",  # of a century that has one
            "2025-03-30T01:00:00Z",  # clocks go forward in Europe
            "2025-10-26T01:00:00Z",  # and back
            "1999-12-28T23:59:59Z",
        ),
    )
)
ZONES = ("UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Pacific/Apia")
UTC_TYPE = "timestamp('UTC')"


@feature_set(entity="customer", sources=[ORDERS])
def seen(orders: Any, as_of: Any) -> Any:
    return orders.group_by("customer").agg(seen=orders.count())


@Label.define(entity="customer", source=ORDERS, horizon="2d", absent=0)
def bought(orders: Any, as_of: Any) -> Any:
    return orders.select("customer").distinct().mutate(bought=1)


def rows_at(folder: Path, moments: Sequence[tuple[str, datetime, datetime]]) -> dict[str, SnapshotRows]:
    """Return orders, each with a name, when it happened, and when it became known."""
    shop = OrderBook(folder)
    for name, at, known in moments:
        shop.order(name, at.isoformat(), known=known.isoformat())
    snapshot = shop.snapshot()
    return {"orders": SnapshotRows(tuple(shop.paths_of(snapshot)), snapshot.columns)}


def test_a_row_is_seen_once_it_has_happened_and_is_known(tmp_path: Path) -> None:
    near = [(cut, cut + happened, cut + known) for cut in CUTS for happened, known in product(OFFSETS, OFFSETS)]
    named = [(f"{number}", at, known) for number, (_, at, known) in enumerate(near)]
    with opened([ORDERS], rows_at(tmp_path, named)) as tables:
        found = feature_rows(seen, tables, as_ofs=CUTS)[0].to_pylist()
    expected = {(name, cut) for name, at, known in named for cut in CUTS if at < cut and known < cut}
    assert {(row["entity"], row["as_of"]) for row in found} == expected
    assert all(row["seen"] == 1 for row in found)


@pytest.mark.parametrize("late", [-INSTANT, 0 * DAY, INSTANT], ids=["just before", "now", "just after"])
def test_a_label_is_made_of_its_horizon_and_of_what_is_known_by_now(tmp_path: Path, late: timedelta) -> None:
    edges = (-INSTANT, 0 * DAY, INSTANT, 2 * DAY - INSTANT, 2 * DAY, 2 * DAY + INSTANT)
    now = parse_time("2030-01-01")
    named = [(f"{cut:%Y%m%d}{number}", cut + edge, now + late) for cut in CUTS for number, edge in enumerate(edges)]
    with opened([ORDERS], rows_at(tmp_path, named)) as tables:
        found = label_rows(bought, tables, task="binary", as_ofs=CUTS, now=now).to_pylist()
    inside = {(name, cut) for name, at, known in named for cut in CUTS if cut <= at < cut + 2 * DAY and known <= now}
    assert {(row["entity"], row["as_of"]) for row in found} == inside
    assert bool(inside) is (late <= 0 * DAY)


def test_a_cut_date_is_the_same_moment_in_whatever_zone_it_is_written(
    tmp_path: Path, artifacts: Any, state: Any
) -> None:
    shop, cut = OrderBook(tmp_path), parse_time("2024-02-29T23:30:00Z")
    shop.order("ana", "2024-02-29T23:29:59", known="2024-02-29T23:29:59.999999")
    shop.order("bob", "2024-02-29T23:30:00", known="2024-02-29T23:30:00")
    model = Model(
        "buyers", features=[seen], label=bought, estimators=[Estimator("any", "any.Model")], cuts=Cuts(CUTS[-1])
    )

    def built(written: datetime) -> FeatureTable:
        return build_features(
            model, {"orders": snapshot}, as_ofs=[written], purpose="scoring", with_label=False,
            paths_of=shop.paths_of, artifacts=artifacts, state=state, now=parse_time("2025-01-01"),
        )  # fmt: skip

    snapshot = shop.snapshot()
    tables = [built(cut.astimezone(ZoneInfo(zone))) for zone in ZONES]
    assert {table.data for table in tables} == {tables[0].data}
    assert {table.as_ofs for table in tables} == {(cut,)}
    assert tables[0].rows == 1
    with pytest.raises(UsageError, match="needs a zone"):
        built(cut.replace(tzinfo=None))


@pytest.fixture(scope="module")
def connection() -> Iterator[Any]:
    connection = ibis.duckdb.connect(":memory:", threads=1)
    connection.raw_sql("SET TimeZone = 'UTC'")
    yield connection
    connection.disconnect()


def asked(connection: Any, moments: Sequence[datetime], as_of: datetime, zone: str = "UTC", **answers: Any) -> Any:
    """Return what blocks give for moments, which are stored in a zone."""
    rows = pa.table({"place": range(len(moments)), "at": pa.array(moments, pa.timestamp("us", tz=zone))})
    connection.con.register("given", rows)
    table, cut = connection.table("given"), ibis.literal(as_of, type=UTC_TYPE)
    query = table.select("place", **{name: make(table.at, cut) for name, make in answers.items()})
    return query.order_by("place").to_pyarrow()


MOMENTS = st.one_of(
    st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
    st.builds(lambda cut, offset: cut + offset, st.sampled_from(CUTS), st.sampled_from(OFFSETS)),
)
quick = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quick
@given(as_of=MOMENTS, days=st.sampled_from([0.5, 1, 28, 29, 30, 365, 366]), others=st.lists(MOMENTS, max_size=20))
def test_a_window_reaches_from_its_first_instant_up_to_the_cut_date(
    connection: Any, as_of: datetime, days: float, others: list[datetime]
) -> None:
    start = as_of - timedelta(days=days)
    moments = [*others, *(edge + offset for edge in (start, as_of) for offset in (-INSTANT, 0 * DAY, INSTANT))]
    found = asked(connection, moments, as_of, inside=lambda at, cut: blocks.within(at, cut, days))
    assert found["inside"].to_pylist() == [start <= moment < as_of for moment in moments]


@quick
@given(as_of=MOMENTS, moments=st.lists(MOMENTS, min_size=1, max_size=20))
def test_days_are_86400_seconds_and_seconds_are_whole(
    connection: Any, as_of: datetime, moments: list[datetime]
) -> None:
    whole = [
        int((moment.replace(microsecond=0) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
        for moment in (as_of, *moments)
    ]
    found = asked(connection, moments, as_of, days=blocks.days_since)["days"].to_pylist()
    assert found == [(whole[0] - second) / 86_400 for second in whole[1:]]


@pytest.mark.parametrize("zone", ZONES)
def test_a_zone_that_a_column_is_stored_in_changes_nothing(connection: Any, zone: str) -> None:
    moments = [cut + offset for cut in CUTS for offset in OFFSETS]
    answers = {"days": blocks.days_since, "inside": lambda at, cut: blocks.within(at, cut, 1)}
    for cut in CUTS[:4]:
        assert asked(connection, moments, cut, zone, **answers).equals(asked(connection, moments, cut, **answers))


@quick
@given(gaps=st.lists(st.sampled_from([0, 1, 1799, 1800, 1801, 86_400]), min_size=1, max_size=12), at=MOMENTS)
def test_equal_moments_are_one_visit_and_no_gap(connection: Any, gaps: list[int], at: datetime) -> None:
    moments = [at.replace(microsecond=0)]
    for gap in gaps:
        moments.append(moments[-1] + timedelta(seconds=gap))
    visits = 1 + sum(gap > 1800 for gap in gaps)
    connection.con.register("visits", pa.table({"who": ["ana"] * len(moments), "at": moments[::-1]}))
    table = connection.table("visits")
    found = blocks.joined(
        table.group_by("who").agg(gap_d=blocks.mean_gap(table.at)),
        blocks.sessions(table, by="who", moment="at", gap_s=1800),
        by="who",
    ).to_pyarrow().to_pylist()  # fmt: skip
    assert found[0]["session_count"] == visits
    assert found[0]["gap_d"] == sum(gaps) / len(gaps) / 86_400 or found[0]["gap_d"] == sum(gaps) / 86_400 / len(gaps)
