"""Models of LightGBM and XGBoost answer alike as ONNX trees: missing numbers, numbers on a threshold, extremes, every task."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.core import ArtifactKind
from keelway.errors import TrainingError
from keelway.project import Ensemble, Estimator, Preprocessing, Task
from keelway.register import OnnxModel, check_parity, load_onnx, to_onnx
from keelway.register.booster_trees import BoostedTree, BoostedTrees, trees_of
from keelway.register.converters import own_converters
from keelway.testing.mixed import FEATURES, MixedRows
from keelway.testing.training import LOGISTIC, TrainingWorld
from keelway.train import frame_of, load_pipeline
from keelway.train.boosters import booster_answers, booster_text
from keelway.train.stages import BoosterRegressor
from keelway.train.stored import pipeline_bytes

TOLERANCE = 1e-5
ROWS = MixedRows.draw(240)
FRESH = MixedRows.draw(60, seed=5)
CLASSES = {"lightgbm": ("LGBMClassifier", "LGBMRegressor"), "xgboost": ("XGBClassifier", "XGBRegressor")}
QUIET = {"lightgbm": {"verbose": -1}, "xgboost": {"verbosity": 0}}
WIDTH = 5


@pytest.fixture(params=list(CLASSES))
def library(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(request.param)
    return str(request.param)


def boosted(library: str, task: Task = "binary", **parameters: Any) -> Estimator:
    told = {"n_estimators": 12, "n_jobs": 1, **QUIET[library], **parameters}
    return Estimator("boosted", f"{library}.{CLASSES[library][task == 'regression']}", told)


def made(library: str, task: Task, parameters: dict[str, Any], matrix: Any, labels: Any) -> Any:
    """Return an estimator of a library, fitted on a bare matrix."""
    package = pytest.importorskip(library)
    told = {"n_estimators": 12, "n_jobs": 1, **QUIET[library], **parameters}
    return getattr(package, CLASSES[library][task == "regression"])(**told).fit(matrix, labels)


def numbers(count: int, *, seed: int = 0) -> Any:
    """Return 32-bit numbers of many sizes, a tenth of them missing."""
    draw = np.random.default_rng(seed)
    matrix = draw.normal(size=(count, WIDTH)) * draw.choice([1, 1, 1, 1e3, 1e6, 1e-35], (count, WIDTH))
    matrix[draw.random(matrix.shape) < 0.1] = np.nan
    return matrix.astype(np.float32)


def learnable(task: Task, *, seed: int = 1) -> tuple[Any, Any]:
    """Return a matrix with missing numbers and labels that depend on it."""
    draw = np.random.default_rng(seed)
    matrix = draw.normal(size=(600, WIDTH)).astype(np.float32)
    score = matrix[:, 0] + matrix[:, 1] * matrix[:, 2] + draw.normal(size=600) / 3
    matrix[draw.random(matrix.shape) < 0.1] = np.nan
    labels = {"binary": score > 0.5, "multiclass": np.digitize(score, [-0.7, 0.7]), "regression": np.exp(score)}[task]
    return matrix, labels * 1


def exported_sums(library: str, fitted: Any, matrix: Any) -> Any:
    """Return what the exported trees of a fitted estimator answer to a bare matrix, as the library's own booster does."""
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    stored = BoosterRegressor(library, booster_text(fitted))
    shape = [("matrix", FloatTensorType([None, WIDTH]))]
    graph = convert_sklearn(stored, initial_types=shape, target_opset={"": 18, "ai.onnx.ml": 3}, **own_converters())
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    return session.run(None, {"matrix": matrix})[0]


MODELS: list[tuple[str, Task, dict[str, Any]]] = [
    ("lightgbm", "binary", {}),
    ("lightgbm", "binary", {"boosting_type": "dart"}),
    ("lightgbm", "binary", {"boosting_type": "rf", "subsample": 0.5, "subsample_freq": 1}),
    ("lightgbm", "binary", {"use_missing": False}),
    ("lightgbm", "binary", {"objective": "binary", "sigmoid": 0.5}),
    ("lightgbm", "multiclass", {}),
    ("lightgbm", "multiclass", {"objective": "multiclassova"}),
    ("lightgbm", "regression", {}),
    ("lightgbm", "regression", {"objective": "poisson"}),
    ("lightgbm", "regression", {"objective": "quantile", "alpha": 0.8}),
    ("lightgbm", "regression", {"min_child_samples": 500}),
    ("xgboost", "binary", {}),
    ("xgboost", "binary", {"booster": "dart", "rate_drop": 0.4}),
    ("xgboost", "binary", {"gamma": 4, "max_depth": 8, "tree_method": "exact"}),
    ("xgboost", "multiclass", {}),
    ("xgboost", "multiclass", {"num_parallel_tree": 2}),
    ("xgboost", "regression", {}),
    ("xgboost", "regression", {"objective": "count:poisson"}),
    ("xgboost", "regression", {"objective": "reg:gamma"}),
    ("xgboost", "regression", {"objective": "reg:absoluteerror"}),
]


@pytest.mark.parametrize(("library", "task", "parameters"), MODELS, ids=str)
def test_trees_answer_as_their_library_does(library: str, task: Task, parameters: dict[str, Any]) -> None:
    matrix, labels = learnable(task)
    fitted = made(library, task, parameters, matrix, labels)
    count = 2_000 if parameters else 100_000
    asked = np.vstack([matrix, numbers(count)])  # the rows learnt from lie on the thresholds of XGBoost
    wanted = booster_answers(library, booster_text(fitted), asked)
    found = exported_sums(library, fitted, asked).reshape(wanted.shape)
    assert np.abs(found - wanted).max() <= TOLERANCE * max(1.0, np.abs(wanted).max())


@pytest.mark.parametrize(
    ("library", "task", "parameters", "message"),
    [
        ("lightgbm", "regression", {"linear_tree": True}, "linear leaves"),
        ("lightgbm", "binary", {"zero_as_missing": True}, "take 0 for missing"),
        ("lightgbm", "regression", {"reg_sqrt": True}, "objective regression sqrt"),
        ("xgboost", "binary", {"booster": "gblinear"}, "gblinear"),
        ("xgboost", "regression", {"objective": "rank:pairwise"}, "rank:pairwise"),
    ],
    ids=lambda each: each if isinstance(each, str) else None,
)
def test_what_plain_trees_cannot_say_is_refused(
    library: str, task: Task, parameters: dict[str, Any], message: str
) -> None:
    matrix, labels = learnable(task)
    with np.errstate(all="ignore"):
        package = pytest.importorskip(library)
        if "rank" in message:
            data = package.DMatrix(np.nan_to_num(matrix), labels > 1, qid=np.arange(600) // 20)
            text = package.train({"objective": message, "verbosity": 0}, data, 3).save_raw("json").decode()
        else:
            text = booster_text(made(library, task, parameters, np.nan_to_num(matrix), labels))
    with pytest.raises(ValueError, match=message):
        trees_of(library, text)


def test_splits_by_categories_are_refused() -> None:
    lightgbm = pytest.importorskip("lightgbm")
    draw = np.random.default_rng(0)
    codes = draw.integers(0, 8, (400, WIDTH)).astype(np.float64)
    fitted = lightgbm.LGBMRegressor(n_estimators=3, verbose=-1).fit(
        codes, np.isin(codes[:, 0], (1, 4, 6)) * 1.0, categorical_feature=[0]
    )
    with pytest.raises(ValueError, match="split by categories"):
        trees_of("lightgbm", booster_text(fitted))


def test_categories_of_xgboost_are_refused() -> None:
    xgboost, pandas = pytest.importorskip("xgboost"), pytest.importorskip("pandas")
    draw = np.random.default_rng(0)
    codes = draw.integers(0, 8, 400)
    data = xgboost.DMatrix(
        pandas.DataFrame({"code": pandas.Categorical(codes)}), np.isin(codes, (1, 4, 6)) * 1.0, enable_categorical=True
    )
    told = xgboost.train({"max_cat_to_onehot": 1, "verbosity": 0}, data, 3).save_raw("json").decode()
    with pytest.raises(ValueError, match="split by categories"):
        trees_of("xgboost", told)


def walked(trees: BoostedTrees, row: Any) -> list[float]:
    """Return the sums of a row, by going down the described trees one node after the other."""
    sums = list(trees.base)
    for tree in trees.trees:
        place = 0
        while tree.left[place] >= 0:
            value, edge = row[tree.feature[place]], tree.threshold[place]
            goes_left = value < edge or (trees.split == "BRANCH_LEQ" and value == edge)
            left = tree.missing_left[place] if np.isnan(value) else goes_left
            place = tree.left[place] if left else tree.right[place]
        sums[tree.output] += tree.leaf[place]
    return sums


@pytest.mark.parametrize("name", list(CLASSES))
def test_the_description_of_trees_is_what_the_library_adds_up(name: str) -> None:
    matrix, labels = learnable("regression")
    fitted = made(name, "regression", {}, matrix, labels)
    told = trees_of(name, booster_text(fitted))
    assert all(isinstance(each, BoostedTree) for each in told.trees)
    assert (told.split, told.link) == ("BRANCH_LEQ" if name == "lightgbm" else "BRANCH_LT", "identity")
    asked = np.vstack([matrix[:50], numbers(50, seed=9)])
    wanted = fitted.predict(asked)
    assert [walked(told, row)[0] for row in asked] == pytest.approx(wanted.tolist(), rel=1e-6, abs=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(width=32, allow_infinity=False), min_size=WIDTH, max_size=WIDTH))
def test_any_row_of_32_bits_takes_the_same_way(row: list[float]) -> None:
    for library, (fitted, wide) in FITTED.items():
        asked = np.array([row], dtype=np.float32)
        assert wide.run(None, {"matrix": asked})[0][0, 0] == pytest.approx(
            float(fitted.predict(asked)[0]), rel=TOLERANCE, abs=TOLERANCE
        ), library


def _fitted() -> dict[str, Any]:
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    found = {}
    for library in CLASSES:
        try:
            __import__(library)
        except ModuleNotFoundError:
            continue
        matrix, labels = learnable("regression")
        fitted = made(library, "regression", {}, matrix, labels)
        graph = convert_sklearn(
            BoosterRegressor(library, booster_text(fitted)),
            initial_types=[("matrix", FloatTensorType([None, WIDTH]))],
            target_opset={"": 18, "ai.onnx.ml": 3},
            **own_converters(),
        )
        found[library] = (fitted, onnxruntime.InferenceSession(graph.SerializeToString()))
    return found


FITTED = _fitted()


def stored(pipeline: Any, world: TrainingWorld) -> Any:
    """Return a pipeline as it comes back from the store."""
    digest = world.artifacts.put(pipeline_bytes(pipeline), kind=ArtifactKind.MODEL).digest
    return load_pipeline(digest, artifacts=world.artifacts)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_whole_pipeline_answers_alike(library: str, task: Task, world: TrainingWorld) -> None:
    few = Preprocessing(encode="target", text_columns=5, rare_level=2, missing_indicator=True)
    pipeline = stored(ROWS.fitted(boosted(library, task), few, task=task), world)
    data = to_onnx(pipeline, FEATURES)
    parity = check_parity(pipeline, data, FEATURES, FRESH.columns, tolerance=TOLERANCE)
    assert (parity.nulls_tested, parity.unseen_tested) == (True, True)
    assert data == to_onnx(pipeline, FEATURES)
    if task == "regression":
        return
    session = onnxruntime.InferenceSession(data)
    named = session.run(["label"], OnnxModel(data, FEATURES)._feeds(FRESH.columns))[0]
    assert named.tolist() == pipeline.predict(FRESH.frame).tolist()


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_a_calibrated_booster_answers_alike(library: str, method: Any, world: TrainingWorld) -> None:
    declared = Estimator("boosted", boosted(library).factory, boosted(library).parameters, calibrate=method)
    for task in ("binary", "multiclass"):
        pipeline = stored(ROWS.fitted(declared, task=task), world)  # type: ignore[arg-type]
        check_parity(pipeline, to_onnx(pipeline, FEATURES), FEATURES, FRESH.columns, tolerance=1e-4)


def test_a_booster_becomes_a_version_and_a_member_of_one(library: str, world: TrainingWorld) -> None:
    single, both = boosted(library), Ensemble("both", ("logistic", "boosted"), "blending")
    world.declare(estimators=(LOGISTIC, single, both), overlap="when_unavoidable")
    columns = {"recency_d": [None, 3.0, 390.0], "plan": ["never", "", "a"], "spend": [1e6, -1.0, 5.0]}
    for declared, name in ((single, "churn:1"), (both, "churn:2")):
        trained = world.fit(declared)  # type: ignore[arg-type]
        version = world.register(trained)
        assert (version.name, version.parity.max_difference <= TOLERANCE) == (name, True)
        expected = load_pipeline(trained.pipeline, artifacts=world.artifacts).predict_proba(
            frame_of(columns, version.features)
        )
        data = load_onnx(version, artifacts=world.artifacts, public_key=world.key.public)
        assert OnnxModel(data, version.features).probabilities(columns) == pytest.approx(expected[:, 1], abs=TOLERANCE)


def test_a_booster_that_has_no_exported_form_is_not_registered(world: TrainingWorld) -> None:
    pytest.importorskip("lightgbm")
    trained = world.fit(boosted("lightgbm", zero_as_missing=True))
    with pytest.raises(TrainingError, match=r"cannot be exported to ONNX.*take 0 for missing"):
        world.register(trained)


def test_a_text_without_an_objective_is_refused() -> None:
    with pytest.raises(ValueError, match="objective custom"):
        trees_of("lightgbm", "tree\nversion=v4\nnum_tree_per_iteration=1\n")
    empty = {"learner": {"objective": {"name": "mine"}, "learner_model_param": {}, "gradient_booster": {"name": "x"}}}
    with pytest.raises(ValueError, match="x of XGBoost for mine"):
        trees_of("xgboost", json.dumps(empty))
