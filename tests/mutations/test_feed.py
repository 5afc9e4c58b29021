"""The feed is clean: every hour keeps what its contract asks, and can be made again."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.testing.feed import CHANNELS, CITIES, HEADER, customers, hour, hour_before, volume

NUMBERS = st.integers(0, 400)


@settings(max_examples=10, deadline=None)
@given(number=NUMBERS, seed=st.integers(0, 3))
def test_an_hour_is_made_from_its_number_and_the_seed(number: int, seed: int) -> None:
    assert hour(number, seed=seed) == hour(number, seed=seed)
    assert hour(number, seed=seed) != hour(number, seed=seed + 1)


@settings(max_examples=10, deadline=None)
@given(number=NUMBERS)
def test_order_numbers_go_on_from_hour_to_hour(number: int) -> None:
    numbers = [int(row[0]) for part in (hour(number), hour(number + 1)) for row in part.rows]
    assert all(after == before + 1 for before, after in pairwise(numbers))
    assert hour_before(hour(number + 1)) == hour(number)


@settings(max_examples=10, deadline=None)
@given(number=NUMBERS)
def test_every_row_is_clean(number: int) -> None:
    feed, known = hour(number), set(customers())
    for row in feed.rows:
        order, customer, channel, city, quantity, price, amount, at = row
        assert len(order) == 10
        assert customer in known
        assert channel in CHANNELS
        assert city in CITIES
        assert abs(float(amount) - int(quantity) * float(price)) < 0.005
        moment = datetime.fromisoformat(at)
        assert feed.start <= moment < feed.written_at


def test_volume_follows_the_hour_and_the_day() -> None:
    monday_night, monday_evening, saturday_evening = (volume(number) for number in (3, 19, 5 * 24 + 19))
    assert monday_night < monday_evening < saturday_evening


@pytest.mark.parametrize("number", [0, 10, 200])
def test_a_file_reads_back_as_it_was_written(number: int) -> None:
    feed = hour(number)
    head, *lines = feed.csv().decode().splitlines()
    assert tuple(head.split(",")) == HEADER
    assert [tuple(line.split(",")) for line in lines] == list(feed.rows)
    assert feed.written_at - feed.start == timedelta(hours=1)
    assert feed.name.endswith(f"dt={feed.start:%Y-%m-%d}/hour={feed.start:%Y-%m-%dT%H}%3A00Z/orders.csv")
