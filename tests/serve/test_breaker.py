"""The breaker: Envoy's outlier detection with one probe, on a clock that the test turns."""

from __future__ import annotations

from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.errors import BadRequestError, EngineError, ServingError, UnavailableError
from keelway.serve import Breaker, BreakerRule
from keelway.serve.breaker import Circuit, may_eject

RULE = BreakerRule()


class Watch:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def failed(count: int, *, at: float = 0.0, circuit: Circuit | None = None) -> Circuit:
    made = circuit or Circuit()
    for _ in range(count):
        made = made.failed(at, RULE)
    return made


def test_five_failures_in_a_row_eject_and_four_do_not() -> None:
    assert failed(4).state(0.0) == "closed"
    assert failed(5).state(0.0) == "open"


def test_a_success_in_between_begins_the_count_anew() -> None:
    circuit = failed(4).succeeded(0.0, RULE)
    assert failed(4, circuit=circuit).state(0.0) == "closed"


def test_the_first_ejection_lasts_thirty_seconds_and_then_one_probe_passes() -> None:
    circuit = failed(5)
    assert circuit.asked(29.9, RULE) == (circuit, False)
    probing, passes = circuit.asked(30.0, RULE)
    assert passes
    assert probing.asked(30.1, RULE) == (probing, False), "one at a time"


def test_a_probe_that_succeeds_closes_and_one_that_fails_ejects_for_longer() -> None:
    probing, _ = failed(5).asked(30.0, RULE)
    assert probing.succeeded(31.0, RULE).state(31.0) == "closed"
    again = probing.failed(31.0, RULE)
    assert (again.state(90.9), again.state(91.0)) == ("open", "half-open"), "30 s times 2 ejections"


def test_no_ejection_lasts_longer_than_the_longest() -> None:
    circuit, now = failed(5), 0.0
    for _ in range(20):
        now = circuit.open_until or 0.0
        circuit = circuit.asked(now, RULE)[0].failed(now, RULE)
    assert circuit.open_until == now + RULE.max_ejection_s


def test_quiet_intervals_take_ejections_off_the_count() -> None:
    probing, _ = failed(5).asked(30.0, RULE)
    closed = probing.succeeded(30.0, RULE)
    assert closed.ejections == 1
    assert closed.succeeded(39.9, RULE).ejections == 1
    calm = closed.succeeded(40.0, RULE)
    assert calm.ejections == 0
    assert failed(5, at=50.0, circuit=calm).open_until == 80.0, "as the first one"


def test_a_probe_that_never_comes_back_is_given_up_after_the_base_time() -> None:
    probing, _ = failed(5).asked(30.0, RULE)
    assert not probing.asked(59.9, RULE)[1]
    assert probing.asked(60.0, RULE)[1]


def test_what_comes_late_from_before_an_ejection_changes_nothing() -> None:
    circuit = failed(5)
    assert circuit.succeeded(1.0, RULE) == circuit
    assert circuit.failed(1.0, RULE) == circuit
    assert circuit.succeeded(31.0, RULE) == circuit, "half-open, but no probe was sent"


@pytest.mark.parametrize(
    ("ejected", "of", "percent", "may"),
    [(0, 1, 10, True), (0, 10, 0, True), (1, 10, 10, False), (1, 10, 11, True), (4, 10, 50, True), (5, 10, 50, False)],
)
def test_one_of_a_group_may_always_be_ejected_and_more_up_to_a_percentage(
    ejected: int, of: int, percent: int, may: bool
) -> None:
    group = [failed(5)] * ejected + [Circuit()] * (of - ejected)
    assert may_eject(group, BreakerRule(max_ejection_percent=percent)) is may


def test_where_too_many_are_out_the_next_stays_in_and_counts_anew() -> None:
    circuit = failed(4).failed(0.0, RULE, may_eject=False)
    assert (circuit.state(0.0), circuit.failures) == ("closed", 0)


EVENTS = st.lists(st.tuples(st.sampled_from(["ask", "succeed", "fail"]), st.floats(0, 100)), max_size=80)


@given(EVENTS)
def test_whatever_happens_a_circuit_opens_again_in_bounded_time_and_only_failures_eject(
    events: list[tuple[str, float]],
) -> None:
    circuit, now = Circuit(), 0.0
    for kind, wait in events:
        now += wait
        before = circuit
        if kind == "ask":
            circuit, passes = circuit.asked(now, RULE)
            assert passes or before.state(now) != "closed", "a closed circuit lets everything through"
            assert not (passes and before.state(now) == "open"), "an open one lets nothing through"
        else:
            circuit = circuit.succeeded(now, RULE) if kind == "succeed" else circuit.failed(now, RULE)
        if circuit.open_until is not None:
            assert circuit.open_until - now <= RULE.max_ejection_s
            assert circuit.open_until == before.open_until or kind == "fail"
        assert 0 <= circuit.failures < RULE.consecutive_failures
        assert circuit.ejections >= 0


@given(EVENTS)
def test_a_half_open_circuit_has_one_probe_under_way_at_most(events: list[tuple[str, float]]) -> None:
    circuit, now, probed = failed(5), 30.0, False
    for kind, _ in events:
        if kind == "ask":
            circuit, passes = circuit.asked(now, RULE)
            assert not (passes and probed)
            probed = probed or passes


class TestBreaker:
    """The shell around circuits that threads share."""

    def test_a_failing_upstream_is_left_alone_and_tried_again(self) -> None:
        watch, told = Watch(), list[tuple[str, str]]()
        breaker = Breaker(["store"], clock=watch, on_state=lambda name, state: told.append((name, state)))
        calls = []

        def broken() -> None:
            calls.append(1)
            raise EngineError("The store is down")

        for _ in range(5):
            with pytest.raises(EngineError):
                breaker.call("store", broken)
        with pytest.raises(UnavailableError) as caught:
            breaker.call("store", broken)
        assert (len(calls), caught.value.retry_after_s) == (5, 30.0)
        watch.now = 30.0
        assert breaker.call("store", lambda: "here again") == "here again"
        assert told == [("store", "open"), ("store", "half-open"), ("store", "closed")]
        assert breaker.states() == {"store": "closed"}

    def test_a_wrong_request_says_nothing_about_the_upstream(self) -> None:
        breaker = Breaker(["store"], clock=Watch())

        def wrong() -> None:
            raise BadRequestError("Unknown entity")

        for _ in range(20):
            with pytest.raises(BadRequestError):
                breaker.call("store", wrong)
        assert breaker.allows("store")

    def test_the_upstreams_of_a_group_are_not_all_ejected(self) -> None:
        names = [f"worker {number}" for number in range(3)]
        breaker = Breaker(names, rule=BreakerRule(max_ejection_percent=50), clock=Watch())
        for name in names:
            for _ in range(5):
                breaker.failed(name)
        assert sorted(breaker.states().values()) == ["closed", "open", "open"]

    def test_of_many_threads_one_sends_the_probe(self) -> None:
        watch = Watch()
        breaker = Breaker(["model"], clock=watch)
        for _ in range(5):
            breaker.failed("model")
        watch.now = 30.0
        passed: list[bool] = []
        threads = [Thread(target=lambda: passed.append(breaker.allows("model"))) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(passed) == 1

    def test_an_error_that_is_no_failure_of_the_upstream_passes_and_leaves_no_probe_behind(self) -> None:
        breaker = Breaker(["model"], rule=BreakerRule(consecutive_failures=1), clock=Watch())
        with pytest.raises(ServingError):
            breaker.call("model", lambda: (_ for _ in ()).throw(ServingError("no answer")))
        assert breaker.states() == {"model": "open"}
