"""Only success moves traffic towards a new version, failure always takes it back, and what is not known decides nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.core import VersionName
from keelway.deploy import ArmVerdict, NextMove, failing_part, next_move
from keelway.deploy.analysis import MeasuredFigure, Outcome, RolloutVerdict
from keelway.project import Analysis, Metric, Rollout

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
GOAL = Analysis(metrics=(Metric("conversion"),))
CANARY = Rollout.canary("prod", steps=(5, 25), hold="30m", patience="2h")
SEVERAL = Rollout.ab("prod", analysis=GOAL, hold="30m", patience="2h")
JUDGED = (
    CANARY,
    Rollout.shadow("prod", hold="30m", patience="2h"),
    Rollout.blue_green("prod", hold="30m", patience="2h"),
    SEVERAL,
    Rollout.champion_challenger("prod", hold="30m", patience="2h"),
    Rollout.bandit("prod", analysis=GOAL, hold="30m", patience="2h"),
)
OUTCOMES = ("success", "failure", "inconclusive", "error")


def arm(outcome: Outcome, name: str = "canary", *, harm: float | None = None, number: int = 2) -> ArmVerdict:
    figures = (MeasuredFigure("conversion", "open", harm, None, None, "conversion"),) if harm is not None else ()
    verdict = RolloutVerdict(outcome, (f"because of {outcome}",), figures, 0.5, (900, 100))
    return ArmVerdict(name, VersionName(f"churn:{number}"), verdict)


def after(passed: timedelta, *verdicts: ArmVerdict, rollout: Rollout = CANARY, stage: int = 0, **more: Any) -> NextMove:
    return next_move(rollout, stage, NOW, verdicts, NOW + passed, **more)


@pytest.mark.parametrize(
    ("outcome", "early", "when_held", "late"),
    [
        ("success", "hold", "advance", "advance"),
        ("failure", "back", "back", "back"),
        ("inconclusive", "hold", "hold", "pause"),
        ("error", "pause", "pause", "pause"),
    ],
)
def test_what_each_verdict_leads_to(outcome: Outcome, early: str, when_held: str, late: str) -> None:
    found = [after(passed, arm(outcome)).move for passed in (timedelta(0), HOUR, 3 * HOUR)]
    assert found == [early, when_held, late]


@pytest.mark.parametrize("rollout", JUDGED, ids=lambda each: each.strategy)
@pytest.mark.parametrize("outcome", OUTCOMES)
def test_every_strategy_obeys_the_same_rules(rollout: Rollout, outcome: Outcome) -> None:
    found = after(HOUR, arm(outcome), rollout=rollout)
    forward = "advance" if len(rollout.stages) > 1 else "finish"
    expected = {"success": forward, "failure": "back", "inconclusive": "hold", "error": "pause"}
    assert found.move == expected[outcome]
    assert any(f"because of {outcome}" in reason for reason in found.reasons)


def test_the_last_stage_finishes_with_the_version_that_won() -> None:
    found = after(HOUR, arm("success"), stage=1)
    assert (found.move, found.winner) == ("finish", "churn:2")


def test_a_shadow_that_did_well_takes_no_traffic() -> None:
    found = after(HOUR, arm("success", "shadow"), rollout=Rollout.shadow("prod", hold="0m"))
    assert (found.move, found.winner) == ("finish", None)


def test_a_hold_lasts_to_its_last_second() -> None:
    half = timedelta(minutes=30)
    assert after(half - timedelta(seconds=1), arm("success")).move == "hold"
    assert after(half, arm("success")).move == "advance"
    assert "holds until 2026-03-01T00:30:00Z" in after(HOUR / 4, arm("success")).reasons[0]


def test_patience_goes_back_where_that_is_declared() -> None:
    rollout = Rollout.canary("prod", patience="2h", undecided="back")
    found = after(2 * HOUR, arm("inconclusive"), rollout=rollout)
    assert (found.move, found.reasons[0]) == ("back", "nothing was decided within 2h")
    assert after(2 * HOUR - timedelta(seconds=1), arm("inconclusive"), rollout=rollout).move == "hold"


def test_patience_counts_anew_once_a_person_lets_it_go_on() -> None:
    assert after(3 * HOUR, arm("inconclusive"), waits_since=NOW + 2 * HOUR).move == "hold"
    assert after(4 * HOUR, arm("inconclusive"), waits_since=NOW + 2 * HOUR).move == "pause"


def test_evidence_that_comes_late_still_counts() -> None:
    assert after(timedelta(days=9), arm("success")).move == "advance"


@pytest.mark.parametrize(
    ("outcome", "move"), [("success", "pause"), ("inconclusive", "pause"), ("error", "pause"), ("failure", "back")]
)
def test_what_a_person_paused_moves_only_back(outcome: Outcome, move: str) -> None:
    assert after(HOUR, arm(outcome), paused=True).move == move


def test_no_verdict_at_all_moves_nothing_forward() -> None:
    found = after(HOUR)
    assert (found.move, found.reasons) == ("pause", ("there is no verdict on any treatment",))


class TestBlueGreen:
    kept = Rollout.blue_green("prod", hold="10m", keep="1h")
    unmirrored = Rollout.blue_green("prod", hold="10m", keep="1h", mirror=False)

    def test_after_the_switch_blue_is_kept_for_its_time(self) -> None:
        assert after(HOUR / 2, rollout=self.kept, stage=1).move == "hold"
        assert after(HOUR, rollout=self.kept, stage=1).move == "finish"

    def test_without_copies_green_waits_for_the_hold_alone(self) -> None:
        assert after(timedelta(minutes=9), rollout=self.unmirrored).move == "hold"
        assert after(timedelta(minutes=10), rollout=self.unmirrored).move == "advance"

    def test_a_person_can_stop_the_switch(self) -> None:
        assert after(HOUR, rollout=self.unmirrored, paused=True).move == "pause"


class TestSeveral:
    def test_the_best_of_those_that_are_good_wins(self) -> None:
        good, better = arm("success", "churn:2", harm=-0.01), arm("success", "churn:3", harm=-0.05, number=3)
        found = after(HOUR, good, better, rollout=SEVERAL)
        assert (found.move, found.winner) == ("finish", "churn:3")

    def test_one_that_fails_is_taken_out_and_the_others_go_on(self) -> None:
        found = after(HOUR, arm("failure", "churn:2"), arm("inconclusive", "churn:3", number=3), rollout=SEVERAL)
        assert (found.move, found.dropped) == ("hold", ("churn:2",))
        assert found.reasons[0] == "churn:2 is taken out: because of failure"

    def test_one_that_fails_does_not_keep_another_from_winning(self) -> None:
        found = after(HOUR, arm("failure", "churn:2"), arm("success", "churn:3", number=3), rollout=SEVERAL)
        assert (found.move, found.winner, found.dropped) == ("finish", "churn:3", ("churn:2",))

    def test_when_all_fail_all_goes_back(self) -> None:
        found = after(HOUR, arm("failure", "churn:2"), arm("failure", "churn:3", number=3), rollout=SEVERAL)
        assert (found.move, found.dropped) == ("back", ())
        assert found.reasons == ("churn:2: because of failure", "churn:3: because of failure")

    def test_an_error_of_one_keeps_all_from_winning(self) -> None:
        found = after(HOUR, arm("success", "churn:2"), arm("error", "churn:3", number=3), rollout=SEVERAL)
        assert found.move == "pause"

    def test_without_a_winner_the_control_keeps_the_traffic_in_the_end(self) -> None:
        found = after(3 * HOUR, arm("inconclusive", "churn:2"), arm("inconclusive", "churn:3"), rollout=SEVERAL)
        assert found.move == "back"


@given(
    st.sampled_from(JUDGED),
    st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=4),
    st.timedeltas(timedelta(0), timedelta(days=60)),
    st.booleans(),
)
def test_nothing_but_success_moves_forward_and_nothing_but_harm_or_patience_back(
    rollout: Rollout, outcomes: list[Outcome], passed: timedelta, paused: bool
) -> None:
    arms = [arm(outcome, f"churn:{number}", number=number) for number, outcome in enumerate(outcomes, start=2)]
    found = after(passed, *arms, rollout=rollout, paused=paused)
    left = [each for each in outcomes if each != "failure"]
    assert found.reasons
    if found.move in ("advance", "finish"):
        assert "success" in left
        assert "error" not in left
        assert passed >= rollout.stages[0].hold_time
        assert not paused
    if found.move == "back":
        late = rollout.undecided == "back" and passed >= rollout.patience_time and set(left) == {"inconclusive"}
        assert not left or late
    if not left:
        assert found.move == "back"


@pytest.mark.parametrize(
    ("rollout", "judged"),
    [
        (Rollout.canary("prod", steps=(5, 25, 50), mirror="1h"), 4),
        (Rollout.canary("prod", steps=(10,)), 1),
        (Rollout.blue_green("prod"), 1),
        (Rollout.blue_green("prod", mirror=False), 0),
        (Rollout.shadow("prod"), 1),
        (SEVERAL, 1),
    ],
)
def test_stages_that_are_judged_share_what_may_be_spent_on_failing(rollout: Rollout, judged: int) -> None:
    assert failing_part(rollout, 1) == pytest.approx(1 / max(judged, 1))


@given(draws=st.integers(1, 500))
def test_a_bandit_may_be_drawn_anew_as_often_as_it_likes(draws: int) -> None:
    bandit = Rollout.bandit("prod", analysis=GOAL, hold="30m", patience="2h")
    spent = [failing_part(bandit, draw) for draw in range(1, draws + 1)]
    assert spent[0] == 0.5
    assert sum(spent) < 1
    assert all(part > 0 for part in spent)
