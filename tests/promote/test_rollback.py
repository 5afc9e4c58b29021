"""The way back: in one command, without approvals or a tracker, to what the gate let in before and nothing else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from keelway.core import Action, Environment, PolicySet, digest_of, version_name
from keelway.deploy import SmokeResult, begin_rollout, current, deploy, pointer_of, rollback
from keelway.errors import MissingRecordError, RefusedError, UsageError
from keelway.project import Rollout
from keelway.promote import Freeze, admitted, status_at
from keelway.register import ModelVersion, change_life
from keelway.testing.door import ADA, CI, NOW, OPEN, DoorWorld, person

DAY = timedelta(days=1)
PROD = Environment("prod")
ONE, TWO, THREE = (version_name("churn", number) for number in (1, 2, 3))


@pytest.fixture(scope="module")
def home(door_home: DoorWorld, tmp_path_factory: pytest.TempPathFactory) -> DoorWorld:
    """A project with three versions, let into prod one after the other."""
    folder = tmp_path_factory.mktemp("three") / "door"
    shutil.copytree(door_home.folder, folder)
    home = door_home.at(folder).ruled(approvals=0)
    for version in (home.version, home.register(2), home.register(3)):
        home.promote(version=version)
        home.now += DAY
    home.state.close()
    return home


@pytest.fixture
def world(home: DoorWorld, copied: Callable[[DoorWorld], DoorWorld]) -> DoorWorld:
    return copied(home)


def refused(world: DoorWorld, **wanted: Any) -> str:
    before = world.live()
    with pytest.raises(RefusedError) as caught:
        world.back(**wanted)
    assert world.live() == before
    last = world.told()[-1]
    assert (last.action, last.allowed, last.reasons) == (Action.ROLLBACK, False, caught.value.reasons)
    return "; ".join(caught.value.reasons)


def passes(version: ModelVersion) -> SmokeResult:
    return SmokeResult(version.name, digest_of(version), passed=True, answers=1)


def deployed(world: DoorWorld, stable: Any) -> Any:
    return deploy(
        "churn", environment=PROD, stable=stable, smoke=passes, state=world.state, principal=CI.id, now=world.now
    )


def served(world: DoorWorld) -> Any:
    with world.state.snapshot() as tx:
        found = current("churn", PROD, tx)
    return found.traffic if found else None


def both_back(world: DoorWorld, **wanted: Any) -> Any:
    return rollback(
        "churn", environment=PROD, state=world.state, principal=CI.id, now=world.now,
        follow=world.way().follow, **wanted,
    )  # fmt: skip


def test_it_leads_to_what_stood_before_and_then_further(world: DoorWorld) -> None:
    first = world.back()
    assert (first.version, first.rollback, first.approvals, world.live()) == (TWO, True, (), TWO)
    assert world.back().version == ONE
    with pytest.raises(UsageError, match="nothing to roll back to"):
        world.back()
    assert world.tracker.shown == {("churn", "prod"): 1}


def test_it_never_leads_to_what_was_left_already(world: DoorWorld) -> None:
    world.back()
    world.promote(version=world.register(4))
    assert [world.back().version for _ in range(2)] == [TWO, ONE]


def test_it_is_a_decision_that_names_its_pointer_and_evidence(world: DoorWorld) -> None:
    back = world.back()
    last = world.told()[-1]
    assert (last.action, last.subject, last.allowed, last.environment) == (Action.ROLLBACK, TWO, True, "prod")
    assert last.evidence["admission"] == digest_of(back)
    assert last.evidence["evidence"] in world.artifacts
    assert [move.name for move in last.moves] == ["environment/prod/churn"]
    with world.state.snapshot() as tx:
        (line,) = status_at(tx, world.now)
    assert (line.subject, line.entry) == (TWO, len(world.told()) - 1)


def test_a_version_is_named(world: DoorWorld) -> None:
    assert world.back(to=ONE).version == ONE
    assert world.back(to=ONE).version == ONE
    assert len([one for one in world.told() if one.action == Action.ROLLBACK]) == 1
    with pytest.raises(UsageError, match="stays with one model"):
        world.back(to="basket:1")
    with pytest.raises(MissingRecordError):
        world.back(to="churn:9")


def test_what_the_gate_never_let_in_does_not_come_back(world: DoorWorld) -> None:
    world.register(4)
    assert "churn:4 was never admitted to prod" in refused(world, to="churn:4")


def test_what_is_retired_does_not_come_back(world: DoorWorld) -> None:
    with world.state.snapshot() as tx:
        version = tx.get(ModelVersion, TWO)
    for action in (Action.DEPRECATE, Action.RETIRE):
        change_life(version, action, reason="it leaks", principal=ADA, state=world.state, now=world.now)
    assert "churn:2 was retired by user:ada: it leaks" in refused(world)
    assert world.back(to=ONE)


def test_what_is_altered_does_not_come_back(world: DoorWorld) -> None:
    with world.state.snapshot() as tx:
        version = tx.get(ModelVersion, TWO)
    world.artifacts.path_of(version.onnx).unlink()
    assert "the signature does not verify" in refused(world)
    assert world.back(to=ONE)


def test_it_works_while_the_tracker_is_down_and_in_a_freeze(world: DoorWorld) -> None:
    world.tracker.down = True
    world.ruled(freezes=(Freeze(NOW, world.now + DAY, "year end"),))
    assert world.back().version == TWO


@pytest.mark.parametrize("who", [person("user:hal", "deployer"), person("sp:x", "auditor")], ids=["human", "no role"])
def test_only_who_may_move_the_pointer_takes_it(world: DoorWorld, who: Any) -> None:
    assert refused(world, who=who)


def test_its_own_policy_is_asked_and_not_the_gates(world: DoorWorld) -> None:
    world.ruled(
        policy=PolicySet("shut", {"gate.rego": 'package keelway.gate\nrules contains "x"\ndeny contains "shut"'})
    )
    assert world.back().version == TWO
    no = 'package keelway.gate\nrules contains "x"\ndeny contains "not on a Friday"'
    world.ruled(rollback_policy=PolicySet("back", {"gate.rego": no}))
    assert "not on a Friday" in refused(world)
    world.ruled(rollback_policy=PolicySet("back", {"gate.rego": OPEN}))
    back = world.back()
    assert (back.version, back.verdict.policy_digest) == (ONE, digest_of(world.rules.rollback_policy))


def test_an_empty_policy_of_its_own_lets_nothing_back(world: DoorWorld) -> None:
    world.ruled(rollback_policy=PolicySet("none"))
    assert refused(world)


def test_what_cannot_be_gathered_does_not_come_back(world: DoorWorld) -> None:
    with world.state.snapshot() as tx:
        version = tx.get(ModelVersion, TWO)
    lost = replace(version, scorecard=version.profile)
    with world.state.transaction() as tx:
        reasons = world.way().follow(lost, tx=tx)
    assert any("cannot be gathered" in reason for reason in reasons)


def test_traffic_and_pointer_go_back_in_one_transaction(world: DoorWorld) -> None:
    deployed(world, TWO)
    deployed(world, THREE)
    back = both_back(world)
    assert (back.stable, served(world), world.live()) == (TWO, {TWO: 100}, TWO)
    pointer, traffic = world.told()[-2:]
    assert [move.name for one in (pointer, traffic) for move in one.moves] == [
        "environment/prod/churn", pointer_of("churn", "prod"),
    ]  # fmt: skip


def test_a_canary_that_is_taken_back_takes_the_pointer_with_it(world: DoorWorld) -> None:
    deployed(world, TWO)
    begin_rollout(
        "churn",
        [THREE],
        rollout=Rollout.canary(str(PROD)),
        smoke=passes,
        state=world.state,
        principal=CI.id,
        now=world.now,
    )
    both_back(world)
    assert (served(world), world.live()) == ({TWO: 100}, TWO)


def test_a_pointer_that_stands_already_is_not_moved_again(world: DoorWorld) -> None:
    deployed(world, TWO)
    deployed(world, THREE)
    world.back()
    size = len(world.told())
    both_back(world)
    assert (served(world), world.live(), len(world.told())) == ({TWO: 100}, TWO, size + 1)


def test_traffic_stays_where_it_is_when_the_pointer_cannot_follow(world: DoorWorld) -> None:
    deployed(world, TWO)
    deployed(world, THREE)
    world.ruled(rollback_policy=PolicySet("none"))
    with pytest.raises(RefusedError, match="may not come back"):
        both_back(world)
    assert (served(world), world.live()) == ({THREE: 100}, THREE)
    assert world.told()[-1].allowed is False


def test_traffic_goes_back_to_a_version_that_had_it(world: DoorWorld) -> None:
    for version in (ONE, TWO, THREE):
        deployed(world, version)
    assert both_back(world, to=ONE).stable == ONE
    assert world.live() == ONE
    with pytest.raises(UsageError, match="nothing to roll back to"):
        both_back(world)
    with pytest.raises(UsageError, match="none of churn:7"):
        both_back(world, to=version_name("churn", 7))


def test_what_came_back_counts_as_admitted(world: DoorWorld) -> None:
    back = world.back()
    with world.state.snapshot() as tx:
        assert admitted(tx.get(ModelVersion, TWO), "prod", tx) == back


def test_without_a_policy_of_its_own_nothing_but_the_state_is_asked(world: DoorWorld) -> None:
    def later(*_given: Any) -> dict[str, Any]:
        raise AssertionError("what later steps know is gathered for a policy alone")

    world.ruled(more=later)
    back = world.back()
    found = json.loads(world.artifacts.get(back.evidence))
    assert (found["version"]["name"], found["signature"]["verified"], {*found["admissions"]}) == (TWO, True, {PROD})
    assert (found["drift"], found.keys() & {"checklist", "freeze"}) == (None, set())
    world.ruled(rollback_policy=PolicySet("back", {"gate.rego": OPEN}))
    with pytest.raises(AssertionError, match="for a policy alone"):
        world.back()
