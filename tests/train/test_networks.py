"""Networks for tables: repeatable, stored as plain numbers, and answering without PyTorch once they are fitted."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import log_loss, r2_score

from keelway.core import ArtifactKind
from keelway.errors import MissingExtraError, TrainingError
from keelway.features import rows_of
from keelway.project import Ensemble, Estimator, Preprocessing, Task
from keelway.register import check_parity, load_onnx, to_onnx
from keelway.register.onnx_model import OnnxModel
from keelway.testing.mixed import FEATURES, MixedRows
from keelway.testing.training import LOGISTIC, TrainingWorld
from keelway.train import load_pipeline, predictions, training_rows
from keelway.train.networks import NetworkClassifier, NetworkRegressor
from keelway.train.preprocess import is_tree, make_estimator
from keelway.train.stored import pipeline_bytes
from keelway.train.tuning.objective import objective_of

ROWS = MixedRows.draw(400)
FRESH = MixedRows.draw(80, seed=5)
SMALL = {"width": 16, "layers": 2, "max_epochs": 25, "batch_rows": 64, "learning_rate": 0.01}
FEW = Preprocessing(text_columns=6, rare_level=2)
TOLERANCE = 1e-5


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip(
        "torch", reason="PyTorch is large and stands in no lock file: pip install 'keelway[torch]'"
    )


def network(task: Task = "binary", **parameters: Any) -> Estimator:
    kind = "NetworkRegressor" if task == "regression" else "NetworkClassifier"
    return Estimator("network", f"keelway.train.networks.{kind}", {**SMALL, **parameters})


def answers(pipeline: Any, rows: MixedRows = FRESH) -> Any:
    return pipeline.predict_proba(rows.frame) if hasattr(pipeline, "predict_proba") else pipeline.predict(rows.frame)


TASKS: tuple[Task, ...] = ("binary", "multiclass", "regression")


@pytest.mark.parametrize("task", TASKS)
def test_a_network_learns_what_there_is_to_learn(torch: Any, task: Task) -> None:
    pipeline, truth = ROWS.fitted(network(task), FEW, task=task), FRESH.labels[task]
    if task == "regression":
        assert r2_score(truth, answers(pipeline)) > 0.6
    else:
        base = log_loss(truth, np.full((80, len(np.unique(truth))), 1 / len(np.unique(truth))))
        assert log_loss(truth, answers(pipeline)) < 0.8 * base


@pytest.mark.parametrize("task", TASKS)
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(torch: Any, task: Task) -> None:
    declared = network(task, dropout=0.2)
    first, torch_draw = pipeline_bytes(ROWS.fitted(declared, FEW, task=task)), torch.rand(1)
    assert pipeline_bytes(ROWS.fitted(declared, FEW, task=task)) == first
    other = replace(declared, parameters={**declared.parameters, "random_state": 99})
    assert pipeline_bytes(ROWS.fitted(other, FEW, task=task)) != first
    assert torch.rand(1) != torch_draw, "the draws of PyTorch itself go on as if nothing had been fitted"


def test_fitting_leaves_the_settings_of_pytorch_as_they_were(torch: Any) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2).tolist()
    threads = torch.get_num_threads()
    torch.manual_seed(3)
    ROWS.fitted(network(), FEW)
    assert torch.rand(2).tolist() == expected
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == (threads, False)


@pytest.mark.parametrize("task", TASKS)
def test_a_stored_network_answers_bit_for_bit_and_without_pytorch(
    torch: Any, task: Task, world: TrainingWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = ROWS.fitted(network(task), FEW, task=task)
    stored = world.artifacts.put(pipeline_bytes(pipeline), kind=ArtifactKind.MODEL).digest
    expected = answers(pipeline)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert answers(load_pipeline(stored, artifacts=world.artifacts)).tolist() == expected.tolist()


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("layers", [0, 1, 3])
def test_an_exported_network_answers_alike(torch: Any, task: Task, layers: int) -> None:
    pipeline = ROWS.fitted(network(task, layers=layers), FEW, task=task)
    data = to_onnx(pipeline, FEATURES)
    found = check_parity(pipeline, data, FEATURES, FRESH.columns, tolerance=TOLERANCE)
    assert (found.nulls_tested, found.unseen_tested) == (True, True)
    assert b"Gemm" in data
    assert data == to_onnx(pipeline, FEATURES)


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_a_calibrated_network_is_stored_and_answers_alike(torch: Any, method: Any, world: TrainingWorld) -> None:
    for task in ("binary", "multiclass"):
        pipeline = ROWS.fitted(replace(network(), calibrate=method), FEW, task=task)  # type: ignore[arg-type]
        stored = world.artifacts.put(pipeline_bytes(pipeline), kind=ArtifactKind.MODEL).digest
        again = load_pipeline(stored, artifacts=world.artifacts)
        assert answers(again).tolist() == answers(pipeline).tolist()
        check_parity(again, to_onnx(again, FEATURES), FEATURES, FRESH.columns, tolerance=1e-3)


def test_the_best_epoch_is_kept_and_fitting_ends_when_nothing_gets_better(torch: Any) -> None:
    draw = np.random.default_rng(0)
    matrix, noise = draw.normal(size=(300, 8)), draw.integers(0, 2, 300)
    patient = NetworkClassifier(**{**SMALL, "max_epochs": 400, "patience": 3}).fit(matrix, noise)  # type: ignore[arg-type]
    assert patient.epochs_ < 100, "there is nothing to learn, and learning by heart is found out"
    fixed = NetworkClassifier(**{**SMALL, "max_epochs": 4, "validation_share": 0.0}).fit(matrix, noise)  # type: ignore[arg-type]
    assert fixed.epochs_ == 4


def test_balanced_classes_raise_the_probability_of_the_rare_one(torch: Any) -> None:
    rare = (ROWS.labels["regression"] > np.quantile(ROWS.labels["regression"], 0.9)).astype(np.int8)
    rows = MixedRows(ROWS.columns, {**ROWS.labels, "binary": rare})
    even, balanced = (
        rows.fitted(replace(network(layers=0), class_weight=weight), FEW).predict_proba(rows.frame)[:, 1].mean()
        for weight in (None, "balanced")
    )
    assert balanced > 1.5 * even


def test_a_number_beyond_the_training_rows_counts_as_the_nearest_one_there(torch: Any) -> None:
    draw = np.random.default_rng(0)
    matrix = draw.normal(size=(200, 3))
    fitted = NetworkRegressor(**{**SMALL, "max_epochs": 3}).fit(matrix, matrix[:, 0])  # type: ignore[arg-type]
    far, edge = np.full((1, 3), 1e9), matrix.max(axis=0, keepdims=True).astype(np.float32)
    assert fitted.predict(far).tolist() == fitted.predict(edge).tolist()


def test_a_network_that_runs_away_is_refused(torch: Any) -> None:
    wild = network("regression", learning_rate=1e30, validation_share=0.0, max_epochs=3)
    with pytest.raises(TrainingError, match="weights became infinite"):
        ROWS.fitted(wild, FEW, task="regression")


def test_a_class_with_a_single_row_can_be_learnt_from(torch: Any) -> None:
    labels = np.zeros(60, dtype=int)
    labels[7] = 1
    fitted = NetworkClassifier(**{**SMALL, "max_epochs": 2}).fit(np.arange(60.0).reshape(-1, 1), labels)  # type: ignore[arg-type]
    assert fitted.classes_.tolist() == [0, 1]
    assert fitted.predict_proba([[3.0]]).sum() == pytest.approx(1)


def test_a_network_and_an_ensemble_with_it_become_versions(torch: Any, world: TrainingWorld) -> None:
    both = Ensemble("both", ("logistic", "network"), "stacking")
    world.declare(estimators=(LOGISTIC, network(), both), overlap="when_unavoidable")
    columns = {"recency_d": [None, 3.0, 390.0], "plan": ["never", "", "a"], "spend": [1e6, -1.0, 5.0]}
    for declared in (network(), both):
        trained = world.fit(declared)  # type: ignore[arg-type]
        version = world.register(trained)
        assert version.parity.max_difference <= TOLERANCE
        data = load_onnx(version, artifacts=world.artifacts, public_key=world.key.public)
        expected = predictions(trained, columns, artifacts=world.artifacts)
        assert OnnxModel(data, version.features).probabilities(columns) == pytest.approx(expected, abs=TOLERANCE)
    assert world.fit(network()) == world.fit(network()), "trained once"


def test_a_network_can_be_searched_over(torch: Any, world: TrainingWorld) -> None:
    world.declare(overlap="when_unavoidable")
    rows = training_rows(rows_of(world.table, world.artifacts), world.model, world.table)

    def score(truth: Any, found: Any, classes: Any) -> float:
        return float(log_loss(truth, found))

    tried = objective_of(rows, world.model, world.table, estimator=network(), score=score, seed=3)
    good, bad = ([*tried.values({"max_epochs": epochs, "learning_rate": 0.01})] for epochs in (20, 1))
    assert len(good) == len(tried.folds)
    assert np.mean(good) < np.mean(bad)
    assert [*tried.values({"max_epochs": 20, "learning_rate": 0.01})] == good


def test_without_pytorch_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError) as refused:
        ROWS.fitted(network(), FEW)
    assert refused.value.fix == "pip install 'keelway[torch]'"


def test_a_network_sees_scaled_numbers_and_takes_the_seed() -> None:
    made = make_estimator(network(), 5)
    assert not is_tree(made)
    assert made.random_state == 5
    assert make_estimator(network("regression"), 5, task="regression").get_params()["width"] == 16
    with pytest.raises(TrainingError, match="a regressor"):
        make_estimator(network(), 5, task="regression")


def weighed(kind: type, weights: list[Any], biases: list[Any], **attributes: Any) -> Any:
    """Return a network with weights of one's own, as a fit in which PyTorch took part leaves it."""
    made = kind()
    made.weights_ = [np.array(each, dtype=np.float32) for each in weights]
    made.biases_ = [np.array(each, dtype=np.float32) for each in biases]
    made.low_, made.high_, made.n_features_in_ = np.float32([-9, -9]), np.float32([9, 9]), 2
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def test_the_layers_are_what_their_sentence_says() -> None:
    """max(0, x W + b), one after the other, and nothing after the last; computed by hand."""
    two = weighed(NetworkRegressor, [[[1, -1], [2, 0]], [[3], [5]]], [[0, 1], [0.5]])
    assert two.predict([[1.0, 2.0]]).tolist() == [3 * max(0, 1 + 4) + 5 * max(0, -1 + 1) + 0.5]
    assert two.predict([[-4.0, 0.0]]).tolist() == [5 * 5 + 0.5]
    classes = weighed(NetworkClassifier, [[[1, 0], [0, 1]]], [[0, 0]], classes_=np.array([4, 8]))
    assert classes.predict([[1.0, 2.0]]).tolist() == [8]
    assert classes.predict_proba([[1.0, 2.0]])[0, 1] == pytest.approx(1 / (1 + np.exp(-1)))


@pytest.mark.parametrize("kind", [NetworkRegressor, NetworkClassifier])
def test_a_network_with_given_weights_is_stored_and_exported_without_pytorch(kind: Any, world: TrainingWorld) -> None:
    """So that the form is tested where PyTorch is not installed."""
    from sklearn.pipeline import Pipeline

    task: Task = "regression" if kind is NetworkRegressor else "binary"
    factory = "sklearn.linear_model." + ("Ridge" if task == "regression" else "LogisticRegression")
    pipeline = ROWS.fitted(Estimator("linear", factory), FEW, task=task)
    width = pipeline[0].transform(ROWS.frame[:1]).shape[1]
    draw = np.random.default_rng(0)
    made = weighed(
        kind,
        [draw.normal(size=(width, 4)), draw.normal(size=(4, 1 if task == "regression" else 2))],
        [draw.normal(size=4), draw.normal(size=1 if task == "regression" else 2)],
        low_=np.full(width, -2, dtype=np.float32),
        high_=np.full(width, 2, dtype=np.float32),
        classes_=np.array([0, 1]),
    )
    whole = Pipeline([*pipeline.steps[:-1], ("estimate", made)])
    stored = world.artifacts.put(pipeline_bytes(whole), kind=ArtifactKind.MODEL).digest
    again = load_pipeline(stored, artifacts=world.artifacts)
    assert answers(again).tolist() == answers(whole).tolist()
    check_parity(again, to_onnx(again, FEATURES), FEATURES, FRESH.columns, tolerance=TOLERANCE)
