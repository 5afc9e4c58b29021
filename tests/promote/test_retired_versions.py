"""A retired version gets in by no way: gate, several at once, past the gate, the way back; and damage is no way in."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from keelway.core import Action, Environment, Verdict
from keelway.deploy import deploy, rollback
from keelway.deploy.record import SmokeResult
from keelway.engines.rego import RegoEngine
from keelway.errors import RefusedError
from keelway.promote import check_gate, load_policy, may_serve
from keelway.register import ModelVersion, change_life
from keelway.testing.door import BEN, CI, OPEN, DoorWorld


@pytest.fixture
def world(tmp_path: Path) -> DoorWorld:
    """A world whose version was let in once, and gave way to a second one."""
    made = DoorWorld(tmp_path)
    (tmp_path / "policy/gate.rego").write_text(OPEN)
    made.ruled(policy=load_policy("policy", root=tmp_path))
    let_in(made, made.version)
    second = made.register(2)
    let_in(made, second)
    return made


def let_in(world: DoorWorld, version: ModelVersion) -> None:
    world.ask(version=version)
    world.approve(version=version)
    world.promote(version=version)
    world.now += timedelta(hours=1)


def retire(world: DoorWorld) -> None:
    change_life(
        world.version, Action.RETIRE, reason="too old", principal=BEN, state=world.state, now=world.now,
    )  # fmt: skip


WAYS: dict[str, Callable[[DoorWorld], object]] = {
    "gate": lambda world: world.promote(),
    "several at once": lambda world: world.together(world.version),
    "past the gate": lambda world: world.skip(),
    "way back": lambda world: world.back(to="churn:1"),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_no_way_leads_a_retired_version_in(world: DoorWorld, way: Callable[[DoorWorld], object]) -> None:
    world.ask()
    world.approve()
    retire(world)
    with pytest.raises(RefusedError) as caught:
        way(world)
    assert "retired" in str(caught.value)
    assert world.live() == "churn:2"
    last = world.told()[-1]
    assert not last.allowed
    assert any("retired" in reason for reason in last.reasons)


def test_nobody_can_ask_for_a_retired_version(world: DoorWorld) -> None:
    retire(world)
    with pytest.raises(RefusedError, match="was retired by user:ben: too old"):
        world.ask()
    refused = world.told()[-1]
    assert (refused.action, refused.allowed, "request" in refused.evidence) == (Action.REQUEST, False, False)


def test_before_it_was_retired_the_way_back_led_to_it(world: DoorWorld) -> None:
    world.back(to="churn:1")
    assert world.live() == "churn:1"
    with pytest.raises(RefusedError, match="admitted to prod"):
        retire(world)


def passes(version: ModelVersion) -> SmokeResult:
    from keelway.core import digest_of

    return SmokeResult(version.name, digest_of(version), passed=True, answers=1)


def test_traffic_does_not_come_back_to_a_retired_version(world: DoorWorld) -> None:
    ports: dict[str, Any] = {
        "environment": Environment("prod"), "state": world.state, "principal": CI.id, "now": world.now,
    }  # fmt: skip
    second = "churn:2"
    deploy("churn", stable=world.version.name, smoke=passes, **ports)
    deploy("churn", stable=second, smoke=passes, **ports)  # type: ignore[arg-type]
    retire(world)
    with world.state.snapshot() as tx:
        assert not may_serve(world.version, "prod", tx=tx, now=world.now)
    with pytest.raises(RefusedError, match="retired"):
        deploy("churn", stable=world.version.name, smoke=passes, **ports)
    with pytest.raises(RefusedError, match="retired by user:ben"):
        rollback("churn", **ports)
    assert [(each.action, each.allowed) for each in world.told()[-2:]] == [
        (Action.DEPLOY, False),
        (Action.ROLLBACK, False),
    ]


def test_what_is_live_is_refused_once_its_bytes_are_altered(world: DoorWorld) -> None:
    live = world.register(3)
    let_in(world, live)
    assert world.promote(version=live).version == "churn:3"
    path = world.artifacts.path_of(live.pipeline)
    path.chmod(0o600)
    path.write_bytes(b"something else")
    with pytest.raises(RefusedError, match="does not verify"):
        world.promote(version=live)
    assert not world.told()[-1].allowed


def test_the_gate_says_no_to_damage_and_to_retirement_whatever_its_policy_asks(world: DoorWorld) -> None:
    def verdict() -> Verdict:
        return check_gate(
            world.version, environment=world.rules, state=world.state, artifacts=world.artifacts, engine=RegoEngine(),
            public_key=world.key.public, now=world.now,
        )  # fmt: skip

    assert verdict().allowed
    retire(world)
    assert not verdict().allowed
    assert verdict().reasons == ("churn:1 was retired by user:ben: too old",)
    world.artifacts.delete(world.version.pipeline)
    assert [reason.partition(":")[0] for reason in verdict().reasons] == [
        "the signature does not verify",
        "churn",
    ]
