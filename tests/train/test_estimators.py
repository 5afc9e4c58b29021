"""Estimators by import path fit the task, weigh classes, and are calibrated on rows they have not learnt from."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keelway.core import ArtifactKind
from keelway.errors import IntegrityError, MissingExtraError, TrainingError, UsageError
from keelway.project import Estimator, Preprocessing, Task
from keelway.testing.mixed import MixedRows
from keelway.testing.training import TrainingWorld
from keelway.train import Lesson, fitted_pipeline, load_pipeline, trust_type
from keelway.train.preprocess import is_tree, make_estimator, needs_scale
from keelway.train.stored import pipeline_bytes

LOGISTIC = "sklearn.linear_model.LogisticRegression"
RIDGE = "sklearn.linear_model.Ridge"
TREE = "sklearn.tree.DecisionTreeClassifier"
ROWS = MixedRows.draw(600)

OWN = """
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin


class NearestMean(ClassifierMixin, BaseEstimator):
    '''Says how near a row is to the mean of each class.'''

    def __init__(self, power=1.0, random_state=None):
        self.power = power
        self.random_state = random_state

    def fit(self, matrix, labels):
        self.classes_ = np.unique(labels)
        self.means_ = np.stack([matrix[labels == each].mean(axis=0) for each in self.classes_])
        return self

    def predict_proba(self, matrix):
        apart = ((matrix[:, None, :] - self.means_[None]) ** 2).sum(axis=2)
        near = np.exp(-self.power * (apart - apart.min(axis=1, keepdims=True)))
        return near / near.sum(axis=1, keepdims=True)

    def predict(self, matrix):
        return self.classes_[self.predict_proba(matrix).argmax(axis=1)]


class Stranger(NearestMean):
    pass
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module of a project, with a classifier that scikit-learn does not know."""
    (tmp_path / "own_learners.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("own_learners", None)


@pytest.mark.parametrize(
    ("factory", "task", "message"),
    [
        (RIDGE, "binary", "a classifier that gives probabilities"),
        ("sklearn.svm.LinearSVC", "multiclass", "a classifier that gives probabilities"),
        (LOGISTIC, "regression", "a regressor, because the label is a number"),
        ("sklearn.preprocessing.StandardScaler", "binary", "a classifier that gives probabilities"),
    ],
)
def test_an_estimator_that_does_not_fit_the_task_is_refused(factory: str, task: Task, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        make_estimator(Estimator("e", factory), 1, task=task)


@pytest.mark.parametrize("package", ["lightgbm", "xgboost"])
def test_a_package_that_is_not_installed_is_named_with_its_extra(package: str) -> None:
    if importlib.util.find_spec(package):
        pytest.skip(f"{package} is installed")
    with pytest.raises(MissingExtraError) as refused:
        make_estimator(Estimator("boosted", f"{package}.Classifier"), 1)
    assert refused.value.expected == package
    assert refused.value.fix == f"pip install 'keelway[{package}]'"


def test_the_seed_is_the_random_state_unless_the_declaration_gives_one() -> None:
    assert make_estimator(Estimator("e", TREE), 5).random_state == 5
    assert make_estimator(Estimator("e", TREE, {"random_state": 8}), 5).random_state == 8
    assert not hasattr(make_estimator(Estimator("e", "sklearn.naive_bayes.GaussianNB"), 5), "random_state")


def test_trees_see_numbers_as_they_are_also_when_they_are_calibrated() -> None:
    folds = ROWS.lesson().folds
    for factory, tree in ((TREE, True), (LOGISTIC, False)):
        for calibrate in (None, "sigmoid"):
            made = make_estimator(Estimator("e", factory, calibrate=calibrate), 1, folds=folds)  # type: ignore[arg-type]
            assert is_tree(made) == tree
            assert needs_scale(made, Preprocessing()) == (not tree)
    assert not needs_scale(made, Preprocessing(scale=False))


def test_balanced_classes_raise_the_probability_of_the_rare_one() -> None:
    rare = (ROWS.labels["regression"] > np.quantile(ROWS.labels["regression"], 0.9)).astype(np.int8)
    rows = MixedRows(ROWS.columns, {**ROWS.labels, "binary": rare})
    means = [
        rows.fitted(Estimator("e", LOGISTIC, {"max_iter": 2000}, class_weight=weight))
        .predict_proba(rows.frame)[:, 1]
        .mean()
        for weight in (None, "balanced")
    ]
    assert means[0] == pytest.approx(0.1, abs=0.02)
    assert means[1] > 2 * means[0]


def test_class_weights_that_the_estimator_does_not_know_are_refused() -> None:
    with pytest.raises(TrainingError, match="class_weight"):
        make_estimator(Estimator("e", "sklearn.naive_bayes.GaussianNB", class_weight="balanced"), 1)


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibration_sees_only_rows_that_were_not_learnt_from(method: Any) -> None:
    """A full tree repeats its training rows without a fault; on noise only other rows show that it knows nothing."""
    draw = np.random.default_rng(6)
    rows = MixedRows(ROWS.columns, {"binary": draw.integers(0, 2, 600).astype(np.int8)})
    sure = rows.fitted(Estimator("tree", TREE)).predict_proba(rows.frame)[:, 1]
    assert set(sure.round(6)) == {0.0, 1.0}
    calibrated = rows.fitted(Estimator("tree", TREE, calibrate=method)).predict_proba(rows.frame)[:, 1]
    assert (np.abs(calibrated - 0.5) < 0.15).all()


def test_calibration_needs_folds_and_a_label_of_classes() -> None:
    with pytest.raises(TrainingError, match="one or more folds to calibrate on"):
        make_estimator(Estimator("e", LOGISTIC, calibrate="sigmoid"), 1)
    with pytest.raises(TrainingError, match="calibrate=None, because the label is a number"):
        make_estimator(Estimator("e", RIDGE, calibrate="sigmoid"), 1, task="regression", folds=ROWS.lesson().folds)


def test_a_calibrated_pipeline_does_not_keep_the_positions_of_its_folds() -> None:
    pipeline = ROWS.fitted(Estimator("e", LOGISTIC, {"max_iter": 2000}, calibrate="sigmoid"))
    assert pipeline[-1].cv is None
    assert len(pipeline[-1].calibrated_classifiers_) == 2


def test_a_part_of_a_lesson_keeps_the_folds_that_lie_in_it() -> None:
    lesson = ROWS.lesson()
    first, second = lesson.folds
    assert lesson.part(first.train).folds == ()
    (inner,) = lesson.part(second.train).folds
    assert inner.train.tolist() == first.train.tolist()
    assert inner.validate.tolist() == first.validate.tolist()
    assert lesson.part(np.arange(500, 600)).labels.tolist() == lesson.labels[500:].tolist()


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_a_class_of_the_project_is_an_estimator_like_any_other(own: None, task: Task) -> None:
    pipeline = ROWS.fitted(Estimator("mine", "own_learners.NearestMean", {"power": 0.5}), task=task)
    assert pipeline[-1].random_state == 7
    right = (pipeline.predict(ROWS.frame) == ROWS.labels[task]).mean()
    assert right > (0.75 if task == "binary" else 0.6)


def test_a_class_of_the_project_is_stored_only_after_the_project_trusts_it(own: None, world: TrainingWorld) -> None:
    import own_learners  # type: ignore[import-not-found]

    lesson: Lesson = ROWS.lesson()
    mine = fitted_pipeline(lesson, Estimator("mine", "own_learners.NearestMean"))
    with pytest.raises(TrainingError, match=r"cannot be stored without code.*own_learners\.NearestMean"):
        pipeline_bytes(mine)
    trust_type(own_learners.NearestMean)
    stored = world.artifacts.put(pipeline_bytes(mine), kind=ArtifactKind.MODEL).digest
    again = load_pipeline(stored, artifacts=world.artifacts)
    assert again.predict_proba(ROWS.frame).tolist() == mine.predict_proba(ROWS.frame).tolist()
    stranger = fitted_pipeline(lesson, Estimator("other", "own_learners.Stranger"))
    with pytest.raises(TrainingError, match=r"own_learners\.Stranger"):
        pipeline_bytes(stranger)


def test_a_stored_class_that_nobody_trusts_here_is_not_loaded(own: None, world: TrainingWorld) -> None:
    import skops.io

    data = skops.io.dumps(fitted_pipeline(ROWS.lesson(), Estimator("other", "own_learners.Stranger")))
    stored = world.artifacts.put(data, kind=ArtifactKind.MODEL).digest
    with pytest.raises(IntegrityError, match=r"not on the allow list.*own_learners\.Stranger"):
        load_pipeline(stored, artifacts=world.artifacts)


@pytest.mark.parametrize("thing", [eval, int, "os.system", lambda: None], ids=["function", "builtin", "text", "lambda"])
def test_only_an_importable_class_can_be_trusted(thing: Any) -> None:
    with pytest.raises(UsageError, match="cannot be trusted by name"):
        trust_type(thing)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_numbers_categories_texts_and_arrays_train_as_one_model(task: Task) -> None:
    kind = "Regressor" if task == "regression" else "Classifier"
    boosted = Estimator("boosted", f"sklearn.ensemble.HistGradientBoosting{kind}", {"max_iter": 60})
    pipeline, fresh = ROWS.fitted(boosted, task=task), MixedRows.draw(400, seed=8)
    found, truth = pipeline.predict(fresh.frame), fresh.labels[task]
    if task == "regression":
        assert 1 - ((found - truth) ** 2).mean() / truth.var() > 0.6
    else:
        assert (found == truth).mean() > (0.8 if task == "binary" else 0.6)
