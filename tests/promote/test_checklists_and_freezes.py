"""What has to be done before a version enters, by the tier of its risk, and when nothing enters at all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keelway.core import Action, PolicySet, parse_json
from keelway.errors import IdentityError, RefusedError, UsageError
from keelway.project import Risk
from keelway.promote import Freeze, answer_checklist, assess_risk, checklist_of, frozen, request_lines
from keelway.testing.door import ADA, ANA, BEN, CAT, FAY, NOW, DoorWorld

DAY = timedelta(days=1)
LISTS = {"minimal": ("Owner named",), "high": ("Impact assessed", "Fallback rehearsed")}
YEAR_END = Freeze(NOW, NOW + 2 * DAY, "year end")


@pytest.fixture
def world(open_door: DoorWorld) -> DoorWorld:
    return open_door.ruled(checklists=LISTS)


def declared(severity: str) -> Risk:
    """Return a model that recruits, or one that counts paper clips."""
    grave = severity == "serious"
    return Risk(
        owner="user:ana", prohibited=(), product_safety=False, annex_iii=("employment",) if grave else (),
        profiles_persons=grave, transparency=(), affected=("applicants",) if grave else (),
        severity="serious" if grave else "negligible", reversibility="easy", scale="few", data=(),
        oversight="decides", oversight_how="Somebody reads every answer.",
    )  # fmt: skip


def answer(world: DoorWorld, item: str, who: Any = ANA, *, done: bool = True, comment: str = "") -> Any:
    return answer_checklist(
        world.version, item, done=done, environment=world.rules, principal=who, state=world.state, now=world.now,
        comment=comment,
    )  # fmt: skip


def listed(world: DoorWorld) -> Any:
    with world.state.snapshot() as tx:
        return checklist_of(world.version, environment=world.rules, tx=tx)


def refused(world: DoorWorld) -> str:
    with pytest.raises(RefusedError) as caught:
        world.promote()
    return "; ".join(caught.value.reasons)


def test_a_model_that_nobody_assessed_answers_the_items_of_every_tier(world: DoorWorld) -> None:
    found = listed(world)
    assert found.tier is None
    assert found.required == found.missing == (*LISTS["high"], *LISTS["minimal"])


@pytest.mark.parametrize(("severity", "tier"), [("serious", "high"), ("negligible", "minimal")])
def test_an_assessed_model_answers_the_items_of_its_tier(world: DoorWorld, severity: str, tier: str) -> None:
    assess_risk("churn", declared(severity), principal=ADA, state=world.state, now=world.now)
    assert (listed(world).tier, listed(world).required) == (tier, LISTS[tier])


def test_a_version_enters_once_everything_is_done_and_approved_so(world: DoorWorld) -> None:
    world.ask()
    assert "the checklist lacks: Impact assessed; Fallback rehearsed; Owner named" in refused(world)
    with pytest.raises(RefusedError, match="the checklist lacks"):
        world.approve(BEN)
    for item in listed(world).required:
        answer(world, item, comment="wiki/churn")
    assert listed(world).missing == ()
    world.approve(BEN)
    admission = world.promote()
    evidence = parse_json(world.artifacts.get(admission.evidence))
    assert evidence["checklist"] == {"required": list(listed(world).required), "missing": []}


def test_an_answer_that_changes_voids_what_was_approved_by_it(world: DoorWorld) -> None:
    world.ruled(checklists={"high": ("Impact assessed",)}).ask()
    answer(world, "Impact assessed")
    world.approve(BEN)
    answer(world, "Impact assessed", CAT, comment="with the works council")
    assert "the checklist was answered otherwise since" in refused(world)
    world.approve(BEN)
    assert world.promote()


def test_an_item_can_be_taken_back(world: DoorWorld) -> None:
    world.ruled(checklists={"high": ("Impact assessed",)}).ask()
    answer(world, "Impact assessed")
    answer(world, "Impact assessed", done=False, comment="the data changed")
    assert listed(world).missing == ("Impact assessed",)
    assert [decision.comment for decision in world.told()[-2:]] == [
        "done: Impact assessed", "not done: Impact assessed (the data changed)",
    ]  # fmt: skip


def test_the_same_answer_twice_is_one(world: DoorWorld) -> None:
    first = answer(world, "Owner named")
    world.now += DAY
    assert answer(world, "Owner named") == first
    assert [decision.action for decision in world.told()] == [Action.CHECK]


def test_an_answer_is_bound_to_version_and_policy(world: DoorWorld) -> None:
    answer(world, "Owner named")
    policy, version = world.rules.policy, world.version
    world.ruled(policy=PolicySet("policy", {**policy.files, "more.rego": "package keelway.gate\n"}))
    assert "Owner named" in listed(world).missing
    world.ruled(policy=policy).version = world.register(2)
    assert "Owner named" in listed(world).missing
    world.version = version
    assert "Owner named" not in listed(world).missing


def test_who_may_not_answer_and_what_is_not_asked(world: DoorWorld) -> None:
    with pytest.raises(IdentityError):
        answer(world, "Owner named", FAY)
    with pytest.raises(UsageError, match="not on the checklist"):
        answer(world, "Cake baked")
    assert [(told.allowed, told.principal) for told in world.told()] == [(False, FAY.id)]


def test_nothing_new_enters_while_it_is_frozen(world: DoorWorld) -> None:
    world.ruled(checklists={}, freezes=(YEAR_END,)).ask()
    world.approve(BEN)
    assert "prod is frozen until 1998-06-03T00:00:00Z: year end" in refused(world)
    with world.state.snapshot() as tx:
        (line,) = request_lines({"prod": world.rules}, tx=tx, now=world.now)
    assert line.missing == ("frozen until 1998-06-03 00:00 UTC: year end",)
    world.now += 2 * DAY
    admission = world.promote()
    assert parse_json(world.artifacts.get(admission.evidence))["freeze"] == {
        "active": False, "reason": "", "until": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("hours", "reason"),
    [(-1, None), (0, "year end"), (12, "audit"), (47, "year end"), (48, None)],
    ids=["before", "first moment", "two at once", "last hour", "after"],
)
def test_the_freeze_that_lasts_longest_is_told(hours: int, reason: str | None) -> None:
    within = Freeze(NOW + timedelta(hours=10), NOW + 3 * DAY, "audit")
    freezes = (YEAR_END, within) if reason == "audit" else (YEAR_END,)
    found = frozen(freezes, moment=NOW + timedelta(hours=hours))
    assert (found.reason if found else None) == reason


def test_a_clock_that_is_set_back_before_the_freeze_does_not_lift_it(world: DoorWorld) -> None:
    world.ruled(checklists={}, approvals=0, freezes=(YEAR_END,))
    assert "frozen" in refused(world)
    world.now = datetime(1998, 5, 31, tzinfo=UTC)
    assert "frozen" in refused(world)
