"""Rollouts of every strategy: begun through the door, moved by looks, ended by one command, each step one ledger entry."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keelway.core import Action, VersionName, digest_of, version_name
from keelway.deploy import (
    CANARY,
    CONTROL,
    SHADOW,
    STABLE,
    Deployment,
    NextMove,
    RolloutLook,
    SmokeResult,
    assign,
    deployments_of,
    layer_of,
    layer_pointer,
    looks_of,
    rollouts_of,
    seen,
    trial_shares,
    turns_of,
)
from keelway.deploy.analysis import Outcome
from keelway.errors import PointerMovedError, RefusedError, UsageError
from keelway.ledger import SigningKey, audit
from keelway.project import Analysis, Metric, Rollout
from keelway.register import LifecycleChange, ModelVersion
from keelway.testing.crash import EXIT_CODE, CrashingState, CrashPoint, stride
from keelway.testing.fleet import CI, PROD, UNADMITTED, A, B, C, Fleet, fails, model_version, passes

GOAL = Analysis(metrics=(Metric("conversion"),))
STEPS = Rollout.canary("prod", steps=(5, 25), hold="1h", patience="6h")
SHADOWED = Rollout.shadow("prod", hold="1h")
BLUE_GREEN = Rollout.blue_green("prod", hold="1h", keep="2h")
CHALLENGE = Rollout.champion_challenger("prod", percent=20)
AB = Rollout.ab("prod", analysis=GOAL, hold="1h", percent=60)
BANDIT = Rollout.bandit("prod", analysis=GOAL)
ENTITIES = [f"customer {number}" for number in range(4_000)]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state in which version 1 of two models has all traffic."""
    folder = tmp_path_factory.mktemp("filled")
    fleet = Fleet(folder)
    for model in ("churn", "offer"):
        fleet.fill(model)
        fleet.deploy(version_name(model, 1))
    fleet.state.close()
    return folder


@pytest.fixture
def fleet(filled: Path, tmp_path: Path) -> Iterator[Fleet]:
    shutil.copytree(filled, tmp_path / "fleet")
    made = Fleet(tmp_path / "fleet")
    yield made
    made.state.close()


def part(deployment: Deployment, version: VersionName) -> float:
    """Return which part of the entities a version answers for."""
    return sum(assign(each, deployment)[0] == version for each in ENTITIES) / len(ENTITIES)


def held_by(deployment: Deployment, arm: str) -> set[str]:
    return {each for each in ENTITIES if assign(each, deployment)[1] == arm}


class TestBeginning:
    def test_a_rollout_is_record_traffic_and_decision_together(self, fleet: Fleet) -> None:
        begun = fleet.begin(STEPS, B)
        now = fleet.current()
        assert now == begun.deployment
        assert (now.rollout, now.stage, now.strategy, now.traffic) == ("r1", 0, "canary", {A: 95, B: 5})
        assert (begun.start.control, begun.start.treatments, begun.start.plan) == (A, (B,), STEPS)
        told = fleet.decisions()[-1]
        assert (told.action, told.allowed) == (Action.DEPLOY, True)
        assert told.evidence["rollout"] == digest_of(begun.start)
        assert set(told.evidence) == {"deployment", "rollout", f"smoke {B}"}
        assert fleet.rollout_state() == "running"

    def test_beginning_again_changes_nothing(self, fleet: Fleet) -> None:
        begun = fleet.begin(STEPS, B)
        before = fleet.everything()
        again = fleet.begin(STEPS, B, smoke=fails)
        assert (again.start.rollout, again.start.plan, again.deployment) == ("r1", STEPS, begun.deployment)
        assert fleet.everything() == before

    @pytest.mark.parametrize(
        ("version", "smoke", "reason"),
        [(UNADMITTED, None, "churn:4 is not admitted to prod"), (B, fails, "churn:2 failed its smoke test")],
        ids=["not admitted", "smoke"],
    )
    def test_the_door_and_the_smoke_test_come_first(
        self, fleet: Fleet, version: VersionName, smoke: object, reason: str
    ) -> None:
        before = fleet.current()
        for rollout in (STEPS, SHADOWED, AB):
            with pytest.raises(RefusedError, match=reason):
                fleet.begin(rollout, version, **({"smoke": smoke} if smoke else {}))
        assert fleet.current() == before
        assert [each.allowed for each in fleet.decisions()[-3:]] == [False] * 3
        assert "as a shadow" in fleet.decisions()[-2].comment

    @pytest.mark.parametrize(
        ("rollout", "versions"),
        [
            (STEPS, ()), (STEPS, (A,)), (STEPS, (B, C)), (AB, (B, B)), (Rollout.all_at_once("prod"), (B,)),
            (STEPS, (version_name("offer", 2), B)),
        ],
        ids=["none", "the one in use", "two canaries", "one twice", "all at once", "two models"],
    )  # fmt: skip
    def test_what_is_no_trial_is_refused(
        self, fleet: Fleet, rollout: Rollout, versions: tuple[VersionName, ...]
    ) -> None:
        before = fleet.everything()
        with pytest.raises(UsageError):
            fleet.begin(rollout, *versions)
        assert fleet.everything() == before

    def test_it_needs_a_version_to_stand_beside(self, tmp_path: Path) -> None:
        empty = Fleet(tmp_path)
        empty.fill()
        with pytest.raises(UsageError, match="stand beside"):
            empty.begin(STEPS, B)
        empty.state.close()

    def test_one_of_other_versions_has_to_end_first(self, fleet: Fleet) -> None:
        fleet.begin(STEPS, B)
        with pytest.raises(UsageError, match="goes on") as caught:
            fleet.begin(STEPS, C)
        assert "--abort" in caught.value.fix

    def test_one_of_the_same_version_takes_its_place_and_keeps_its_entities(self, fleet: Fleet) -> None:
        small = held_by(fleet.canary(B, 10).deployment, CANARY)
        large = fleet.canary(B, 30).deployment
        assert small < held_by(large, CANARY)
        assert large.rollout == "r2"
        with fleet.state.snapshot() as tx:
            assert [each.rollout for each in rollouts_of("churn", PROD, tx)] == ["r2", "r1"]

    def test_who_moved_the_traffic_meanwhile_wins(self, fleet: Fleet) -> None:
        def faster(version: ModelVersion) -> SmokeResult:
            fleet.deploy(C)
            return passes(version)

        with pytest.raises(PointerMovedError):
            fleet.begin(STEPS, B, smoke=faster)
        assert fleet.current().traffic == {C: 100}
        with fleet.state.snapshot() as tx:
            assert rollouts_of("churn", PROD, tx) == []


class TestCanary:
    def test_it_goes_step_by_step_and_keeps_every_entity(self, fleet: Fleet) -> None:
        first = fleet.begin(STEPS, B).deployment
        assert fleet.look("success") == first, "the hold is not over"
        fleet.passing(1)
        second = fleet.look("success")
        assert (second.stage, second.traffic) == (1, {A: 75, B: 25})
        assert held_by(first, CANARY) < held_by(second, CANARY)
        assert fleet.look("success") == second, "every stage has a hold of its own"
        fleet.passing(1)
        last = fleet.look("success")
        assert (last.stable, last.traffic, last.rollout) == (B, {B: 100}, "")
        assert (fleet.rollout_state(), fleet.followed) == ("finished", [B])

    def test_each_move_rests_on_its_look(self, fleet: Fleet) -> None:
        start = fleet.begin(STEPS, B).start
        fleet.passing(1)
        fleet.look("success")
        told = fleet.decisions()[-1]
        with fleet.state.snapshot() as tx:
            [look] = looks_of(start, tx)
            assert tx.by_digest(RolloutLook, told.evidence["look"]) == look
            first, second = deployments_of(start, tx)
        assert (look.move, look.stage, look.number, look.control) == ("advance", 0, 1, A)
        assert look.deployment == digest_of(first)
        assert (look.arms[0].arm, look.arms[0].version) == (CANARY, B)
        assert told.evidence["deployment"] == digest_of(second)

    def test_harm_takes_it_back_at_any_stage(self, fleet: Fleet) -> None:
        fleet.begin(STEPS, B)
        fleet.passing(1)
        fleet.look("success")
        back = fleet.look("failure")
        assert (back.stable, back.traffic, fleet.rollout_state()) == (A, {A: 100}, "back")
        assert (fleet.decisions()[-1].action, fleet.followed) == (Action.ROLLBACK, [A])
        with pytest.raises(UsageError, match="No rollout"):
            fleet.look("success")

    def test_an_error_holds_everything_until_figures_can_be_read_again(self, fleet: Fleet) -> None:
        first = fleet.begin(STEPS, B).deployment
        fleet.passing(2)
        assert fleet.look("error") == first
        assert fleet.rollout_state() == "paused"
        assert fleet.look("success").stage == 1
        assert fleet.rollout_state() == "running"

    def test_a_look_that_saw_nothing_new_is_not_kept(self, fleet: Fleet) -> None:
        start = fleet.begin(STEPS, B).start
        size = len(fleet.decisions())
        for outcome in ("inconclusive", "inconclusive", "error", "error", "inconclusive"):
            fleet.passing(0.1)
            fleet.look(outcome)  # type: ignore[arg-type]
        with fleet.state.snapshot() as tx:
            assert [each.move for each in looks_of(start, tx)] == ["hold", "pause", "hold"]
        assert len(fleet.decisions()) == size + 1, "that it paused is told once; waiting is not"

    def test_a_version_that_is_retired_meanwhile_gets_no_further(self, fleet: Fleet) -> None:
        first = fleet.begin(STEPS, B).deployment
        fleet.passing(1)
        retired = LifecycleChange(B, digest_of(model_version(2)), "retired", "too old", None, CI, fleet.now)
        with fleet.state.transaction() as tx:
            tx.insert(f"{B}/1", retired, parent=B, at=fleet.now)
        with pytest.raises(RefusedError, match="too old"):
            fleet.look("success")
        assert fleet.current() == first
        assert fleet.look("failure").traffic == {A: 100}, "back it may go always"

    def test_a_look_at_traffic_that_moved_is_dropped(self, fleet: Fleet) -> None:
        start = fleet.begin(STEPS, B).start
        scene = fleet.scene()
        fleet.deploy(C)
        with pytest.raises(PointerMovedError, match="changed while"):
            fleet.carry_out(scene, NextMove("pause", ("nothing",)))
        with fleet.state.snapshot() as tx:
            assert looks_of(start, tx) == []
        assert fleet.rollout_state() == "stopped"

    def test_it_may_shadow_first(self, fleet: Fleet) -> None:
        first = fleet.begin(Rollout.canary("prod", steps=(5,), mirror="1h"), B).deployment
        assert (first.shadows, first.traffic) == ((B,), {A: 100})
        fleet.passing(1)
        second = fleet.look("success")
        assert (second.shadows, second.traffic) == ((), {A: 95, B: 5})
        assert part(second, B) == pytest.approx(0.05, abs=0.02)


class TestOthers:
    def test_a_shadow_answers_nobody_and_takes_nothing_over(self, fleet: Fleet) -> None:
        first = fleet.begin(SHADOWED, B).deployment
        assert (first.shadows, first.traffic, part(first, A)) == ((B,), {A: 100}, 1.0)
        assert set(first.versions) == {A, B}
        assert fleet.scene().arms == ((SHADOW, B),)
        fleet.passing(1)
        last = fleet.look("success")
        assert (last.stable, last.shadows, fleet.rollout_state()) == (A, (), "finished")
        assert fleet.followed == [], "the version that was let in stays let in"

    def test_green_gets_everything_at_once_and_blue_stays_loaded(self, fleet: Fleet) -> None:
        first = fleet.begin(BLUE_GREEN, B).deployment
        assert (first.shadows, part(first, B)) == ((B,), 0.0)
        fleet.passing(1)
        switched = fleet.look("success")
        assert (switched.stable, switched.traffic, part(switched, B)) == (A, {A: 0, B: 100}, 1.0)
        assert set(switched.versions) == {A, B}, "so that the way back loads nothing"
        assert not fleet.scene().is_judged
        assert fleet.scene().arms == ((CANARY, B),)
        fleet.passing(1)
        assert carried(fleet) == switched
        fleet.passing(1)
        last = carried(fleet)
        assert (last.stable, last.traffic, fleet.rollout_state()) == (B, {B: 100}, "finished")

    def test_a_challenger_that_wins_takes_the_traffic(self, fleet: Fleet) -> None:
        assert part(fleet.begin(CHALLENGE, B).deployment, B) == pytest.approx(0.2, abs=0.03)
        assert fleet.look("inconclusive").traffic == {A: 80, B: 20}
        assert fleet.look("success").traffic == {B: 100}

    def test_a_trial_of_several_has_a_control_of_their_size(self, fleet: Fleet) -> None:
        start, first = (begun := fleet.begin(AB, B, C)).start, begun.deployment
        sizes = {arm: len(held_by(first, arm)) / len(ENTITIES) for arm in first.arms}
        assert sizes == pytest.approx({CONTROL: 0.2, B: 0.2, C: 0.2, STABLE: 0.4}, abs=0.03)
        assert start.plan.analysis.comparisons == 2
        assert (first.control_arm, first.traffic) == (CONTROL, {A: 60, B: 20, C: 20})
        fleet.passing(1)
        last = fleet.look("inconclusive", "success")
        assert (last.traffic, fleet.followed) == ({C: 100}, [C])

    def test_one_that_fails_goes_out_and_the_others_keep_every_entity(self, fleet: Fleet) -> None:
        first = fleet.begin(AB, B, C).deployment
        second = fleet.look("failure", "inconclusive")
        assert set(second.arms) == {CONTROL, C, STABLE}
        assert (held_by(second, C), held_by(second, CONTROL)) == (held_by(first, C), held_by(first, CONTROL))
        assert held_by(second, STABLE) == held_by(first, STABLE) | held_by(first, B)
        assert second.stage == 0
        assert fleet.scene().arms == ((C, C),)
        assert fleet.look("failure").traffic == {A: 100}

    def test_without_a_winner_the_control_keeps_the_traffic(self, fleet: Fleet) -> None:
        fleet.begin(AB, B, C)
        fleet.passing(24 * 28)
        assert fleet.look("inconclusive", "inconclusive").traffic == {A: 100}
        assert fleet.rollout_state() == "back"

    def test_a_bandit_moves_the_fewest_entities(self, fleet: Fleet) -> None:
        first = fleet.begin(BANDIT, B, C).deployment
        assert trial_shares(first, 100) == pytest.approx({CONTROL: 1 / 3, B: 1 / 3, C: 1 / 3}, abs=1e-3)
        second = fleet.look("inconclusive", "inconclusive", shares={CONTROL: 0.2, B: 0.5, C: 0.3})
        assert trial_shares(second, 100) == pytest.approx({CONTROL: 0.2, B: 0.5, C: 0.3}, abs=1e-3)
        moved = sum(assign(each, first) != assign(each, second) for each in ENTITIES) / len(ENTITIES)
        assert moved == pytest.approx(1 / 6, abs=0.03)
        assert fleet.look("inconclusive", "inconclusive") == second


STRATEGIES = {
    "shadow": (SHADOWED, (B,), ()),
    "canary": (STEPS, (B,), ()),
    "canary, grown": (STEPS, (B,), ("success",)),
    "blue and green": (BLUE_GREEN, (B,), ()),
    "blue and green, switched": (BLUE_GREEN, (B,), ("success",)),
    "champion and challenger": (CHALLENGE, (B,), ()),
    "challenger as a shadow": (Rollout.champion_challenger("prod", percent=0), (B,), ()),
    "several": (AB, (B, C), ()),
    "several in a layer": (Rollout.ab("prod", analysis=GOAL, percent=60, layer="prices"), (B, C), ()),
    "bandit": (BANDIT, (B, C), ()),
}


@pytest.mark.parametrize(("rollout", "versions", "looks"), STRATEGIES.values(), ids=STRATEGIES.keys())
@pytest.mark.parametrize("by", ["rollback", "stop"])
def test_one_command_leads_out_of_every_strategy(
    fleet: Fleet, rollout: Rollout, versions: tuple[VersionName, ...], looks: tuple[Outcome, ...], by: str
) -> None:
    fleet.begin(rollout, *versions)
    for outcome in looks:
        fleet.passing(1)
        fleet.look(outcome)
    back = fleet.rollback() if by == "rollback" else fleet.turn("stop")
    assert (back.stable, back.traffic, back.shadows, back.layer) == (A, {A: 100}, (), "")
    assert all(assign(each, back) == (A, STABLE) for each in ENTITIES[:100])
    assert fleet.rollout_state() == "stopped"
    assert fleet.decisions()[-1].action == Action.ROLLBACK
    with fleet.state.snapshot() as tx:
        assert layer_of(PROD, "prices", tx).allocation.counts() == {"": 10_000}


def test_after_the_end_a_rollback_goes_to_the_version_it_began_beside(fleet: Fleet) -> None:
    fleet.begin(Rollout.canary("prod", steps=(5,)), B)
    assert fleet.look("success").traffic == {B: 100}
    assert fleet.rollback().traffic == {A: 100}


class TestPeople:
    def test_what_is_paused_stays_until_it_is_resumed(self, fleet: Fleet) -> None:
        start = fleet.begin(STEPS, B).start
        held = fleet.turn("pause")
        fleet.passing(3)
        assert fleet.look("success") == held
        assert fleet.rollout_state() == "paused"
        fleet.turn("resume")
        assert fleet.rollout_state() == "running"
        assert fleet.look("success").stage == 1
        with fleet.state.snapshot() as tx:
            assert [each.to for each in turns_of(start, tx)] == ["pause", "resume"]

    def test_what_is_paused_still_goes_back(self, fleet: Fleet) -> None:
        fleet.begin(STEPS, B)
        fleet.turn("pause")
        assert fleet.look("failure").traffic == {A: 100}

    def test_patience_begins_anew_when_it_is_resumed(self, fleet: Fleet) -> None:
        fleet.begin(STEPS, B)
        fleet.passing(6)
        fleet.look("inconclusive")
        assert fleet.rollout_state() == "paused"
        fleet.turn("resume")
        fleet.passing(5)
        fleet.look("inconclusive")
        assert fleet.rollout_state() == "running"
        fleet.passing(1)
        fleet.look("inconclusive")
        assert fleet.rollout_state() == "paused"

    def test_telling_it_what_it_does_already_is_an_error(self, fleet: Fleet) -> None:
        fleet.begin(STEPS, B)
        with pytest.raises(UsageError, match="running already"):
            fleet.turn("resume")
        fleet.turn("pause")
        with pytest.raises(UsageError, match="paused already"):
            fleet.turn("pause")

    def test_each_turn_is_in_the_ledger(self, fleet: Fleet) -> None:
        fleet.begin(STEPS, B)
        size = len(fleet.decisions())
        for to in ("pause", "resume", "stop"):
            fleet.turn(to)  # type: ignore[arg-type]
        assert [each.comment for each in fleet.decisions()[size:]] == ["r1: pause", "r1: resume", "r1: stop"]
        assert all("turn" in each.evidence for each in fleet.decisions()[size:])


class TestLayers:
    prices = Rollout.ab("prod", analysis=GOAL, percent=60, layer="prices")
    half = Rollout.canary("prod", steps=(5, 20), layer="prices")

    def test_trials_of_two_models_in_one_layer_never_share_an_entity(self, fleet: Fleet) -> None:
        one = fleet.begin(self.prices, B).deployment
        two = fleet.begin(self.half, version_name("offer", 2)).deployment
        assert {arm for entity in ENTITIES if (arm := one.arm_of(entity)) != STABLE} == {CONTROL, B}
        both = [each for each in ENTITIES if STABLE not in (one.arm_of(each), two.arm_of(each))]
        assert both == []
        assert part(one, B) == pytest.approx(0.3, abs=0.03)
        assert part(two, version_name("offer", 2)) == pytest.approx(0.05, abs=0.02)

    def test_a_canary_in_a_layer_grows_inside_its_part(self, fleet: Fleet) -> None:
        first = fleet.begin(self.half, B).deployment
        second = fleet.look("success")
        assert second.members == first.members
        assert held_by(first, CANARY) < held_by(second, CANARY)
        assert len(held_by(second, CONTROL)) / len(ENTITIES) == pytest.approx(0.2, abs=0.03)
        assert part(second, B) == pytest.approx(0.2, abs=0.03)

    def test_who_finds_no_room_is_refused_and_nothing_moves(self, fleet: Fleet) -> None:
        fleet.begin(self.prices, B)
        with pytest.raises(UsageError, match="no room"):
            fleet.begin(self.prices, version_name("offer", 2))
        assert fleet.current("offer").traffic == {version_name("offer", 1): 100}

    def test_what_ends_gives_its_part_back_and_nobody_else_moves(self, fleet: Fleet) -> None:
        fleet.begin(self.half, B)
        stays = fleet.begin(self.half, version_name("offer", 2)).deployment
        fleet.look("failure")
        with fleet.state.snapshot() as tx:
            assert set(layer_of(PROD, "prices", tx).allocation.counts()) == {"", "offer/r1"}
        assert fleet.current("offer") == stays
        moved = [move.name for move in fleet.decisions()[-1].moves]
        assert layer_pointer(PROD, "prices") in moved
        assert fleet.begin(self.prices, C).deployment.layer == "prices"

    def test_one_that_takes_the_place_of_itself_finds_room(self, fleet: Fleet) -> None:
        fleet.begin(self.prices, B)
        again = Rollout.ab("prod", analysis=GOAL, percent=90, layer="prices")
        assert part(fleet.begin(again, B).deployment, B) == pytest.approx(0.45, abs=0.03)

    def test_who_is_in_the_trial_tells_nothing_about_the_arm(self, fleet: Fleet) -> None:
        one = fleet.begin(self.prices, B).deployment
        fleet.turn("stop")
        two = fleet.begin(self.prices, C).deployment
        again = held_by(one, B) & (held_by(two, C) | held_by(two, CONTROL))
        assert len(again & held_by(two, C)) / len(again) == pytest.approx(0.5, abs=0.06)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["success", "failure", "inconclusive", "error"]), max_size=6))
def test_whatever_is_seen_the_way_back_is_one_command(filled: Path, tmp_path: Path, outcomes: list[Outcome]) -> None:
    folder = tmp_path / os.urandom(6).hex()
    shutil.copytree(filled, folder)
    fleet = Fleet(folder)
    fleet.begin(STEPS, B)
    for outcome in outcomes:
        if fleet.rollout_state() in ("finished", "back"):
            break
        fleet.passing(1)
        fleet.look(outcome)
    if fleet.rollout_state() != "back":
        assert fleet.rollback().traffic == {A: 100}
    assert fleet.current().traffic == {A: 100}
    assert audit(fleet.state, key=SigningKey.generate("test").public).problems == ()
    fleet.state.close()


STORY: tuple[Callable[[Fleet], object], ...] = (
    lambda fleet: fleet.begin(TestLayers.half, B),
    lambda fleet: fleet.look("success"),
    lambda fleet: fleet.turn("pause"),
    lambda fleet: fleet.look("failure"),
)
INSTANTS = 3 * len(STORY)  # before a transaction, inside it, after it


def tell(folder: Path, story: Iterable[Callable[[Fleet], object]], crash: CrashPoint) -> None:
    fleet = Fleet(folder)
    fleet.state = CrashingState(fleet.state, crash)
    for chapter in story:
        chapter(fleet)


@pytest.mark.parametrize("at", range(1, INSTANTS + 1, stride()))
def test_a_crash_at_any_write_leaves_a_whole_step_or_none(filled: Path, tmp_path: Path, at: int) -> None:
    folder = tmp_path / "crashed"
    shutil.copytree(filled, folder)
    child = os.fork()
    if child == 0:
        try:
            tell(folder, STORY, CrashPoint(at))
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == EXIT_CODE
    fleet = Fleet(folder)
    done = at // 3  # the third instant of a transaction comes after its commit
    assert len(fleet.decisions()) == 2 + done
    for chapter in STORY[done:]:
        chapter(fleet)
    assert (fleet.rollout_state(), fleet.current().traffic) == ("back", {A: 100})
    with fleet.state.snapshot() as tx:
        assert layer_of(PROD, "prices", tx).allocation.counts() == {"": 10_000}
    assert audit(fleet.state, key=SigningKey.generate("test").public).problems == ()
    fleet.state.close()


def carried(fleet: Fleet) -> Deployment:
    """Look at a stage that compares nothing."""
    scene = fleet.scene()
    return fleet.carry_out(scene, seen(scene, [], fleet.now))
