"""Explanations of plans are Shapley values: by their definition over all subsets, and by the library that grew the trees."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.errors import IntegrityError, ServingError
from keelway.features import FeatureColumn
from keelway.project import Estimator, Preprocessing, Task
from keelway.register import PlanExplainer, PlanScorer, ScoringPlan, compile_plan, plan_bytes, read_plan, with_means
from keelway.register.plan.answers import sigmoid, softmax
from keelway.register.plan.records import (
    FORMAT,
    PlanCalibration,
    PlanHead,
    PlanLevels,
    PlanMember,
    PlanMixture,
    PlanModel,
    PlanNumber,
)
from keelway.register.plan.rows import RowColumns, matrix_of
from keelway.register.plan.shapley_linear import owners_of
from keelway.testing.mixed import CLASSES, FEATURES, MixedRows, forward_folds
from keelway.train import Lesson, fitted_pipeline, frame_of
from keelway.train.stored import _pipeline, pipeline_bytes

PLAIN = tuple(each for each in FEATURES if each.kind in ("numeric", "categorical"))
FRESH = MixedRows.draw(40, seed=5)
COLUMNS = {each.name: FRESH.columns[each.name] for each in PLAIN}
ROWS = [list(row) for row in zip(*(COLUMNS[each.name] for each in PLAIN), strict=True)]
FACTORIES = {
    "logistic": ("sklearn.linear_model.LogisticRegression", {"max_iter": 3000}),
    "ridge": ("sklearn.linear_model.Ridge", {}),
    "boosted": ("sklearn.ensemble.GradientBoostingClassifier", {"n_estimators": 4}),
    "forest": ("sklearn.ensemble.RandomForestClassifier", {"n_estimators": 3}),
    "histogram": ("sklearn.ensemble.HistGradientBoostingClassifier", {"max_iter": 4}),
    "lightgbm": ("lightgbm.LGBMClassifier", {"n_estimators": 5, "verbose": -1, "min_child_samples": 5}),
    "xgboost": ("xgboost.XGBClassifier", {"n_estimators": 4}),
    "xgboost counts": ("xgboost.XGBRegressor", {"n_estimators": 4, "objective": "count:poisson"}),
}
LINKS: dict[str, Callable[[Any], Any]] = {
    "log-odds": lambda margin: sigmoid(margin[0]),
    "softmax": lambda margin: softmax(list(margin)),
    "logarithm": lambda margin: math.exp(margin[0]),
    "probability": lambda margin: margin[0] if len(margin) == 1 else list(margin),
    "number": lambda margin: margin[0],
}


@cache
def plan_of(kind: str, task: Task, features: Sequence[FeatureColumn] = PLAIN) -> ScoringPlan:
    drawn = MixedRows.draw(120, seed=0)
    labels = np.exp(drawn.labels[task]) if kind == "xgboost counts" else drawn.labels[task]
    chosen = Preprocessing(rare_level=2)
    lesson = Lesson(features, frame_of(drawn.columns, features), labels, chosen, task, seed=7, folds=forward_folds(120))
    factory, parameters = FACTORIES[kind]
    pipeline = _pipeline(pipeline_bytes(fitted_pipeline(lesson, Estimator("it", factory, parameters))))
    plan = compile_plan(pipeline, features, task=task, classes=CLASSES if task == "multiclass" else ())
    return read_plan(plan_bytes(with_means(plan, drawn.columns)))


def shapley_by_definition(game: Callable[[frozenset[int]], Any], players: int) -> Any:
    """Return the Shapley values: over all subsets, what a player adds, weighed by the orders in which that happens."""
    told = []
    for player in range(players):
        others = [each for each in range(players) if each != player]
        total: Any = 0.0
        for size in range(players):
            weight = math.factorial(size) * math.factorial(players - 1 - size) / math.factorial(players)
            for known in itertools.combinations(others, size):
                total = total + weight * (game(frozenset({*known, player})) - game(frozenset(known)))
        told.append(total)
    return np.array(told)


def tree_game(plan: ScoringPlan, row: Sequence[Any]) -> Callable[[frozenset[int]], Any]:
    """Return what trees answer to a row of which only some features are known (TreeSHAP's algorithm 1)."""
    (member,) = plan.head.members
    (model,) = member.models
    seen = matrix_of(RowColumns([row]), member, plan)[0]
    owners = owners_of(member)
    arrays = {name: plan.arrays[f"{model.arrays}{name}"] for name in ("feature", "threshold", "left", "right", "cover")}
    sizes, outputs, values = (plan.arrays[f"{model.arrays}{name}"] for name in ("sizes", "outputs", "values"))

    def below(begin: int, place: int, known: frozenset[int]) -> Any:
        at = begin + place
        if arrays["left"][at] < 0:
            return values[at]
        children = [int(arrays[side][at]) for side in ("left", "right")]
        column = int(arrays["feature"][at])
        if owners[column] in known:
            return below(begin, children[int(seen[column] > arrays["threshold"][at])], known)
        parts = [arrays["cover"][begin + child] / arrays["cover"][at] for child in children]
        return sum(part * below(begin, child, known) for part, child in zip(parts, children, strict=True))

    def game(known: frozenset[int]) -> Any:
        total = plan.arrays[f"{model.arrays}base"].astype(float)
        begin = 0
        for size, output in zip(sizes.tolist(), outputs.tolist(), strict=True):
            found = below(begin, 0, known)
            if len(found) == len(total):
                total = total + found
            else:
                total[output] += found[0]
            begin += size
        return model.slope * total / model.divisor

    return game


@pytest.mark.parametrize(
    ("kind", "task"),
    [
        ("boosted", "binary"),
        ("forest", "multiclass"),
        ("histogram", "multiclass"),
        ("lightgbm", "binary"),
        ("xgboost", "binary"),
    ],
)
def test_trees_are_explained_as_the_definition_says(kind: str, task: Task) -> None:
    features = (
        *[each for each in PLAIN if each.kind == "numeric"][:2],
        *[each for each in PLAIN if each.kind != "numeric"][:2],
    )
    plan = plan_of(kind, task, features)
    explainer = PlanExplainer(plan)
    columns = {each.name: FRESH.columns[each.name] for each in features}
    for row in list(zip(*columns.values(), strict=True))[:4]:
        (told,) = explainer.explain([row])
        game = tree_game(plan, row)
        assert explainer.method == "tree-shap"
        np.testing.assert_allclose(told.contributions, shapley_by_definition(game, len(features)), atol=1e-10)
        np.testing.assert_allclose(told.base, game(frozenset()), atol=1e-10)
        np.testing.assert_allclose(told.margin, game(frozenset(range(len(features)))), atol=1e-10)


@pytest.mark.parametrize("kind", ["LGBMClassifier", "LGBMRegressor"])
def test_lightgbm_says_the_same_of_its_columns(kind: str) -> None:
    """Numbers that are never missing fill one column each, so that columns are features."""
    lightgbm = pytest.importorskip("lightgbm")
    features = tuple(FeatureColumn(f"n{place}", "numeric") for place in range(6))
    draw = np.random.default_rng(3)
    table = draw.normal(size=(300, 6)).astype(np.float32)
    score = table[:, 0] * 2 - table[:, 1] * table[:, 2] + draw.normal(size=300)
    task: Task = "regression" if kind == "LGBMRegressor" else "binary"
    labels = score if task == "regression" else (score > 0).astype(int)
    columns = {each.name: table[:, place].astype(float).tolist() for place, each in enumerate(features)}
    lesson = Lesson(
        features, frame_of(columns, features), labels, Preprocessing(), task, seed=7, folds=forward_folds(300)
    )
    parameters = {"n_estimators": 30, "num_leaves": 15, "verbose": -1}
    estimator = Estimator("it", f"lightgbm.{kind}", parameters)
    pipeline = _pipeline(pipeline_bytes(fitted_pipeline(lesson, estimator)))
    plan = compile_plan(pipeline, features, task=task)
    booster = lightgbm.Booster(model_str=dict(pipeline.steps)["estimate"].text)
    expected = booster.predict(table[:20].astype(np.float64), pred_contrib=True)
    told = PlanExplainer(plan).explain(table[:20].astype(float).tolist())
    np.testing.assert_allclose([each.contributions[:, 0] for each in told], expected[:, :-1], atol=1e-9)
    np.testing.assert_allclose([each.base[0] for each in told], expected[:, -1], atol=1e-9)


@pytest.mark.parametrize(
    ("kind", "task"), [("logistic", "binary"), ("logistic", "multiclass"), ("ridge", "regression")]
)
def test_a_linear_model_is_explained_by_what_is_above_the_mean(kind: str, task: Task) -> None:
    plan = plan_of(kind, task)
    explainer = PlanExplainer(plan)
    (member,) = plan.head.members
    drawn = MixedRows.draw(120, seed=0)
    reference = RowColumns(list(zip(*(drawn.columns[each.name] for each in PLAIN), strict=True)))
    centre = matrix_of(reference, member, plan).mean(axis=0)
    weights = plan.arrays[f"{member.models[0].arrays}weights"]
    (told,) = explainer.explain(ROWS[:1])
    parts = weights * (matrix_of(RowColumns(ROWS[:1]), member, plan)[0] - centre)
    owners = np.array(owners_of(member))
    for place in range(len(PLAIN)):
        np.testing.assert_allclose(told.contributions[place], parts[:, owners == place].sum(axis=1), atol=1e-12)
    assert explainer.method == "linear-shap"


@pytest.mark.parametrize(
    ("kind", "task", "scale"),
    [
        ("logistic", "binary", "log-odds"),
        ("logistic", "multiclass", "softmax"),
        ("ridge", "regression", "number"),
        ("forest", "binary", "probability"),
        ("forest", "multiclass", "probability"),
        ("histogram", "binary", "log-odds"),
        ("xgboost", "multiclass", "softmax"),
        ("xgboost counts", "regression", "logarithm"),
    ],
)
def test_contributions_add_up_to_the_answer_of_the_scale(kind: str, task: Task, scale: str) -> None:
    plan = plan_of(kind, task)
    explainer = PlanExplainer(plan)
    assert explainer.scale == scale
    answers = PlanScorer(plan).predictions(ROWS)
    for told, answer in zip(explainer.explain(ROWS), answers, strict=True):
        total = told.base + told.contributions.sum(axis=0)
        np.testing.assert_allclose(LINKS[scale](total), answer, rtol=1e-6, atol=1e-9)


COLUMN = FeatureColumn("n", "numeric"), FeatureColumn("c", "categorical")
COVERS = st.integers(0, 50)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 100_000), leaves=st.integers(1, 12), empty=st.booleans())
def test_any_trees_are_explained_even_where_nobody_came_by(seed: int, leaves: int, empty: bool) -> None:
    """A number splits one way again and again, a category fills two columns, and some nodes have no cover."""
    draw = np.random.default_rng(seed)
    nodes: list[list[Any]] = [[0, 0.0, -1, -1, float(draw.normal()), 100.0]]
    ends = [0]
    while len(ends) < leaves:
        place = ends.pop(int(draw.integers(len(ends))))
        share = 0.0 if empty and draw.random() < 0.3 else float(draw.random())
        cover = nodes[place][5]
        nodes[place][:4] = [int(draw.integers(4)), float(draw.choice([0.0, 0.5, 1.0])), len(nodes), len(nodes) + 1]
        ends += [len(nodes), len(nodes) + 1]
        nodes += [[0, 0.0, -1, -1, float(draw.normal()), part * cover] for part in (share, 1 - share)]
    kinds = ("<i4", "<f8", "<i4", "<i4", "<f8", "<f8")
    names = ("feature", "threshold", "left", "right", "values", "cover")
    arrays: dict[str, Any] = {
        f"t.{name}": np.array([node[at] for node in nodes], dtype=kind)
        for at, (name, kind) in enumerate(zip(names, kinds, strict=True))
    }
    arrays["t.values"] = arrays["t.values"].reshape(-1, 1)
    arrays |= {"t.sizes": np.array([len(nodes)], "<i4"), "t.outputs": np.zeros(1, "<i4"), "t.base": np.ones(1)}
    arrays["levels"] = np.array([[1, 0.5], [0, 2], [0, 0]], dtype="<f4")
    member = PlanMember(
        4,
        (PlanNumber(0, 0, 1.0, 0.0, 0.5, 1),),
        (PlanLevels(1, (2, 3), ("", "a"), "levels"),),
        (PlanModel("trees", "t.", 1),),
    )
    plan = read_plan(plan_bytes(ScoringPlan(PlanHead(FORMAT, "regression", (), COLUMN, (member,), None, 64), arrays)))
    for row in ([None, "a"], [0.25, ""], [3.0, "new"]):
        (told,) = PlanExplainer(plan).explain([row])
        assert np.isfinite(told.contributions).all()
        np.testing.assert_allclose(told.base + told.contributions.sum(axis=0), told.margin, atol=1e-9)
        if not empty:
            np.testing.assert_allclose(told.contributions, shapley_by_definition(tree_game(plan, row), 2), atol=1e-9)


def mixed_plan(plan: ScoringPlan, mixture: PlanMixture, **changes: Any) -> ScoringPlan:
    (member,) = plan.head.members
    member = replace(member, models=tuple(replace(each, **changes) for each in member.models))
    return replace(plan, head=replace(plan.head, members=(member, member), mixture=mixture))


@pytest.mark.parametrize(
    ("kind", "task", "mixture"),
    [
        ("ridge", "regression", PlanMixture(weights=(0.25, 0.75))),
        ("ridge", "regression", PlanMixture((), ((0.5, -2.0),), (3.0,))),
        ("forest", "binary", PlanMixture(weights=(0.5, 0.5))),
        ("forest", "binary", PlanMixture((), ((1.5, 2.0),), (-1.0,))),
    ],
)
def test_an_ensemble_of_sums_is_a_sum(kind: str, task: Task, mixture: PlanMixture) -> None:
    plan = mixed_plan(plan_of(kind, task), mixture)
    explainer = PlanExplainer(plan)
    for told, answer in zip(explainer.explain(ROWS), PlanScorer(plan).predictions(ROWS), strict=True):
        total = told.base + told.contributions.sum(axis=0)
        np.testing.assert_allclose(LINKS[explainer.scale](total), answer, rtol=1e-6, atol=1e-9)


def test_a_calibration_by_a_logistic_curve_keeps_the_sum() -> None:
    plan = plan_of("logistic", "binary")
    (member,) = plan.head.members
    model = replace(member.models[0], link="identity", calibrations=(PlanCalibration(-1.5, 0.25),))
    plan = replace(plan, head=replace(plan.head, members=(replace(member, models=(model,)),)))
    explainer = PlanExplainer(plan)
    assert explainer.scale == "log-odds"
    for told, answer in zip(explainer.explain(ROWS), PlanScorer(plan).predictions(ROWS), strict=True):
        assert sigmoid(float(told.base[0] + told.contributions.sum())) == pytest.approx(answer, abs=1e-9)


def without(plan: ScoringPlan, name: str) -> ScoringPlan:
    return replace(plan, arrays={key: value for key, value in plan.arrays.items() if not key.endswith(name)})


def test_what_is_no_sum_is_refused_with_its_reason() -> None:
    logistic, forest = plan_of("logistic", "binary"), plan_of("forest", "binary")
    (member,) = logistic.head.members
    bent = replace(member.models[0], link="identity", calibrations=(PlanCalibration(x=(0.0, 1.0), y=(0.0, 1.0)),))
    cases = {
        "bends": replace(logistic, head=replace(logistic.head, members=(replace(member, models=(bent,)),))),
        "mean of probabilities": mixed_plan(logistic, PlanMixture(weights=(0.5, 0.5))),
        "before the means": without(logistic, "means"),
        "how the training went": without(forest, "cover"),
    }
    for reason, plan in cases.items():
        with pytest.raises(NotImplementedError, match=reason):
            PlanExplainer(plan)


def test_a_forest_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keelway.register.plan.shapley_trees.MOST_PAIRS", 10)
    with pytest.raises(NotImplementedError, match="too many"):
        PlanExplainer(plan_of("forest", "binary"))


def test_rows_that_are_none_are_refused() -> None:
    explainer = PlanExplainer(plan_of("logistic", "binary"))
    for row in (ROWS[0][:-1], ["text"] * len(PLAIN), [1e300] * len(PLAIN)):
        with pytest.raises(ServingError):
            explainer.explain([row])


@pytest.mark.parametrize("name", ["means", "cover"])
def test_a_plan_with_other_means_or_cover_is_no_plan(name: str) -> None:
    plan = plan_of("logistic" if name == "means" else "forest", "binary")
    arrays = {key: (value[:-1] if key.endswith(name) else value) for key, value in plan.arrays.items()}
    with pytest.raises(IntegrityError):
        read_plan(plan_bytes(replace(plan, arrays=arrays)))
