"""Which files a cut date depends on is read from their footers; where a footer tells nothing, every cut date does."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from keelway.core import digest_file, parse_time
from keelway.features.reuse import FIRST, LAST, TimedFile, _files, cut_keys
from keelway.project import Cuts, Dataset, Estimator, Label, Model, feature_set
from keelway.snapshot import SnapshotRows
from keelway.testing.features import ORDERS

UTC_US = pa.timestamp("us", tz="UTC")
COLUMNS = {"customer": "string", "ordered_at": "timestamp[us, tz=UTC]", "amount": "double", "_known_at": "timestamp[us, tz=UTC]"}  # fmt: skip
NOW = parse_time("2026-12-01")


def moment(day: int, month: int = 1) -> datetime:
    return datetime(2026, month, day, tzinfo=UTC)


def written(path: Path, happened: list[Any], known: list[Any], kind: pa.DataType = UTC_US, **given: Any) -> Path:
    """Write one file of orders."""
    rows = {"ordered_at": pa.array(happened, kind), "_known_at": pa.array(known, UTC_US)}
    rows |= {"customer": pa.array(["ana"] * len(known)), "amount": pa.array([1.0] * len(known))}
    pq.write_table(pa.table(rows), path, **given)
    return path


def seen(path: Path, dataset: Dataset = ORDERS) -> TimedFile:
    [found] = _files(dataset, SnapshotRows((path,), COLUMNS))
    return found


@feature_set(entity="customer", sources=[ORDERS])
def spent(orders: Any, as_of: Any) -> Any:
    return orders.group_by("customer").agg(spent=orders.amount.sum())


@Label.define(entity="customer", source=ORDERS, horizon="10d", absent=1)
def gone(orders: Any, as_of: Any) -> Any:
    return orders.group_by("customer").agg(gone=0 * orders.count())


MODEL = Model("churn", features=(spent,), label=gone, estimators=(Estimator("one", "x.Y"),), cuts=Cuts(moment(1)))


def key(*paths: Path, as_of: datetime, with_label: bool = False, now: datetime = NOW, model: Model = MODEL) -> str:
    rows = {"orders": SnapshotRows(paths, COLUMNS)}
    return cut_keys(model, (as_of,), rows, with_label=with_label, now=now)[as_of]


def test_a_footer_tells_from_when_to_when(tmp_path: Path) -> None:
    path = written(tmp_path / "a", [moment(3), moment(1), None], [moment(4), moment(2), moment(9)], row_group_size=1)
    assert seen(path) == TimedFile(digest_file(path), (moment(2), moment(9)), (moment(1), moment(3)))


def test_a_day_is_its_first_moment(tmp_path: Path) -> None:
    path = written(tmp_path / "a", [date(2026, 1, 5)], [moment(6)], pa.date32())
    assert seen(path).happened == (moment(5), moment(5))


@pytest.mark.parametrize(
    ("happened", "kind", "given"),
    [
        ([moment(3)], UTC_US, {"write_statistics": False}),
        (["2026-01-03"], pa.string(), {}),
        ([moment(3), moment(4)], UTC_US, {"write_statistics": ["_known_at"], "row_group_size": 1}),
    ],
    ids=["no statistics", "no times", "none for the event time"],
)
def test_where_a_footer_tells_nothing_the_file_is_always_seen(
    tmp_path: Path, happened: list[Any], kind: pa.DataType, given: dict[str, Any]
) -> None:
    path = written(tmp_path / "a", happened, [moment(6)] * len(happened), kind, **given)
    assert seen(path).happened == (FIRST, LAST)
    assert seen(path).is_seen(moment(28, 12))


def test_a_file_without_any_time_is_never_seen(tmp_path: Path) -> None:
    nothing, empty = written(tmp_path / "a", [None], [moment(6)]), written(tmp_path / "b", [], [])
    for path in (nothing, empty):
        assert seen(path).happened == (LAST, FIRST)
        assert not seen(path).is_seen(moment(28, 12))


def test_rows_without_a_time_only_have_to_be_known(tmp_path: Path) -> None:
    people = Dataset("people", contract="p.yaml", source="p/*.csv", event_time="")
    path = written(tmp_path / "a", [moment(20)], [moment(6)])
    assert seen(path, people).happened == (FIRST, LAST)
    assert [seen(path, people).is_seen(moment(day)) for day in (6, 7)] == [False, True]


@pytest.mark.parametrize(
    ("happened", "known", "sees", "tells"),
    [
        (moment(9), moment(9), True, False),
        (moment(10), moment(10), False, True),  # what happens at the cut itself is an outcome
        (moment(9), moment(10), False, False),  # and what becomes known at it is known too late
        (moment(19), moment(25), False, True),
        (moment(20), moment(25), False, False),
        (moment(15), moment(2, 12), False, False),  # nobody knows it yet
    ],
)
def test_what_a_cut_date_sees(tmp_path: Path, happened: datetime, known: datetime, sees: bool, tells: bool) -> None:
    file = seen(written(tmp_path / "a", [happened], [known]))
    assert file.is_seen(moment(10)) is sees
    assert file.tells(moment(10), moment(20), now=NOW) is tells


def test_the_key_changes_with_what_is_seen_and_with_nothing_else(tmp_path: Path) -> None:
    first = written(tmp_path / "a", [moment(3)], [moment(4)])
    same_bytes = tmp_path / "b"
    same_bytes.write_bytes(first.read_bytes())
    later = written(tmp_path / "c", [moment(15)], [moment(16)])
    plain = key(first, as_of=moment(10))
    assert key(later, first, as_of=moment(10)) == plain
    assert key(same_bytes, as_of=moment(10)) == plain
    assert key(first, first, as_of=moment(10)) != plain
    assert key(first, as_of=moment(11)) != plain
    assert key(first, as_of=moment(10), with_label=True) != plain
    assert key(first, later, as_of=moment(20)) != key(first, as_of=moment(20))
    labelled = key(first, as_of=moment(10), with_label=True)
    assert key(first, later, as_of=moment(10), with_label=True) != labelled


def test_the_present_is_in_the_key_only_while_it_hides_something(tmp_path: Path) -> None:
    path = written(tmp_path / "a", [moment(12), moment(13)], [moment(14), moment(2, 3)])
    asked = {"as_of": moment(10), "with_label": True}
    assert key(path, now=moment(1, 2), **asked) != key(path, now=moment(1, 3), **asked)
    assert key(path, now=moment(2, 3), **asked) == key(path, now=NOW, **asked)


def test_another_declaration_has_another_key(tmp_path: Path) -> None:
    path = written(tmp_path / "a", [moment(3)], [moment(4)])

    @feature_set(entity="customer", sources=[ORDERS])
    def spent(orders: Any, as_of: Any) -> Any:
        return orders.group_by("customer").agg(spent=orders.amount.max())

    others = [
        Model("other", features=MODEL.features, label=gone, estimators=MODEL.estimators, cuts=MODEL.cuts),
        Model("churn", features=(spent,), label=gone, estimators=MODEL.estimators, cuts=MODEL.cuts),
    ]
    keys = {key(path, as_of=moment(10), model=model) for model in (MODEL, *others)}
    assert len(keys) == 3


def test_an_estimator_has_no_say(tmp_path: Path) -> None:
    path = written(tmp_path / "a", [moment(3)], [moment(4)])
    other = Model("churn", features=(spent,), label=gone, estimators=(Estimator("two", "x.Z"),), cuts=Cuts(moment(5)))
    assert key(path, as_of=moment(10), model=other) == key(path, as_of=moment(10))


def test_what_cannot_be_told_has_no_key(tmp_path: Path) -> None:
    strange = object()

    @feature_set(entity="customer", sources=[ORDERS])
    def unclear(orders: Any, as_of: Any) -> Any:
        return strange

    model = Model("churn", features=(unclear,), label=gone, estimators=MODEL.estimators, cuts=MODEL.cuts)
    rows = {"orders": SnapshotRows((written(tmp_path / "a", [moment(3)], [moment(4)]),), COLUMNS)}
    assert cut_keys(model, (moment(10),), rows, with_label=False, now=NOW) == {}
