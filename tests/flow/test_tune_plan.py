"""The plan that trains searches first where a search is declared, and the plan that only searches stops there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from keelway.errors import TrainingError, UsageError
from keelway.flow import check_plan, train_plan, tune_plan
from keelway.flow.search import search_parameters
from keelway.project import Ensemble, Project, Range, Search
from keelway.testing.flow import step_context
from keelway.testing.training import BOOSTED, LOGISTIC, churn_model
from keelway.testing.tuning import TuningWorld

SEARCHED = replace(LOGISTIC, space={"C": Range(0.01, 100, log=True)})
BOTH = Ensemble("both", ("logistic", "boosted"))
MODEL = replace(churn_model(), estimators=(SEARCHED, BOOSTED, BOTH), search=Search(trials=3))
PROJECT = Project("shop", models=(MODEL,))


def test_what_is_searched_is_trained_with_what_was_found() -> None:
    plan = train_plan(MODEL, PROJECT)
    check_plan(plan)
    assert plan.step("train:logistic").needs["tunings"] == ("tune:logistic",)
    assert plan.step("train:both").needs["tunings"] == ("tune:logistic",)
    assert "tunings" not in plan.step("train:boosted").needs
    assert [step.name for step in plan.steps if step.uses == "tune"] == ["tune:logistic"]


def test_nothing_is_searched_where_no_search_is_declared() -> None:
    model = replace(MODEL, search=None)
    plan = train_plan(model, Project("shop", models=(model,)))
    assert not [step for step in plan.steps if step.uses == "tune"]


def test_the_plan_that_searches_makes_the_same_step_as_the_one_that_trains() -> None:
    plan = tune_plan(MODEL, PROJECT)
    check_plan(plan)
    assert plan.name == "tune:churn"
    assert plan.step("tune:logistic") == train_plan(MODEL, PROJECT).step("tune:logistic")
    assert not [step for step in plan.steps if step.uses == "train"]


def test_budgets_of_a_call_are_parameters_of_the_step() -> None:
    step = tune_plan(MODEL, PROJECT, estimators=["logistic"], trials=9, timeout_s=4.5).step("tune:logistic")
    assert (step.parameters["trials"], step.parameters["timeout_s"]) == (9, 4.5)


@pytest.mark.parametrize("name", ["boosted", "both", "nobody"])
def test_what_has_nothing_to_search_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=name) as told:
        tune_plan(MODEL, PROJECT, estimators=[name])
    assert told.value.expected == "logistic"


def test_a_model_without_a_search_is_refused() -> None:
    model = replace(MODEL, search=None)
    with pytest.raises(UsageError, match="declares no search"):
        tune_plan(model, Project("shop", models=(model,)))


def test_a_step_without_a_place_for_studies_is_refused(tmp_path: Path) -> None:
    world = TuningWorld.of(tmp_path, trials=2)
    context = step_context(tmp_path, project=Project("shop", models=(world.inner.model,)), state=world.inner.state)
    with pytest.raises(UsageError) as told:
        search_parameters("churn", "logistic", world.inner.table, trials=0, timeout_s=0, ctx=context)
    assert told.value.found == "no place"


def test_an_unknown_metric_is_refused_before_anything_is_fitted(tmp_path: Path) -> None:
    world = TuningWorld.of(tmp_path, trials=2, metric="nonsense")
    project = Project("shop", models=(world.inner.model,))
    context = step_context(
        tmp_path, project=project, state=world.inner.state, artifacts=world.inner.artifacts, studies=world.studies
    )
    with pytest.raises(TrainingError, match="unknown metrics"):
        search_parameters("churn", "logistic", world.inner.table, trials=0, timeout_s=0, ctx=context)
    assert world.studies.newest("churn/") == ""
