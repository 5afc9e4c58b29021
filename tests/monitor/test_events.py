"""Business events are taken in exactly once, and a stream knows how far it is complete."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.core import Action, BusinessEvent, PrincipalId
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.sql import SqlState
from keelway.errors import DataError, UsageError
from keelway.ledger import decisions
from keelway.monitor import EventBatch, events_complete_until, read_events, record_events
from keelway.testing.memory import memory_folder
from keelway.testing.serving import NOW

BOT, DAY = PrincipalId("sp:till"), timedelta(days=1)


def bought(entity: str, amount: float = 5.0, *, hours: float = 0, event_id: str = "") -> BusinessEvent:
    at = NOW + timedelta(hours=hours)
    return BusinessEvent("purchases", entity, amount, at, at, event_id)


class Till:
    def __init__(self, folder: Path) -> None:
        self.state, self.artifacts = SqlState(f"sqlite:///{folder / 'state.db'}"), LocalArtifacts(folder / "store")

    def record(self, *events: BusinessEvent, **more: Any) -> EventBatch | None:
        given = {"state": self.state, "artifacts": self.artifacts, "now": NOW + 30 * DAY, "actor": BOT} | more
        return record_events(events, "purchases", **given)

    @property
    def known(self) -> list[BusinessEvent]:
        with self.state.snapshot() as tx:
            return read_events(tx, self.artifacts, "purchases")

    @property
    def complete_until(self) -> Any:
        with self.state.snapshot() as tx:
            return events_complete_until(tx, "purchases")


@pytest.fixture
def till(tmp_path: Path) -> Iterator[Till]:
    made = Till(tmp_path)
    yield made
    made.state.close()


def test_the_same_event_again_changes_nothing(till: Till) -> None:
    first = till.record(bought("a"), bought("b", hours=1))
    assert (first.count, first.number, first.complete_until) == (2, 1, NOW + timedelta(hours=1))
    assert till.record(bought("b", hours=1), bought("a")) is None
    assert till.record(bought("a"), bought("c", hours=2)).count == 1
    assert [event.entity for event in till.known] == ["a", "b", "c"]
    with till.state.snapshot() as tx:
        assert [each.action for _, each in decisions(tx)] == [Action.LOG_OUTCOMES] * 2


def test_another_amount_for_a_known_event_is_refused_and_nothing_is_written(till: Till) -> None:
    till.record(bought("a"))
    with pytest.raises(DataError, match="cannot be taken") as caught:
        till.record(bought("z"), bought("a", 6.0))
    assert "a at 2026-03-01T00:00:00Z has the amount 6, had 5" in caught.value.found
    assert "event_id" in caught.value.fix
    assert [event.entity for event in till.known] == ["a"]


def test_events_of_an_entity_at_one_time_are_told_apart_by_their_ids(till: Till) -> None:
    assert till.record(bought("a", 5, event_id="1"), bought("a", 6, event_id="2")).count == 2
    with pytest.raises(DataError, match="cannot be taken"):  # the same event at another time
        till.record(bought("a", 5, hours=1, event_id="1"))


@pytest.mark.parametrize("amount", [math.nan, math.inf, -math.inf])
def test_an_amount_is_a_finite_number(till: Till, amount: float) -> None:
    with pytest.raises(DataError, match="finite"):
        till.record(bought("a", amount))


def test_an_event_of_another_stream_is_refused(till: Till) -> None:
    with pytest.raises(DataError, match="cannot be taken"):
        till.record(replace(bought("a"), stream="visits"))


def test_a_stream_has_a_name(till: Till) -> None:
    with pytest.raises(UsageError, match="not a name for a stream"):
        record_events([], "../x", state=till.state, artifacts=till.artifacts, now=NOW, actor=BOT)


def test_a_stream_that_nobody_recorded_is_complete_until_never(till: Till) -> None:
    assert (till.record(), till.complete_until, till.known) == (None, None, [])


def test_that_nothing_happened_can_be_recorded(till: Till) -> None:
    assert till.record(complete_until=NOW + DAY).count == 0
    assert till.complete_until == NOW + DAY
    assert till.record(complete_until=NOW) is None  # it reaches further already
    till.record(bought("a", hours=1), complete_until=NOW + timedelta(hours=2))
    assert till.complete_until == NOW + DAY


def test_the_future_cannot_be_recorded(till: Till) -> None:
    with pytest.raises(DataError, match="future"):
        till.record(bought("a"), complete_until=NOW + DAY, now=NOW)
    with pytest.raises(DataError, match="future"):
        till.record(bought("a", hours=5), now=NOW)
    with pytest.raises(DataError, match="future"):
        till.record(bought("a", hours=5), complete_until=NOW, now=NOW)
    assert till.complete_until is None


@given(st.lists(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 4)), max_size=5), max_size=5))
def test_however_batches_overlap_each_event_is_there_once(batches: list[list[tuple[str, int]]]) -> None:
    with memory_folder() as folder:
        till = Till(folder)
        for batch in batches:
            till.record(*(bought(entity, hours, hours=hours) for entity, hours in batch))
        wanted = {(entity, hours) for batch in batches for entity, hours in batch}
        assert sorted((event.entity, int(event.amount)) for event in till.known) == sorted(wanted)
        till.state.close()
