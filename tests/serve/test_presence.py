"""What a serving process says of itself: at once where it is new, else seldom, and again when the state is back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.core import SimulatedClock
from keelway.deploy import Deployment, ObservedReplica
from keelway.engines.sql import SqlState
from keelway.errors import StorageError
from keelway.ledger import Transaction
from keelway.serve import Heartbeat, Presence, ReplicaReport, present_replicas
from keelway.testing.serving import NOW, PROD, deployment_of


class FlakyState(SqlState):
    """A state that takes nothing while it is away."""

    is_away = False

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        if self.is_away:
            raise StorageError("The state is away")
        with super().transaction() as tx:
            yield tx


class Place:
    """A state, a clock, and one process."""

    def __init__(self, folder: Path) -> None:
        self.state = FlakyState(f"sqlite:///{folder / 'state.db'}")
        self.clock = SimulatedClock(NOW)
        self.process = self.another()

    def another(self, replica: str = "web-1:8080") -> Presence:
        return Presence(replica, "churn", PROD, state=self.state, clock=self.clock)

    def reports(self) -> list[ReplicaReport]:
        with self.state.snapshot() as tx:
            return tx.between(ReplicaReport, parent="prod/churn")

    def beats(self) -> list[Heartbeat]:
        with self.state.snapshot() as tx:
            return tx.between(Heartbeat, parent="prod/churn")

    def seen(self) -> tuple[ObservedReplica, ...]:
        with self.state.snapshot() as tx:
            return present_replicas("churn", PROD, now=self.clock.now(), tx=tx)

    def close(self) -> None:
        self.state.close()

    def say(self, number: int = 1, problem: str = "", *, seconds: float = 1) -> None:
        self.process.say(numbered(number), problem)
        self.clock.advance(timedelta(seconds=seconds))


def numbered(number: int) -> Deployment:
    return replace(deployment_of(churn_1=100), number=number)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.close()


def test_what_stays_the_same_is_kept_every_half_hour_and_a_heartbeat_every_minute_between(place: Place) -> None:
    for _ in range(241):
        place.say(seconds=15)
    assert [report.at - NOW for report in place.reports()] == [timedelta(minutes=30 * each) for each in (0, 1, 2)]
    assert [beat.at - NOW for beat in place.beats()] == [timedelta(minutes=each) for each in range(1, 60) if each != 30]
    assert {beat.process for beat in place.beats()} == {place.reports()[0].process}


@pytest.mark.parametrize(("seconds", "is_silent"), [(59, False), (210, False), (211, True)])
def test_one_that_missed_three_heartbeats_is_silent_since_the_last(
    place: Place, seconds: int, *, is_silent: bool
) -> None:
    for _ in range(121):
        place.say()
    last = place.beats()[-1].at
    place.clock.advance(timedelta(seconds=seconds - 1))
    [seen] = place.seen()
    assert (seen.silent_since, seen.deployment) == (last if is_silent else None, 1)
    assert bool(seen.problem) == is_silent


@given(lasted=st.integers(0, 4_000), silent_for=st.integers(211, 17_000))
def test_the_moment_of_the_last_word_is_told_exactly_however_long_ago(lasted: int, silent_for: int) -> None:
    with TemporaryDirectory() as folder, contextlib.closing(Place(Path(folder))) as place:
        for _ in range(lasted // 40 + 1):
            place.say(seconds=40)
        last = max(each.at for each in (*place.beats(), *place.reports()))
        place.clock.advance(timedelta(seconds=silent_for))
        assert place.seen()[0].silent_since == last


def test_one_that_speaks_again_is_silent_no_more(place: Place) -> None:
    place.say(1, "the state is away")
    place.state.is_away = True
    for _ in range(240):
        place.say(1, "the state is away")
    [seen] = place.seen()
    assert seen.silent_since == NOW
    assert seen.problem.startswith("silent since 2026-03-01T00:00:00Z: killed, or cut off from the state")
    assert seen.problem.endswith("; the state is away")
    place.state.is_away = False
    place.say(1)
    assert place.seen() == (ObservedReplica("web-1:8080", 1, NOW),)


def test_one_of_an_earlier_release_is_judged_by_its_own_period(place: Place) -> None:
    def said(minutes: int) -> None:
        report = ReplicaReport("churn", PROD, "old:1", "p", 1, NOW, "", NOW + timedelta(minutes=minutes))
        with place.state.transaction() as tx:
            tx.insert(f"prod/churn/{minutes}", report, parent="prod/churn", at=report.at)

    said(0)
    said(5)
    for minutes, expected in ((20, None), (21, NOW + timedelta(minutes=5))):
        place.clock.set(NOW + timedelta(minutes=minutes))
        assert [each.silent_since for each in place.seen()] == [expected]


def test_a_clock_that_is_ahead_is_told_and_one_a_little_apart_is_not(place: Place) -> None:
    place.clock.advance(timedelta(seconds=90))
    place.say()
    for behind, problem in ((30, ""), (31, "its clock is 31 s ahead of this one")):
        with place.state.snapshot() as tx:
            [seen] = present_replicas("churn", PROD, now=place.clock.now() - timedelta(seconds=1 + behind), tx=tx)
        assert (seen.problem, seen.silent_since) == (problem, None)


def test_another_deployment_is_kept_at_once_with_the_moment_it_began(place: Place) -> None:
    place.say(1, seconds=7)
    place.say(2)
    place.say(2)
    assert [(report.deployment, report.since - NOW) for report in place.reports()] == [
        (1, timedelta(0)),
        (2, timedelta(seconds=7)),
    ]
    assert place.seen() == (ObservedReplica("web-1:8080", 2, NOW + timedelta(seconds=7)),)


def test_a_problem_is_kept_when_it_comes_and_goes_and_seldom_while_its_words_change(place: Place) -> None:
    place.say()
    for megabytes in range(120):
        place.say(1, f"does not fit: found {megabytes} MB")
    assert len(place.reports()) == 1 + 4
    assert place.seen()[0].problem == "does not fit: found 90 MB"
    place.say()
    assert place.seen()[0].problem == ""


def test_what_the_state_did_not_take_is_said_again(place: Place) -> None:
    place.state.is_away = True
    place.say(1)
    assert place.reports() == []
    place.say(2)
    place.state.is_away = False
    place.say(2)
    assert [(report.deployment, report.since - NOW) for report in place.reports()] == [(2, timedelta(seconds=1))]


def test_one_that_never_said_anything_ends_silently(place: Place) -> None:
    place.process.close()
    assert place.reports() == []


def test_processes_stand_beside_each_other_by_name(place: Place) -> None:
    other = place.another("web-2:8080")
    other.say(numbered(1), "")
    place.say(2)
    assert [(replica.name, replica.deployment) for replica in place.seen()] == [("web-1:8080", 2), ("web-2:8080", 1)]
    other.close()
    assert [replica.name for replica in place.seen()] == ["web-1:8080"]
