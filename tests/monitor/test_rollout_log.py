"""Evidence from records as they are kept: sealed segments, tallies, outcomes and events in a real state and store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from keelway.core import BusinessEvent, Digest, Outcome, PrincipalId, digest_of
from keelway.deploy import CANARY, STABLE, Deployment
from keelway.deploy.analysis import RateCounts, judge
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.sql import SqlState
from keelway.errors import ErasedError
from keelway.monitor import SegmentCache, record_events, record_outcomes
from keelway.monitor.rollout import evidence_of, rollout_readings
from keelway.monitor.rollout.log import COLUMNS, rollout_columns, sealed_columns
from keelway.project import Analysis, BusinessMetric, Guardrail, Metric
from keelway.serve import ArmRequests, RequestFigures
from keelway.serve.segment import SealingPorts
from keelway.serve.tally import keep_figures
from keelway.testing.rollouts import canary_deployment, latency_bins, seal_answers
from keelway.testing.serving import NOW, PROD

BOT = PrincipalId("sp:server")
PEOPLE = [f"c{number}" for number in range(600)]
DAY = timedelta(days=1)
SIDES = ("control", "treatment")
BUSINESS = tuple(BusinessMetric(name, stream="purchases", window="1d") for name in ("buyers", "revenue"))
ANALYSIS = Analysis(
    (Guardrail("error_rate"), Guardrail("brier", "brier", margin=0.05), Guardrail("buyers", margin=0.1)),
    (Metric("revenue", "mean", goal="not worse", margin=50.0),),
)


class CountingStore(LocalArtifacts):
    """Counts what is read, and may have lost the keys of some."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.reads = 0
        self.erased: set[Digest] = set()

    def get(self, digest: Digest) -> bytes:
        self.reads += 1
        if digest in self.erased:
            raise ErasedError("gone")
        return super().get(digest)


class KeptRollout:
    """A rollout whose records are kept as servers and people leave them."""

    def __init__(self, folder: Path) -> None:
        self.state = SqlState(f"sqlite:///{folder / 'state.db'}")
        self.artifacts = CountingStore(folder / "store")
        self.step = canary_deployment(50)
        self.sealed = 0

    def seal(self, values: dict[str, float], *, at: datetime, step: Deployment | None = None) -> Any:
        """Seal answers of a step to entities."""
        self.sealed += 1
        ports = SealingPorts(self.state, self.artifacts, BOT)
        return seal_answers(step or self.step, values, at=at, journal=f"j{self.sealed}", ports=ports)

    def count(self, answers: dict[str, int], *, since: datetime, step: Deployment | None = None) -> None:
        """Keep what a server counted in a minute; for a step, or as older ones did, which told of none."""
        sender = digest_of(step) if step else None
        bins, arms = latency_bins(np.array([0.002])), []
        for arm, number in answers.items():
            arms.append(ArmRequests(self.step.version_of(arm), arm, number, 0, bins[0], (number,), deployment=sender))
        total = sum(answers.values())
        keep_figures(
            RequestFigures("churn", PROD, since, since + timedelta(minutes=1), total, 0, 0, tuple(arms)),
            state=self.state,
        )

    def read(self, *, now: datetime, since: datetime = NOW, cache: SegmentCache | None = None, **more: Any) -> Any:
        """Read everything that was kept since a moment."""
        with self.state.snapshot() as tx:
            return rollout_readings(
                "churn", PROD, since=since, analysis=more.get("analysis", ANALYSIS), label="churned", business=BUSINESS,
                tx=tx, artifacts=self.artifacts, now=now, cache=cache or SegmentCache(),
            )  # fmt: skip

    def evidence(self, *, now: datetime, cache: SegmentCache | None = None, **more: Any) -> Any:
        readings = self.read(now=now, cache=cache, **more)
        return evidence_of(
            readings, [self.step], CANARY, analysis=more.get("analysis", ANALYSIS), business=BUSINESS
        )  # fmt: skip


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[KeptRollout]:
    made = KeptRollout(tmp_path)
    yield made
    made.state.close()


def split(step: Deployment) -> dict[str, list[str]]:
    return {arm: [each for each in PEOPLE if step.arm_of(each) == arm] for arm in (STABLE, CANARY)}


def test_everything_that_was_kept_is_joined(kept: KeptRollout) -> None:
    arms = split(kept.step)
    kept.seal(dict.fromkeys(PEOPLE[:300], 0.25), at=NOW)
    kept.seal(dict.fromkeys(PEOPLE, 0.25), at=NOW + timedelta(hours=1))
    kept.count({arm: len(each) for arm, each in arms.items()}, since=NOW)
    ports = {"state": kept.state, "artifacts": kept.artifacts, "actor": BOT, "now": NOW + 2 * DAY}
    record_outcomes(
        [Outcome("churned", each, NOW, 1, NOW + DAY, NOW + DAY) for each in PEOPLE[:200]], **ports
    )  # fmt: skip
    bought = [BusinessEvent("purchases", each, 20.0, NOW + timedelta(hours=3), NOW + DAY) for each in PEOPLE[:100]]
    record_events(bought, "purchases", complete_until=NOW + 2 * DAY, **ports)
    found = kept.evidence(now=NOW + 2 * DAY)
    assert dict(found.phases[0].counts) == {arm: len(each) for arm, each in arms.items()}
    assert found.problems == ()
    for figures in (found.control, found.treatment):
        mine = arms[figures.arm]
        assert figures.tallies["error_rate"] == RateCounts(0, len(mine))
        assert len(figures.matured["brier"].labels) == sum(each in PEOPLE[:200] for each in mine)
        assert figures.tallies["buyers"] == RateCounts(sum(each in PEOPLE[:100] for each in mine), len(mine))
        assert figures.moments["revenue"].mean == pytest.approx(20 * figures.tallies["buyers"].rate)
    assert judge(ANALYSIS, found).outcome != "error"


def test_what_was_read_from_before_a_step_changes_nothing_that_is_said_of_it(kept: KeptRollout) -> None:
    again = canary_deployment(25, at=NOW + timedelta(hours=2), number=2)
    people = dict(zip(PEOPLE, np.linspace(0.1, 0.9, len(PEOPLE)).tolist(), strict=True))
    kept.seal(people, at=NOW + timedelta(hours=1))
    kept.seal(people, at=NOW + timedelta(hours=3), step=again)
    for hours, step in ((0, None), (1, kept.step), (3, None), (3, again)):
        kept.count({STABLE: 200 + hours, CANARY: 100}, since=NOW + timedelta(hours=hours), step=step)
    ports = {"state": kept.state, "artifacts": kept.artifacts, "actor": BOT, "now": NOW + 2 * DAY}
    record_outcomes([Outcome("churned", each, NOW, 1, NOW + DAY, NOW + DAY) for each in PEOPLE[:200]], **ports)
    bought = [
        BusinessEvent("purchases", each, 20.0, NOW + timedelta(hours=hours), NOW + DAY)
        for hours, each in enumerate(PEOPLE[:9])
    ]
    record_events(bought, "purchases", complete_until=NOW + 2 * DAY, **ports)

    def told(since: datetime) -> tuple[Any, list[tuple[list[float], list[float]]]]:
        readings = kept.read(now=NOW + 2 * DAY, since=since)
        found = evidence_of(readings, [again], CANARY, analysis=ANALYSIS, business=BUSINESS)
        sides = (found.control, found.treatment)
        matured = [(each.matured["brier"].labels.tolist(), each.matured["brier"].scores.tolist()) for each in sides]
        return replace(found, **{each: replace(getattr(found, each), matured={}) for each in SIDES}), matured

    assert told(NOW) == told(again.at)
    assert told(NOW)[0].control.moments["revenue"].count == told(NOW)[0].phases[0].counts[STABLE]
    assert told(NOW)[0].treatment.tallies["error_rate"] == RateCounts(0, 200)


def test_what_nobody_recorded_is_absent_and_never_zero(kept: KeptRollout) -> None:
    kept.seal(dict.fromkeys(PEOPLE, 0.25), at=NOW)
    found = kept.evidence(now=NOW + 2 * DAY)
    assert (dict(found.treatment.matured), dict(found.treatment.moments), dict(found.treatment.tallies)) == ({}, {}, {})
    verdict = judge(ANALYSIS, found)
    assert verdict.outcome == "error"
    assert [each.status for each in verdict.figures] == ["unknown"] * 4


def test_another_look_reads_only_what_was_sealed_since(kept: KeptRollout) -> None:
    cache = SegmentCache()
    analysis = Analysis((Guardrail("predictions", "distribution", margin=0.2),))
    for part in range(5):
        kept.seal(dict.fromkeys(PEOPLE[part * 100 : part * 100 + 100], 0.25), at=NOW + timedelta(minutes=part))
    first = kept.evidence(now=NOW + DAY, cache=cache, analysis=analysis)
    before = kept.artifacts.reads
    kept.seal(dict.fromkeys(PEOPLE[500:], 0.25), at=NOW + timedelta(minutes=5))
    second = kept.evidence(now=NOW + DAY, cache=cache, analysis=analysis)
    assert kept.artifacts.reads == before + 1
    assert [sum(each.phases[0].counts.values()) for each in (first, second)] == [500, 600]
    assert second == kept.evidence(now=NOW + DAY, analysis=analysis)


def test_a_cache_holds_no_more_rows_than_it_may(kept: KeptRollout) -> None:
    cache = SegmentCache(rows=150)
    segments = [kept.seal(dict.fromkeys(PEOPLE[part : part + 100], 0.25), at=NOW) for part in (0, 100)]
    for segment in (*segments, segments[1]):
        cache.columns_of(segment, kept.artifacts)
    assert kept.artifacts.reads == 2  # the newest stayed
    cache.columns_of(segments[0], kept.artifacts)
    assert kept.artifacts.reads == 3


def test_segments_from_before_the_rollout_are_not_read(kept: KeptRollout) -> None:
    old = replace(kept.step, number=0, rollout="", at=NOW - DAY)
    for hours in range(1, 20):
        kept.seal(dict.fromkeys(PEOPLE[:10], 0.25), at=NOW - timedelta(hours=hours), step=old)
    kept.seal(dict.fromkeys(PEOPLE[:10], 0.25), at=NOW + timedelta(minutes=1))
    before = kept.artifacts.reads
    with kept.state.snapshot() as tx:
        table, gone = sealed_columns("churn", "prod", since=NOW, tx=tx, artifacts=kept.artifacts, cache=SegmentCache())
    assert (table.num_rows, gone, kept.artifacts.reads - before) == (10, 0, 1)


def test_answers_of_other_deployments_in_the_same_time_do_not_count(kept: KeptRollout) -> None:
    kept.seal(dict.fromkeys(PEOPLE, 0.25), at=NOW, step=replace(kept.step, number=7, rollout="r9"))
    kept.seal(dict.fromkeys(PEOPLE[:50], 0.25), at=NOW)
    assert sum(kept.evidence(now=NOW + DAY).phases[0].counts.values()) == 50


def test_predictions_that_were_erased_are_told(kept: KeptRollout) -> None:
    segment = kept.seal(dict.fromkeys(PEOPLE[:40], 0.25), at=NOW)
    kept.seal(dict.fromkeys(PEOPLE[40:], 0.25), at=NOW)
    kept.artifacts.erased.add(segment.data)
    assert "40 predictions are gone" in kept.evidence(now=NOW + DAY).problems[0]


@pytest.mark.parametrize(
    ("given", "told", "shares"),
    [
        ([0.25, 0.5], [0.25, 0.5], [None, None]),
        ([3, 4], [3.0, 4.0], [None, None]),
        ([[0.1, 0.7, 0.2], [0.9, 0.05, 0.05]], [None, None], [[0.1, 0.7, 0.2], [0.9, 0.05, 0.05]]),
    ],
)
def test_answers_are_a_number_or_a_probability_of_each_class(given: list[Any], told: Any, shares: Any) -> None:
    rows = {
        name: pa.array(["x", "x"]) for name in ("version", "deployment", "arm", "entity")
    } | {name: pa.array([NOW, NOW], pa.timestamp("us", "UTC")) for name in ("as_of", "event_time")}  # fmt: skip
    found = rollout_columns(pa.table({**rows, "value": pa.array(given)}))
    assert found["value"].to_pylist() == told
    assert found["shares"].to_pylist() == shares
    assert set(found.column_names) == {*COLUMNS, "shares"}
