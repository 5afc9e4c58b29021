"""What people answer about the risk of a model, and what they do when it fails, is declared and checked."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

import keelway
from keelway import FallbackPlan, Risk
from keelway.errors import ProjectError, UsageError
from keelway.testing.training import churn_model

ANSWERS: dict[str, Any] = {
    "owner": "user:olga",
    "prohibited": (),
    "product_safety": False,
    "annex_iii": (),
    "profiles_persons": False,
    "transparency": (),
    "affected": ("customers",),
    "severity": "limited",
    "reversibility": "easy",
    "scale": "thousands",
    "data": ("personal",),
    "oversight": "decides",
    "oversight_how": "A person calls, or does not.",
}


@pytest.mark.parametrize("question", list(ANSWERS))
def test_no_question_is_answered_by_silence(question: str) -> None:
    with pytest.raises(TypeError, match=question):
        Risk(**{name: answer for name, answer in ANSWERS.items() if name != question})


def test_answers_are_kept_in_the_order_of_the_law_and_once() -> None:
    risk = Risk(**ANSWERS | {"annex_iii": ["justice_and_democracy", "biometrics", "biometrics"], "data": "health"})
    assert risk.annex_iii == ("biometrics", "justice_and_democracy")
    assert risk.data == ("health",)
    assert Risk(**ANSWERS | {"affected": "patients"}).affected == ("patients",)
    assert keelway.Risk is Risk


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"prohibited": ("spam",)}, "prohibited"),
        ({"annex_iii": ("sports",)}, "annex_iii"),
        ({"transparency": ("none",)}, "transparency"),
        ({"data": ("secret",)}, "data"),
        ({"severity": "bad"}, "severity"),
        ({"reversibility": "no"}, "reversibility"),
        ({"scale": "3"}, "scale"),
        ({"oversight": "yes"}, "oversight"),
        ({"oversight_how": " "}, "Human oversight"),
        ({"owner": ""}, "owner"),
        ({"profiles_persons": None}, "profiles_persons"),
        ({"product_safety": "no"}, "product_safety"),
        ({"exemption": "narrow_task"}, "exempts from nothing"),
        ({"annex_iii": ("employment",), "exemption": "small"}, "exemption"),
        ({"review_every": "0d"}, "hold for some time"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_answers_that_mean_nothing_are_refused(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ProjectError, match=told):
        Risk(**ANSWERS | wrong)


def test_a_review_time_is_a_duration() -> None:
    assert Risk(**ANSWERS).review_time == timedelta(days=365)
    with pytest.raises(UsageError, match="duration"):
        Risk(**ANSWERS | {"review_every": "yearly"})


def test_nobody_watching_needs_no_how() -> None:
    assert Risk(**ANSWERS | {"oversight": "none", "oversight_how": ""}).oversight == "none"


def test_risk_and_fallback_are_no_part_of_the_model() -> None:
    model = churn_model()
    told = replace(model, risk=Risk(**ANSWERS), fallback=[FallbackPlan("prod", call="user:omar")])  # type: ignore[arg-type]
    assert told.definition() == model.definition()
    plan = told.fallback_in("prod")
    assert plan is not None
    assert (plan.call, plan.version, plan.drill_time) == (("user:omar",), "previous", timedelta(days=90))
    assert told.fallback_in("staging") is None


def test_an_environment_has_one_fallback_plan() -> None:
    twice = (FallbackPlan("prod", call="user:omar"), FallbackPlan("prod", call="user:olga"))  # type: ignore[arg-type]
    with pytest.raises(ProjectError, match="fallback plan"):
        replace(churn_model(), fallback=twice)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"call": ()}, "calls nobody"),
        ({"call": (" ",)}, "calls nobody"),
        ({"call": ("user:omar",), "version": "none"}, "open what is done"),
        ({"call": ("user:omar",), "drill_every": "0d"}, "tried out"),
    ],
)
def test_a_fallback_plan_says_who_and_what(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ProjectError, match=told):
        FallbackPlan("prod", **wrong)
