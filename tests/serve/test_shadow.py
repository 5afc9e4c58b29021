"""Shadows score copies of requests: nobody waits for them, nobody gets what they say, and what they miss is counted."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keelway.core import SimulatedClock
from keelway.deploy import ASKED
from keelway.serve import LoadedVersion, RequestTally, Row, ShadowMirror, together
from keelway.serve.loaded import VersionAtHand, assembled
from keelway.serve.shadow import OLDEST_S
from keelway.surfaces.scoring import ScoringApp
from keelway.surfaces.scoring.metrics import ScoringMetrics
from keelway.testing.asgi import AsgiClient, ReadyLog, route_of
from keelway.testing.serving import (
    NOW,
    ONE,
    PROD,
    TWO,
    FixedScorer,
    MemoryLog,
    ScorerShelf,
    ServedTraffic,
    deployment_of,
)

AT = "2026-03-01T00:00:00Z"
ENDS_S = 10.0
WAIT_S, WORK_S = 0.5, 0.02


class Counts:
    """Counts what shadows do, and lets a test wait for it."""

    def __init__(self) -> None:
        self.found: Counter[str] = Counter()
        self._changed = threading.Condition()

    def _add(self, what: str, count: int) -> None:
        with self._changed:
            self.found[what] += count
            self._changed.notify_all()

    def mirrored(self, version: LoadedVersion, count: int, seconds: float) -> None:
        assert seconds >= 0
        assert version.arm == "shadow"
        self._add("mirrored", count)

    def failed(self, version: LoadedVersion, undefined: bool) -> None:
        self._add(f"undefined {version.version}" if undefined else f"failed {version.version}", 1)

    def dropped(self, version: LoadedVersion, count: int) -> None:
        self._add(f"dropped {version.version}", count)

    def wait(self, what: str, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.found[what] >= count, ENDS_S), self.found


class Gate(FixedScorer):
    """Answers only when it is let."""

    def __init__(self) -> None:
        super().__init__(0.75)
        self.may, self.began = threading.Event(), threading.Event()

    def predictions(self, rows: Sequence[Sequence[Any]]) -> list[Any]:
        self.began.set()
        assert self.may.wait(ENDS_S)
        return super().predictions(rows)


class Broken(FixedScorer):
    """Raises what no scorer should."""

    def predictions(self, rows: Sequence[Sequence[Any]]) -> list[Any]:
        raise ValueError(f"cannot do {rows}")


class Timed(Counts):
    """Keeps how long shadows took."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def mirrored(self, version: LoadedVersion, count: int, seconds: float) -> None:
        self.seconds.append(seconds)
        super().mirrored(version, count, seconds)


class Waiting(FixedScorer):
    """Waits, and says whether it waits for another process."""

    def __init__(self, waits: bool) -> None:
        super().__init__(0.75)
        self.waits = waits

    def predictions(self, rows: Sequence[Sequence[Any]]) -> list[Any]:
        time.sleep(WAIT_S)
        return super().predictions(rows)


class Working(FixedScorer):
    """Works for a time of the processor."""

    def predictions(self, rows: Sequence[Sequence[Any]]) -> list[Any]:
        until = time.thread_time() + WORK_S
        while time.thread_time() < until:
            pass
        return super().predictions(rows)


def shadow_of(scorer: FixedScorer) -> tuple[LoadedVersion, ...]:
    deployment = replace(deployment_of(churn_1=100), shadows=(TWO,))
    hands = {
        name: VersionAtHand(name, deployment.versions[ONE], each)
        for name, each in ((ONE, FixedScorer(0.25)), (TWO, scorer))
    }
    return assembled(deployment, hands).shadows


def rows(count: int, text: str = "gold") -> list[Row]:
    return [(f"{number}", NOW, [12.5, text]) for number in range(count)]


@contextmanager
def mirror_of(log: MemoryLog, counts: Counts, **more: Any) -> Iterator[ShadowMirror]:
    mirror = ShadowMirror(log, told=counts, **more)
    mirror.start()
    try:
        yield mirror
    finally:
        mirror.close()


def test_a_shadow_answers_every_row_under_its_own_arm() -> None:
    log, counts = MemoryLog(), Counts()
    with mirror_of(log, counts) as mirror:
        mirror.offer(rows(150), shadow_of(FixedScorer(0.75)), at=AT)
        counts.wait("mirrored", 150)
    assert [line["entity"] for line in log.lines] == [f"{number}" for number in range(150)]
    told = {(line["arm"], line["version"], line["value"], line["event_time"]) for line in log.lines}
    assert told == {("shadow", "churn:2", 0.75, AT)}
    assert len({line["prediction_id"] for line in log.lines}) == 150
    assert mirror.held == 0


def seconds_of(scorer: FixedScorer) -> float:
    counts = Timed()
    with mirror_of(MemoryLog(), counts) as mirror:
        mirror.offer(rows(1), shadow_of(scorer), at=AT)
        counts.wait("mirrored", 1)
    return counts.seconds[0]


def test_a_shadow_is_timed_by_what_it_works_and_not_by_what_it_waits() -> None:
    """Waits for the interpreter are those of a busy server, and not the version's."""
    assert seconds_of(Waiting(waits=False)) < WAIT_S / 2
    assert seconds_of(Working(0.75)) >= WORK_S


def test_where_another_process_works_a_shadow_is_timed_by_what_that_takes() -> None:
    assert seconds_of(Waiting(waits=True)) >= WAIT_S


def test_whoever_offers_never_waits_and_what_is_too_much_is_dropped_and_counted() -> None:
    """The shadow answers nothing until all was offered, so an offer that waited would never come back."""
    gate, counts = Gate(), Counts()
    with mirror_of(MemoryLog(), counts, most_held=60) as mirror:
        shadows = shadow_of(gate)
        mirror.offer(rows(1), shadows, at=AT)
        assert gate.began.wait(ENDS_S)
        for _ in range(20):
            mirror.offer(rows(1), shadows, at=AT)
            assert mirror.held <= 60
        gate.may.set()
        counts.wait("mirrored", 11)
    assert counts.found == {"mirrored": 11, "dropped churn:2": 10}  # each holds two values and four characters


def test_one_request_that_is_too_large_is_dropped_alone() -> None:
    counts = Counts()
    with mirror_of(MemoryLog(), counts, most_held=100) as mirror:
        mirror.offer(rows(1, "x" * 100), shadow_of(FixedScorer(0.75)), at=AT)
        mirror.offer(rows(2), shadow_of(FixedScorer(0.75)), at=AT)
        counts.wait("mirrored", 2)
    assert counts.found["dropped churn:2"] == 1


@pytest.mark.parametrize(
    ("scorer", "what"), [(Broken(0.5), "failed churn:2"), (FixedScorer(float("nan")), "undefined churn:2")]
)
def test_a_shadow_that_cannot_answer_is_counted_and_the_next_is_tried(
    scorer: FixedScorer, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    log, counts = MemoryLog(), Counts()
    with caplog.at_level(logging.WARNING), mirror_of(log, counts) as mirror:
        for _ in range(3):
            mirror.offer(rows(2), shadow_of(scorer), at=AT)
        counts.wait(what, 3)
        mirror.offer(rows(1), shadow_of(FixedScorer(0.5)), at=AT)
        counts.wait("mirrored", 1)
    assert len(log.lines) == 1
    assert len(caplog.records) == 1  # the first of three in a row
    assert "gold" not in caplog.text


def test_of_two_shadows_one_that_fails_harms_nobody() -> None:
    log, counts = MemoryLog(), Counts()
    both = (*shadow_of(Broken(0.5)), *shadow_of(FixedScorer(0.5)))
    with mirror_of(log, counts) as mirror:
        mirror.offer(rows(2), both, at=AT)
        counts.wait("mirrored", 2)
    assert counts.found["failed churn:2"] == 1


def test_a_log_that_takes_nothing_means_that_the_answers_count_as_dropped() -> None:
    log, counts = MemoryLog(), Counts()
    log.full = True
    with mirror_of(log, counts) as mirror:
        mirror.offer(rows(3), shadow_of(FixedScorer(0.5)), at=AT)
        counts.wait("dropped churn:2", 3)
    assert counts.found["mirrored"] == 0


def test_a_copy_that_waited_too_long_never_reaches_a_version_that_may_be_closed() -> None:
    seconds, counts, gate = [0.0], Counts(), Gate()
    clock: Callable[[], float] = lambda: seconds[0]
    old = FixedScorer(0.5)
    with mirror_of(MemoryLog(), counts, clock=clock) as mirror:
        mirror.offer(rows(1), shadow_of(gate), at=AT)
        assert gate.began.wait(ENDS_S)
        mirror.offer(rows(4), shadow_of(old), at=AT)
        seconds[0] = OLDEST_S + 1
        gate.may.set()
        counts.wait("dropped churn:2", 4)
    assert old.rows == 0


def test_what_waits_is_scored_before_the_end_and_nothing_is_taken_after_it() -> None:
    log, counts = MemoryLog(), Counts()
    with mirror_of(log, counts) as mirror:
        for _ in range(50):
            mirror.offer(rows(1), shadow_of(FixedScorer(0.5)), at=AT)
    assert len(log.lines) == 50
    mirror.offer(rows(2), shadow_of(FixedScorer(0.5)), at=AT)
    assert (len(log.lines), counts.found["dropped churn:2"]) == (50, 2)


def test_a_shadow_that_hangs_keeps_no_server_from_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keelway.serve.shadow.DRAIN_S", 0.01)
    gate, counts = Gate(), Counts()
    mirror = ShadowMirror(MemoryLog(), told=counts)
    mirror.start()
    mirror.offer(rows(1), shadow_of(gate), at=AT)
    assert gate.began.wait(ENDS_S)
    mirror.offer(rows(5), shadow_of(gate), at=AT)
    mirror.close()
    assert counts.found == {"dropped churn:2": 5}
    gate.may.set()


class Served:
    """A server with a shadow, asked without a socket."""

    def __init__(self, folder: Path, scorer: FixedScorer) -> None:
        traffic = ServedTraffic(folder)
        traffic.send(churn_1=100)
        self.log, self.tally = ReadyLog(), RequestTally(SimulatedClock(NOW))
        metrics = ScoringMetrics("churn", "prod", tally=self.tally)
        self.route = route_of(traffic, ScorerShelf(churn_1=FixedScorer(0.25)), log=self.log, metrics=metrics)
        loaded = self.route.router.loaded
        self.route.router.loaded = replace(loaded, shadows=shadow_of(scorer))
        self.client = AsgiClient(ScoringApp({"churn": self.route}, clock=SimulatedClock(NOW)))

    def ask(self, path: str = "/predict") -> Any:
        return self.client.post(path, {"entity": "7", "features": {"recency_d": 1.0, "plan": "gold"}})


def test_callers_get_the_answer_while_the_shadow_still_hangs(tmp_path: Path) -> None:
    gate = Gate()
    served = Served(tmp_path, gate)
    served.route.start()
    answers = [served.ask() for _ in range(20)]
    assert {(each.status, each.json["probability"], each.json["arm"]) for each in answers} == {(200, 0.25, "stable")}
    assert {line["arm"] for line in served.log.lines} == {"stable"}
    gate.may.set()
    served.route.close()
    assert Counter(line["arm"] for line in served.log.lines) == {"stable": 20, "shadow": 20}
    figures = served.tally.take("churn", PROD)
    assert figures is not None
    assert figures.requests == 20  # a shadow's work is no request
    arms = together([figures])
    assert {key: (arm.answers, arm.failed, sum(arm.counts)) for key, arm in arms.items()} == {
        (ONE, "stable"): (20, 0, 20),
        (TWO, "shadow"): (20, 0, 20),
    }


def test_what_a_shadow_fails_and_misses_is_a_figure_of_its_arm(tmp_path: Path) -> None:
    served = Served(tmp_path, FixedScorer(float("nan")))
    served.route.start()
    answers = [served.ask() for _ in range(5)]
    served.route.close()
    answers.append(served.ask())  # after the end nothing is mirrored
    assert {each.json["probability"] for each in answers} == {0.25}
    figures = served.tally.take("churn", PROD)
    assert figures is not None
    shadow = together([figures])[TWO, "shadow"]
    assert (shadow.answers, shadow.failed, shadow.undefined, shadow.dropped) == (0, 5, 5, 1)
    text = served.client.get("/metrics").body.decode()
    assert 'keelway_shadow_dropped_rows_total{environment="prod",model="churn",version="churn:2"} 1.0' in text


def test_a_caller_who_names_a_version_is_not_mirrored(tmp_path: Path) -> None:
    served = Served(tmp_path, FixedScorer(0.5))
    served.route.start()
    only = served.route.only(served.route.router.loaded, "1")
    served.route.answers(rows(3), only, now=NOW)
    served.route.close()
    assert {line["arm"] for line in served.log.lines} == {ASKED}
