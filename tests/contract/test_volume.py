"""A delivery is odd when it is far from those of its own hour, and hardly ever by chance."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.contract.arrival.volume import ENOUGH, Delivery, band_factor, check_volume

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)


def usual_rows(at: datetime, rng: random.Random) -> int:
    """Return the rows of a shop's hour: a day and a night, quiet weekends, a tenth of noise."""
    day = 1000 * (1.2 + math.sin((at.hour - 9) / 24 * 2 * math.pi))
    weekend = 0.35 if at.weekday() >= 5 else 1.0
    return max(1, round(day * weekend * math.exp(rng.gauss(0, 0.1))))


def hours(count: int, *, seed: int = 1, start: datetime = MONDAY) -> list[Delivery]:
    rng = random.Random(seed)
    return [Delivery(at, usual_rows(at, rng)) for at in (start + timedelta(hours=number) for number in range(count))]


def days(*rows: float) -> list[Delivery]:
    return [Delivery(MONDAY + timedelta(days=number), count) for number, count in enumerate(rows)]


def verdicts(feed: list[Delivery], *, since: int = 0) -> list[str]:
    """Judge each delivery of a feed by those before it."""
    found = (check_volume(item, feed[:number]) for number, item in enumerate(feed) if number >= since)
    return [item.verdict if item else "silent" for item in found]


# --- what is normal raises nothing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_two_hundred_normal_hours_raise_nothing(seed: int) -> None:
    feed = hours(24 * 7 + 200, seed=seed)
    assert set(verdicts(feed, since=24 * 7)) <= {"usual", "silent"}


def test_the_first_week_of_hours_is_silent() -> None:
    assert set(verdicts(hours(24 * 7 - 1))) == {"silent"}


def test_ten_weeks_of_hours_raise_nothing() -> None:
    feed = hours(24 * 7 * 10)
    assert set(verdicts(feed, since=24 * 7 * 9 + 24 * 3)) == {"usual"}


@pytest.mark.parametrize("rows", [0, 1, 24, 1_000_000], ids=["empty", "one", "a dozen or two", "a million"])
def test_a_feed_that_never_varies_raises_nothing(rows: int) -> None:
    assert set(verdicts(days(*[rows] * 30), since=8)) == {"usual"}


def test_sundays_are_not_odd_once_one_was_seen() -> None:
    rng = random.Random(3)
    week = [1000, 1000, 1000, 1000, 1000, 900, 150]
    feed = days(*[round(rows * math.exp(rng.gauss(0, 0.05))) for _ in range(12) for rows in week])
    assert set(verdicts(feed, since=8)) == {"usual"}


def test_quiet_hours_are_measured_by_quiet_hours() -> None:
    rng = random.Random(5)

    def baskets(at: datetime) -> int:
        """Return the rows of an hour: baskets of ten rows or so, three of them at night and three hundred by day."""
        usual = 3 if at.hour < 6 else 300
        return sum(rng.randint(1, 20) for _ in range(max(0, round(rng.gauss(usual, math.sqrt(usual))))))

    feed = [Delivery(at, baskets(at)) for at in (MONDAY + timedelta(hours=number) for number in range(24 * 7 * 10))]
    assert set(verdicts(feed, since=24 * 7 * 9)) == {"usual"}
    night, day = feed[-24 * 7 + 3], feed[-24 * 7 + 12]
    before = feed[: -24 * 7]
    assert [found.verdict for hour in (night, day) if (found := check_volume(replace(hour, rows=hour.rows / 2), before))] == [
        "usual", "low"
    ]  # fmt: skip
    bands = [found.high / found.usual for hour in (night, day) if (found := check_volume(hour, before))]
    assert bands[0] > 2 * bands[1], "a night may vary more than a day"


# --- what is not, does ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weeks", "factor", "verdict"),
    [
        pytest.param(2, 0.0, "low", id="nothing, after two weeks"),
        pytest.param(2, 0.02, "low", id="a fiftieth, after two weeks"),
        pytest.param(2, 30.0, "high", id="thirty times, after two weeks"),
        pytest.param(9, 0.5, "low", id="half, after nine weeks"),
        pytest.param(9, 2.0, "high", id="twice, after nine weeks"),
        pytest.param(9, 1.1, "usual", id="a tenth more, after nine weeks"),
    ],
)
def test_an_hour_that_is_off_is_odd(weeks: int, factor: float, verdict: str) -> None:
    feed = hours(24 * 7 * weeks + 10)
    last = feed[-1]
    found = check_volume(Delivery(last.at, round(last.rows * factor)), feed[:-1])
    assert found is not None
    assert found.verdict == verdict


def test_nine_weeks_compare_with_the_same_hour_of_the_same_weekday() -> None:
    feed = hours(24 * 7 * 9 + 1)
    found = check_volume(feed[-1], feed[:-1])
    assert found is not None
    assert (found.of, found.like) == (9, "the same hour of the same weekday")


def test_two_weeks_compare_with_the_same_hour_of_any_day() -> None:
    found = check_volume(hours(24 * 14 + 1)[-1], hours(24 * 14))
    assert found is not None
    assert (found.of, found.like) == (14, "the same hour of any day")


def test_files_at_odd_hours_compare_with_all_before() -> None:
    feed = [Delivery(MONDAY + timedelta(hours=29 * number), 100 + number % 3) for number in range(12)]
    found = check_volume(Delivery(MONDAY + timedelta(hours=29 * 12), 0), feed)
    assert found is not None
    assert (found.of, found.like, found.verdict) == (12, "all before", "low")


def test_what_was_odd_before_does_not_widen_the_range() -> None:
    feed = days(*[1000 + 10 * (number % 5) for number in range(14)])
    outage = Delivery(MONDAY + timedelta(days=14), 0, "low")
    again = Delivery(MONDAY + timedelta(days=15), 0)
    found = check_volume(again, [*feed, outage])
    assert found is not None
    assert found.verdict == "low"


def test_the_bounds_are_told_in_rows() -> None:
    found = check_volume(Delivery(MONDAY + timedelta(days=20), 1000), days(*[1000] * 20))
    assert found is not None
    assert found.usual == pytest.approx(1000)
    assert 0 < found.low < 1000 < found.high < 3000


# --- few deliveries ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", range(ENOUGH))
def test_too_few_deliveries_are_silent(count: int) -> None:
    assert check_volume(Delivery(MONDAY + timedelta(days=30), 0), days(*[1000] * count)) is None


def test_many_deliveries_within_a_few_days_are_silent() -> None:
    feed = [Delivery(MONDAY + timedelta(minutes=10 * number), 1000) for number in range(6 * 24 * 3)]
    assert check_volume(Delivery(MONDAY + timedelta(days=3), 0), feed) is None, "no weekend was seen yet"


# --- the rate of false alarms -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("of", [8, 12, 16, 26])
def test_the_band_is_crossed_by_chance_about_once_in_ten_thousand(of: int) -> None:
    rng = np.random.default_rng(of)
    crossed, tried = 0, 0
    for _ in range(4):
        past = rng.standard_normal((200_000, of), dtype=np.float32)
        middle = np.median(past, axis=1)
        scatter = 1.4826 * np.median(np.abs(past - middle[:, None]), axis=1)
        new = rng.standard_normal(len(past), dtype=np.float32)
        crossed += int((np.abs(new - middle) > band_factor(of) * scatter).sum())
        tried += len(past)
    assert crossed / tried < 1.6e-4


def test_the_band_narrows_to_that_of_a_known_scatter() -> None:
    factors = [band_factor(of) for of in range(8, 2000)]
    assert factors == sorted(factors, reverse=True)
    assert factors[-1] == pytest.approx(3.89, rel=0.01)


@given(
    rows=st.lists(st.integers(0, 10**9), min_size=8, max_size=40),
    new=st.integers(0, 10**9),
    factor=st.floats(1, 5),
)
def test_more_rows_are_never_lower_and_fewer_never_higher(rows: list[int], new: int, factor: float) -> None:
    history = days(*rows)
    at = MONDAY + timedelta(days=len(rows))
    order = {"low": 0, "usual": 1, "high": 2}
    one, more = check_volume(Delivery(at, new), history), check_volume(Delivery(at, new * factor), history)
    assert one is not None
    assert more is not None
    assert order[one.verdict] <= order[more.verdict]
    assert one.low <= one.usual <= one.high


@given(rows=st.lists(st.integers(0, 10**9), min_size=8, max_size=40), seed=st.integers(0, 100))
def test_the_order_of_the_history_does_not_matter(rows: list[int], seed: int) -> None:
    history = days(*rows)
    mixed = random.Random(seed).sample(history, len(history))
    new = Delivery(MONDAY + timedelta(days=len(rows)), 500)
    assert check_volume(new, history) == check_volume(new, mixed)
