"""A plan is checked when it is made, and its order respects every need."""

from __future__ import annotations

import pytest
from hypothesis import given

from keelway.core import digest_bytes
from keelway.errors import UsageError
from keelway.flow import Plan, Step
from keelway.testing.flow import plans


@given(plans())
def test_the_order_respects_every_need(plan: Plan) -> None:
    place = {step.name: index for index, step in enumerate(plan.in_order())}
    assert sorted(place) == sorted(step.name for step in plan.steps)
    assert all(place[need] < place[step.name] for step in plan.steps for need in step.needed())


@given(plans())
def test_a_plan_survives_json_with_its_digest(plan: Plan) -> None:
    again = Plan.from_json(plan.to_json())
    assert again == plan
    assert again.digest() == plan.digest() == digest_bytes(plan.to_json())


@given(plans())
def test_a_circle_is_refused(plan: Plan) -> None:
    first, last = plan.in_order()[0], Step("closing", "shop:work", {"all": tuple(step.name for step in plan.steps)})
    rest = [step for step in plan.steps if step is not first]
    bent = Step(first.name, first.uses, {"bent": "closing"})
    with pytest.raises(UsageError, match="circle"):
        Plan("bent", (*rest, bent, last))


def test_steps_that_need_nothing_keep_the_order_of_the_plan() -> None:
    plan = Plan("free", tuple(Step(name, "shop:work") for name in ("c", "a", "b")))
    assert [step.name for step in plan.in_order()] == ["c", "a", "b"]


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        pytest.param((), "no steps", id="empty"),
        pytest.param((Step("a", "x:y"), Step("a", "x:z")), "names steps twice", id="twice"),
        pytest.param((Step("a", "x:y", {"rows": "b"}),), "needs a step that is not there", id="unknown need"),
        pytest.param((Step("a", "x:y", {"rows": "a"}),), "circle", id="needs itself"),
        pytest.param((Step("a", "x:y", {"q": "b"}), Step("b", "x:y", {"q": "a"})), "circle", id="two in a circle"),
    ],
)
def test_a_plan_that_cannot_run_is_refused(steps: tuple[Step, ...], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Plan("bad", steps)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param({"name": "Bad name"}, "not a name for a step", id="name"),
        pytest.param({"name": "a/b"}, "not a name for a step", id="slash"),
        pytest.param({"needs": {"not-an-argument": "b"}}, "no function can have", id="argument"),
        pytest.param({"needs": {"rows": "b"}, "parameters": {"rows": 1}}, "twice", id="need and parameter"),
        pytest.param({"retries": -1}, "cannot be retried", id="retries"),
        pytest.param({"backoff_s": float("nan")}, "cannot be retried", id="backoff"),
    ],
)
def test_a_step_that_makes_no_sense_is_refused(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Step(**{"name": "a", "uses": "x:y"} | arguments)  # type: ignore[arg-type]


def test_an_unknown_step_is_named_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="one of a, b, found 'c'"):
        Plan("p", (Step("a", "x:y"), Step("b", "x:y"))).step("c")


def test_what_changes_a_plan_changes_its_digest() -> None:
    variants = [
        Plan("p", (Step("a", "x:y"),)),
        Plan("q", (Step("a", "x:y"),)),
        Plan("p", (Step("a", "x:z"),)),
        Plan("p", (Step("a", "x:y", parameters={"k": 1}),)),
        Plan("p", (Step("a", "x:y", retries=1),)),
        Plan("p", (Step("a", "x:y", cache=False),)),
    ]
    assert len({plan.digest() for plan in variants}) == len(variants)
