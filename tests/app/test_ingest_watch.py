"""A watch looks when files are due, goes on when something fails, and ends when the bell rings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from keelway.app.ingest_watch import EVERY_S, FIRST_PAUSE_S, LONGEST_PAUSE_S, Turn, next_look, watch
from keelway.core import SimulatedClock, parse_time
from keelway.errors import ConflictError, ContractError, IntegrityError, KeelwayError, SourceError, StorageError
from keelway.project import Dataset

NINE = parse_time("2026-03-02T09:00:00Z")
HOURLY = Dataset("orders", contract="orders.yaml", source="raw/*.csv", event_time="at", schedule="5 * * * *")
LOOSE = replace(HOURLY, name="visits", schedule="")


@dataclass
class Shore:
    """A bell, a clock that moves while one waits, and files that arrive at set times."""

    clock: SimulatedClock = field(default_factory=lambda: SimulatedClock(NINE))
    until: datetime = NINE + timedelta(hours=4)
    files: list[datetime] = field(default_factory=list)
    looks: list[tuple[str, str]] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    trouble: Callable[[str, datetime], KeelwayError | None] = lambda name, now: None
    rang: bool = False

    def is_set(self) -> bool:
        return self.rang

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        wake = self.clock.now() + timedelta(seconds=timeout)
        self.rang = self.rang or wake > self.until
        if not self.rang:
            self.clock.set(wake)
        return self.rang

    def ingest(self, name: str) -> Any:
        now = self.clock.now()
        self.looks.append((name, f"{now:%H:%M:%S}"))
        error = self.trouble(name, now)
        if error is not None:
            raise error
        came = [moment for moment in self.files if moment <= now]
        return SimpleNamespace(freshness=SimpleNamespace(newest_file=max(came, default=None)))

    def watch(self, *datasets: Dataset, every_s: float | None = None) -> list[str]:
        """Watch until the end of the day and return the times of the looks."""
        watch(datasets, ingest=self.ingest, every_s=every_s, clock=self.clock, bell=self, told=self.turns.append)
        return [time for _, time in self.looks]


def at(text: str) -> datetime:
    return parse_time(f"2026-03-02T{text}Z")


# --- when -------------------------------------------------------------------------------------------------------------


def test_a_scheduled_dataset_is_looked_at_at_once_and_when_files_are_due() -> None:
    shore = Shore(files=[at("09:04"), at("10:04"), at("11:04"), at("12:04")], until=at("12:30"))
    shore.files.append(at("08:05"))
    assert shore.watch(HOURLY) == ["09:00:00", "09:05:00", "10:05:00", "11:05:00", "12:05:00"]


def test_a_file_has_time_to_settle() -> None:
    shore = Shore(files=[at("08:04"), at("09:04"), at("10:04")], until=at("10:30"))
    assert shore.watch(replace(HOURLY, settle_s=120)) == ["09:00:00", "09:07:00", "10:07:00"]


def test_a_missing_file_is_looked_for_until_its_grace_is_over_and_then_at_the_next_due_time() -> None:
    shore = Shore(files=[at("08:04")], until=at("10:30"))
    assert shore.watch(HOURLY) == [
        "09:00:00", "09:05:00", "09:10:01", "09:15:02", "09:20:03", "10:05:00", "10:10:01", "10:15:02", "10:20:03"
    ]  # fmt: skip


def test_a_file_that_comes_late_is_taken_within_minutes() -> None:
    shore = Shore(files=[at("08:04"), at("09:08")], until=at("09:59"))
    assert shore.watch(HOURLY) == ["09:00:00", "09:05:00", "09:10:01"]


def test_without_a_schedule_it_looks_every_minute() -> None:
    assert Shore(until=at("09:03")).watch(LOOSE) == ["09:00:00", "09:01:00", "09:02:00", "09:03:00"]
    assert EVERY_S == 60.0


@pytest.mark.parametrize("dataset", [HOURLY, LOOSE], ids=["scheduled", "not scheduled"])
def test_every_so_many_seconds_overrides_the_schedule(dataset: Dataset) -> None:
    assert Shore(until=at("09:01")).watch(dataset, every_s=20) == ["09:00:00", "09:00:20", "09:00:40", "09:01:00"]


def test_several_datasets_each_have_their_time_and_the_first_goes_first() -> None:
    shore = Shore(files=[at("08:05"), at("09:04")], until=at("09:06"))
    shore.watch(HOURLY, LOOSE)
    assert shore.looks[:3] == [("orders", "09:00:00"), ("visits", "09:00:00"), ("visits", "09:01:00")]
    assert [name for name, time in shore.looks if time == "09:05:00"] == ["orders", "visits"]


def test_no_dataset_is_nothing_to_watch() -> None:
    assert Shore().watch() == []


@pytest.mark.parametrize(
    ("newest", "now", "expected"),
    [
        pytest.param("08:04", "08:06", "09:05:00", id="it came"),
        pytest.param("07:04", "08:06", "08:11:01", id="it is missing"),
        pytest.param("07:04", "08:40", "09:05:00", id="its grace is over"),
        pytest.param(None, "08:06", "08:11:01", id="none ever came"),
        pytest.param("08:04", "08:05", "09:05:00", id="it came early"),
    ],
)
def test_the_next_look(newest: str | None, now: str, expected: str) -> None:
    found = next_look(HOURLY, newest_file=at(newest) if newest else None, now=at(now), every_s=None)
    assert found == at(expected)


# --- trouble ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", [SourceError, ContractError, ConflictError, StorageError], ids=lambda kind: kind.__name__
)
def test_what_may_pass_is_told_and_tried_again_after_growing_pauses(kind: type[KeelwayError]) -> None:
    shore = Shore(trouble=lambda _, now: kind("No answer", found="500", fix="Wait.") if now < at("09:02") else None)
    shore.until = at("09:03:35")
    assert shore.watch(LOOSE) == ["09:00:00", "09:00:05", "09:00:15", "09:00:35", "09:01:15", "09:02:35", "09:03:35"]
    told = [(turn.error, turn.fix, turn.report is None) for turn in shore.turns[:5]]
    assert told == [(f"{kind.__name__}: No answer: found 500", "Wait.", True)] * 5
    assert [turn.error for turn in shore.turns[5:]] == ["", ""]
    assert shore.turns[0].next_at == at("09:00:05")


def test_pauses_have_an_end() -> None:
    shore = Shore(trouble=lambda _, __: SourceError("No answer"), until=NINE + timedelta(days=1))
    shore.watch(LOOSE)
    pauses = [(turn.next_at - turn.at).total_seconds() for turn in shore.turns]
    assert pauses[0] == FIRST_PAUSE_S
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE_S


def test_a_success_begins_the_pauses_anew() -> None:
    shore = Shore(trouble=lambda _, now: SourceError("No") if now.minute % 2 == 0 else None, until=at("09:10"))
    shore.watch(LOOSE)
    first = [turn.next_at - turn.at for before, turn in zip([None, *shore.turns], shore.turns, strict=False)
             if turn.error and (before is None or not before.error)]  # fmt: skip
    assert len(first) > 1
    assert set(first) == {timedelta(seconds=FIRST_PAUSE_S)}


def test_trouble_with_one_dataset_does_not_hold_up_the_other() -> None:
    shore = Shore(trouble=lambda name, _: SourceError("No") if name == "orders" else None, until=at("09:03"))
    shore.watch(replace(LOOSE, name="orders"), LOOSE)
    assert [time for name, time in shore.looks if name == "visits"] == ["09:00:00", "09:01:00", "09:02:00", "09:03:00"]


def test_what_waiting_does_not_mend_ends_the_watch() -> None:
    shore = Shore(trouble=lambda _, __: IntegrityError("A record was altered"))
    with pytest.raises(IntegrityError):
        shore.watch(LOOSE)
    assert len(shore.looks) == 1


# --- the end ----------------------------------------------------------------------------------------------------------


def test_a_bell_that_rang_before_looks_at_nothing() -> None:
    shore = Shore(rang=True)
    assert shore.watch(LOOSE) == []


def test_a_bell_that_rings_while_it_works_ends_the_watch_after_that_look() -> None:
    shore = Shore()

    def ring(_name: str, _now: datetime) -> None:
        shore.rang = True

    shore.trouble = ring
    assert shore.watch(HOURLY, LOOSE) == ["09:00:00"]
    assert len(shore.turns) == 1, "what was done is told"


def test_a_clock_that_stands_still_is_no_endless_hurry() -> None:
    shore = Shore()
    waits: list[float] = []

    def wait(timeout: float | None = None) -> bool:
        waits.append(timeout or 0.0)
        return len(waits) > 3

    shore.wait = wait  # type: ignore[method-assign]
    shore.watch(LOOSE)
    assert waits == [0.0, 60.0, 60.0, 60.0]
