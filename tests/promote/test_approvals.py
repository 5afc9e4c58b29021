"""Approvals by role, with separation of duties, an end, lent rights, and ways to take everything back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.core import Action, PrincipalId, digest_of
from keelway.errors import MissingRecordError, RefusedError, UsageError
from keelway.identity import Directory
from keelway.promote import (
    Delegation,
    delegate,
    delegations,
    empty_seats,
    end_delegation,
    moment_of,
    open_request,
    request_lines,
)
from keelway.testing.door import ADA, ANA, BEN, CAT, CI, DAN, EVE, FAY, NOW, DoorWorld, person

DAY = timedelta(days=1)
BOTH = {"approver": 1, "risk-owner": 1}


@pytest.fixture
def world(open_door: DoorWorld) -> DoorWorld:
    return open_door


def told(world: DoorWorld, **changed: Any) -> str:
    with pytest.raises(RefusedError) as caught:
        world.promote(**changed)
    return "; ".join(caught.value.reasons)


def lend(
    world: DoorWorld, lender: Any = BEN, to: Any = FAY, *, days: int = 7, reason: str = "on holiday"
) -> Delegation:
    return delegate(
        to.id, until=world.now + days * DAY, principal=lender, directory=world.rules.directory or Directory(),
        state=world.state, now=world.now, reason=reason,
    )  # fmt: skip


def lines(world: DoorWorld) -> Any:
    with world.state.snapshot() as tx:
        return request_lines({"prod": world.rules}, tx=tx, now=world.now)


def test_each_role_has_to_take_its_seat(world: DoorWorld) -> None:
    world.ruled(approvals=BOTH).ask()
    world.approve(BEN)
    world.approve(CAT)
    assert told(world) == "it has 0 of 1 approvals by the role risk-owner"
    world.approve(EVE)
    admission = world.promote()
    assert admission.needed == BOTH
    assert len(admission.approvals) == 3


def test_one_person_with_two_roles_fills_one_seat(world: DoorWorld) -> None:
    both = person("user:gus", "approver", "risk-owner")
    world.ruled(approvals=BOTH, directory=Directory((ANA, BEN, both, CI))).ask()
    world.approve(both)
    assert "0 of 1 approvals by the role risk-owner" in told(world)
    world.approve(BEN)
    assert world.promote()


SEATS = st.dictionaries(st.sampled_from("abc"), st.integers(1, 3))
PEOPLE = st.lists(st.sets(st.sampled_from("abcd")).map(tuple), max_size=5)


@given(SEATS, PEOPLE)
@settings(max_examples=60, deadline=None)
def test_as_many_seats_are_taken_as_can_be(seats: dict[str, int], people: list[tuple[str, ...]]) -> None:
    empty = empty_seats(seats, people)
    wanted = [role for role, number in seats.items() for _ in range(number)]

    def most(roles: list[str], left: list[tuple[str, ...]]) -> int:
        if not roles:
            return 0
        first, rest = roles[0], roles[1:]
        taken = [1 + most(rest, left[:i] + left[i + 1 :]) for i, has in enumerate(left) if first in has]
        return max([most(rest, left), *taken])

    assert sum(seats.values()) - sum(empty.values()) == most(wanted, people)
    assert all(0 < number <= seats[role] for role, number in empty.items())


def test_a_rejection_needs_a_reason(world: DoorWorld) -> None:
    world.ask()
    with pytest.raises(UsageError, match="reason"):
        world.reject(BEN, comment="  ")
    world.reject(BEN, comment="the label leaks")
    assert "user:ben rejected it: the label leaks" in told(world)


def test_an_approval_ends_at_its_time_and_can_be_given_again(world: DoorWorld) -> None:
    world.ruled(approval_expires=7 * DAY).ask()
    first = world.approve(BEN)
    world.now += 7 * DAY - timedelta(seconds=1)
    assert world.approve(BEN) == first
    world.now += timedelta(seconds=1)
    assert "the approval of user:ben does not count: it expired at 1998-06-08T00:00:00Z" in told(world)
    again = world.approve(BEN)
    assert again != first
    assert world.promote().approvals == (digest_of(again),)


def test_a_lent_right_is_used_in_the_lenders_name(world: DoorWorld) -> None:
    world.ask()
    with pytest.raises(RefusedError, match="no right was lent"):
        world.approve(FAY)
    lent = lend(world)
    assert lend(world) == lent
    approval = world.approve(FAY)
    assert (approval.on_behalf_of, approval.delegation) == (BEN.id, digest_of(lent))
    assert world.told()[-1].evidence["delegation"] == digest_of(lent)
    assert world.promote().approvals == (digest_of(approval),)


def test_a_lent_right_ends_at_its_date_and_what_was_approved_by_it_stays(world: DoorWorld) -> None:
    world.ruled(approvals=2).ask()
    lend(world, days=2)
    world.approve(FAY)
    world.now += 2 * DAY
    with pytest.raises(RefusedError, match="no right of user:ben was lent"):
        world.approve(FAY, on_behalf_of=BEN.id)
    world.approve(CAT)
    assert len(world.promote().approvals) == 2


@pytest.mark.parametrize("who", [BEN, ADA], ids=["lender", "admin"])
def test_taking_a_lent_right_back_voids_what_was_approved_by_it(world: DoorWorld, who: Any) -> None:
    world.ask()
    lent = lend(world)
    world.approve(FAY)
    ended = end_delegation(lent.delegation_id, principal=who, state=world.state, now=world.now, reason="back early")
    assert end_delegation(lent.delegation_id, principal=who, state=world.state, now=world.now, reason="") == ended
    assert "ended the delegation by which it was given" in told(world)
    with world.state.snapshot() as tx:
        assert delegations(tx=tx, moment=world.now) == []


def test_nobody_else_takes_a_lent_right_back(world: DoorWorld) -> None:
    lent = lend(world)
    with pytest.raises(RefusedError, match="neither user:ben"):
        end_delegation(lent.delegation_id, principal=CAT, state=world.state, now=world.now, reason="mine")
    assert world.told()[-1].allowed is False
    with pytest.raises(MissingRecordError):
        end_delegation("delegation/9", principal=ADA, state=world.state, now=world.now, reason="which")


@pytest.mark.parametrize(
    ("lender", "to", "days", "reason"),
    [
        (ANA, FAY, 7, "no right of their own"),
        (BEN, BEN, 7, "to themselves"),
        (BEN, CI, 7, "service principal"),
        (BEN, person("user:nobody"), 7, "not listed"),
        (BEN, FAY, 0, "is past"),
    ],
    ids=["no approver", "self", "service", "unknown", "past"],
)
def test_what_cannot_be_lent_is_refused_and_recorded(
    world: DoorWorld, lender: Any, to: Any, days: int, reason: str
) -> None:
    with pytest.raises(RefusedError, match=reason):
        lend(world, lender, to, days=days)
    last = world.told()[-1]
    assert (last.action, last.allowed) == (Action.DELEGATE, False)


@pytest.mark.parametrize("who", [BEN, ADA], ids=["who gave it", "admin"])
def test_an_approval_is_taken_back_by_who_gave_it_or_an_admin(world: DoorWorld, who: Any) -> None:
    world.ask()
    world.approve(BEN)
    given_by = None if who == BEN else BEN.id
    revoked = world.revoke(who, given_by=given_by)
    assert world.revoke(who, given_by=given_by) == revoked
    assert f"{who.id} revoked it: a second look" in told(world)
    world.approve(BEN, comment="after all")
    assert world.promote()


def test_nobody_else_takes_an_approval_back(world: DoorWorld) -> None:
    world.ask()
    world.approve(BEN)
    with pytest.raises(RefusedError, match="neither user:ben"):
        world.revoke(CAT, given_by=BEN.id)
    with pytest.raises(MissingRecordError, match="user:cat did not answer"):
        world.revoke(CAT)
    with pytest.raises(UsageError, match="reason"):
        world.revoke(BEN, reason="")
    assert world.promote()


def test_an_admin_lifts_a_rejection(world: DoorWorld) -> None:
    world.ask()
    world.approve(BEN)
    world.reject(CAT)
    world.revoke(ADA, given_by=CAT.id, reason="cat left, and nobody shares the doubt")
    assert world.promote()


def test_a_request_is_withdrawn_with_its_answers(world: DoorWorld) -> None:
    first = world.ask()
    world.approve(BEN)
    with pytest.raises(RefusedError, match="neither user:ana"):
        world.withdraw(BEN)
    world.withdraw(ANA, reason="wrong data")
    assert "nobody has asked for it" in told(world)
    with pytest.raises(MissingRecordError):
        world.withdraw(ANA)
    assert world.ask() != first
    assert "0 of 1 approvals" in told(world)


def test_while_a_request_is_open_nobody_opens_another(world: DoorWorld) -> None:
    request = world.ask()
    assert world.ask(ADA, comment="me too") == request
    with world.state.snapshot() as tx:
        assert open_request(world.version, environment=world.rules, tx=tx) == request


def test_who_ever_asked_for_it_does_not_approve_it(world: DoorWorld) -> None:
    both = person("user:gus", "approver", "deployer")
    world.ruled(directory=Directory((ANA, BEN, both, CI))).ask(both)
    world.withdraw(both)
    world.ask(ANA)
    with pytest.raises(RefusedError, match="user:gus is the requester"):
        world.approve(both)


def test_requests_tell_what_is_missing(world: DoorWorld) -> None:
    world.ruled(approvals=BOTH)
    request = world.ask(comment="better on every slice")
    (line,) = lines(world)
    assert (line.request_id, line.state, line.comment) == (request.request_id, "open", "better on every slice")
    assert line.missing == (
        "it has 0 of 1 approvals by the role approver", "it has 0 of 1 approvals by the role risk-owner",
    )  # fmt: skip
    world.approve(BEN)
    world.approve(EVE)
    (line,) = lines(world)
    assert (line.state, line.missing, [one.answer.principal for one in line.answers]) == ("ready", (), [BEN.id, EVE.id])
    world.promote()
    assert [line.state for line in lines(world)] == ["admitted"]


def test_requests_that_are_closed_say_why(world: DoorWorld) -> None:
    world.ask()
    world.withdraw()
    world.now += DAY
    world.ask()
    assert [line.state for line in lines(world)] == ["open", "withdrawn"]
    world.ruled(policy=type(world.rules.policy)("policy", {"other.rego": "package keelway.gate"}))
    assert [line.state for line in lines(world)] == ["void", "withdrawn"]


def test_every_answer_is_an_entry_of_the_ledger(world: DoorWorld) -> None:
    world.ask()
    lend(world)
    world.approve(FAY)
    world.reject(CAT)
    world.revoke(ADA, given_by=CAT.id)
    world.withdraw()
    actions = [decision.action for decision in world.told()]
    assert actions == [
        Action.REQUEST, Action.DELEGATE, Action.APPROVE, Action.REJECT, Action.REVOKE, Action.WITHDRAW,
    ]  # fmt: skip
    assert all(decision.allowed and decision.evidence for decision in world.told())


def test_the_ledgers_time_never_goes_back(world: DoorWorld) -> None:
    world.ask()
    with world.state.snapshot() as tx:
        assert moment_of(NOW - DAY, tx=tx) == NOW
        assert moment_of(NOW + DAY, tx=tx) == NOW + DAY


def test_a_lent_right_is_chosen_by_name_where_several_lent_theirs(world: DoorWorld) -> None:
    world.ruled(approvals=2).ask()
    lend(world, BEN)
    lend(world, DAN)
    assert world.approve(FAY).on_behalf_of == BEN.id
    assert world.approve(FAY, on_behalf_of=DAN.id).on_behalf_of == DAN.id
    assert "1 of 2 approvals" in told(world)
    with pytest.raises(RefusedError, match="no right of user:cat was lent"):
        world.approve(FAY, on_behalf_of=PrincipalId("user:cat"))
