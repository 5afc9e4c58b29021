"""What a serving process says of itself: at once where it is new, else seldom, and again when the state is back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from keelway.core import SimulatedClock
from keelway.deploy import Deployment, ObservedReplica
from keelway.engines.sql import SqlState
from keelway.errors import StorageError
from keelway.ledger import Transaction
from keelway.serve import Presence, ReplicaReport, present_replicas
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

    def seen(self) -> tuple[ObservedReplica, ...]:
        with self.state.snapshot() as tx:
            return present_replicas("churn", PROD, now=self.clock.now(), tx=tx)

    def say(self, number: int = 1, problem: str = "", *, seconds: float = 1) -> None:
        self.process.say(numbered(number), problem)
        self.clock.advance(timedelta(seconds=seconds))


def numbered(number: int) -> Deployment:
    return replace(deployment_of(churn_1=100), number=number)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.state.close()


def test_what_stays_the_same_is_kept_every_five_minutes(place: Place) -> None:
    for _ in range(601):
        place.say()
    assert [report.at - NOW for report in place.reports()] == [timedelta(minutes=5 * each) for each in (0, 1, 2)]


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
