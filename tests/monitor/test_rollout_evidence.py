"""What the log, the servers and labels say of two arms: phases by entity, figures over the newest shares, what is missing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.core import VersionName, digest_of
from keelway.deploy import ASKED, CANARY, CONTROL, SHADOW, STABLE, Allocation, Deployment
from keelway.deploy.analysis import RateCounts, RolloutEvidence, judge, mismatch_p, violations
from keelway.deploy.layers import Layer
from keelway.monitor.rollout.answers import microseconds
from keelway.monitor.rollout.assignment import SEALED, arm_shares, pairing_of
from keelway.monitor.rollout.figures import EDGE_ROWS, bin_edges, counts_in
from keelway.monitor.rollout.gather import evidence_of
from keelway.monitor.rollout.readings import RolloutReadings
from keelway.monitor.rollout.requests import GRACE, MOST_LATENCIES, CountedRequests
from keelway.project import Analysis, Guardrail
from keelway.serve import ArmRequests, RequestFigures, latency_of
from keelway.testing.rollouts import answers_table, canary_deployment, latency_bins
from keelway.testing.serving import NOW, ONE, PROD, TWO

ANALYSIS = Analysis((Guardrail("error_rate"), Guardrail("latency", "quantile", margin=0.25)))
PEOPLE = [f"c{number}" for number in range(1_000)]
HOUR = timedelta(hours=1)
NOTHING = answers_table(canary_deployment(10), [], [], at=NOW)


def readings(*tables: pa.Table, requests: tuple[RequestFigures, ...] = (), **more: Any) -> RolloutReadings:
    now = more.pop("now", NOW + HOUR)
    return RolloutReadings(
        now, pa.concat_tables([NOTHING, *tables]).unify_dictionaries(), requests=requests, **more
    )  # fmt: skip


def counted(*arms: ArmRequests, since: Any = NOW) -> RequestFigures:
    return RequestFigures("churn", PROD, since, since + timedelta(minutes=1), sum(a.answers for a in arms), 0, 0, arms)


def arm(name: str, answers: int, *, failed: int = 0, undefined: int = 0, seconds: float = 0.002) -> ArmRequests:
    bins, counts = latency_bins(np.full(answers, seconds))
    version = ONE if name in (STABLE, CONTROL) else TWO
    return ArmRequests(version, name, answers, failed, bins, counts, undefined)


def gathered(found: RolloutReadings, *deployments: Deployment, analysis: Analysis = ANALYSIS, arm: str = CANARY) -> Any:
    return evidence_of(found, deployments or [canary_deployment(10)], arm, analysis=analysis)


def counts(evidence: RolloutEvidence, place: int = -1) -> dict[str, int]:
    return dict(evidence.phases[place].counts)


def test_an_entity_that_asks_often_counts_once() -> None:
    step = canary_deployment(10)
    table = answers_table(step, PEOPLE, [0.5] * 1_000, at=NOW)
    once, often = gathered(readings(table)), gathered(readings(*[table] * 7))
    assert counts(once) == counts(often)
    assert sum(counts(often).values()) == 1_000
    assert mismatch_p(often.phases) > 0.01
    assert (once.control.requests + once.treatment.requests, often.control.requests) == (
        1_000,
        7 * once.control.requests,
    )


def test_each_step_is_a_phase_of_those_who_came_in_it_first() -> None:
    steps = [canary_deployment(5), canary_deployment(25, at=NOW + HOUR, number=2)]
    found = readings(
        answers_table(steps[0], PEOPLE[:600], [0.5] * 600, at=NOW),
        answers_table(steps[1], PEOPLE, [0.5] * 1_000, at=NOW + HOUR),
    )
    evidence = gathered(found, *steps)
    assert [sum(phase.counts.values()) for phase in evidence.phases] == [600, 400]
    assert [phase.shares[CANARY] for phase in evidence.phases] == [0.05, 0.25]
    assert evidence.share == 0.25


def test_figures_are_those_of_the_newest_shares() -> None:
    steps = [canary_deployment(5), canary_deployment(25, at=NOW + HOUR, number=2)]
    early = counted(arm(STABLE, 900, failed=90), arm(CANARY, 100, failed=50))
    across = counted(arm(STABLE, 100, failed=30), arm(CANARY, 10, failed=5), since=NOW + timedelta(minutes=59))
    late = counted(arm(STABLE, 300, failed=3), arm(CANARY, 100, failed=1), since=NOW + HOUR)
    tables = [answers_table(steps[1], PEOPLE, [0.5] * 1_000, at=NOW + HOUR)]
    evidence = gathered(readings(*tables, requests=(early, across, late)), *steps)
    assert evidence.treatment.tallies["error_rate"] == RateCounts(1, 101)
    assert evidence.control.tallies["error_rate"] == RateCounts(3, 303)


def test_what_a_former_deployment_still_counted_is_not_taken_for_the_newest_one() -> None:
    steps = [canary_deployment(5), canary_deployment(25, at=NOW + HOUR, number=2)]
    before, after = (digest_of(each) for each in steps)
    span = counted(
        replace(arm(CANARY, 40, failed=40), deployment=before),
        replace(arm(CANARY, 100, failed=1), deployment=after),
        replace(arm(STABLE, 300, failed=3), deployment=after),
        since=NOW + HOUR,
    )
    tables = [answers_table(steps[1], PEOPLE, [0.5] * 1_000, at=NOW + HOUR)]
    evidence = gathered(readings(*tables, requests=(span,)), *steps)
    assert evidence.treatment.tallies["error_rate"] == RateCounts(1, 101)
    assert evidence.control.tallies["error_rate"] == RateCounts(3, 303)


@pytest.mark.parametrize(("waited", "is_told"), [(timedelta(0), False), (SEALED, True)])
def test_what_was_counted_just_now_may_not_be_in_the_log_yet(waited: timedelta, is_told: bool) -> None:
    span = counted(arm(STABLE, 900), arm(CANARY, 100))
    evidence = gathered(readings(requests=(span,), now=span.until + waited))
    assert any("not in the log" in each for each in evidence.problems) == is_told
    assert evidence.treatment.tallies["error_rate"] == RateCounts(0, 100)


def test_a_step_with_the_same_shares_goes_on_and_others_that_come_and_go_do_not_matter() -> None:
    again = [canary_deployment(10), canary_deployment(10, at=NOW + HOUR, number=2)]
    assert pairing_of(again, CANARY).newest == (0, 1)
    other = replace(again[1], allocation=Allocation.of({CANARY: 10, "churn:3": 20, STABLE: 70}, salt="s"))
    assert pairing_of([again[0], other], CANARY).newest == (1,)
    third = replace(other, number=3, allocation=Allocation.of({CANARY: 10, "churn:4": 20, STABLE: 70}, salt="s"))
    assert pairing_of([again[0], other, third], CANARY).newest == (1, 2)


def test_counts_of_several_processes_add_up() -> None:
    spans = (counted(arm(STABLE, 90), arm(CANARY, 10, seconds=0.004)), counted(arm(STABLE, 80), arm(CANARY, 9)))
    evidence = gathered(readings(requests=spans))
    assert evidence.treatment.tallies["error_rate"] == RateCounts(0, 19)
    assert sorted(set(np.round(evidence.treatment.values["latency"], 6))) == [
        round(latency_of(bins[0]), 6) for bins, _ in (latency_bins(np.array([s])) for s in (0.002, 0.004))
    ]


def test_answers_that_were_no_number_are_a_rate_of_requests() -> None:
    spans = (counted(arm(STABLE, 900), arm(CANARY, 95, failed=5, undefined=3)),)
    analysis = Analysis((Guardrail("not_a_number", margin=0.001), Guardrail("error_rate")))
    evidence = gathered(readings(requests=spans), analysis=analysis)
    assert evidence.treatment.tallies == {"not_a_number": RateCounts(3, 100), "error_rate": RateCounts(5, 100)}


def test_latencies_of_any_number_of_requests_take_bounded_memory_and_keep_their_spread() -> None:
    spread = CountedRequests(answered=10**9, bins=(10, 20, 30), counts=(5 * 10**8, 4 * 10**8, 10**8))
    found = spread.latencies()
    assert len(found) == MOST_LATENCIES
    assert [np.mean(found <= latency_of(place) * 1.001) for place in (10, 20, 30)] == pytest.approx([0.5, 0.9, 1.0])
    few = CountedRequests(answered=3, bins=(1, 2), counts=(2, 1))
    assert few.latencies().tolist() == [latency_of(1)] * 2 + [latency_of(2)]


@given(st.lists(st.integers(1, 10**7), min_size=1, max_size=40))
def test_thinning_moves_no_quantile_by_more_than_a_row(given_counts: list[int]) -> None:
    bins = tuple(range(len(given_counts)))
    whole = CountedRequests(answered=sum(given_counts), bins=bins, counts=tuple(given_counts))
    found = whole.latencies()
    assert len(found) == min(whole.answered, MOST_LATENCIES)
    below = np.cumsum(given_counts) / whole.answered
    kept = np.array([(found <= latency_of(place) * 1.001).mean() for place in bins])
    assert np.abs(below - kept).max() <= 1 / len(found)


def test_nothing_counted_is_early_at_first_and_missing_later() -> None:
    step = canary_deployment(10)
    table = answers_table(step, PEOPLE, [0.5] * 1_000, at=NOW)
    early = gathered(readings(table, now=NOW + GRACE))
    assert early.treatment.tallies["error_rate"] == RateCounts(0, 0)
    assert judge(ANALYSIS, early).outcome == "inconclusive"
    late = gathered(readings(table, now=NOW + GRACE + HOUR))
    assert "error_rate" not in late.treatment.tallies
    assert judge(ANALYSIS, late).outcome == "error"
    silent = gathered(readings(now=NOW + GRACE + HOUR))
    assert judge(ANALYSIS, silent).outcome == "inconclusive"  # no traffic is not missing data


def test_answers_that_the_log_lacks_are_a_problem_in_words() -> None:
    step = canary_deployment(10)
    table = answers_table(step, PEOPLE[:900], [0.5] * 900, at=NOW)
    spans = (counted(arm(STABLE, 900), arm(CANARY, 100)),)
    evidence = gathered(readings(table, requests=spans))
    assert [problem.split(":")[0] for problem in evidence.problems] == [CANARY, STABLE]
    assert judge(ANALYSIS, evidence).outcome == "error"
    assert gathered(readings(*[table] * 2, requests=spans)).problems == ()


def test_predictions_whose_time_was_over_are_a_problem_in_words() -> None:
    found = replace(readings(answers_table(canary_deployment(10), PEOPLE, [0.5] * 1_000, at=NOW)), gone=7)
    assert "7 predictions are gone" in gathered(found).problems[0]


def test_a_canary_that_fails_everything_is_no_mismatch_but_a_failure() -> None:
    step = canary_deployment(20)
    split = [entity for entity in PEOPLE if step.arm_of(entity) == STABLE]
    table = answers_table(step, split, [0.5] * len(split), at=NOW)
    failed = 1_000 - len(split)
    spans = (counted(arm(STABLE, len(split)), arm(CANARY, 0, failed=failed)),)
    evidence = gathered(readings(table, requests=spans), step)
    assert counts(evidence) == {CANARY: failed, STABLE: len(split)}
    verdict = judge(Analysis((Guardrail("error_rate"),)), evidence)
    assert verdict.outcome == "failure", verdict.reasons


def test_a_canary_that_fails_everything_is_no_mismatch_where_entities_come_again() -> None:
    step = canary_deployment(10)
    split = [entity for entity in PEOPLE if step.arm_of(entity) == STABLE]
    tables = [answers_table(step, split, [0.5] * len(split), at=NOW) for _ in range(5)]
    tried = 1_000 - len(split)
    spans = (counted(arm(STABLE, 5 * len(split)), arm(CANARY, 0, failed=5 * tried)),)
    assert counts(gathered(readings(*tables, requests=spans)))[CANARY] == tried


def test_entities_whose_only_request_failed_are_counted() -> None:
    step = canary_deployment(10)
    tried = [entity for entity in PEOPLE if step.arm_of(entity) == CANARY]
    answered = [entity for entity in PEOPLE if entity not in tried[:30]]
    spans = (counted(arm(STABLE, 1_000 - len(tried)), arm(CANARY, len(tried) - 30, failed=30)),)
    found = readings(answers_table(step, answered, [0.5] * len(answered), at=NOW), requests=spans)
    assert counts(gathered(found))[CANARY] == len(tried)


def test_a_fallback_answers_for_the_arm_of_its_entity_and_not_as_it() -> None:
    step = canary_deployment(10)
    tried = [entity for entity in PEOPLE if step.arm_of(entity) == CANARY]
    rest = [entity for entity in PEOPLE if entity not in tried]
    spans = (counted(arm(STABLE, len(rest)), arm(CANARY, len(tried) - 40, failed=40)),)
    found = readings(
        answers_table(step, rest, [0.5] * len(rest), at=NOW),
        answers_table(step, tried[40:], [0.5] * (len(tried) - 40), at=NOW),
        answers_table(step, tried[:40], [0.9] * 40, at=NOW, arms=["fallback:constant"] * 40),
        requests=spans,
    )
    evidence = gathered(found)
    assert counts(evidence)[CANARY] == len(tried)
    assert evidence.treatment.tallies["error_rate"] == RateCounts(40, len(tried))
    assert evidence.treatment.requests == len(tried)


@pytest.mark.parametrize("named", ["asked", "fallback:constant"])
def test_requests_that_name_their_version_are_in_no_arm(named: str) -> None:
    step = canary_deployment(10)
    usual = answers_table(step, PEOPLE, [0.5] * 1_000, at=NOW)
    spans = counted(arm(ASKED, 4_000, failed=300))
    others = [f"n{number}" for number in range(4_000)]
    more = answers_table(step, others, [0.9] * 4_000, at=NOW, arms=[named] * 4_000)
    alone, among = gathered(readings(usual)), gathered(readings(usual, more, requests=(spans,)))
    is_counted = named != ASKED
    assert (sum(counts(among).values()) - sum(counts(alone).values())) == 4_000 * is_counted
    if not is_counted:
        assert (counts(among), among.problems) == (counts(alone), ())
        assert (among.control.requests, among.treatment.requests) == (
            alone.control.requests,
            alone.treatment.requests,
        )


def test_rows_of_batches_are_requests_without_a_time() -> None:
    step = canary_deployment(25)
    tried = [entity for entity in PEOPLE if step.arm_of(entity) == CANARY]
    rest = [entity for entity in PEOPLE if entity not in tried]

    def batch(name: str, rows: int, failed: int = 0) -> ArmRequests:
        return ArmRequests(ONE if name == STABLE else TWO, name, rows, failed, (), (), unclocked=rows)

    table = answers_table(step, PEOPLE, [0.5] * 1_000, at=NOW)
    found = readings(table, requests=(counted(batch(STABLE, len(rest)), batch(CANARY, len(tried), 1)),))
    evidence = gathered(found, step)
    assert evidence.treatment.tallies["error_rate"] == RateCounts(1, len(tried) + 1)
    assert len(evidence.treatment.values["latency"]) == 0
    judged = judge(ANALYSIS, evidence)
    assert judged.outcome == "inconclusive", "no latency is too early and no error"
    assert any("latency: 0 rows" in reason for reason in judged.reasons)


def test_predictions_stand_in_the_same_bins_once_an_entity_and_the_rows_that_make_bins_do_not_count() -> None:
    step = canary_deployment(10)
    draw = np.random.default_rng(4)
    values = draw.beta(2, 5, 1_000)
    table = answers_table(step, PEOPLE, values, at=NOW)
    again = answers_table(step, PEOPLE, 1 - values, at=NOW + timedelta(minutes=1))
    analysis = Analysis((Guardrail("predictions", "distribution", margin=0.2),))
    evidence = gathered(readings(table, again), analysis=analysis)
    control, treatment = evidence.control.histograms["predictions"], evidence.treatment.histograms["predictions"]
    assert len(control) == len(treatment) == 10
    split = counts(evidence)
    assert (sum(control), sum(treatment)) == (split[STABLE] - EDGE_ROWS, split[CANARY])
    assert gathered(readings(table, again), analysis=analysis) == evidence


def test_predictions_are_early_while_the_control_has_too_few_to_make_bins() -> None:
    step = canary_deployment(10)
    analysis = Analysis((Guardrail("predictions", "distribution", margin=0.2),))
    evidence = gathered(readings(answers_table(step, PEOPLE[:150], [0.5] * 150, at=NOW)), analysis=analysis)
    verdict = judge(analysis, evidence)
    assert (verdict.outcome, verdict.figures[0].status) == ("inconclusive", "open")


def test_a_value_that_many_answers_share_has_a_bin_of_its_own() -> None:
    edges = bin_edges(np.array([0.3] * 100))
    assert counts_in(edges, np.array([0.1, 0.3, 0.3, 0.30001])) == [1, 2, 1]
    assert counts_in(bin_edges(np.arange(11.0)), np.arange(11.0)) == [1.0] * 9 + [2.0]


def test_only_labels_that_have_matured_and_first_answers_tell_of_quality() -> None:
    step = canary_deployment(50)
    table = answers_table(step, PEOPLE, np.linspace(0, 1, 1_000), at=NOW)
    again = answers_table(step, PEOPLE, np.zeros(1_000), at=NOW + HOUR, as_of=NOW + HOUR)
    known = {(entity, microseconds(NOW)): int(number % 2) for number, entity in enumerate(PEOPLE[:400])}
    known |= {(entity, microseconds(NOW + HOUR)): 1 for entity in PEOPLE}
    analysis = Analysis((Guardrail("brier", "brier", margin=0.02),))
    evidence = gathered(readings(table, again, labels=known), step, analysis=analysis)
    control, treatment = evidence.control.matured["brier"], evidence.treatment.matured["brier"]
    assert len(control.labels) + len(treatment.labels) == 400
    place = next(number for number, entity in enumerate(PEOPLE) if step.arm_of(entity) == CANARY)
    assert (treatment.labels[0], treatment.scores[0]) == (place % 2, np.linspace(0, 1, 1_000)[place])
    assert (
        judge(analysis, gathered(readings(table), step, analysis=analysis)).outcome == "error"
    )  # no label was recorded


def test_shares_in_a_layer_are_those_of_all_entities() -> None:
    layer = Layer.of("prices", {"discount": 40})
    step = replace(
        canary_deployment(10),
        allocation=Allocation.of({CANARY: 25, CONTROL: 75}, salt="trial"),
        layer="prices",
        members=layer.allocation,
    )
    assert arm_shares(step) == pytest.approx({CANARY: 0.1, CONTROL: 0.3, STABLE: 0.6})
    pairing = pairing_of([step], CANARY)
    assert (pairing.control, pairing.split) == (CONTROL, (0,))
    evidence = gathered(readings(answers_table(step, PEOPLE, [0.5] * 1_000, at=NOW)), step)
    assert evidence.control.arm == CONTROL
    assert sum(counts(evidence).values()) == 1_000
    assert mismatch_p(evidence.phases) > 0.01


def test_an_arm_that_has_no_part_is_an_error() -> None:
    evidence = gathered(readings(), arm="churn:9")
    verdict = judge(ANALYSIS, evidence)
    assert verdict.outcome == "error"
    assert "churn:9 has no part in this rollout" in verdict.reasons
    assert violations(ANALYSIS, evidence) == ()


def shadowed(
    copied: int, *, failed: int = 0, dropped: int = 0, now: Any = NOW + HOUR, other: int = 0
) -> RolloutEvidence:
    step = replace(
        canary_deployment(1),
        shadows=(TWO, VersionName("churn:3")),
        traffic={ONE: 100},
        allocation=Allocation.of({STABLE: 1}, salt="s"),
    )
    asked = answers_table(step, PEOPLE, [0.5] * 1_000, at=NOW)
    copies = answers_table(step, PEOPLE[:copied], [0.5] * copied, at=NOW, arms=[SHADOW] * copied)
    others = answers_table(step, PEOPLE[:other], [0.9] * other, at=NOW, arms=[SHADOW] * other)

    def of_version(table: pa.Table, version: str) -> pa.Table:
        column = pa.array([version] * table.num_rows, table.schema.field("version").type)
        return table.set_column(table.schema.get_field_index("version"), table.schema.field("version"), column)

    spans = (counted(arm(STABLE, 1_000), replace(arm(SHADOW, copied, failed=failed), dropped=dropped)),)
    tables = (asked, of_version(copies, str(TWO)), of_version(others, "churn:3"))
    return gathered(readings(*tables, requests=spans, now=now), step, arm=SHADOW)


def test_a_shadow_is_shown_everything_so_its_share_is_equal() -> None:
    evidence = shadowed(1_000, other=300)
    assert (evidence.control.arm, evidence.treatment.arm) == (STABLE, SHADOW)
    assert dict(evidence.phases[-1].shares) == {STABLE: 1.0, SHADOW: 1.0}
    assert counts(evidence) == {STABLE: 1_000, SHADOW: 1_000}
    assert (evidence.problems, evidence.share) == ((), 0.5)
    assert judge(ANALYSIS, evidence).outcome == "success"


def test_copies_that_were_dropped_are_a_problem_and_failures_are_not() -> None:
    assert "100 of 1000 entities were not shown to it" in shadowed(900).problems[0]
    assert shadowed(995).problems == ()  # one in a hundred may be
    failing = shadowed(900, failed=100)
    assert failing.problems == ()
    assert judge(ANALYSIS, failing).outcome == "failure"


def test_copies_that_servers_counted_as_dropped_are_a_problem_though_every_entity_was_seen() -> None:
    told = shadowed(1_000, dropped=60).problems
    assert told == ("shadow: 60 of 1060 copies were dropped: it, or its servers, had too much to do",)
    assert judge(ANALYSIS, shadowed(1_000, dropped=60)).outcome == "error"
    assert shadowed(1_000, dropped=10).problems == ()  # one in a hundred may be
    assert "60 of 960 copies" in shadowed(900, dropped=60).problems[0]
    assert len(shadowed(900, dropped=60).problems) == 1, "one loss is told once"


def test_copies_that_may_still_come_are_waited_for() -> None:
    evidence = shadowed(0, now=NOW + timedelta(seconds=30))
    assert counts(evidence) == {STABLE: 0, SHADOW: 0}
    assert evidence.problems == ()
