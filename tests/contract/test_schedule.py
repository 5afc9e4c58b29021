"""When files are due by a schedule, which due time a file is for, and since when one is missing."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.contract.arrival.schedule import due_after, due_before, grace_of, nearest_due, overdue_since
from keelway.core import parse_time
from keelway.errors import ProjectError
from keelway.project import Dataset

HOURLY, DAILY, WORKDAYS = "5 * * * *", "0 6 * * *", "0 6 * * 1-5"


def at(text: str) -> datetime:
    return parse_time(f"2026-03-{text}Z")


def dataset(schedule: str, *, settle_s: int = 0) -> Dataset:
    return Dataset(
        "orders", contract="orders.yaml", source="raw/*.csv", event_time="at", schedule=schedule, settle_s=settle_s
    )


@pytest.mark.parametrize(
    ("schedule", "moment", "before", "after"),
    [
        (HOURLY, "01T09:30", "01T09:05", "01T10:05"),
        (HOURLY, "01T10:05", "01T09:05", "01T11:05"),
        (HOURLY, "01T23:59", "01T23:05", "02T00:05"),
        (DAILY, "01T05:59", "28T06:00", "01T06:00"),
        (WORKDAYS, "07T12:00", "06T06:00", "09T06:00"),
    ],
)
def test_due_times(schedule: str, moment: str, before: str, after: str) -> None:
    expected = parse_time(f"2026-02-{before}Z") if before > moment else at(before)
    assert due_before(schedule, at(moment)) == expected
    assert due_after(schedule, at(moment)) == at(after)


@pytest.mark.parametrize(
    ("written", "due"),
    [("01T10:00", "01T10:05"), ("01T10:05", "01T10:05"), ("01T10:20", "01T10:05"), ("01T10:40", "01T11:05")],
    ids=["early", "on time", "late", "nearer to the next"],
)
def test_a_file_is_for_the_due_time_it_is_nearest_to(written: str, due: str) -> None:
    assert nearest_due(HOURLY, at(written)) == at(due)


@given(st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)))
def test_no_due_time_is_nearer(moment: datetime) -> None:
    moment = parse_time(moment.isoformat())
    found = nearest_due(HOURLY, moment)
    assert abs(found - moment) <= timedelta(minutes=30)
    assert found.minute == 5


@pytest.mark.parametrize(
    ("schedule", "grace"),
    [
        ("* * * * *", timedelta(minutes=1)),
        ("*/20 * * * *", timedelta(minutes=5)),
        (HOURLY, timedelta(minutes=15)),
        (DAILY, timedelta(hours=1)),
    ],
)
def test_the_grace_is_a_quarter_of_the_time_to_the_next(schedule: str, grace: timedelta) -> None:
    assert grace_of(schedule, due_after(schedule, at("01T00:00"))) == grace


@pytest.mark.parametrize(
    ("now", "since"),
    [
        pytest.param("01T10:10", None, id="it came"),
        pytest.param("01T11:04", None, id="the next is not due"),
        pytest.param("01T11:20", None, id="within the grace"),
        pytest.param("01T11:20:01", "01T11:05", id="after the grace"),
        pytest.param("02T03:00", "01T11:05", id="many hours later, since the first that is missing"),
    ],
)
def test_a_file_is_missing_once_its_grace_is_over(now: str, since: str | None) -> None:
    assert overdue_since(dataset(HOURLY), at("01T10:06"), at(now)) == (at(since) if since else None)


def test_files_that_have_to_settle_are_given_that_time_too() -> None:
    slow = dataset(HOURLY, settle_s=600)
    assert overdue_since(slow, at("01T10:06"), at("01T11:30")) is None
    assert overdue_since(slow, at("01T10:06"), at("01T11:31")) == at("01T11:05")


def test_nothing_is_missing_without_a_schedule_or_a_first_file() -> None:
    assert overdue_since(dataset(""), at("01T10:06"), at("20T00:00")) is None
    assert overdue_since(dataset(HOURLY), None, at("20T00:00")) is None


def test_a_weekend_is_not_missing() -> None:
    assert overdue_since(dataset(WORKDAYS), at("06T06:01"), at("08T23:00")) is None
    assert overdue_since(dataset(WORKDAYS), at("06T06:01"), at("09T07:01")) == at("09T06:00")


@pytest.mark.parametrize("schedule", ["soon", "61 * * * *", "0 0 30 2 *"], ids=["words", "minute 61", "30 February"])
def test_what_is_no_schedule_is_told(schedule: str) -> None:
    with pytest.raises(ProjectError, match="schedule") as told:
        due_after(schedule, at("01T00:00"))
    assert told.value.fix
