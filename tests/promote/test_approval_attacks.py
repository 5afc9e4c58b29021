"""Ways to get past approvals that people have tried: each is refused, and each refusal is in the ledger."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from keelway.core import ArtifactKind, CodeState, PolicySet, RunId, RunStarted, digest_of
from keelway.errors import IdentityError, MissingRecordError, RefusedError
from keelway.identity import Directory, Principal, authenticate
from keelway.promote import Approval, answers, counted_answers, delegate
from keelway.testing.door import ADA, ANA, BEN, CAT, CI, DAN, EVERYBODY, FAY, NOW, OPEN, D, DoorWorld, person

DAY = timedelta(days=1)


@pytest.fixture
def world(open_door: DoorWorld) -> DoorWorld:
    return open_door


@pytest.fixture
def approved(world: DoorWorld) -> DoorWorld:
    world.ask()
    world.approve(BEN)
    return world


def refused(world: DoorWorld, **changed: Any) -> str:
    """Return why the version does not get in, and check that the ledger says the same and nothing moved."""
    with pytest.raises(RefusedError) as caught:
        world.promote(**changed)
    assert world.live() == ""
    last = world.told()[-1]
    assert (last.allowed, last.reasons, last.moves) == (False, caught.value.reasons, ())
    return "; ".join(caught.value.reasons)


def staffed(world: DoorWorld, *changed: Principal, without: str = "") -> DoorWorld:
    """Change the lines of some people in keelway.toml, or take one out."""
    people = {name: EVERYBODY.find(name) for name in EVERYBODY.ids() if name != without}
    people |= {one.id: one for one in changed}
    return world.ruled(directory=Directory(tuple(one for one in people.values() if one)))


def lend(world: DoorWorld, lender: Principal, to: Principal) -> None:
    delegate(
        to.id, until=world.now + 9 * DAY, principal=lender, directory=world.rules.directory or EVERYBODY,
        state=world.state, now=world.now,
    )  # fmt: skip


@pytest.mark.parametrize("part", ["author", "trainer", "requester"])
def test_self_approval(world: DoorWorld, part: str) -> None:
    gus = person("user:gus", "approver", "data-scientist")
    staffed(world, gus, replace(ANA, roles=("data-scientist", "approver")))
    who = ANA if part == "author" else gus
    if part == "trainer":
        started = RunStarted(RunId("r"), "train", D, {}, 1, CodeState(D, D), gus.id, NOW, NOW)
        with world.state.transaction() as tx:
            tx.insert("r", started, at=NOW)
    world.ask(gus if part == "requester" else person("user:hal", "deployer"))
    with pytest.raises(RefusedError, match=f"{who.id} is the {part}"):
        world.approve(replace(who, roles=("approver",)))
    assert world.told()[-1].allowed is False
    assert "0 of 1 approvals" in refused(world)


def test_self_approval_by_a_delegate(world: DoorWorld) -> None:
    author = replace(ANA, roles=("data-scientist", "approver"))
    staffed(world, author)
    world.ask(ADA)
    lend(world, author, FAY)
    with pytest.raises(RefusedError, match="user:ana is the author, and so may nobody use their right"):
        world.approve(FAY)
    lend(world, BEN, author)
    with pytest.raises(RefusedError, match="user:ana is the author and cannot approve"):
        world.approve(author, on_behalf_of=BEN.id)
    assert "0 of 1 approvals" in refused(world)


def test_a_part_in_the_version_that_comes_to_light_later_voids_the_approval(approved: DoorWorld) -> None:
    started = RunStarted(RunId("r"), "train", D, {}, 1, CodeState(D, D), BEN.id, NOW, NOW)
    with approved.state.transaction() as tx:
        tx.insert("r", started, at=NOW)
    assert "user:ben is the trainer" in refused(approved)


def test_a_changed_artifact(approved: DoorWorld) -> None:
    other = approved.artifacts.put(b"other bytes", kind=ArtifactKind.MODEL).digest
    told = refused(approved, version=replace(approved.version, onnx=other))
    assert "0 of 1 approvals" in told
    assert "the signature does not verify" in told


def test_a_replayed_approval_of_another_version(approved: DoorWorld) -> None:
    old = approved.version
    approved.version = approved.register(2)
    approved.ask()
    with approved.state.snapshot() as tx:
        (given,) = answers(approved.ask(version=old), tx=tx)
    request = approved.ask()
    stolen = replace(given, request=digest_of(request))
    with approved.state.transaction() as tx:
        tx.insert(f"{digest_of(request)}/1", stolen, parent=digest_of(request), at=NOW)
    assert "it was given for another request or other bytes" in refused(approved)


def test_an_approval_that_was_used_is_not_used_again(approved: DoorWorld) -> None:
    approved.promote()
    free = replace(approved.rules, approvals=0, policy=PolicySet("open", {"gate.rego": OPEN}))
    approved.promote(version=approved.register(2), environment=free)
    with pytest.raises(RefusedError, match="nobody has asked for it"):
        approved.promote()
    assert approved.live() == "churn:2"


def test_an_approval_put_into_the_database_past_the_ledger(world: DoorWorld) -> None:
    request = world.ask()
    forged = Approval(
        digest_of(request), digest_of(world.version), "prod", request.policy_digest, BEN.id, True, NOW,
        roles=("approver",),
    )  # fmt: skip
    with world.state.transaction() as tx:
        tx.insert(f"{digest_of(request)}/1", forged, parent=digest_of(request), at=NOW)
    assert "the ledger does not tell of it" in refused(world)


def test_an_approval_for_another_environment(world: DoorWorld) -> None:
    prod = world.rules
    world.ruled(name="staging").ask()
    world.approve(BEN)
    world.rules = prod
    assert "nobody has asked for it" in refused(world)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (replace(BEN, roles=("auditor",)), "user:ben has no role that may approve any more"),
        (replace(BEN, disabled=True), "user:ben has no role that may approve any more"),
        (None, "user:ben has no role that may approve any more"),
    ],
    ids=["role taken away", "disabled", "taken out"],
)
def test_an_approver_who_may_approve_no_more(approved: DoorWorld, changed: Principal | None, told: str) -> None:
    if changed is None:
        staffed(approved, without="user:ben")
    else:
        staffed(approved, changed)
    assert told in refused(approved)


def test_an_approval_that_was_revoked(approved: DoorWorld) -> None:
    approved.revoke(BEN, reason="I saw the fairness figures")
    assert "user:ben revoked it: I saw the fairness figures" in refused(approved)


def test_a_disabled_principal_does_nothing(world: DoorWorld) -> None:
    gone = replace(BEN, disabled=True)
    with pytest.raises(IdentityError, match="user:ben is disabled"):
        authenticate(gone.id, None, directory=Directory((gone,)))


def test_a_lent_right_of_somebody_who_lost_theirs(world: DoorWorld) -> None:
    world.ask()
    lend(world, BEN, FAY)
    staffed(world, replace(BEN, disabled=True))
    with pytest.raises(RefusedError, match="no right was lent"):
        world.approve(FAY)


def test_a_delegate_who_was_disabled(world: DoorWorld) -> None:
    world.ask()
    lend(world, BEN, FAY)
    world.approve(FAY)
    staffed(world, replace(FAY, disabled=True))
    assert "user:fay is disabled or gone" in refused(world)


def test_a_human_moving_prod(approved: DoorWorld) -> None:
    human = person("user:hal", "deployer", "admin")
    assert "user:hal is not a service principal, and only one may move prod" in refused(approved, who=human)


def test_a_service_that_approves(world: DoorWorld) -> None:
    robot = person("sp:robot", "approver")
    staffed(world, robot)
    world.ask()
    with pytest.raises(RefusedError, match="sp:robot is a service principal: people approve"):
        world.approve(robot)


def test_a_stale_policy(approved: DoorWorld) -> None:
    files = {**approved.rules.policy.files, "lax.rego": "package keelway.gate\n"}
    approved.ruled(policy=PolicySet("policy", files))
    assert "nobody has asked for it under this policy" in refused(approved)
    with pytest.raises(MissingRecordError, match="under the present policy"):
        approved.approve(CAT)


def test_rights_that_go_in_circles_give_nobody_more(world: DoorWorld) -> None:
    world.ruled(approvals=2).ask()
    lend(world, BEN, FAY)
    with pytest.raises(RefusedError, match="no right of their own"):
        lend(world, FAY, DAN)
    lend(world, BEN, CAT)
    lend(world, CAT, BEN)
    world.approve(CAT, on_behalf_of=BEN.id)
    world.approve(BEN)
    world.approve(FAY)
    assert "1 of 2 approvals" in refused(world)
    world.approve(CAT)
    assert world.promote()


def test_a_right_that_is_lent_twice_is_one_right(world: DoorWorld) -> None:
    world.ruled(approvals=2).ask()
    gus = person("user:gus", "auditor")
    staffed(world, gus)
    lend(world, BEN, FAY)
    lend(world, BEN, gus)
    world.approve(FAY)
    world.approve(gus)
    world.approve(BEN)
    assert "1 of 2 approvals" in refused(world)


def test_an_expired_approval_and_a_clock_that_is_set_back(world: DoorWorld) -> None:
    world.ruled(approval_expires=DAY).ask()
    world.approve(BEN)
    world.now += 2 * DAY
    assert "it expired" in refused(world)
    world.now = NOW
    assert "it expired" in refused(world)


def test_a_clock_that_is_set_back_brings_no_lent_right_back(world: DoorWorld) -> None:
    world.ask()
    lend(world, BEN, FAY)
    world.now += 10 * DAY
    world.reject(CAT)
    world.now = NOW
    with pytest.raises(RefusedError, match="no right was lent"):
        world.approve(FAY)


def test_an_approval_of_break_glass_is_none_of_the_gate(world: DoorWorld) -> None:
    world.ask()
    world.ask(comment="the till is down", break_glass=True)
    world.approve(BEN, break_glass=True)
    assert "0 of 1 approvals" in refused(world)


def test_the_last_answer_of_a_person_counts_however_often_they_answer(world: DoorWorld) -> None:
    world.ruled(approvals=2).ask()
    world.approve(BEN)
    world.reject(BEN)
    world.approve(BEN)
    assert "1 of 2 approvals" in refused(world)
    with world.state.snapshot() as tx:
        counted = counted_answers(world.version, world.ask(), environment=world.rules, tx=tx, moment=world.now)
    assert [(one.answer.principal, one.answer.approved, one.void) for one in counted] == [(BEN.id, True, "")]


def test_without_a_directory_the_roles_of_the_moment_are_believed(approved: DoorWorld) -> None:
    approved.ruled(directory=None)
    assert approved.promote(CI)


def test_a_rejection_is_not_hidden_by_a_clock_that_is_set_back(world: DoorWorld) -> None:
    world.ask()
    world.now += DAY
    world.approve(BEN)
    world.now = NOW
    world.reject(BEN)
    assert "user:ben rejected it" in refused(world)


def test_a_used_approval_is_not_used_again_by_a_clock_that_is_set_back(world: DoorWorld) -> None:
    world.now += 9 * DAY
    world.ask()
    world.approve(BEN)
    world.now = NOW
    world.promote()
    world.promote(version=world.register(2), environment=replace(world.rules, approvals=0))
    with pytest.raises(RefusedError, match="nobody has asked for it"):
        world.promote()
