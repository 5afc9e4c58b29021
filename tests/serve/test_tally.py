"""Requests are counted by arm, kept as observations, and nothing counted is lost while the state is down."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.core import SimulatedClock, VersionName, digest_bytes
from keelway.engines.sql import SqlState
from keelway.errors import StorageError
from keelway.ledger import Transaction
from keelway.serve import (
    LineWriter,
    LoadedDeployment,
    LoadedVersion,
    RequestFigures,
    RequestSchema,
    RequestTally,
    TallyKeeper,
    WriterParts,
    request_figures,
    together,
)
from keelway.serve.tally import (
    FIRST_READ,
    GROWTH,
    KEEP_EVERY_S,
    KEEP_FIRST_S,
    KEEP_TRIAL_EVERY_S,
    LARGEST_BIN,
    SHORTEST_S,
    latency_bin,
    latency_of,
)
from keelway.testing.serving import FEATURES, NOW, ONE, PROD, TWO, FixedScorer, deployment_of

MINUTE = timedelta(minutes=1)


def loaded(name: VersionName, arm: str) -> LoadedVersion:
    digest = digest_bytes(name.encode())
    schema = RequestSchema(FEATURES)
    writer = LineWriter(WriterParts(
        model="churn", version=name, version_digest=digest, deployment=digest, environment=PROD, arm=arm, features=schema.names
    ))  # fmt: skip
    return LoadedVersion(name, digest, arm, FixedScorer(0.5), schema, writer)


STABLE, CANARY = loaded(ONE, "stable"), loaded(TWO, "canary")


class Shaky:
    """A state that is down while `down` is set."""

    def __init__(self, inner: SqlState) -> None:
        self.inner, self.down = inner, False

    def transaction(self) -> AbstractContextManager[Transaction]:
        if self.down:
            raise StorageError("The state is down")
        return self.inner.transaction()

    def snapshot(self) -> AbstractContextManager[Transaction]:
        return self.inner.snapshot()

    def close(self) -> None:
        self.inner.close()


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Shaky]:
    made = Shaky(SqlState(f"sqlite:///{tmp_path / 'state.db'}"))
    yield made
    made.close()


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock(NOW)


def keeper_of(state: Shaky, tally: RequestTally, clock: SimulatedClock) -> TallyKeeper:
    return TallyKeeper("churn", PROD, tally=tally, state=state, clock=clock)


@given(st.floats(min_value=SHORTEST_S, max_value=1000))
def test_a_latency_is_known_to_a_tenth_of_itself(seconds: float) -> None:
    upper = latency_of(latency_bin(seconds))
    assert seconds <= upper * (1 + 1e-9)
    assert upper <= seconds * GROWTH * (1 + 1e-9)


@given(st.lists(st.floats(min_value=0, max_value=1e12, allow_nan=False), min_size=2, max_size=2))
def test_longer_is_never_in_an_earlier_bin(pair: list[float]) -> None:
    short, long = sorted(pair)
    assert 0 <= latency_bin(short) <= latency_bin(long) <= LARGEST_BIN


def test_what_is_kept_says_how_each_arm_answered(state: Shaky, clock: SimulatedClock) -> None:
    tally = RequestTally(clock)
    for seconds in (0.001, 0.001, 0.1):
        tally.answered(STABLE, 2, [seconds])
        tally.requested(200)
    tally.answered(CANARY, 1, [0.002])
    tally.requested(200)
    tally.failed(CANARY)
    tally.requested(502)
    tally.requested(422)
    tally.shed()
    tally.requested(503)
    clock.advance(MINUTE)
    keeper_of(state, tally, clock).keep()

    with state.snapshot() as tx:
        (figures,) = request_figures("churn", PROD, since=NOW, tx=tx)
        assert request_figures("churn", "dev", since=NOW, tx=tx) == []
    assert (figures.since, figures.until) == (NOW, NOW + MINUTE)
    assert (figures.requests, figures.failed, figures.shed) == (7, 2, 1)
    stable, canary = figures.arms
    assert (stable.version, stable.arm, stable.answers, stable.failed) == (ONE, "stable", 6, 0)
    assert (stable.bins, stable.counts) == ((latency_bin(0.001), latency_bin(0.1)), (2, 1))
    assert (canary.answers, canary.failed, canary.counts) == (1, 1, (1,))


def test_answers_that_were_no_number_are_told_from_other_failures(clock: SimulatedClock) -> None:
    tally = RequestTally(clock)
    for undefined in (True, False, True):
        tally.failed(CANARY, undefined=undefined)
    first = tally.take("churn", PROD)
    tally.failed(CANARY, undefined=True)
    second = tally.take("churn", PROD)
    assert first is not None
    assert second is not None
    assert (first.arms[0].failed, first.arms[0].undefined) == (3, 2)
    (both,) = together([first, second]).values()
    assert (both.failed, both.undefined) == (4, 3)


def test_rows_of_a_batch_are_counted_without_a_time_and_add_up(state: Shaky, clock: SimulatedClock) -> None:
    tally = RequestTally(clock)
    tally.scored(CANARY, 500)
    tally.answered(CANARY, 1, [0.002])
    tally.dropped(CANARY, 3)
    keeper_of(state, tally, clock).keep()
    tally.scored(CANARY, 20)
    tally.dropped(CANARY, 4)
    keeper_of(state, tally, clock).keep()
    with state.snapshot() as tx:
        kept = request_figures("churn", PROD, since=NOW, tx=tx)
    (both,) = together(kept).values()
    assert (both.answers, both.unclocked, sum(both.counts), both.dropped) == (521, 520, 1, 7)
    assert sum(each.requests for each in kept) == 0, "a batch takes nothing of an error budget"


def test_figures_are_found_however_many_were_kept_since(state: Shaky) -> None:
    total = 2 * FIRST_READ
    with state.transaction() as tx:
        for minute in range(total):
            at = NOW + minute * MINUTE
            figures = RequestFigures("churn", PROD, at, at + MINUTE, 1, 0, 0, ())
            tx.insert(f"prod/churn/{minute:05d}", figures, parent="prod/churn", at=figures.until)
    with state.snapshot() as tx:
        for wanted in (0, 1, FIRST_READ - 1, FIRST_READ, total):
            found = request_figures("churn", PROD, since=NOW + (total - wanted) * MINUTE, tx=tx)
            assert len(found) == wanted


def test_a_span_without_requests_keeps_nothing_and_counting_begins_anew(state: Shaky, clock: SimulatedClock) -> None:
    tally = RequestTally(clock)
    keeper = keeper_of(state, tally, clock)
    clock.advance(MINUTE)
    keeper.keep()
    tally.requested(200)
    clock.advance(MINUTE)
    keeper.keep()
    keeper.keep()
    with state.snapshot() as tx:
        (figures,) = request_figures("churn", PROD, since=NOW, tx=tx)
        assert request_figures("churn", PROD, since=NOW + MINUTE + MINUTE, tx=tx) == []
    assert (figures.since, figures.requests) == (NOW + MINUTE, 1)


def test_figures_wait_while_the_state_is_down(
    state: Shaky, clock: SimulatedClock, caplog: pytest.LogCaptureFixture
) -> None:
    tally = RequestTally(clock)
    keeper = keeper_of(state, tally, clock)
    state.down = True
    for _ in range(2):
        tally.requested(200)
        keeper.keep()
        clock.advance(MINUTE)
    assert "wait to be kept" in caplog.text
    state.down = False
    keeper.start()
    keeper.close()
    with state.snapshot() as tx:
        assert [figures.requests for figures in request_figures("churn", PROD, since=NOW, tx=tx)] == [1, 1]


def kept_at(
    keeper: TallyKeeper, tally: RequestTally, state: Shaky, versions: list[LoadedVersion], turns: int
) -> list[int]:
    """Return after how many seconds figures were kept, while these versions answer."""
    found, before = [], 0
    for turn in range(1, turns + 1):
        for version in versions:
            tally.answered(version, 1, [0.001])
        keeper.turn()
        with state.snapshot() as tx:
            count = tx.count(RequestFigures, parent="prod/churn")
        if count > before:
            found.append(int(turn * KEEP_FIRST_S))
        before = count
    return found


def test_figures_of_a_trial_are_kept_often_at_first_and_never_more_than_a_minute_late(
    state: Shaky, clock: SimulatedClock
) -> None:
    tally = RequestTally(clock)
    found = kept_at(keeper_of(state, tally, clock), tally, state, [STABLE, CANARY], 300)
    assert found[:4] == [5, 10, 15, 20]
    gaps = [later - earlier for earlier, later in pairwise(found)]
    assert gaps == sorted(gaps)
    assert all(gap <= at / 9 + KEEP_FIRST_S for gap, at in zip(gaps, found, strict=False))
    assert gaps[-1] == KEEP_TRIAL_EVERY_S


def test_figures_of_one_arm_are_kept_every_five_minutes(state: Shaky, clock: SimulatedClock) -> None:
    tally = RequestTally(clock)
    assert kept_at(keeper_of(state, tally, clock), tally, state, [STABLE], 120) == [KEEP_EVERY_S, 2 * KEEP_EVERY_S]


def test_another_deployment_begins_a_span_and_what_was_before_is_kept_with_the_next_turn(
    state: Shaky, clock: SimulatedClock
) -> None:
    tally = RequestTally(clock)
    keeper = keeper_of(state, tally, clock)
    tally.answered(STABLE, 1, [0.001])
    clock.advance(MINUTE)
    keeper.switched(LoadedDeployment(deployment_of(churn_1=90, churn_2=10), {}))
    tally.answered(CANARY, 1, [0.001])
    clock.advance(MINUTE)
    keeper.turn()
    with state.snapshot() as tx:
        later, earlier = request_figures("churn", PROD, since=NOW, tx=tx)
    assert (earlier.since, earlier.until, earlier.arms[0].arm) == (NOW, NOW + MINUTE, "stable")
    assert (later.since, later.until, later.arms[0].arm) == (NOW + MINUTE, NOW + 2 * MINUTE, "canary")


def test_an_arm_of_two_deployments_is_counted_for_each(clock: SimulatedClock) -> None:
    tally, before, after = RequestTally(clock), digest_bytes(b"before"), digest_bytes(b"after")
    tally.answered(replace(STABLE, deployment=before), 2, [0.001])
    tally.answered(replace(STABLE, deployment=after), 3, [0.001])
    tally.failed(replace(STABLE, deployment=before))
    figures = tally.take("churn", PROD)
    assert figures is not None
    assert {arm.deployment: (arm.answers, arm.failed) for arm in figures.arms} == {before: (2, 1), after: (3, 0)}
    assert together([figures])[ONE, "stable"].answers == 5
    only = together([figures], counts=lambda _span, arm: arm.deployment == after)
    assert (only[ONE, "stable"].answers, only[ONE, "stable"].failed) == (3, 0)


def test_spans_and_processes_add_up(state: Shaky, clock: SimulatedClock) -> None:
    for seconds in (0.001, 0.5):
        tally = RequestTally(clock)
        tally.answered(STABLE, 1, [seconds])
        tally.answered(STABLE, 1, [0.001])
        tally.failed(STABLE)
        tally.requested(200)
        keeper_of(state, tally, clock).keep()
    with state.snapshot() as tx:
        found = together(request_figures("churn", PROD, since=NOW, tx=tx))
    arm = found[ONE, "stable"]
    assert (arm.answers, arm.failed) == (4, 2)
    assert dict(zip(arm.bins, arm.counts, strict=True)) == {latency_bin(0.001): 3, latency_bin(0.5): 1}
    assert together([]) == {}


def test_threads_lose_no_request(clock: SimulatedClock) -> None:
    tally = RequestTally(clock)

    def ask() -> None:
        for _ in range(2_000):
            tally.answered(STABLE, 1, [0.001])
            tally.requested(200)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    figures = tally.take("churn", PROD)
    assert figures is not None
    assert (figures.requests, figures.arms[0].answers, figures.arms[0].counts) == (8_000, 8_000, (8_000,))
