"""An ensemble answers as its members do together, and is one artifact that an altered member spoils."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.core import ArtifactKind, canonical_json, digest_bytes, plain
from keelway.errors import IntegrityError, MissingRecordError, ProjectError, TrainingError
from keelway.project import Ensemble, Estimator, Task
from keelway.testing.mixed import MixedRows
from keelway.testing.training import BOOSTED, LOGISTIC, TrainingWorld
from keelway.train import EnsembleManifest, EnsembleMember, EnsemblePipeline, load_pipeline, predictions
from keelway.train.ensemble import fitted_ensemble
from keelway.train.manifest import FORMAT, combined, is_manifest, manifest_bytes, read_manifest
from keelway.train.stored import member_pipelines

FIRST, SECOND = np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([[0.5, 0.5], [0.2, 0.8]])
LINEAR = Estimator("linear", "sklearn.linear_model.LogisticRegression", {"max_iter": 2000})
TREE = Estimator("tree", "sklearn.tree.DecisionTreeClassifier")
FOREST = Estimator("forest", "sklearn.ensemble.RandomForestClassifier", {"n_estimators": 20, "min_samples_leaf": 5})
RIDGE = Estimator("ridge", "sklearn.linear_model.Ridge")
STUMP = Estimator("stump", "sklearn.tree.DecisionTreeRegressor", {"max_depth": 2})
ROWS = MixedRows.draw(450)


def manifest(method: Any = "voting", task: Task = "binary", **values: Any) -> EnsembleManifest:
    members = tuple(EnsembleMember(name, digest_bytes(name.encode())) for name in ("a", "b"))
    empty: dict[str, Any] = {"classes": (), "weights": (), "coefficients": (), "intercepts": ()}
    return EnsembleManifest(FORMAT, "both", method, task, members=members, **{**empty, **values})


def test_voting_is_the_mean_of_the_answers() -> None:
    found = combined(manifest(weights=(0.5, 0.5)), [FIRST, SECOND])
    assert found.tolist() == [pytest.approx([0.7, 0.3]), pytest.approx([0.3, 0.7])]


def test_blending_is_the_weighted_mean() -> None:
    found = combined(manifest("blending", weights=(0.25, 0.75)), [FIRST, SECOND])
    assert found.tolist() == [pytest.approx([0.6, 0.4]), pytest.approx([0.25, 0.75])]


def test_stacking_of_two_classes_is_a_logistic_function_of_the_second_ones() -> None:
    found = combined(manifest("stacking", coefficients=((2.0, -1.0),), intercepts=(0.5,)), [FIRST, SECOND])
    scores = [2 * 0.1 - 0.5 + 0.5, 2 * 0.6 - 0.8 + 0.5]
    assert found[:, 1].tolist() == pytest.approx([1 / (1 + np.exp(-each)) for each in scores])
    assert found.sum(axis=1).tolist() == pytest.approx([1.0, 1.0])


def test_stacking_of_several_classes_is_a_softmax_of_all_answers() -> None:
    answers = [np.array([[0.2, 0.3, 0.5]]), np.array([[0.1, 0.8, 0.1]])]
    rows = ((1.0, 0.0, 0.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0, 2.0, 0.0), (0.0, 0.0, -1.0, 0.0, 0.0, 0.0))
    told = manifest("stacking", "multiclass", classes=("x", "y", "z"), coefficients=rows, intercepts=(0.0, 0.1, 0.2))
    powers = np.exp([0.2, 2 * 0.8 + 0.1, -0.5 + 0.2])
    assert combined(told, answers)[0].tolist() == pytest.approx((powers / powers.sum()).tolist())


def test_numbers_are_mixed_and_stacked_as_they_are() -> None:
    answers = [np.array([[1.0], [2.0]]), np.array([[3.0], [6.0]])]
    assert combined(manifest("voting", "regression", weights=(0.5, 0.5)), answers)[:, 0].tolist() == [2.0, 4.0]
    told = manifest("stacking", "regression", coefficients=((2.0, 1.0),), intercepts=(-1.0,))
    assert combined(told, answers)[:, 0].tolist() == [4.0, 9.0]


WEIGHT = st.floats(-1e6, 1e6, allow_nan=False)


@given(weights=st.tuples(WEIGHT, WEIGHT), row=st.tuples(WEIGHT, WEIGHT), bias=WEIGHT, stacks=st.booleans())
def test_a_manifest_is_read_as_it_was_written(
    weights: tuple[float, float], row: tuple[float, float], bias: float, stacks: bool
) -> None:
    told = manifest("stacking", coefficients=(row,), intercepts=(bias,)) if stacks else manifest(weights=weights)
    data = manifest_bytes(told)
    assert is_manifest(data)
    assert read_manifest(data) == told


@pytest.mark.parametrize(
    "change",
    [
        {"weights": [1.0]},
        {"weights": []},
        {"method": "stacking"},
        {"method": "magic"},
        {"members": []},
        {"format": "keelway.ensemble/2"},
        {"members": [{"name": "a"}]},
    ],
    ids=str,
)
def test_a_manifest_that_does_not_fit_together_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError, match=r"cannot be read|do not fit"):
        read_manifest(canonical_json({**plain(manifest(weights=(0.5, 0.5))), **change}))
    with pytest.raises(IntegrityError, match="cannot be read"):
        read_manifest(b"{not json")


def learnt(
    method: Any, estimators: list[Estimator], rows: MixedRows = ROWS, *, task: Task = "binary"
) -> EnsembleManifest:
    """Return how members answer together; their pipelines are stored nowhere."""
    ensemble = Ensemble("both", tuple(each.name for each in estimators), method)
    digests = {each.name: digest_bytes(each.name.encode()) for each in estimators}
    lesson = rows.lesson(task=task)
    return fitted_ensemble(ensemble, lesson, estimators={each.name: each for each in estimators}, pipelines=digests)


@pytest.mark.parametrize(
    ("task", "members"),
    [("binary", [LINEAR, TREE]), ("multiclass", [LINEAR, TREE]), ("regression", [RIDGE, STUMP])],
    ids=["binary", "multiclass", "regression"],
)
def test_blending_weighs_the_better_member_more(task: Task, members: list[Estimator]) -> None:
    weights = learnt("blending", members, task=task).weights
    assert sum(weights) == pytest.approx(1)
    assert all(weight >= 0 for weight in weights)
    assert weights[0] > weights[1], "the second one is a full tree or a stump"


def test_the_weights_of_a_blend_have_the_smallest_loss_on_the_rows_that_no_member_learnt_from() -> None:
    told = learnt("blending", [LINEAR, FOREST])
    lesson = ROWS.lesson()
    last = lesson.folds[-1]
    truth = lesson.labels[last.validate]
    from keelway.train import fitted_pipeline

    answers = [
        fitted_pipeline(lesson.part(last.train), each).predict_proba(lesson.frame.iloc[last.validate])
        for each in (LINEAR, FOREST)
    ]

    def loss(first: float) -> float:
        mixed = combined(replace(told, weights=(first, 1 - first)), answers)
        return float(-np.log(mixed[np.arange(len(truth)), truth]).mean())

    assert loss(told.weights[0]) <= min(loss(each / 100) for each in range(101)) + 1e-6


def test_stacking_is_not_fooled_by_a_member_that_knows_its_training_rows_by_heart() -> None:
    draw = np.random.default_rng(4)
    noise = MixedRows(ROWS.columns, {"binary": draw.integers(0, 2, 450).astype(np.int8)})
    told = learnt("stacking", [LINEAR, TREE], noise)
    assert abs(told.coefficients[0][1]) < 0.5, "on rows it has not seen, the tree knows nothing"


def test_stacking_has_a_row_of_coefficients_for_each_output() -> None:
    several = learnt("stacking", [LINEAR, FOREST], task="multiclass")
    assert np.shape(several.coefficients) == (3, 6)
    assert len(several.intercepts) == 3
    assert np.shape(learnt("stacking", [RIDGE, STUMP], task="regression").coefficients) == (1, 2)


def test_a_calibrated_member_skips_the_fold_without_earlier_rows_and_is_refused_where_none_is_left() -> None:
    calibrated = replace(LINEAR, name="calibrated", calibrate="sigmoid")
    assert learnt("stacking", [calibrated, FOREST]).coefficients
    lesson = ROWS.lesson(folds=ROWS.lesson().folds[:1])
    digests = {"calibrated": digest_bytes(b"c"), "forest": digest_bytes(b"f")}
    with pytest.raises(TrainingError, match="no rows to combine its members on"):
        fitted_ensemble(
            Ensemble("both", ("calibrated", "forest"), "stacking"),
            lesson,
            estimators={"calibrated": calibrated, "forest": FOREST},
            pipelines=digests,
        )


def both(method: Any) -> Ensemble:
    return Ensemble("both", ("logistic", "boosted"), method)


@pytest.fixture
def trio(tmp_path: Path) -> TrainingWorld:
    """A world with the earlier cuts that folds over time need."""
    world = TrainingWorld(tmp_path / "world")
    world.declare(estimators=(LOGISTIC, BOOSTED, both("voting")), overlap="when_unavoidable")
    return world


@pytest.mark.parametrize("method", ["voting", "blending", "stacking"])
def test_an_ensemble_is_loaded_as_one_pipeline(trio: TrainingWorld, method: Any) -> None:
    trio.declare(estimators=(LOGISTIC, BOOSTED, both(method)))
    trained = trio.fit(trio.model.estimators[2])
    pipeline = load_pipeline(trained.pipeline, artifacts=trio.artifacts)
    assert isinstance(pipeline, EnsemblePipeline)
    columns = {"recency_d": [None, 3.0, 390.0], "plan": ["never", "", "a"], "spend": [1e6, -1.0, 5.0]}
    members = [trio.fit(each) for each in (LOGISTIC, BOOSTED)]
    assert [each.pipeline for each in pipeline.manifest.members] == [each.pipeline for each in members]
    answers = [predictions(each, columns, artifacts=trio.artifacts) for each in members]
    expected = combined(pipeline.manifest, [np.column_stack([1 - each, each]) for each in answers])[:, 1]
    assert predictions(trained, columns, artifacts=trio.artifacts) == pytest.approx(expected)
    assert member_pipelines(trained.pipeline, artifacts=trio.artifacts) == {
        "logistic": members[0].pipeline,
        "boosted": members[1].pipeline,
    }
    assert member_pipelines(members[0].pipeline, artifacts=trio.artifacts) == {}


def test_an_altered_or_missing_member_spoils_the_ensemble(trio: TrainingWorld) -> None:
    trained = trio.fit(both("voting"))
    path = trio.artifacts.path_of(trio.fit(BOOSTED).pipeline)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(IntegrityError, match="altered"):
        load_pipeline(trained.pipeline, artifacts=trio.artifacts)
    path.unlink()
    with pytest.raises(MissingRecordError):
        load_pipeline(trained.pipeline, artifacts=trio.artifacts)


def test_a_member_that_is_no_pipeline_is_refused(trio: TrainingWorld) -> None:
    stored = trio.artifacts.put(b"pickle", kind=ArtifactKind.MODEL).digest
    told = replace(manifest(weights=(0.5, 0.5)), members=(EnsembleMember("a", stored), EnsembleMember("b", stored)))
    digest = trio.artifacts.put(manifest_bytes(told), kind=ArtifactKind.MODEL).digest
    with pytest.raises(IntegrityError, match="cannot be read"):
        load_pipeline(digest, artifacts=trio.artifacts)
    itself = replace(told, members=(EnsembleMember("a", digest), EnsembleMember("b", digest)))
    nested = trio.artifacts.put(manifest_bytes(itself), kind=ArtifactKind.MODEL).digest
    with pytest.raises(IntegrityError, match="cannot be read"):
        load_pipeline(nested, artifacts=trio.artifacts)


def test_an_ensemble_of_ensembles_or_strangers_cannot_be_declared(trio: TrainingWorld) -> None:
    for member in ("both", "unknown"):
        with pytest.raises(ProjectError, match="members that the model does not declare"):
            trio.declare(estimators=(LOGISTIC, both("voting"), Ensemble("all", ("logistic", member))))
