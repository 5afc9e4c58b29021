"""Declarations are pure data and refuse what cannot work."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keelway.errors import KeelwayError, ProjectError, UsageError
from keelway.project import (
    ContingencyPlan,
    Cuts,
    Dataset,
    Estimator,
    Label,
    Model,
    Monitor,
    Preprocessing,
    Project,
    feature_set,
)

ORDERS = Dataset("orders", contract="contracts/orders.yaml", source="raw/*.csv", event_time="at")
VISITS = Dataset("visits", contract="contracts/visits.yaml", source="visits/*.csv", event_time="at")


@feature_set(entity="customer", sources=[ORDERS])
def activity(orders: Any, as_of: Any) -> Any:
    return orders.group_by("customer").agg(n=orders.count())


@Label.define(entity="customer", source=ORDERS, horizon="90d", absent=1)
def churned(orders: Any, as_of: Any) -> Any:
    return orders.group_by("customer").agg(churned=0)


def model(**changes: Any) -> Model:
    given: dict[str, Any] = {
        "features": [activity],
        "label": churned,
        "estimators": [Estimator("logistic", "sklearn.linear_model.LogisticRegression", {"C": 1.0})],
        "cuts": Cuts(datetime(1997, 4, 1, tzinfo=UTC)),
    }
    return Model("churn", **(given | changes))


def test_a_project_knows_its_models_and_datasets() -> None:
    project = Project("shop", models=[model()], monitors=[Monitor("churn")])  # type: ignore[arg-type]

    assert project.datasets == (ORDERS,)
    assert project.model("churn").estimator("logistic").parameters == {"C": 1.0}
    assert project.monitor("churn") is project.monitors[0]
    with pytest.raises(ProjectError, match="expected churn, found 'risk'"):
        project.model("risk")
    with pytest.raises(UsageError, match="no estimator"):
        project.model("churn").estimator("forest")


def test_a_definition_covers_the_functions_text_and_the_data() -> None:
    @feature_set(entity="customer", sources=[ORDERS], columns=["n"])
    def activity(orders: Any, as_of: Any) -> Any:
        return orders.group_by("customer").agg(n=orders.count())

    assert model().definition() == model().definition()
    assert model(features=[activity]).data_definition() != model().data_definition()
    assert model(metrics=["roc_auc"]).definition() != model().definition()
    assert model(metrics=["roc_auc"]).data_definition() == model().data_definition()


def test_a_function_without_text_has_no_definition() -> None:
    space: dict[str, Any] = {}
    exec("def f(orders, as_of): return orders", space)

    with pytest.raises(ProjectError, match="text of function 'f'"):
        feature_set(entity="customer", sources=[ORDERS])(space["f"]).definition()


def _declare(function: Callable[..., Any], *sources: Dataset) -> object:
    return feature_set(entity="customer", sources=sources)(function)


def no_cut(orders: Any) -> Any:
    return orders


def swapped(visits: Any, orders: Any, as_of: Any) -> Any:
    return visits


WRONG: dict[str, Callable[[], object]] = {
    "name": lambda: Dataset("Orders!", contract="c", source="s", event_time="at"),
    "contract outside": lambda: Dataset("o", contract="../c.yaml", source="s", event_time="at"),
    "absolute source": lambda: Dataset("o", contract="c", source="/etc/*", event_time="at"),
    "key twice": lambda: Dataset("o", contract="c", source="s", event_time="at", keys=("a", "a")),
    "no as_of": lambda: _declare(no_cut, ORDERS),
    "swapped tables": lambda: _declare(swapped, ORDERS, VISITS),
    "no source": lambda: _declare(no_cut),
    "same source twice": lambda: _declare(swapped, ORDERS, ORDERS),
    "horizon text": lambda: Label.define(entity="c", source=ORDERS, horizon="soon"),
    "no horizon": lambda: Label.define(entity="c", source=ORDERS, horizon=timedelta(0))(churned.function),
    "absent": lambda: model(
        label=Label.define(entity="customer", source=ORDERS, horizon="1d", absent=2)(churned.function)
    ),
    "estimator path": lambda: Estimator("a", "LogisticRegression"),
    "imputation": lambda: Preprocessing(impute="magic"),  # type: ignore[arg-type]
    "rare level": lambda: Preprocessing(rare_level=0),
    "naive cut": lambda: Cuts(datetime(1997, 1, 1)),
    "cut day": lambda: Cuts(datetime(1997, 1, 31, tzinfo=UTC)),
    "cut step": lambda: Cuts(datetime(1997, 1, 1, tzinfo=UTC), every=timedelta(0)),
    "no features": lambda: model(features=[]),
    "features twice": lambda: model(features=[activity, activity]),
    "overlap": lambda: model(overlap="always"),
    "tolerance": lambda: model(onnx_tolerance=float("nan")),
    "plan action": lambda: ContingencyPlan("p", on_drift=("panic",)),
    "cooldown": lambda: ContingencyPlan("p", cooldown="a while"),
    "threshold": lambda: Monitor("churn", psi_threshold=float("nan")),
    "model twice": lambda: Project("p", models=(model(), model())),
    "unknown monitor": lambda: Project("p", models=(model(),), monitors=(Monitor("risk"),)),
    "policies outside": lambda: Project("p", models=(), policies="../policies"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_declaration_is_refused(case: str) -> None:
    with pytest.raises(UsageError) as caught:
        WRONG[case]()

    assert isinstance(caught.value, KeelwayError)
    assert caught.value.what


def test_monthly_cuts_end_where_the_label_has_not_matured() -> None:
    cuts = Cuts(datetime(1997, 11, 1, tzinfo=UTC), last=datetime(1998, 2, 1, tzinfo=UTC))
    horizon = timedelta(days=31)

    assert [cut.month for cut in cuts.until(datetime(1998, 2, 1, tzinfo=UTC), horizon)] == [11, 12, 1]
    assert [cut.month for cut in cuts.until(datetime(1999, 2, 1, tzinfo=UTC), horizon)] == [11, 12, 1, 2]
    assert cuts.until(datetime(1997, 11, 2, tzinfo=UTC), horizon) == ()
