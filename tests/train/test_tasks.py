"""From a table of rows to predictions, for every task and every kind of feature; and what training refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from keelway.core import digest_of
from keelway.engines.local.tracker import NoTracker
from keelway.errors import FeatureError, TrainingError
from keelway.features import FeatureColumn
from keelway.project import (
    Dataset,
    Ensemble,
    Estimator,
    Label,
    Model,
    PredefinedSplit,
    Preprocessing,
    RandomSplit,
    Task,
    feature_set,
)
from keelway.testing.static import StaticWorld
from keelway.train import TrainedModel, encoded, labels_of, load_pipeline, predictions
from keelway.train.preprocess import known_levels
from keelway.train.suitable import level_warnings

LETTERS = Dataset("letters", contract="letters.yaml", source="letters/*.csv", event_time="")
LOGISTIC = Estimator("logistic", "sklearn.linear_model.LogisticRegression", {"max_iter": 1000})
TREES = Estimator("trees", "sklearn.ensemble.HistGradientBoostingClassifier", {"max_iter": 10})
RIDGE = Estimator("ridge", "sklearn.linear_model.Ridge")
BOOSTED = Estimator("boosted", "sklearn.ensemble.HistGradientBoostingRegressor", {"max_iter": 20})
ROWS = 240


@feature_set(
    entity="letter", sources=[LETTERS], texts=["body"], arrays={"ink": 2}, columns=["pages", "kind", "body", "ink"]
)
def content(letters: Any, as_of: Any) -> Any:
    import ibis

    return letters.mutate(ink=ibis.array([letters.dark, letters.pale]))


@feature_set(entity="letter", sources=[LETTERS], columns=["part"])
def official(letters: Any, as_of: Any) -> Any:
    return letters


@Label.define(entity="letter", source=LETTERS)
def answer(letters: Any, as_of: Any) -> Any:
    return letters.select("letter", "answer")


def letters(task: Task, rows: int = ROWS, seed: int = 0) -> dict[str, Any]:
    """Return letters whose kind, words, ink and pages each tell a part of the answer."""
    draw = np.random.default_rng(seed)
    kind, word, dark = draw.integers(0, 3, rows), draw.integers(0, 2, rows), draw.normal(size=rows)
    score = 2.0 * word + kind + dark
    answers: dict[str, Any] = {
        "binary": (score > 2).astype(int).tolist(),
        "multiclass": np.array(["bill", "note", "plea"])[np.digitize(score, [1, 3])].tolist(),
        "regression": (score * 10).tolist(),
    }
    return {
        "letter": [f"l{number:04}" for number in range(rows)],
        "pages": np.where(draw.random(rows) < 0.1, np.nan, draw.integers(1, 9, rows).astype(float)),
        "kind": [["", "card", "sheet"][each] for each in kind],
        "body": [["thank you kindly", "urgent reply wanted"][each] for each in word],
        "dark": dark,
        "pale": draw.normal(size=rows),
        "part": ["test" if number % 4 == 0 else "train" for number in range(rows)],
        "answer": answers[task],
    }


def declared(task: Task, *estimators: Estimator | Ensemble, **changes: Any) -> Model:
    usual = (RIDGE,) if task == "regression" else (LOGISTIC,)
    given: dict[str, Any] = {"features": (content, official), "split": PredefinedSplit()}
    return Model("letters", label=answer, estimators=estimators or usual, cuts=None, task=task, **(given | changes))


@pytest.fixture
def world_of(tmp_path: Path) -> Callable[..., StaticWorld]:
    def made(task: Task, *estimators: Estimator | Ensemble, columns: Any = None, **changes: Any) -> StaticWorld:
        model = declared(task, *estimators, **changes)
        return StaticWorld(tmp_path / "world", model, letters(task) | (columns or {}))

    return made


@pytest.mark.parametrize("estimator", [LOGISTIC, TREES], ids=lambda each: each.name)
def test_a_binary_model_gives_the_probability_of_one(world_of: Any, estimator: Estimator) -> None:
    world = world_of("binary", estimator)
    trained = world.fit()
    given, truth = world.predicted(trained), labels_of(world.held_out())

    assert (trained.task, trained.classes, trained.train_rows) == ("binary", (), 180)
    assert given.shape == (60,)
    assert given[truth == 1].mean() > given[truth == 0].mean() + 0.4


@pytest.mark.parametrize("estimator", [LOGISTIC, TREES], ids=lambda each: each.name)
def test_a_multiclass_model_gives_a_probability_for_each_class_in_their_order(
    world_of: Any, estimator: Estimator
) -> None:
    world = world_of("multiclass", estimator)
    trained = world.fit()
    given, truth = world.predicted(trained), labels_of(world.held_out(), "multiclass")

    assert trained.classes == ("bill", "note", "plea")
    assert given.shape == (60, 3)
    assert given.sum(axis=1) == pytest.approx(np.ones(60))
    assert (given.argmax(axis=1) == encoded(truth, trained.classes)).mean() > 0.75


@pytest.mark.parametrize("estimator", [RIDGE, BOOSTED], ids=lambda each: each.name)
def test_a_regression_gives_a_number(world_of: Any, estimator: Estimator) -> None:
    world = world_of("regression", estimator)
    given, truth = world.predicted(world.fit()), labels_of(world.held_out(), "regression")

    assert given.shape == (60,)
    assert np.mean((given - truth) ** 2) < 0.3 * np.var(truth)


@pytest.mark.parametrize("lost", ["kind", "body", "dark"])
def test_every_kind_of_feature_is_learnt_from(tmp_path: Path, lost: str) -> None:
    """A model that cannot see one of the three is worse."""
    whole = StaticWorld(tmp_path / "whole", declared("regression"), letters("regression"))
    columns = letters("regression")
    columns[lost] = ["same" if isinstance(columns[lost][0], str) else 0.0] * ROWS
    poor = StaticWorld(tmp_path / "poor", declared("regression"), columns)
    errors = [
        np.mean((world.predicted(world.fit()) - labels_of(world.held_out(), "regression")) ** 2)
        for world in (whole, poor)
    ]
    assert errors[0] < 0.7 * errors[1]


@pytest.mark.parametrize(
    ("task", "method"),
    [
        ("binary", "voting"), ("binary", "blending"), ("multiclass", "voting"), ("multiclass", "stacking"),
        ("regression", "voting"),
    ],
)  # fmt: skip
def test_an_ensemble_trains_its_members_and_answers_for_them(world_of: Any, task: Task, method: Any) -> None:
    members = (RIDGE, BOOSTED) if task == "regression" else (LOGISTIC, TREES)
    ensemble = Ensemble("both", tuple(each.name for each in members), method)
    world = world_of(task, *members, ensemble, preprocessing=Preprocessing(rare_level=1))
    trained = world.fit(ensemble)
    given = world.predicted(trained)

    with world.state.snapshot() as tx:
        assert {each.estimator for each in tx.newest(TrainedModel)} == {*ensemble.members, "both"}
    assert given.shape == ((60, 3) if task == "multiclass" else (60,))
    assert (trained.factory, trained.parameters["members"]) == ("keelway.Ensemble", ", ".join(ensemble.members))
    single = [world.predicted(world.fit(each)) for each in members]
    if method == "voting":
        assert given == pytest.approx(np.mean(single, axis=0))
    manifest = load_pipeline(trained.pipeline, artifacts=world.artifacts).manifest
    assert manifest.classes == trained.classes


def test_an_ensemble_is_another_one_when_a_member_is(world_of: Any) -> None:
    ensemble = Ensemble("both", ("logistic", "trees"))
    world = world_of("binary", LOGISTIC, TREES, ensemble)
    first = world.fit(ensemble)
    world.declare(estimators=(LOGISTIC, Estimator("trees", TREES.factory, {"max_iter": 11}), ensemble))
    assert world.fit(ensemble).definition != first.definition


def test_the_same_rows_and_seed_give_the_same_answers(tmp_path: Path) -> None:
    given = []
    for name in ("here", "there"):
        world = StaticWorld(tmp_path / name, declared("multiclass"), letters("multiclass"))
        given.append(world.predicted(world.fit()).tobytes())
    assert given[0] == given[1]


def test_a_random_split_is_warned_of_in_the_record(world_of: Any) -> None:
    world = world_of("binary", features=(content,), split=RandomSplit(test_share=0.25))
    trained = world.fit()
    assert (trained.train_rows, trained.overlap_days) == (180, 0)
    assert any("drawn at random" in each for each in trained.warnings)


def test_another_split_is_another_training(world_of: Any) -> None:
    world = world_of("binary", features=(content,), split=RandomSplit(seed=1))
    first = world.fit()
    world.declare(split=RandomSplit(seed=2))
    assert digest_of(world.fit()) != digest_of(first)


def test_a_calibrated_model_is_calibrated_on_folds_of_its_training_rows(world_of: Any) -> None:
    world = world_of("binary", Estimator("logistic", LOGISTIC.factory, {"max_iter": 1000}, calibrate="sigmoid"))
    given = world.predicted(world.fit())
    assert ((given > 0) & (given < 1)).all()


class Notebook(NoTracker):
    """A tracker that keeps what it is told."""

    told: dict[str, Any]

    def announced_training(self, experiment: str, **told: Any) -> AbstractContextManager[None]:
        self.told = told
        return nullcontext()


@pytest.mark.parametrize(
    ("task", "outputs", "figure"),
    [
        ("binary", ["probability"], "train_positive_rate"),
        ("multiclass", ["bill", "note", "plea"], "train_classes"),
        ("regression", ["value"], "train_label_mean"),
    ],
)
def test_the_tracker_is_told_what_goes_in_and_comes_out(
    world_of: Any, task: Task, outputs: list[str], figure: str
) -> None:
    world = world_of(task)
    world.tracker = notebook = Notebook()
    trained = world.fit()
    signature = json.loads(notebook.told["signature_json"])

    assert [each["name"] for each in signature["outputs"]] == outputs
    assert {each["name"]: each["type"] for each in signature["inputs"]} == {
        "pages": "double", "kind": "string", "body": "string", "ink": "array",
    }  # fmt: skip
    with world.state.snapshot() as tx:
        entry = tx.runs.of_record(digest_of(trained))
    assert entry is not None
    assert {each for each in entry.metrics if not each.startswith("system/")} == {"train_rows", figure}


def _answers(*given: tuple[Any, int]) -> dict[str, Any]:
    """Return answers by how often they come."""
    return {"answer": [answer for answer, count in given for _ in range(count)]}


@pytest.mark.parametrize(
    ("task", "columns", "told"),
    [
        pytest.param("binary", {"answer": [1] * ROWS}, "Every training label is the same.*180 times 1", id="one label"),
        pytest.param("multiclass", {"answer": ["a"] * ROWS}, "two classes or more, found 180 times a", id="one class"),
        pytest.param("regression", {"answer": [2.5] * ROWS}, "numbers that differ, found 180 times 2.5", id="one number"),
        pytest.param(
            "multiclass", _answers(("a", 1), ("b", 1), ("c", ROWS - 2)), "at least 2 of each class, found 1 of 'b'",
            id="a class with one row",
        ),
        pytest.param(
            "multiclass", _answers(("new", 1), ("b", 120), ("c", ROWS - 121)), "found 'new'", id="a class of test rows only"
        ),
        pytest.param("binary", {"body": [""] * ROWS}, "'body' is empty in every training row", id="empty text"),
        pytest.param("binary", {"kind": [""] * ROWS}, "'kind' is empty in every training row", id="empty category"),
        pytest.param("binary", {"pages": [float("nan")] * ROWS}, "'pages' is null in every", id="null number"),
        pytest.param("binary", {"pages": [1e300] * ROWS}, "'pages' holds infinity.*180 of 180 rows", id="beyond 32 bits"),
        pytest.param("binary", {"part": ["train"] * ROWS}, "No row has 'test' in 'part'", id="nothing tests"),
        pytest.param("binary", {"part": ["train"] * 9 + ["test"] * (ROWS - 9)}, "too few rows.*found 9", id="few rows"),
    ],
)  # fmt: skip
def test_rows_that_nothing_can_be_learnt_from_are_refused(world_of: Any, task: Task, columns: Any, told: str) -> None:
    world = world_of(task, columns=columns)
    with pytest.raises(TrainingError, match=told) as caught:
        world.fit()
    assert caught.value.fix


def test_infinity_is_refused_before_anything_is_stored(world_of: Any) -> None:
    world = world_of("binary", columns={"pages": [float("inf")] * ROWS})
    with pytest.raises(FeatureError, match=r"'pages' of 'letters' is infinite.*240 rows"):
        world.fit()


def test_a_class_that_no_test_row_has_is_warned_of(world_of: Any) -> None:
    answers = ["rare" if number in (1, 2) else "bill" if number % 3 else "note" for number in range(ROWS)]
    trained = world_of("multiclass", columns={"answer": answers}).fit()
    assert trained.classes == ("bill", "note", "rare")
    assert "No test row is of class 'rare', so nothing is known of it." in trained.warnings


def test_a_category_with_a_level_for_each_row_looks_like_an_id(tmp_path: Path) -> None:
    columns = letters("binary", rows=400)
    columns["kind"] = columns["letter"]
    world = StaticWorld(tmp_path, declared("binary"), columns)
    [warning] = world.fit().warnings
    assert warning.startswith("Category 'kind' has 300 levels in 300 rows. It looks like an id: all levels but the 200")


def test_a_category_of_a_million_levels_is_handled() -> None:
    """The levels that come often are told apart; all others are one."""
    kinds = [f"k{number}" if number % 2 else "often" for number in range(2_000_000)]
    columns = [FeatureColumn("kind", "categorical")]
    [warning] = level_warnings(pa.table({"kind": kinds}), columns, declared("binary"))
    assert "'kind' has 1,000,001 levels in 2,000,000 rows. It looks like an id" in warning
    assert known_levels(kinds, rare_level=20) == ["often"]


def test_an_answer_that_is_no_number_is_refused(world_of: Any) -> None:
    world = world_of(
        "regression", Estimator("linear", "sklearn.linear_model.LinearRegression"), features=(content, official)
    )
    trained = world.fit()
    rows = world.held_out()
    columns = {each.name: rows[each.name] for each in trained.features}
    columns["ink"] = [[3e38, 3e38]] * rows.num_rows
    assert np.isfinite(predictions(trained, columns, artifacts=world.artifacts)).all()
    columns["ink"] = [[1e39, 0.0]] * rows.num_rows
    with pytest.raises(TrainingError, match="'ink' holds infinity"):
        predictions(trained, columns, artifacts=world.artifacts)


@pytest.mark.parametrize("wrong", [[[1.0]], [[1.0, 2.0, 3.0]], [None]], ids=["short", "long", "missing"])
def test_an_array_of_another_length_is_refused_when_asked(world_of: Any, wrong: Any) -> None:
    world = world_of("binary")
    trained = world.fit()
    columns = {"pages": [1.0], "kind": ["card"], "body": ["hello"], "ink": wrong}
    with pytest.raises(TrainingError, match="expected 2 numbers in each row"):
        predictions(trained, columns, artifacts=world.artifacts)


def test_a_classifier_cannot_predict_a_number(world_of: Any) -> None:
    with pytest.raises(TrainingError, match="a regressor, because the label is a number"):
        world_of("regression", LOGISTIC).fit()
