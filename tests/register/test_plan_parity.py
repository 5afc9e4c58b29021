"""A compiled plan answers as the pipeline it was compiled from: to the last bit where that computes in 64 bits."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keelway.errors import RefusedError
from keelway.project import ColumnPreprocessing, Estimator, Preprocessing, Task
from keelway.register import PlanScorer, ScoringPlan, check_plan, compile_plan, plan_bytes, read_plan
from keelway.testing.mixed import CLASSES, FEATURES, BentPipeline, MixedRows, forward_folds
from keelway.testing.training import LOGISTIC, TrainingWorld
from keelway.train import EnsembleManifest, EnsembleMember, EnsemblePipeline, Lesson, fitted_pipeline, frame_of
from keelway.train.manifest import FORMAT
from keelway.train.stored import _pipeline, pipeline_bytes

PLAIN = tuple(each for each in FEATURES if each.kind in ("numeric", "categorical"))
FRESH = MixedRows.draw(60, seed=5)
COLUMNS = {each.name: FRESH.columns[each.name] for each in PLAIN}
CLASSIFIERS = {
    "logistic": ("sklearn.linear_model.LogisticRegression", {"max_iter": 3000}),
    "histogram": ("sklearn.ensemble.HistGradientBoostingClassifier", {"max_iter": 6}),
    "forest": ("sklearn.ensemble.RandomForestClassifier", {"n_estimators": 5}),
    "extra": ("sklearn.ensemble.ExtraTreesClassifier", {"n_estimators": 3}),
    "tree": ("sklearn.tree.DecisionTreeClassifier", {"max_depth": 4}),
    "boosted": ("sklearn.ensemble.GradientBoostingClassifier", {"n_estimators": 6}),
    "lightgbm": ("lightgbm.LGBMClassifier", {"n_estimators": 6, "verbose": -1, "min_child_samples": 5}),
    "xgboost": ("xgboost.XGBClassifier", {"n_estimators": 6}),
}
REGRESSORS = {
    "ridge": ("sklearn.linear_model.Ridge", {}),
    "histogram": ("sklearn.ensemble.HistGradientBoostingRegressor", {"max_iter": 6}),
    "forest": ("sklearn.ensemble.RandomForestRegressor", {"n_estimators": 5}),
    "boosted": ("sklearn.ensemble.GradientBoostingRegressor", {"n_estimators": 6}),
    "lightgbm": ("lightgbm.LGBMRegressor", {"n_estimators": 6, "verbose": -1, "min_child_samples": 5}),
    "xgboost": ("xgboost.XGBRegressor", {"n_estimators": 6}),
}
ROUNDED = {"logistic", "ridge", "xgboost"}
"""What computes in 32 bits, or reads numbers that were scaled in 32 bits."""


@cache
def fitted(
    task: Task,
    kind: str,
    chosen: Preprocessing = Preprocessing(rare_level=2),  # noqa: B008  (frozen)
    calibrate: Any = None,
    rows: int = 150,
    seed: int = 0,
) -> Any:
    """Return a pipeline as it comes back from its stored bytes."""
    factory, parameters = (REGRESSORS if task == "regression" else CLASSIFIERS)[kind]
    drawn = MixedRows.draw(rows, seed=seed)
    lesson = Lesson(
        PLAIN, frame_of(drawn.columns, PLAIN), drawn.labels[task], chosen, task, seed=7, folds=forward_folds(rows)
    )
    estimator = Estimator(kind, factory, parameters, calibrate=calibrate)
    return _pipeline(pipeline_bytes(fitted_pipeline(lesson, estimator)))


def planned(pipeline: Any, task: Task) -> ScoringPlan:
    """Return the plan of a pipeline as it comes back from its bytes."""
    return read_plan(
        plan_bytes(compile_plan(pipeline, PLAIN, task=task, classes=CLASSES if task == "multiclass" else ()))
    )


def agreed(pipeline: Any, task: Task, *, bits: int, tolerance: float = 1e-6) -> float:
    """Check a plan against its pipeline, and return the largest difference."""
    plan = planned(pipeline, task)
    assert plan.head.bits == bits
    _agreed_in_columns(PlanScorer(plan))
    found = check_plan(pipeline, plan, COLUMNS, tolerance=tolerance)
    assert (found.rows, found.nulls_tested, found.unseen_tested) == (660, True, True)
    assert found.tolerance == (1e-12 if bits == 64 else tolerance)
    return found.max_difference


def _agreed_in_columns(scorer: PlanScorer) -> None:
    """Check that rows that come as columns are answered as those that come as rows, to the last bit."""
    columns = [
        np.array(COLUMNS[each.name], dtype=np.float64) if each.kind == "numeric" else COLUMNS[each.name]
        for each in scorer.features
    ]
    rows = [list(row) for row in zip(*(COLUMNS[each.name] for each in scorer.features), strict=True)]
    assert scorer.predictions_in(columns) == scorer.predictions(rows)


@pytest.mark.parametrize("kind", CLASSIFIERS)
@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_a_classifier_is_answered_alike(task: Task, kind: str) -> None:
    difference = agreed(fitted(task, kind), task, bits=32 if kind in ROUNDED else 64)
    # A forest averages both classes by themselves, so that they sum to 1 but for the last bit.
    least = 2.0**-53 if kind in ("forest", "extra", "tree") else 0.0
    assert kind in ROUNDED or difference <= least, "the libraries' own arithmetic is kept, term by term"


@pytest.mark.parametrize("kind", REGRESSORS)
def test_a_regression_is_answered_alike(kind: str) -> None:
    difference = agreed(fitted("regression", kind), "regression", bits=32 if kind in ROUNDED else 64)
    assert kind in ROUNDED or difference == 0.0


@pytest.mark.parametrize(
    ("task", "calibrate", "kind"),
    [
        *itertools.product(["binary", "multiclass"], ["sigmoid", "isotonic"], ["logistic", "histogram"]),
        ("binary", "isotonic", "forest"),
        ("multiclass", "sigmoid", "lightgbm"),
        ("binary", "sigmoid", "boosted"),
    ],
)
def test_a_calibration_is_answered_alike(task: Task, calibrate: str, kind: str) -> None:
    pipeline = fitted(task, kind, calibrate=calibrate)
    tolerance = 1e-4 if calibrate == "isotonic" else 1e-6  # its lines are steep: they multiply a rounding
    assert agreed(pipeline, task, bits=32 if kind in ROUNDED else 64, tolerance=tolerance) <= tolerance


CHOICES = st.builds(
    Preprocessing,
    impute=st.sampled_from(["median", "mean", "zero", "most_frequent"]),
    missing_indicator=st.booleans(),
    encode=st.sampled_from(["one_hot", "ordinal", "target"]),
    scale=st.sampled_from([True, False, "minmax", "robust"]),
    rare_level=st.integers(1, 4),
    select=st.sampled_from([None, "variance"]),
    columns=st.sampled_from([{}, {"age": ColumnPreprocessing(scale=False), "plan": ColumnPreprocessing(encode="ordinal")}]),
)  # fmt: skip


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    chosen=CHOICES,
    task=st.sampled_from(["binary", "multiclass", "regression"]),
    trees=st.booleans(),
    rows=st.integers(60, 120),
    seed=st.integers(0, 1000),
)
def test_any_pipeline_over_any_rows_is_answered_alike(
    chosen: Preprocessing, task: Task, trees: bool, rows: int, seed: int
) -> None:
    kind = "histogram" if trees else "ridge" if task == "regression" else "logistic"
    pipeline = fitted.__wrapped__(task, kind, chosen, rows=rows, seed=seed)
    check_plan(pipeline, planned(pipeline, task), COLUMNS, tolerance=1e-6)


def together(method: Any, task: Task, members: list[Any]) -> EnsemblePipeline:
    draw = np.random.default_rng(3)
    outputs = 3 if task == "multiclass" else 1
    stacked = method == "stacking"
    rows = tuple(tuple(row) for row in draw.normal(size=(outputs, len(members) * outputs)).tolist())
    told = EnsembleManifest(
        format=FORMAT,
        name="both",
        method=method,
        task=task,
        classes=CLASSES if task == "multiclass" else (),
        members=tuple(EnsembleMember(str(place), "sha256:0") for place in range(len(members))),  # type: ignore[arg-type]
        weights=() if stacked else (0.3, 0.7),
        coefficients=rows if stacked else (),
        intercepts=tuple(draw.normal(size=outputs).tolist()) if stacked else (),
    )
    return EnsemblePipeline(told, members)


@pytest.mark.parametrize("method", ["blending", "stacking"])
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_an_ensemble_is_answered_alike(task: Task, method: str) -> None:
    first = fitted(task, "ridge" if task == "regression" else "logistic")
    second = fitted.__wrapped__(task, "histogram", Preprocessing(rare_level=2, encode="target", missing_indicator=True))
    agreed(together(method, task, [first, second]), task, bits=32)
    agreed(together(method, task, [second, fitted(task, "forest")]), task, bits=64)


@pytest.mark.parametrize(
    ("kind", "chosen", "features", "told"),
    [
        ("naive", Preprocessing(), PLAIN, "GaussianNB is answered by ONNX"),
        ("linear", Preprocessing(), FEATURES, "text features are answered by ONNX|array features are answered by ONNX"),
    ],
    ids=["estimator", "texts and arrays"],
)
def test_what_has_no_plan_says_why(kind: str, chosen: Preprocessing, features: Any, told: str) -> None:
    factory = {"naive": "sklearn.naive_bayes.GaussianNB", "linear": "sklearn.linear_model.LogisticRegression"}[kind]
    drawn = MixedRows.draw(120)
    lesson = Lesson(features, frame_of(drawn.columns, features), drawn.labels["binary"], chosen)
    with pytest.raises(NotImplementedError, match=told):
        compile_plan(fitted_pipeline(lesson, Estimator(kind, factory)), features, task="binary")


@pytest.mark.parametrize("change", [1e-9, float("nan")])
def test_a_difference_is_refused_and_the_worst_row_named(change: float) -> None:
    pipeline = fitted("binary", "histogram")
    with pytest.raises(RefusedError, match="The plan differs from the trained one") as refused:
        check_plan(BentPipeline(pipeline, 17, change), planned(pipeline, "binary"), COLUMNS, tolerance=1e-5)
    (reason,) = refused.value.reasons
    assert reason.endswith("in row 17")


def test_a_model_of_counts_answers_with_the_exponential() -> None:
    drawn = MixedRows.draw(150)
    lesson = Lesson(
        PLAIN, frame_of(drawn.columns, PLAIN), np.exp(drawn.labels["regression"] / 4), Preprocessing(rare_level=2),
        task="regression",
    )  # fmt: skip
    pipeline = fitted_pipeline(lesson, Estimator("counts", "sklearn.linear_model.PoissonRegressor", {"max_iter": 999}))
    scorer = PlanScorer(planned(pipeline, "regression"))
    rows = list(zip(*COLUMNS.values(), strict=True))
    assert scorer.predictions(rows) == pytest.approx(pipeline.predict(frame_of(COLUMNS, PLAIN)), rel=1e-5)
    beyond = [sign * 1e6 for sign in (1, -1)]
    answers = scorer.predictions([[number, None, None, "", ""] for number in beyond])
    assert sorted(answers) == [0.0, math.inf], "answering refuses infinity"


@pytest.mark.parametrize("kind", ["logistic", "lightgbm", "xgboost"])
@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_a_row_is_answered_alone_as_among_however_many_others(task: Task, kind: str) -> None:
    scorer = PlanScorer(planned(fitted(task, kind), task))
    rows = [list(row) for row in zip(*(COLUMNS[each.name] for each in scorer.features), strict=True)]
    alone = [scorer.predictions([row])[0] for row in rows]
    for count in (2, 4, 5, 16, 17, 64, 65, 257, len(rows)):
        assert scorer.predictions(rows[:count]) == alone[:count]


def test_the_same_pipeline_has_the_same_plan() -> None:
    pipeline = fitted("binary", "lightgbm")
    first, second = (plan_bytes(compile_plan(pipeline, PLAIN, task="binary")) for _ in range(2))
    assert first == second == plan_bytes(read_plan(first))


def test_a_model_without_a_plan_is_registered_with_the_reason(world: TrainingWorld) -> None:
    naive = Estimator("naive", "sklearn.naive_bayes.GaussianNB")
    world.declare(estimators=(LOGISTIC, naive))
    version = world.register(world.fit(naive))
    assert (version.plan, version.plan_parity, version.served_form) == (None, None, "onnx")
    assert version.no_plan == "GaussianNB is answered by ONNX"
    with_plan = world.register(world.fit(LOGISTIC))
    assert with_plan.plan_parity is not None
    assert with_plan.plan_parity.rows == world.rows + 600
    assert with_plan.plan_parity.max_difference <= with_plan.plan_parity.tolerance == world.model.onnx_tolerance


def test_numbers_are_rounded_to_32_bits_as_training_did() -> None:
    """A time in seconds has steps of 128 in 32 bits; a plan that did not round would be far off."""
    features = (replace(PLAIN[0], name="at"), PLAIN[3])
    draw = np.random.default_rng(0)
    times = (1.7e9 + draw.normal(size=200) * 1e4).tolist()
    columns = {"at": times, "plan": ["a", "b"] * 100}
    labels = (np.array(times) > 1.7e9).astype(np.int8)
    lesson = Lesson(features, frame_of(columns, features), labels, Preprocessing())
    pipeline = fitted_pipeline(lesson, Estimator("linear", *CLASSIFIERS["logistic"]))
    plan = compile_plan(pipeline, features, task="binary")
    assert check_plan(pipeline, plan, columns, tolerance=1e-5).max_difference <= 1e-5
    row = [1.7e9 + 30.0, "a"]
    assert PlanScorer(plan).predictions([row]) == PlanScorer(plan).predictions([[float(np.float32(row[0])), "a"]])
