"""What the folders of a file say about time."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.errors import UsageError
from keelway.ingest import Partition, Span, partition_of

DAY = date(1997, 1, 31)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dt=1997-01-31/a.csv", Partition(DAY)),
        ("raw/date=1997-01-31/a.csv", Partition(DAY)),
        ("raw/day=1997-01-31/a.csv", Partition(DAY)),
        ("raw/dt=19970131/a.csv", Partition(DAY)),
        ("raw/year=1997/month=01/day=31/a.csv", Partition(DAY)),
        ("raw/year=1997/month=1/day=31/region=eu/a.csv", Partition(DAY)),
        ("raw/dt=1997-01-31/hour=00/a.csv", Partition(DAY, 0)),
        ("raw/dt=1997-01-31/hr=23/a.csv", Partition(DAY, 23)),
        ("raw/year=1997/month=1/day=31/hour=7/a.csv", Partition(DAY, 7)),
        ("raw/dt=1996-01-01/dt=1997-01-31/a.csv", Partition(DAY)),
        ("raw/hour=24/dt=1997-01-31/a.csv", Partition(DAY)),
        ("raw/dt=1997-02-30/a.csv", None),
        ("raw/dt=1997-02-30/date=1997-01-31/a.csv", Partition(DAY)),
        ("raw/dt=soon/a.csv", None),
        ("raw/dt=1997-01-31.csv", None),
        ("raw/xdt=1997-01-31/a.csv", None),
        ("raw/year=1997/month=1/a.csv", None),
        ("raw/year=1997/month=13/day=1/a.csv", None),
        ("raw/hour=5/a.csv", None),
        ("a.csv", None),
    ],
)
def test_the_folders_say_which_day_and_hour(name: str, expected: Partition | None) -> None:
    assert partition_of(name) == expected


@given(st.dates(), st.one_of(st.none(), st.integers(0, 23)))
def test_a_partition_is_read_as_it_was_written(day: date, hour: int | None) -> None:
    tail = "" if hour is None else f"/hour={hour:02}"
    for written in (f"dt={day}", f"dt={day:%Y}{day:%m}{day:%d}" if day.year > 999 else f"dt={day}"):
        assert partition_of(f"raw/{written}{tail}/a.csv") == Partition(day, hour)
    assert partition_of(f"year={day.year}/month={day.month}/day={day.day}{tail}/a.csv") == Partition(day, hour)


def test_a_partition_begins_and_ends() -> None:
    assert Partition(DAY).begins == datetime(1997, 1, 31, tzinfo=UTC)
    assert Partition(DAY).ends == datetime(1997, 2, 1, tzinfo=UTC)
    assert Partition(DAY, 23).begins == datetime(1997, 1, 31, 23, tzinfo=UTC)
    assert Partition(DAY, 23).ends == datetime(1997, 2, 1, tzinfo=UTC)


NOON = datetime(1997, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("since", "until", "inside"),
    [
        (None, None, {"30", "31", "1", "05", "none"}),
        (DAY, None, {"31", "1", "05", "none"}),
        (None, DAY, {"30", "31", "05", "none"}),
        (DAY, DAY, {"31", "05", "none"}),
        (date(1997, 1, 30), date(1997, 1, 30), {"30"}),
        (NOON, None, {"31", "1", "none"}),
        (NOON + timedelta(seconds=1), None, {"31", "1"}),
        (datetime(1997, 1, 31, 5, tzinfo=UTC), datetime(1997, 1, 31, 6, tzinfo=UTC), {"31", "05"}),
        (datetime(1997, 1, 31, 6, tzinfo=UTC), datetime(1997, 1, 31, 7, tzinfo=UTC), {"31"}),
        (None, NOON, {"30", "31", "05"}),
    ],
)
def test_a_span_holds_what_speaks_of_it(since: date | None, until: date | None, inside: set[str]) -> None:
    files = {
        "30": "dt=1997-01-30/a.csv",
        "31": "dt=1997-01-31/a.csv",
        "1": "dt=1997-02-01/a.csv",
        "05": "dt=1997-01-31/hour=05/a.csv",
        "none": "a.csv",
    }
    span = Span.of(since, until)
    assert {label for label, name in files.items() if span.holds(name, NOON)} == inside


def test_moments_of_a_span_may_have_any_zone_but_need_one() -> None:
    there = timezone(timedelta(hours=5))
    assert Span.of(datetime(1997, 1, 31, 5, tzinfo=there), None).since == datetime(1997, 1, 31, tzinfo=UTC)
    with pytest.raises(UsageError):
        Span.of(datetime(1997, 1, 31), None)
