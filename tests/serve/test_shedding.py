"""Load shedding: bursts are left alone, standing queues are not, and what is refused is counted and told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.errors import UnavailableError
from keelway.serve import Shedder, ShedRule
from keelway.serve.shedding import ControlledDelay

RULE = ShedRule(target_s=5, interval_s=100)


def shed_of(delays: list[float], *, step_s: float = 10) -> list[bool]:
    delay = ControlledDelay(RULE)
    return [delay.sheds(each, now=number * step_s) for number, each in enumerate(delays)]


def test_a_queue_that_is_emptied_now_and_then_is_a_burst_and_is_left_alone() -> None:
    assert not any(shed_of(([500.0] * 8 + [0.0]) * 20))


def test_a_standing_queue_is_cut_after_one_interval() -> None:
    shed = shed_of([500.0] * 50)
    assert not any(shed[:11])
    assert all(shed[number] for number in range(11, 50) if number % 10), "all but the first of each interval"
    assert not any(shed[::10]), "somebody has to measure whether it is over"


def test_waits_up_to_twice_the_target_pass_even_then() -> None:
    assert not any(shed_of([9.9] * 50))
    assert any(shed_of([10.1] * 50))


def test_when_the_queue_is_gone_everything_passes_again() -> None:
    assert not any(shed_of([500.0] * 30 + [1.0] * 40)[40:])


@given(st.lists(st.floats(0, 5), max_size=200))
def test_no_wait_within_the_target_is_ever_refused(delays: list[float]) -> None:
    assert not any(shed_of(delays))


def test_a_request_after_a_long_silence_passes_however_late_the_loop_was() -> None:
    delay = ControlledDelay(RULE)
    assert not delay.sheds(900.0, now=0.0)
    assert not delay.sheds(900.0, now=100_000.0)


def test_a_hard_limit_refuses_the_request_above_it_and_tells_when_to_come_again() -> None:
    shedder = Shedder(ShedRule(most=2))
    shedder.enter(0.0)
    shedder.enter(0.0)
    with pytest.raises(UnavailableError, match="at most 2") as caught:
        shedder.enter(0.0)
    assert caught.value.retry_after_s >= 1
    assert (shedder.shed, shedder.under_way) == (1, 2)
    shedder.leave()
    shedder.enter(0.0)


def test_a_loop_that_stays_late_sheds_and_one_that_recovers_does_not() -> None:
    shedder, now, refused = Shedder(RULE), 0.0, 0
    for lag_s, count in ((200.0, 100), (0.0, 100)):
        shedder.lag_s = lag_s
        for _ in range(count):
            now += 10
            try:
                shedder.enter(now)
                shedder.leave()
            except UnavailableError:
                refused += 1
        if lag_s:
            assert refused > 50
            refused = 0
    assert refused <= 10
    assert shedder.under_way == 0
