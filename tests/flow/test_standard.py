"""The plan that trains a model is an ordinary plan, and fits the functions that it names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from keelway.core import VersionName
from keelway.errors import ProjectError
from keelway.flow import Plan, check_plan, train_plan
from keelway.flow.steps import MaturedCuts, cuts_step
from keelway.project import Cuts, Dataset, Ensemble, Estimator, Label, Model, Project, RandomSplit, feature_set
from keelway.testing.flow import step_context

orders = Dataset("orders", contract="contracts/orders.yaml", source="raw/*.csv", event_time="ordered_at")
visits = Dataset("visits", contract="contracts/visits.yaml", source="visits/*.csv", event_time="seen_at")
MARCH = datetime(2026, 3, 1, tzinfo=UTC)


@feature_set(entity="customer_id", sources=[orders, visits])
def activity(orders: Any, visits: Any, as_of: Any) -> Any:
    return orders


@Label.define(entity="customer_id", source=orders, horizon="30d", absent=1)
def churned(rows: Any, as_of: Any) -> Any:
    return rows


churn = Model(
    "churn",
    features=(activity,),
    label=churned,
    estimators=(
        Estimator("logistic", "sklearn.linear_model.LogisticRegression"),
        Estimator("boosting", "sklearn.ensemble.HistGradientBoostingClassifier"),
    ),
    cuts=Cuts(datetime(2026, 1, 1, tzinfo=UTC)),
)
project = Project("shop", models=(churn,))


@dataclass(frozen=True)
class Seen:
    """As much of a snapshot as the cuts look at."""

    dataset: str
    watermark: datetime


def test_the_training_plan_takes_each_dataset_and_each_estimator() -> None:
    plan = train_plan(churn, project)
    assert {step.name: step.needed() for step in plan.steps} == {
        "snapshot:orders": (),
        "snapshot:visits": (),
        "cuts": ("snapshot:orders", "snapshot:visits"),
        "features": ("snapshot:orders", "snapshot:visits", "cuts"),
        "train:logistic": ("features",),
        "train:boosting": ("features",),
        "evaluate:logistic": ("train:logistic", "features"),
        "evaluate:boosting": ("train:boosting", "features"),
        "compare": ("evaluate:logistic", "evaluate:boosting"),
        "register": ("compare",),
    }


def test_an_ensemble_is_trained_after_its_members() -> None:
    both = replace(churn, estimators=(*churn.estimators, Ensemble("both", ("logistic", "boosting"))))
    plan = train_plan(both, Project("shop", models=(both,)))
    assert plan.step("train:both").needed() == ("features", "train:logistic", "train:boosting")
    assert plan.step("train:logistic").needed() == ("features",)
    assert plan.step("compare").needed() == ("evaluate:logistic", "evaluate:boosting", "evaluate:both")
    check_plan(plan)


def test_the_training_plan_survives_json() -> None:
    plan = train_plan(churn, project, champion=VersionName("churn:3"))
    assert Plan.from_json(plan.to_json()) == plan
    assert plan.step("evaluate:logistic").parameters == {"model": "churn", "champion": "churn:3"}


def test_a_model_of_another_project_is_refused() -> None:
    with pytest.raises(ProjectError):
        train_plan(replace(churn, name="other"), project)


@pytest.mark.parametrize(
    ("now", "orders_until", "months"),
    [
        pytest.param(MARCH, MARCH, [1], id="labels of January are known"),
        pytest.param(MARCH + timedelta(days=31), MARCH, [1], id="the label's data ends before the present"),
        pytest.param(MARCH + timedelta(days=31), MARCH + timedelta(days=31), [1, 2, 3], id="March too"),
        pytest.param(MARCH, MARCH + timedelta(days=90), [1], id="data from the future is not used"),
    ],
)
def test_cuts_wait_for_their_labels(now: datetime, orders_until: datetime, months: list[int], tmp_path: Path) -> None:
    context = step_context(tmp_path, project=project, now=now)
    snapshots: Any = [Seen("orders", orders_until), Seen("visits", MARCH - timedelta(days=300))]
    cuts = cuts_step(context, model="churn", snapshots=snapshots)
    context.state.close()
    assert cuts == MaturedCuts("churn", cuts.as_ofs, min(now, orders_until))
    assert [cut.month for cut in cuts.as_ofs] == months


people = Dataset("people", contract="contracts/people.yaml", source="people/*.csv", event_time="")


@feature_set(entity="person", sources=[people])
def facts(people: Any, as_of: Any) -> Any:
    return people


@Label.define(entity="person", source=people)
def rich(people: Any, as_of: Any) -> Any:
    return people


@pytest.mark.parametrize("later_d", [0, 30], ids=["at once", "a month later"])
def test_without_cut_dates_the_data_says_what_the_present_is(later_d: int, tmp_path: Path) -> None:
    """Whenever it is run, the same files have the same cut, so that nothing is computed again."""
    wealth = Model("wealth", features=(facts,), label=rich, estimators=churn.estimators, cuts=None, split=RandomSplit())
    context = step_context(tmp_path, project=Project("shop", models=(wealth,)), now=MARCH + timedelta(days=later_d))
    snapshots: Any = [Seen("people", MARCH)]
    cuts = cuts_step(context, model="wealth", snapshots=snapshots)
    context.state.close()
    just_after = MARCH + timedelta(microseconds=1)
    assert cuts == MaturedCuts("wealth", (just_after,), just_after)
