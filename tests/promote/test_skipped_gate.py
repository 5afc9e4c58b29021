"""UnsafeSkipGate: two approvers, a reason, an end, an alert; never past the signature, and never silent."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from keelway.core import Action, ArtifactKind, Environment, PolicySet, digest_of
from keelway.deploy import SmokeResult, deploy
from keelway.errors import RefusedError, UsageError
from keelway.promote import Freeze, UnsafeSkipGate, admitted, expired_skips, may_serve, open_skips
from keelway.testing.door import ADA, ANA, BEN, CAT, CI, DAN, EVE, NOW, OPEN, DoorWorld, person

HOUR = timedelta(hours=1)
SHUT = PolicySet("shut", {"gate.rego": 'package keelway.gate\nrules contains "x"\ndeny contains "shut"'})


@pytest.fixture
def world(open_door: DoorWorld) -> DoorWorld:
    """A project whose gate is shut and frozen, and asks for a staging that there never was."""
    freeze = Freeze(NOW - HOUR, NOW + 999 * HOUR, "year end")
    return open_door.ruled(policy=SHUT, after="staging", freezes=(freeze,), checklists={"high": ("Assessed",)})


@pytest.fixture
def asked(world: DoorWorld) -> DoorWorld:
    world.ask(comment="the till is down", break_glass=True)
    world.approve(BEN, break_glass=True)
    return world


@pytest.fixture
def skipped(asked: DoorWorld) -> DoorWorld:
    asked.approve(CAT, break_glass=True)
    asked.skip()
    return asked


def refused(world: DoorWorld, **changed: Any) -> str:
    with pytest.raises(RefusedError) as caught:
        world.skip(**changed)
    assert world.live() == ""
    last = world.told()[-1]
    assert (last.action, last.allowed, last.reasons) == (Action.SKIP_GATE, False, caught.value.reasons)
    return "; ".join(caught.value.reasons)


def skips(world: DoorWorld) -> tuple[int, int]:
    """Return how many skipped gates stand, and how many of them too long."""
    with world.state.snapshot() as tx:
        return len(open_skips(tx=tx)), len(expired_skips(tx=tx, now=world.now))


def test_it_goes_past_everything_that_the_gate_asks(skipped: DoorWorld, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        admission = skipped.skip()
    assert skipped.live() == "churn:1"
    assert "UnsafeSkipGate: churn:1 went past the gate of prod: the till is down" in caplog.text
    with skipped.state.snapshot() as tx:
        record = tx.by_digest(UnsafeSkipGate, admission.unsafe)
    told = "; ".join(record.skipped)
    for part in ("never admitted to staging", "frozen", "the checklist lacks", "shut"):
        assert part in told
    assert (record.reason, record.expires_at, len(record.approvals)) == ("the till is down", NOW + 24 * HOUR, 2)


def test_it_is_an_entry_and_an_alert(skipped: DoorWorld) -> None:
    entry, alert = skipped.told()[-2:]
    assert (entry.action, entry.allowed, len(entry.moves), entry.comment) == (
        Action.SKIP_GATE, True, 1, "the till is down",
    )  # fmt: skip
    assert (alert.action, alert.subject) == (Action.ALERT, "churn:1")
    assert alert.evidence["unsafe_skip_gate"] == entry.evidence["unsafe_skip_gate"]
    assert alert.comment == "UnsafeSkipGate until 1998-06-02T00:00:00Z: the till is down"


def test_two_approvers_are_needed_however_few_the_gate_asks_for(asked: DoorWorld) -> None:
    asked.ruled(approvals=0)
    assert "it has 1 of 2 approvals" in refused(asked)


def test_any_role_that_may_approve_takes_either_seat(asked: DoorWorld) -> None:
    asked.ruled(approvals={"approver": 1, "risk-owner": 1})
    asked.approve(EVE, break_glass=True)
    assert asked.skip()


def test_without_a_request_of_its_own_it_is_refused(world: DoorWorld) -> None:
    world.ruled(checklists={}).ask()
    world.approve(BEN)
    world.approve(CAT)
    assert "it has 0 of 2 approvals; nobody has asked for it" in refused(world)
    world.ruled(approvals=0)
    assert "it has 0 of 2 approvals; nobody has asked for it" in refused(world)


@pytest.mark.parametrize("reason", ["", "  "])
def test_it_needs_a_reason(asked: DoorWorld, reason: str) -> None:
    with pytest.raises(UsageError, match="reason"):
        asked.skip(reason=reason)
    with pytest.raises(UsageError, match="reason"):
        asked.ask(ADA, comment=reason, break_glass=True)


def test_who_takes_part_does_not_approve_it(asked: DoorWorld) -> None:
    with pytest.raises(RefusedError, match="user:ana is the author"):
        asked.approve(replace(ANA, roles=("approver",)), break_glass=True)


def test_a_rejection_stands_in_the_way(asked: DoorWorld) -> None:
    asked.approve(CAT, break_glass=True)
    asked.reject(DAN, break_glass=True, comment="roll back instead")
    assert "user:dan rejected it: roll back instead" in refused(asked)


def test_bytes_and_signature_are_never_skipped(asked: DoorWorld) -> None:
    asked.approve(CAT, break_glass=True)
    other = asked.artifacts.put(b"other bytes", kind=ArtifactKind.MODEL).digest
    assert "the signature does not verify" in refused(asked, version=replace(asked.version, onnx=other))
    asked.artifacts.path_of(asked.version.onnx).unlink()
    assert "the signature does not verify" in refused(asked)


@pytest.mark.parametrize("who", [person("user:hal", "deployer"), BEN], ids=["human", "no deployer"])
def test_who_moves_the_pointer_is_never_skipped(asked: DoorWorld, who: Any) -> None:
    asked.approve(CAT, break_glass=True)
    assert refused(asked, who=who)


def test_it_ends_and_then_there_are_complaints(skipped: DoorWorld) -> None:
    assert skips(skipped) == (1, 0)
    skipped.now += 24 * HOUR - timedelta(seconds=1)
    assert skips(skipped) == (1, 0)
    skipped.now += timedelta(seconds=1)
    assert skips(skipped) == (1, 1)


def test_a_regular_promotion_ends_the_complaints(skipped: DoorWorld) -> None:
    unsafe = skipped.skip()
    skipped.now += 25 * HOUR
    skipped.ruled(policy=PolicySet("open", {"gate.rego": OPEN}), after="", freezes=(), checklists={}, approvals=0)
    regular = skipped.promote()
    assert (regular.unsafe, regular.previous) == (None, unsafe.previous)
    assert skips(skipped) == (0, 0)


def test_a_rollback_ends_the_complaints(world: DoorWorld) -> None:
    strict = world.rules
    world.ruled(policy=PolicySet("open", {"gate.rego": OPEN}), after="", freezes=(), checklists={}, approvals=0)
    world.promote()
    world.rules, world.version = strict, world.register(2)
    world.ask(comment="the till is down", break_glass=True)
    for who in (BEN, CAT):
        world.approve(who, break_glass=True)
    world.skip()
    assert (world.live(), skips(world)) == ("churn:2", (1, 0))
    assert world.back().version == "churn:1"
    assert skips(world) == (0, 0)
    with pytest.raises(RefusedError, match="churn:2 was never admitted to prod"):
        world.back(to="churn:2")


def test_what_went_past_a_gate_was_not_admitted_there(skipped: DoorWorld) -> None:
    with skipped.state.snapshot() as tx:
        assert admitted(skipped.version, "prod", tx) is None
    later = replace(skipped.rules, name="live", after="prod", policy=PolicySet("open", {"gate.rego": OPEN}))
    with pytest.raises(RefusedError, match="never admitted to prod"):
        skipped.promote(environment=replace(later, approvals=0, freezes=(), checklists={}))


def test_it_gets_traffic_until_it_ends(skipped: DoorWorld) -> None:
    def smoke(version: Any) -> SmokeResult:
        return SmokeResult(version.name, digest_of(version), passed=True, answers=1)

    def served(now: Any) -> bool:
        with skipped.state.snapshot() as tx:
            return may_serve(skipped.version, "prod", tx=tx, now=now)

    assert served(skipped.now)
    assert not served(skipped.now + 24 * HOUR)
    deployed = deploy(
        "churn", environment=Environment("prod"), stable=skipped.version.name, smoke=smoke, state=skipped.state,
        principal=CI.id, now=skipped.now,
    )  # fmt: skip
    assert deployed.traffic == {"churn:1": 100}


def test_its_approvals_are_used_up(skipped: DoorWorld) -> None:
    strict = skipped.rules
    skipped.ruled(policy=PolicySet("open", {"gate.rego": OPEN}), after="", freezes=(), checklists={}, approvals=0)
    skipped.promote(version=skipped.register(2))
    skipped.rules = strict
    with pytest.raises(RefusedError, match="it has 0 of 2 approvals"):
        skipped.skip()


def test_a_clock_that_is_set_back_hides_no_skipped_gate(world: DoorWorld) -> None:
    strict, first = world.rules, world.version
    world.ruled(policy=PolicySet("open", {"gate.rego": OPEN}), after="", freezes=(), checklists={}, approvals=0)
    world.now += 99 * HOUR
    world.promote()
    world.promote(version=world.register(2))
    world.rules, world.now = strict, NOW
    world.ask(comment="the till is down", break_glass=True)
    for who in (BEN, CAT):
        world.approve(who, break_glass=True)
    assert world.skip(version=first).unsafe is not None
    assert skips(world) == (1, 0)
