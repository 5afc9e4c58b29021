"""Tasks, splits, static tables, texts and arrays are declared, and what does not go together is refused."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from keelway.core import plain, revive
from keelway.errors import ProjectError
from keelway.project import (
    Analysis,
    Cuts,
    Dataset,
    Ensemble,
    Estimator,
    FeatureSet,
    Guardrail,
    Label,
    Metric,
    Model,
    Monitor,
    PredefinedSplit,
    Project,
    RandomSplit,
    Rollout,
    Splitting,
    TimeSplit,
    feature_set,
    split_columns,
)

ORDERS = Dataset("orders", contract="contracts/orders.yaml", source="raw/*.csv", event_time="at")
PEOPLE = Dataset("people", contract="contracts/people.yaml", source="people/*.csv", event_time="")
CUTS = Cuts(datetime(1997, 4, 1, tzinfo=UTC))
LOGISTIC = Estimator("logistic", "sklearn.linear_model.LogisticRegression")
FOREST = Estimator("forest", "sklearn.ensemble.RandomForestClassifier")


def table_alone(people: Any, as_of: Any) -> Any:
    return people


def table_in_time(orders: Any, as_of: Any) -> Any:
    return orders


def facts(**changes: Any) -> FeatureSet:
    return feature_set(entity="person", sources=[PEOPLE], **changes)(table_alone)


def label(**changes: Any) -> Label:
    given: dict[str, Any] = {"entity": "person", "source": PEOPLE, "horizon": None, "function": table_alone}
    return Label("rich", **(given | changes))


def in_time(**changes: Any) -> Label:
    return label(**({"source": ORDERS, "horizon": None, "function": table_in_time} | changes))


def model(**changes: Any) -> Model:
    given: dict[str, Any] = {
        "features": [facts()], "label": label(), "estimators": [LOGISTIC], "cuts": None, "split": RandomSplit(),
    }  # fmt: skip
    return Model("rich", **(given | changes))


def test_a_static_table_says_so() -> None:
    assert PEOPLE.is_static
    assert not ORDERS.is_static
    assert PEOPLE.definition() != ORDERS.definition()


@pytest.mark.parametrize(
    ("task", "metrics"),
    [
        ("binary", ("roc_auc", "log_loss")),
        ("multiclass", ("log_loss", "accuracy")),
        ("regression", ("rmse", "mae")),
    ],
)
def test_a_task_has_its_usual_metrics_unless_others_are_declared(task: Any, metrics: tuple[str, ...]) -> None:
    assert model(task=task).metrics == metrics
    assert model(task=task, metrics=["r2"]).metrics == ("r2",)


def test_task_split_texts_and_arrays_belong_to_the_definition() -> None:
    declared = [
        model(),
        model(task="regression"),
        model(split=RandomSplit(seed=1)),
        model(split=RandomSplit(group="house")),
        model(split=PredefinedSplit()),
        model(features=[facts(texts=["body"])]),
        model(features=[facts(arrays={"pixels": 64})]),
        model(features=[facts(arrays={"pixels": 63})]),
    ]
    assert len({each.definition() for each in declared}) == len(declared)
    assert model().definition() == model().definition()


def test_a_table_depends_on_the_column_that_splits_but_not_on_the_seed() -> None:
    assert model(split=RandomSplit(seed=1)).data_definition() == model().data_definition()
    assert model(split=PredefinedSplit()).data_definition() != model().data_definition()
    assert model(task="multiclass").data_definition() != model().data_definition()


@pytest.mark.parametrize(
    ("split", "columns"),
    [
        (TimeSplit(), ()),
        (RandomSplit(), ()),
        (RandomSplit(group="house"), ("house",)),
        (PredefinedSplit(column="fold"), ("fold",)),
    ],
)
def test_a_split_names_the_columns_that_are_no_features(split: Splitting, columns: tuple[str, ...]) -> None:
    assert split_columns(split) == columns
    assert revive(plain(split), type(split)) == split


def test_time_is_the_usual_split() -> None:
    given = model(label=in_time(horizon=label_horizon()), cuts=CUTS, split=TimeSplit())
    assert (
        Model("rich", features=given.features, label=given.label, estimators=[LOGISTIC], cuts=CUTS).split == TimeSplit()
    )  # type: ignore[arg-type]


def label_horizon() -> Any:
    return Label.define(entity="person", source=ORDERS, horizon="30d")(table_in_time).horizon


def test_random_rows_of_data_with_a_time_must_be_asked_for() -> None:
    given: dict[str, Any] = {"label": in_time(horizon=label_horizon()), "cuts": CUTS}
    with pytest.raises(ProjectError, match=r"although its data has a time.*found RandomSplit over orders") as caught:
        model(split=RandomSplit(), **given)
    assert "despite_time=True" in str(caught.value.fix)
    assert model(split=RandomSplit(despite_time=True), **given).split == RandomSplit(despite_time=True)


def test_an_ensemble_may_compete_with_its_members() -> None:
    both = Ensemble("both", ("logistic", "forest"))
    declared = model(estimators=[LOGISTIC, FOREST, both])
    assert declared.estimator("both") is both
    assert declared.definition() != model(estimators=[LOGISTIC, FOREST]).definition()


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_monitor_has_bounds_of_the_task_of_its_model_only(task: Any) -> None:
    bounds = {"multiclass": {"accuracy_floor": 0.8}, "regression": {"mae_ceiling": 3.0}}
    for its, bound in bounds.items():
        monitor = Monitor("rich", **bound)  # type: ignore[arg-type]
        if its == task:
            assert Project("wealth", models=(model(task=task),), monitors=(monitor,)).monitor("rich") == monitor
        else:
            with pytest.raises(
                ProjectError, match=f"is {task}, has a bound of another task.*found {next(iter(bound))}"
            ):
                Project("wealth", models=(model(task=task),), monitors=(monitor,))
    assert Project("wealth", models=(model(task=task),), monitors=(Monitor("rich"),)).monitor("rich")


@pytest.mark.parametrize(
    ("task", "fitting", "strange"),
    [
        ("binary", ("log_loss", "brier", "roc_auc"), ("accuracy", "mse", "mae")),
        ("multiclass", ("log_loss", "brier", "accuracy"), ("roc_auc", "mse", "mae")),
        ("regression", ("mse", "mae"), ("log_loss", "brier", "roc_auc", "accuracy")),
    ],
)
def test_a_rollout_is_judged_by_figures_of_the_task(
    task: Any, fitting: tuple[Any, ...], strange: tuple[Any, ...]
) -> None:
    def declared(kind: Any) -> Rollout:
        return Rollout.canary("prod", analysis=Analysis((Guardrail("quality", kind),)))

    for kind in fitting:
        assert model(task=task, rollouts=[declared(kind)]).rollouts == (declared(kind),)
    for kind in strange:
        with pytest.raises(ProjectError, match=f"no {task} model has.*found quality of kind {kind}") as caught:
            model(task=task, rollouts=[declared(kind)])
        assert fitting[-1] in str(caught.value.fix)


def test_a_challenger_without_an_analysis_is_judged_by_the_standard_figure_of_its_task() -> None:
    figures = {
        task: [
            each.kind
            for each in model(task=task, rollouts=[Rollout.champion_challenger("prod")]).rollouts[0].analysis.metrics
        ]
        for task in ("binary", "multiclass", "regression")
    }
    assert figures == {"binary": ["brier"], "multiclass": ["brier"], "regression": ["mae"]}
    own = Rollout.champion_challenger("prod", analysis=Analysis(metrics=(Metric("squared", "mse"),)))
    assert model(task="regression", rollouts=[own]).rollouts == (own,)
    assert model(task="regression", rollouts=[Rollout.canary("prod")]).rollouts == (Rollout.canary("prod"),)


WRONG: dict[str, tuple[str, Callable[[], object]]] = {
    "task": ("Unknown task", lambda: model(task="ranking")),
    "no folds": ("number of folds", lambda: RandomSplit(folds=1)),
    "no fold in time": ("number of folds", lambda: TimeSplit(folds=0)),
    "half a fold": ("number of folds", lambda: PredefinedSplit(folds=2.5)),  # type: ignore[arg-type]
    "share": ("test_share", lambda: RandomSplit(test_share=1.0)),
    "share is no number": ("test_share", lambda: RandomSplit(test_share=float("nan"))),
    "no column": ("a column and the value", lambda: PredefinedSplit(column="")),
    "no value": ("a column and the value", lambda: PredefinedSplit(test="")),
    "horizon without time": ("carry no time", lambda: label(horizon=label_horizon())),
    "horizon without cuts": ("needs cut dates", lambda: model(label=in_time(horizon=label_horizon()), split=TimeSplit())),
    "cuts without horizon": ("has no horizon", lambda: model(cuts=CUTS)),
    "time without cuts": ("one cut only", lambda: model(split=TimeSplit())),
    "binary absent": ("expected 0, 1 or None", lambda: model(label=label(absent="no"))),
    "class absent": ("the name of a class", lambda: model(label=label(absent=0.5), task="multiclass")),
    "number absent": ("a finite number", lambda: model(label=label(absent=float("inf")), task="regression")),
    "text as number": ("a finite number", lambda: model(label=label(absent="0"), task="regression")),
    "no length": ("has no length", lambda: facts(arrays={"pixels": 0})),
    "length of truth": ("has no length", lambda: facts(arrays={"pixels": True})),
    "text and array": ("names 'body' twice", lambda: facts(texts=["body"], arrays={"body": 3})),
    "text twice": ("names 'body' twice", lambda: facts(texts=["body", "body"])),
    "column twice": ("names 'a' twice", lambda: facts(columns=["a", "a"])),
    "unknown member": ("does not declare", lambda: model(estimators=[LOGISTIC, Ensemble("both", ("logistic", "forest"))])),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_go_together_is_refused(case: str) -> None:
    told, declare = WRONG[case]
    with pytest.raises(ProjectError, match=told):
        declare()
