"""Every stage that a model may declare answers alike after export: with nulls, unseen levels, strange texts and extremes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest

from keelway.errors import IntegrityError, RefusedError, ServingError, TrainingError
from keelway.ledger import open_statement
from keelway.project import ColumnPreprocessing, Ensemble, Estimator, Preprocessing, Task
from keelway.register import ModelVersion, OnnxModel, champion_scorer, check_parity, load_onnx, to_onnx
from keelway.testing.mixed import FEATURES, MixedRows
from keelway.testing.training import BOOSTED, LOGISTIC, TrainingWorld
from keelway.train import EnsembleManifest, EnsembleMember, EnsemblePipeline, frame_of, load_pipeline, predictions
from keelway.train.manifest import FORMAT
from keelway.train.stored import pipeline_bytes

TOLERANCE = 1e-5
ROWS = MixedRows.draw(240)
FRESH = MixedRows.draw(60, seed=5)
LINEAR = Estimator("linear", "sklearn.linear_model.LogisticRegression", {"max_iter": 3000})
TREES = Estimator("trees", "sklearn.ensemble.HistGradientBoostingClassifier", {"max_iter": 8})
RIDGE = Estimator("ridge", "sklearn.linear_model.Ridge")
BOOSTED_NUMBERS = Estimator("numbers", "sklearn.ensemble.HistGradientBoostingRegressor", {"max_iter": 8})
FEW = {"rare_level": 2, "text_columns": 5}

STAGES = {
    "impute mean, missing told": Preprocessing(impute="mean", missing_indicator=True, **FEW),  # type: ignore[arg-type]
    "impute zero, minmax": Preprocessing(impute="zero", scale="minmax", **FEW),  # type: ignore[arg-type]
    "impute most frequent, robust": Preprocessing(impute="most_frequent", scale="robust", **FEW),  # type: ignore[arg-type]
    "ordinal": Preprocessing(encode="ordinal", **FEW),  # type: ignore[arg-type]
    "target": Preprocessing(encode="target", **FEW),  # type: ignore[arg-type]
    "hashing, unscaled": Preprocessing(text="hashing", scale=False, **FEW),  # type: ignore[arg-type]
    "selected": Preprocessing(select="mutual_information", keep=7, **FEW),  # type: ignore[arg-type]
    "each its own way": Preprocessing(
        encode="target",
        text_columns=5,
        columns={
            "age": ColumnPreprocessing(impute="zero", scale=False, missing_indicator=True),
            "income": ColumnPreprocessing(impute="mean", scale="robust"),
            "plan": ColumnPreprocessing(encode="one_hot", rare_level=1),
            "pixels": ColumnPreprocessing(scale="minmax"),
            "note": ColumnPreprocessing(text="hashing", text_columns=3),
        },
    ),
}


def parity_of(pipeline: Any, *, tolerance: float = TOLERANCE) -> float:
    found = check_parity(pipeline, to_onnx(pipeline, FEATURES), FEATURES, FRESH.columns, tolerance=tolerance)
    assert found.nulls_tested
    assert found.unseen_tested
    assert found.rows == 60 + 600
    return found.max_difference


@pytest.mark.parametrize("estimator", [LINEAR, TREES], ids=lambda each: each.name)
@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_answers_alike(stage: str, estimator: Estimator) -> None:
    assert parity_of(ROWS.fitted(estimator, STAGES[stage])) <= TOLERANCE


@pytest.mark.parametrize(
    ("task", "estimator"),
    [("multiclass", LINEAR), ("multiclass", TREES), ("regression", RIDGE), ("regression", BOOSTED_NUMBERS)],
    ids=lambda each: each if isinstance(each, str) else each.name,
)
@pytest.mark.parametrize("stage", ["target", "each its own way"])
def test_every_task_is_answered_alike(stage: str, task: Task, estimator: Estimator) -> None:
    pipeline = ROWS.fitted(estimator, STAGES[stage], task=task)
    assert parity_of(pipeline) <= TOLERANCE
    found = OnnxModel(to_onnx(pipeline, FEATURES), FEATURES).predictions(FRESH.columns)
    assert found.shape == ((60, 3) if task == "multiclass" else (60,))
    expected = pipeline.predict(FRESH.frame)
    if task == "multiclass":
        assert (pipeline.classes_[found.argmax(axis=1)] == expected).all()
    else:
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("estimator", [LINEAR, TREES], ids=lambda each: each.name)
@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_a_sigmoid_calibration_answers_alike(task: Task, estimator: Estimator) -> None:
    assert parity_of(ROWS.fitted(replace(estimator, calibrate="sigmoid"), task=task)) <= TOLERANCE


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_an_isotonic_calibration_draws_the_line_between_its_steps(task: Task) -> None:
    """The converter's own form takes the nearest step, and is wrong by some hundredths."""
    pipeline = ROWS.fitted(replace(LINEAR, calibrate="isotonic"), task=task)
    assert parity_of(pipeline, tolerance=1e-3) <= 1e-3
    between = pipeline.predict_proba(FRESH.frame)
    assert len(np.unique(between.round(6))) > 20, "most answers lie between two steps"


def test_an_isotonic_calibration_of_a_single_step_answers_alike() -> None:
    same = MixedRows({name: [values[0]] * 240 for name, values in ROWS.columns.items()}, ROWS.labels)
    pipeline = same.fitted(replace(LINEAR, calibrate="isotonic"))
    assert parity_of(pipeline, tolerance=1e-4) <= 1e-4


def together(method: Any, task: Task, members: list[Any], **numbers: Any) -> EnsemblePipeline:
    told = EnsembleManifest(
        format=FORMAT,
        name="both",
        method=method,
        task=task,
        classes=("high", "low", "middle") if task == "multiclass" else (),
        members=tuple(EnsembleMember(str(place), "sha256:0") for place in range(len(members))),  # type: ignore[arg-type]
        **{"weights": (), "coefficients": (), "intercepts": (), **numbers},
    )
    return EnsemblePipeline(told, members)


@pytest.mark.parametrize("method", ["blending", "stacking"])
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_an_ensemble_is_one_graph_that_answers_alike(task: Task, method: Any) -> None:
    estimators = (RIDGE, BOOSTED_NUMBERS) if task == "regression" else (LINEAR, TREES)
    members = [ROWS.fitted(each, STAGES["each its own way"], task=task) for each in estimators]
    draw = np.random.default_rng(3)
    outputs = 3 if task == "multiclass" else 1
    numbers: dict[str, Any] = {"weights": (0.3, 0.7)}
    if method == "stacking":
        rows = tuple(tuple(row) for row in draw.normal(size=(outputs, 2 * outputs)).tolist())
        numbers = {"coefficients": rows, "intercepts": tuple(draw.normal(size=outputs).tolist())}
    pipeline = together(method, task, members, **numbers)
    assert parity_of(pipeline) <= TOLERANCE
    assert to_onnx(pipeline, FEATURES) == to_onnx(pipeline, FEATURES)


def test_members_that_read_texts_differently_are_not_exported_together() -> None:
    members = [ROWS.fitted(LINEAR, Preprocessing(text_columns=wide)) for wide in (3, 4)]
    with pytest.raises(NotImplementedError, match="texts into columns differently"):
        to_onnx(together("voting", "binary", members, weights=(0.5, 0.5)), FEATURES)


def test_a_class_that_the_converter_does_not_know_is_refused() -> None:
    for calibrate in (None, "sigmoid"):
        unknown = Estimator("prior", "sklearn.dummy.DummyClassifier", calibrate=calibrate)  # type: ignore[arg-type]
        with pytest.raises(TrainingError, match="cannot be exported to ONNX"):
            to_onnx(ROWS.fitted(unknown), FEATURES)


def test_a_wrong_text_step_is_found_by_the_parity_check() -> None:
    pipeline = ROWS.fitted(LINEAR, STAGES["ordinal"])
    graph = onnx.load_from_string(to_onnx(pipeline, FEATURES))
    (told,) = graph.metadata_props
    told.value = told.value.replace('"free"', '"fred"')
    with pytest.raises(RefusedError, match="differs from the trained one"):
        check_parity(pipeline, graph.SerializeToString(), FEATURES, FRESH.columns, tolerance=TOLERANCE)


def test_a_graph_that_does_not_say_how_a_text_becomes_numbers_is_refused() -> None:
    graph = onnx.load_from_string(to_onnx(ROWS.fitted(LINEAR, STAGES["ordinal"]), FEATURES))
    graph.ClearField("metadata_props")
    with pytest.raises(IntegrityError, match="how each text becomes numbers: expected note, found no text"):
        OnnxModel(graph.SerializeToString(), FEATURES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pixels": [[1.0, 2.0]]}, "pixels needs 4 numbers"),
        ({"pixels": [None]}, "cannot be read"),
        ({"pixels": [["a", "b", "c", "d"]]}, "cannot be read"),
        ({"note": [7]}, "cannot be read"),
        ({"note": ["a", "b"]}, "differ in length"),
        ({"pixels": [[1.0] * 4] * 2}, "differ in length"),
    ],
    ids=["short", "null", "no-numbers", "no-text", "more-texts", "more-arrays"],
)
def test_a_text_or_array_that_cannot_be_read_is_told(change: Mapping[str, Any], message: str) -> None:
    model = OnnxModel(to_onnx(ROWS.fitted(LINEAR, STAGES["ordinal"]), FEATURES), FEATURES)
    good = {name: values[:1] for name, values in FRESH.columns.items()}
    assert len(model.probabilities(good)) == len(model.probabilities({**good, "note": [None]})) == 1
    with pytest.raises(ServingError, match=message):
        model.probabilities({**good, **change})
    with pytest.raises(ServingError, match="'note' is missing"):
        model.probabilities({name: values for name, values in good.items() if name != "note"})


@pytest.mark.parametrize(("task", "found"), [("regression", "a number"), ("multiclass", "3 classes")])
def test_a_model_of_another_task_gives_no_probability_of_one_outcome(task: Task, found: str) -> None:
    estimator = RIDGE if task == "regression" else LINEAR
    model = OnnxModel(to_onnx(ROWS.fitted(estimator, task=task), FEATURES), FEATURES)
    with pytest.raises(ServingError, match=found):
        model.probabilities(FRESH.columns)
    assert len(model.predictions(FRESH.columns)) == 60


def test_an_ensemble_is_registered_as_one_version(world: TrainingWorld) -> None:
    both = Ensemble("both", ("logistic", "boosted"), "stacking")
    world.declare(estimators=(LOGISTIC, BOOSTED, both), overlap="when_unavoidable")
    trained = world.fit(both)  # type: ignore[arg-type]
    version: ModelVersion = world.register(trained)
    assert (version.name, version.pipeline) == ("churn:1", trained.pipeline)
    told = open_statement(world.artifacts.get(version.statement), key=world.key.public)
    used = {
        each["name"]: each["digest"]["sha256"] for each in told["predicate"]["buildDefinition"]["resolvedDependencies"]
    }
    pipeline = load_pipeline(version.pipeline, artifacts=world.artifacts)
    assert {f"sha256:{used[f'pipeline/{name}']}" for name in both.members} == {
        each.pipeline for each in pipeline.manifest.members
    }
    columns = {"recency_d": [None, 3.0], "plan": ["never", ""], "spend": [1e6, -1.0]}
    expected = predictions(trained, columns, artifacts=world.artifacts)
    data = load_onnx(version, artifacts=world.artifacts, public_key=world.key.public)
    assert OnnxModel(data, version.features).probabilities(columns) == pytest.approx(expected, abs=TOLERANCE)
    champion = champion_scorer(version, artifacts=world.artifacts, public_key=world.key.public)
    assert champion(columns) == pytest.approx(expected, abs=TOLERANCE)
    assert world.register(world.fit(BOOSTED)).name == "churn:2"


def test_an_ensemble_with_an_altered_member_is_not_registered(world: TrainingWorld) -> None:
    both = Ensemble("both", ("logistic", "boosted"))
    world.declare(estimators=(LOGISTIC, BOOSTED, both))
    trained = world.fit(both)  # type: ignore[arg-type]
    card = world.card(trained)
    path = world.artifacts.path_of(world.fit(BOOSTED).pipeline)
    path.chmod(0o600)
    path.write_bytes(pipeline_bytes(ROWS.fitted(LINEAR)))
    with pytest.raises(IntegrityError, match="altered"):
        world.register(trained, card)
    with world.state.snapshot() as tx:
        assert tx.count(ModelVersion) == 0


def test_a_row_is_answered_alike_alone_and_among_others() -> None:
    pipeline = ROWS.fitted(TREES, STAGES["each its own way"])
    model = OnnxModel(to_onnx(pipeline, FEATURES), FEATURES)
    together_ = model.probabilities(FRESH.columns)
    alone = [
        model.probabilities({name: [values[row]] for name, values in FRESH.columns.items()})[0] for row in range(20)
    ]
    assert alone == together_[:20]
    assert alone == pytest.approx(pipeline.predict_proba(frame_of(FRESH.columns, FEATURES))[:20, 1], abs=TOLERANCE)
