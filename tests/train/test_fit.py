"""Fitting says what is wrong with the data, and gives the same model for the same inputs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from keelway.core import DIRTY, Scalar, digest_of
from keelway.engines.local.tracker import NoTracker
from keelway.errors import TrainingError
from keelway.features import FeatureColumn, Profile, columns_for_scoring
from keelway.project import Estimator, Preprocessing
from keelway.testing.training import (
    BOOSTED,
    CODE,
    CUTS,
    FEATURES,
    LOGISTIC,
    PLAN,
    RECENCY,
    SPEND,
    TrainingWorld,
    customers,
    with_column,
)
from keelway.train import TrainedModel, frame_of, load_pipeline


@pytest.mark.parametrize("estimator", [LOGISTIC, BOOSTED], ids=lambda each: each.name)
def test_independent_fits_predict_the_same_to_the_bit(tmp_path: Path, estimator: Estimator) -> None:
    columns = columns_for_scoring(customers(300, seed=5), FEATURES)
    worlds = [TrainingWorld(tmp_path / name) for name in ("here", "there")]
    predicted = []
    for world in worlds:
        trained = world.fit(estimator)
        pipeline = load_pipeline(trained.pipeline, artifacts=world.artifacts)
        predicted.append(pipeline.predict_proba(frame_of(columns, FEATURES)))
    assert predicted[0].tobytes() == predicted[1].tobytes()


def test_a_training_is_done_once_per_key(world: TrainingWorld) -> None:
    first = world.fit()
    assert world.fit() == first
    with world.state.snapshot() as tx:
        assert tx.count(TrainedModel) == 1
        assert tx.by_digest(Profile, first.profile).rows == first.train_rows == 600
    others = [world.fit(seed=8), world.fit(Estimator("logistic", LOGISTIC.factory, {"max_iter": 900}))]
    with world.state.snapshot() as tx:
        assert tx.count(TrainedModel) == 3
    assert len({digest_of(each) for each in (first, *others)}) == 3


def test_what_was_trained_of_changed_files_is_trained_again_once_they_are_committed(world: TrainingWorld) -> None:
    changed = world.fit(code=replace(CODE, commit=f"c0ffee{DIRTY}"))
    committed = world.fit(code=replace(CODE, commit="decade"))
    assert (changed.code.dirty, committed.code.dirty) == (True, False)
    assert changed.pipeline == committed.pipeline
    assert world.fit(code=replace(CODE, commit="facade")) == committed


def test_rows_whose_labels_were_not_known_by_the_test_cut_are_left_out(world: TrainingWorld) -> None:
    def late(rows: pa.Table) -> pa.Table:
        """Let the first hundred labels be known a year late."""
        known = rows["label_known_at"].to_pylist()
        return with_column("label_known_at", lambda row: known[row] + timedelta(days=365 if row < 100 else 0))(rows)

    world.build(change=late)
    trained = world.fit()
    assert trained.train_rows == 500
    assert (trained.train_as_ofs, trained.test_as_of, trained.overlap_days) == (CUTS[:2], CUTS[2], 0)


class Notebook(NoTracker):
    """A tracker that keeps what it is told in a list."""

    keeps = True

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.announced: list[dict[str, Any]] = []
        self.failed: list[str] = []

    @contextmanager
    def announced_training(self, experiment: str, **told: Any) -> Iterator[None]:
        self.announced.append({"experiment": experiment, **told})
        try:
            yield
        except TrainingError as error:
            self.failed.append(str(error))
            raise

    def record_training(self, experiment: str, **told: Any) -> str:
        self.told.append({"experiment": experiment, **told})
        return f"run {len(self.told)}"


def test_the_tracker_is_told_at_the_beginning_what_it_is_told_at_the_end(world: TrainingWorld) -> None:
    notebook = world.tracker = Notebook()
    trained = world.fit()
    assert notebook.told == []
    assert world.shown(trained) == world.shown(trained) == "run 1"
    (begun,), (ended,) = notebook.announced, notebook.told
    assert begun.items() <= ended.items()
    assert begun.keys() == {"experiment", "name", "parameters", "tags", "dataset_digest", "signature_json"}
    assert ended["seconds"] > 0
    assert notebook.failed == []


def test_the_tracker_is_told_why_a_training_failed(world: TrainingWorld) -> None:
    notebook = world.tracker = Notebook()
    with pytest.raises(TrainingError, match="did not converge"):
        world.fit(Estimator("hasty", LOGISTIC.factory, {"max_iter": 1}))
    (reason,) = notebook.failed
    assert "did not converge" in reason
    assert (len(notebook.announced), notebook.told) == (1, [])


def test_the_tracker_is_told_what_the_training_was_given(world: TrainingWorld) -> None:
    notebook = world.tracker = Notebook()
    trained = world.fit()
    world.shown(trained)
    world.fit()
    (told,) = notebook.told
    assert told["parameters"].items() >= {"max_iter": 1000, "seed": 7, "impute": "median"}.items()
    assert told["dataset_digest"] == trained.feature_table
    assert told["artifacts"] == {"pipeline": trained.pipeline, "profile": trained.profile}
    assert told["metrics"]["train_rows"] == 600


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("label", 1, "Every training label is the same"),
        ("label", 0, "600 times 0"),
        ("label", None, "neither 0 nor 1"),
        ("label", 2, "neither 0 nor 1"),
        ("recency_d", None, "'recency_d' is null in every training row"),
        ("recency_d", float("inf"), "'recency_d' holds infinity"),
        ("recency_d", -1e39, "'recency_d' holds infinity"),
    ],
    ids=["all-churn", "none-churn", "label-null", "label-two", "all-null", "infinite", "beyond-32-bits"],
)
def test_data_that_nothing_can_be_learnt_from_is_named(
    world: TrainingWorld, column: str, value: Scalar, message: str
) -> None:
    world.build(change=with_column(column, lambda _: value))
    with pytest.raises(TrainingError, match=message):
        world.fit()
    with world.state.snapshot() as tx:
        assert tx.count(TrainedModel) == 0


def test_one_infinity_is_counted_and_the_fix_is_told(world: TrainingWorld) -> None:
    world.build(change=with_column("spend", lambda row: float("-inf") if row == 3 else 1.0 * row))
    with pytest.raises(TrainingError, match="1 of 600 rows") as refused:
        world.fit()
    assert "division" in refused.value.fix


def test_too_few_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"at least 20 .* found 18"):
        TrainingWorld(tmp_path, rows=27).fit()


def test_a_model_without_features_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no feature to learn from"):
        TrainingWorld(tmp_path, features=()).fit()


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (Estimator("e", "sklearn.nothing.Here"), "import path that exists"),
        (Estimator("e", "sklearn.metrics.roc_auc_score"), "class of scikit-learn estimators"),
        (Estimator("e", "sklearn.linear_model.LinearRegression"), "classifier that gives probabilities"),
        (Estimator("e", LOGISTIC.factory, {"depth": 3}), "parameters that its class knows.*depth"),
        (Estimator("e", LOGISTIC.factory, {"C": -1.0}), "cannot be fitted.*'C'"),
        (Estimator("e", LOGISTIC.factory, {"max_iter": 1}), "did not converge"),
        (Estimator("e", "sklearn.neighbors.KNeighborsClassifier"), "cannot be stored without code.*EuclideanDistance"),
    ],
    ids=[
        "no-module",
        "a-function",
        "no-classifier",
        "unknown-parameter",
        "wrong-parameter",
        "not-converged",
        "not-storable",
    ],
)
def test_an_estimator_that_cannot_be_used_is_refused(world: TrainingWorld, estimator: Estimator, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        world.fit(estimator)


def test_a_wrong_parameter_is_told_with_those_that_there_are(world: TrainingWorld) -> None:
    with pytest.raises(TrainingError) as refused:
        world.fit(Estimator("e", LOGISTIC.factory, {"depth": 3}))
    assert "C, l1_ratio" in refused.value.fix
    assert "max_iter" in refused.value.fix


@pytest.mark.parametrize("select", ["variance", "l1"])
def test_a_selection_that_leaves_nothing_is_refused(tmp_path: Path, select: Any) -> None:
    world = TrainingWorld(tmp_path, features=(RECENCY,))
    world.declare(preprocessing=Preprocessing(select=select))
    world.build(change=with_column("recency_d", lambda _: 5.0))
    with pytest.raises(TrainingError, match=r"No column is left|variance threshold"):
        world.fit()


@pytest.mark.parametrize("select", ["variance", "l1"])
def test_a_selection_drops_a_useless_column(tmp_path: Path, select: Any) -> None:
    world = TrainingWorld(tmp_path)
    world.declare(preprocessing=Preprocessing(select=select))
    world.build(change=with_column("spend", lambda _: 5.0))
    pipeline = load_pipeline(world.fit().pipeline, artifacts=world.artifacts)
    kept = pipeline.named_steps["select"].get_support().tolist()
    assert kept[:2] == [True, False]  # recency and spend; the categories follow


def test_a_feature_that_is_missing_at_scoring_is_named() -> None:
    with pytest.raises(TrainingError, match="'spend' is missing"):
        frame_of({"recency_d": [1.0], "plan": ["a"]}, FEATURES)


def test_a_frame_holds_numbers_first_and_keeps_what_is_missing() -> None:
    frame = frame_of({"plan": ["a", None], "spend": [None, 2.5], "other": [1, 2]}, (PLAN, SPEND))
    assert list(frame.columns) == ["spend", "plan"]
    assert frame["plan"].tolist() == ["a", ""]
    assert frame["spend"].dtype == np.float32
    assert np.isnan(frame["spend"][0])


def test_a_table_for_scoring_cannot_be_trained_on(world: TrainingWorld) -> None:
    world.build(change=lambda rows: rows.drop_columns(["label"]))
    with pytest.raises(TrainingError, match="no label"):
        world.fit()


def test_rare_levels_share_no_column(tmp_path: Path) -> None:
    world = TrainingWorld(tmp_path, features=(FeatureColumn("plan", "categorical"),))
    world.declare(preprocessing=Preprocessing(rare_level=20))
    pipeline = load_pipeline(world.fit().pipeline, artifacts=world.artifacts)
    chances = pipeline.predict_proba(frame_of({"plan": ["rare" * 3, "never seen", "a", None, ""]}, world.features))[
        :, 1
    ]
    assert chances[0] == chances[1]
    assert chances[3] == chances[4]
    assert len({chances[0], chances[2], chances[3]}) == 3
