"""What events say of an entity: from its first answer on, once its window is over and its stream reaches that far."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.core import BusinessEvent
from keelway.deploy import CANARY, STABLE
from keelway.deploy.analysis import RateCounts, judge
from keelway.monitor.rollout.answers import SealedAnswers, microseconds, sealed_answers
from keelway.monitor.rollout.business import EntitySums, entity_sums, event_columns
from keelway.monitor.rollout.gather import evidence_of
from keelway.monitor.rollout.readings import RolloutReadings
from keelway.project import Analysis, BusinessMetric, Guardrail, Metric
from keelway.testing.rollouts import answers_table, canary_deployment
from keelway.testing.serving import NOW

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
STEP = canary_deployment(50)
WEEK = BusinessMetric("revenue", stream="purchases", window="7d")


def event(entity: str, amount: float, at: datetime, known_at: datetime | None = None) -> BusinessEvent:
    return BusinessEvent("purchases", entity, amount, at, known_at or at)


def answered(*cases: tuple[str, datetime]) -> SealedAnswers:
    tables = [answers_table(STEP, [entity], [0.5], at=at) for entity, at in cases]
    return sealed_answers(pa.concat_tables(tables).unify_dictionaries(), [STEP]).firsts()


def sums(
    first: SealedAnswers, *events: BusinessEvent, until: datetime, now: Any = None, metric: BusinessMetric = WEEK
) -> EntitySums:
    columns = event_columns(events, complete_until=until, now=now or until)
    return entity_sums(first, first, columns, metric)


def test_only_what_happened_in_the_window_counts() -> None:
    first = answered(("a", NOW), ("a", NOW + DAY))
    found = sums(
        first,
        event("a", 1, NOW - HOUR),
        event("a", 10, NOW),
        event("a", 100, NOW + 7 * DAY - HOUR),
        event("a", 1_000, NOW + 7 * DAY),
        event("b", 5, NOW + DAY),
        until=NOW + 8 * DAY,
    )
    assert (found.counts.tolist(), found.sums.tolist(), found.pending) == ([2], [110], 0)


def test_an_entity_waits_until_its_window_is_over_and_the_stream_reaches_that_far() -> None:
    first = answered(("a", NOW), ("b", NOW + 2 * DAY))
    events = [event("a", 1, NOW + HOUR), event("b", 2, NOW + 2 * DAY + HOUR)]
    for until, now, counted in (
        (NOW + 6 * DAY, NOW + 20 * DAY, 0),
        (NOW + 7 * DAY, NOW + 20 * DAY, 1),
        (NOW + 20 * DAY, NOW + 8 * DAY, 1),  # the world has not got there yet
        (NOW + 9 * DAY, NOW + 20 * DAY, 2),
    ):
        found = sums(first, *events, until=until, now=now)
        assert (len(found.counts), found.pending) == (counted, 2 - counted)
    late = BusinessMetric("revenue", window="7d", delay="2d")
    assert sums(first, *events, until=NOW + 8 * DAY, metric=late).pending == 2


def test_what_became_known_later_does_not_count() -> None:
    first = answered(("a", NOW))
    found = sums(first, event("a", 5, NOW + HOUR, NOW + 30 * DAY), until=NOW + 9 * DAY, now=NOW + 9 * DAY)
    assert found.rate() == RateCounts(0, 1)


def test_a_cap_holds_both_ends() -> None:
    first = answered(("a", NOW), ("b", NOW), ("c", NOW))
    capped = BusinessMetric("revenue", window="7d", cap=100)
    events = [event("a", 5_000, NOW), event("b", -900, NOW), event("c", 7, NOW)]
    found = sums(first, *events, until=NOW + 9 * DAY, metric=capped)
    assert dict(zip(first.entities.take(first.entity).to_pylist(), found.sums, strict=True)) == {
        "a": 100,
        "b": -100,
        "c": 7,
    }


def test_what_was_before_is_known_only_where_the_stream_reaches_back() -> None:
    first = answered(("a", NOW), ("b", NOW))
    after = [event("a", 10, NOW + HOUR), event("b", 20, NOW + HOUR)]
    assert sums(first, *after, event("a", 3, NOW - HOUR), until=NOW + 8 * DAY).before is None
    found = sums(first, *after, event("a", 3, NOW - HOUR), event("z", 1, NOW - 8 * DAY), until=NOW + 8 * DAY)
    assert found.before.tolist() == [3, 0]
    moments = found.moments(with_before=True)
    assert (moments.before, moments.before_squares) == (1.5, 4.5)
    assert found.moments(with_before=False).before_squares == 0


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(-200, 400), st.integers(-50, 50)), max_size=40),
    st.dictionaries(st.sampled_from("abcd"), st.integers(0, 100), min_size=1),
)
def test_sums_are_those_of_counting_by_hand(told: list[tuple[str, int, int]], begun: dict[str, int]) -> None:
    first = answered(*((entity, NOW + hours * HOUR) for entity, hours in begun.items()))
    events = [event(entity, amount, NOW + hours * HOUR) for entity, hours, amount in told]
    found = sums(first, *events, until=NOW + 60 * DAY)
    names = first.entities.take(first.entity).to_pylist()
    for place, name in enumerate(names):
        mine = [(hours - begun[name], amount) for entity, hours, amount in told if entity == name]
        inside = [amount for hours, amount in mine if 0 <= hours < 7 * 24]
        assert (found.counts[place], found.sums[place]) == (len(inside), sum(inside))
        if found.before is not None:
            assert found.before[place] == sum(amount for hours, amount in mine if -7 * 24 <= hours < 0)
    assert sorted(names) == sorted(begun)


def gathered(analysis: Analysis, events: Any, *metrics: BusinessMetric, now: datetime = NOW + 30 * DAY) -> Any:
    people = [f"c{number}" for number in range(400)]
    table = answers_table(STEP, people, [0.5] * 400, at=NOW)
    found = RolloutReadings(now, table, events=events)
    return evidence_of(found, [STEP], CANARY, analysis=analysis, business=metrics)


def test_a_figure_is_bound_to_a_metric_by_its_name() -> None:
    draw = np.random.default_rng(1)
    before = {f"c{number}": float(draw.exponential(20)) for number in range(400)}
    events = [event(entity, spent, NOW - 3 * DAY) for entity, spent in before.items()]
    events += [event(entity, spent + float(draw.normal(0, 2)), NOW + DAY) for entity, spent in before.items()]
    events.append(event("somebody", 1, NOW - 30 * DAY))
    columns = event_columns(events, complete_until=NOW + 20 * DAY, now=NOW + 30 * DAY)
    analysis = Analysis(
        (Guardrail("buyers", margin=0.1, higher_is_worse=False),),
        (Metric("revenue", "mean", goal="not worse", margin=5.0),),
    )
    metrics = (BusinessMetric("buyers", stream="purchases"), WEEK)
    found = gathered(analysis, {"purchases": columns}, *metrics)
    assert found.control.tallies["buyers"].rate == found.treatment.tallies["buyers"].rate == 1
    both = found.control.moments["revenue"].merged(found.treatment.moments["revenue"])
    assert both.count == 400
    assert both.products / np.sqrt(both.squares * both.before_squares) > 0.95  # what was before tells nearly all
    narrow = judge(analysis, found).figures[1]
    wide = judge(analysis, gathered(analysis, {"purchases": columns_after(columns)}, *metrics)).figures[1]
    assert narrow.high - narrow.low < (wide.high - wide.low) / 2


def columns_after(columns: Any) -> Any:
    """Return the events that happened from the start on."""
    mask = columns.at >= microseconds(NOW)
    return type(columns)(
        columns.entities.filter(pa.array(mask)), columns.at[mask], columns.amounts[mask], columns.complete_until
    )


def test_a_stream_that_stopped_makes_entities_wait_and_no_zeros() -> None:
    events = [event(f"c{number}", 10, NOW + DAY) for number in range(400)]
    stopped = event_columns(events, complete_until=NOW + 2 * DAY, now=NOW + 30 * DAY)
    analysis = Analysis((Guardrail("revenue", "mean", margin=1.0),))
    found = gathered(analysis, {"purchases": stopped}, WEEK)
    assert found.treatment.moments["revenue"].count == 0
    assert judge(analysis, found).outcome == "inconclusive"


@pytest.mark.parametrize("kind", ["rate", "mean", "quantile"])
def test_a_stream_that_nobody_recorded_or_another_kind_is_an_error(kind: Any) -> None:
    analysis = Analysis((Guardrail("revenue", kind, margin=1.0),))
    assert judge(analysis, gathered(analysis, {}, WEEK)).outcome == "error"
    assert judge(analysis, gathered(analysis, {})).outcome == "error"
    known = {"purchases": event_columns([event("c1", 1, NOW)], complete_until=NOW + 20 * DAY, now=NOW + 30 * DAY)}
    assert (judge(analysis, gathered(analysis, known, WEEK)).outcome == "error") == (kind == "quantile")


def test_an_entity_stays_in_its_arm_where_a_fallback_answered_first() -> None:
    tried = next(f"c{number}" for number in range(99) if STEP.arm_of(f"c{number}") == CANARY)
    table = pa.concat_tables(
        [
            answers_table(STEP, [tried], [0.1], at=NOW, arms=["fallback:constant"]),
            answers_table(STEP, [tried], [0.5], at=NOW + DAY),
        ]
    ).unify_dictionaries()
    columns = event_columns([event(tried, 4, NOW + HOUR)], complete_until=NOW + 20 * DAY, now=NOW + 30 * DAY)
    found = evidence_of(
        RolloutReadings(NOW + 30 * DAY, table, events={"purchases": columns}), [STEP], CANARY,
        analysis=Analysis((Guardrail("revenue"),)), business=(WEEK,),
    )  # fmt: skip
    assert found.treatment.tallies["revenue"] == RateCounts(1, 1)
    assert found.control.tallies["revenue"] == RateCounts(0, 0)
    assert found.control.arm == STABLE
