"""Bad input, the whole way from a table of rows to a model: each has a clear error, or a handling that docs/training.md declares."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pytest

from keelway.errors import DataError, FeatureError, KeelwayError, TrainingError
from keelway.project import (
    ColumnPreprocessing,
    Cuts,
    Dataset,
    Ensemble,
    Estimator,
    FeatureSet,
    Label,
    Model,
    PredefinedSplit,
    Preprocessing,
    RandomSplit,
    Task,
    feature_set,
)
from keelway.register import check_parity, to_onnx
from keelway.testing.features import ORDERS, OrderBook
from keelway.testing.static import StaticWorld
from keelway.testing.training import TrainingWorld, with_column
from keelway.train import TrainedModel, load_pipeline

LETTERS = Dataset("letters", contract="letters.yaml", source="letters/*.csv", event_time="")
LOGISTIC = Estimator("logistic", "sklearn.linear_model.LogisticRegression", {"max_iter": 1000})
CALIBRATED = Estimator("calibrated", LOGISTIC.factory, {"max_iter": 1000}, calibrate="sigmoid")
TREES = Estimator("trees", "sklearn.ensemble.HistGradientBoostingClassifier", {"max_iter": 5})
RIDGE = Estimator("ridge", "sklearn.linear_model.Ridge")
ROWS = 160


def content_of(letters: Any, as_of: Any) -> Any:
    return letters.mutate(ink=ibis.array([letters.dark, letters.pale]))


def own(
    function: Callable[[Any, Any], Any], columns: tuple[str, ...], name: str = "own", **declared: Any
) -> FeatureSet:
    return FeatureSet(name, entity="letter", sources=(LETTERS,), function=function, columns=columns, **declared)


CONTENT = own(content_of, ("pages", "kind", "body", "ink"), "content", texts=("body",), arrays={"ink": 2})


@feature_set(entity="letter", sources=[LETTERS], columns=["part"])
def official(letters: Any, as_of: Any) -> Any:
    return letters


@Label.define(entity="letter", source=LETTERS)
def answer(letters: Any, as_of: Any) -> Any:
    return letters.select("letter", "answer")


def letters(count: int = ROWS) -> dict[str, Any]:
    """Return letters of which pages and words tell the answer; every fourth one tests."""
    draw = np.random.default_rng(0)
    word, pages = draw.integers(0, 2, count), draw.normal(size=count)
    return {
        "letter": [f"l{number:07}" for number in range(count)],
        "pages": pages,
        "kind": [["", "card", "sheet"][number % 3] for number in range(count)],
        "body": [["thank you kindly", "urgent reply wanted"][each] for each in word],
        "dark": draw.normal(size=count),
        "pale": draw.normal(size=count),
        "part": ["test" if number % 4 == 0 else "train" for number in range(count)],
        "answer": (pages + word + draw.normal(size=count) > 0.5).astype(int).tolist(),
    }


def world(folder: Path, columns: dict[str, Any] | None = None, **declared: Any) -> StaticWorld:
    task: Task = declared.setdefault("task", "binary")
    declared.setdefault("estimators", (RIDGE,) if task == "regression" else (LOGISTIC,))
    declared.setdefault("features", (CONTENT, official))
    declared.setdefault("split", PredefinedSplit())
    return StaticWorld(folder, Model("letters", label=answer, cuts=None, **declared), letters() | (columns or {}))


def one(of: Any, usual: Any, *, at: int = 5, count: int = ROWS) -> list[Any]:
    """Return values that are all usual but one."""
    return [of if number == at else usual for number in range(count)]


def refused(made: StaticWorld, estimator: Any = None) -> KeelwayError:
    """Return the error of a training, and check that it says what to change and that nothing was stored."""
    with pytest.raises(DataError) as caught:
        made.fit(estimator)
    assert isinstance(caught.value, (FeatureError, TrainingError))
    assert caught.value.expected
    assert caught.value.found
    assert caught.value.fix
    with made.state.snapshot() as tx:
        assert tx.count(TrainedModel) == 0
    return caught.value


NAN, INFINITY = float("nan"), float("inf")
LABELS: dict[str, tuple[Task, list[Any], str]] = {
    "constant": ("binary", [1] * ROWS, "Every training label is the same.*120 times 1"),
    "one class in training": ("binary", [int(n % 4 == 0) for n in range(ROWS)], "same.*120 times 0"),
    "one class of several": ("multiclass", ["a"] * ROWS, "two classes or more, found 120 times a"),
    "one number": ("regression", [2.0] * ROWS, "numbers that differ, found 120 times 2"),
    "class of test rows only": ("multiclass", [["new", "a", "b", "a"][n % 4] for n in range(ROWS)], "found 'new'"),
    "class of one row": ("multiclass", [*one("rare", "a")[:80], *["b"] * 80], "found 1 of 'rare'"),
    "not a number": ("regression", [*one(NAN, 1.0)], "no finite number.*found NaN in 1 row, the first at "),
    "infinite": ("regression", [*one(-INFINITY, 1.0)], "no finite number.*found infinity in 1 row"),
    "not a truth value": ("binary", one(NAN, 1.0), "neither 0 nor 1.*NaN in 1 row"),
    "missing class": ("multiclass", one(None, "a"), "name of no class.*nothing in 1 row"),
    "empty class": ("multiclass", one("", "a"), "name of no class.*an empty text in 1 row"),
    "text for a truth value": ("binary", ["yes"] * ROWS, "not a number: expected 0 or 1, found string"),
    "number for a class": ("multiclass", [0.5] * ROWS, "not a class"),
}


@pytest.mark.parametrize("case", LABELS)
def test_a_label_that_cannot_be_learnt_is_refused(case: str, tmp_path: Path) -> None:
    task, values, says = LABELS[case]
    error = refused(world(tmp_path, {"answer": values}, task=task))
    assert_says(error, says)


def assert_says(error: KeelwayError, says: str) -> None:
    import re

    assert re.search(says, str(error)), str(error)


COLUMNS: dict[str, tuple[dict[str, Any], str]] = {
    "all null": ({"pages": [NAN] * ROWS}, "'pages' is null in every training row"),
    "null in training only": ({"pages": [1.0 if n % 4 == 0 else NAN for n in range(ROWS)]}, "'pages' is null in every"),
    "empty text": ({"body": [""] * ROWS}, "'body' is empty in every training row"),
    "empty category": ({"kind": [""] * ROWS}, "'kind' is empty in every training row"),
    "infinite": ({"pages": one(INFINITY, 1.0)}, "'pages' of 'letters' is infinite.*in 1 row"),
    "beyond 32 bits": ({"pages": one(1e300, 1.0)}, "'pages' holds infinity.*1 of 120 rows"),
    "too large to scale": ({"pages": [3e38 * (-1) ** n for n in range(ROWS)]}, "too large to be scaled"),
    "infinite in an array": ({"dark": one(INFINITY, 1.0)}, "'ink' of 'letters' holds what is no number.*in 1 row"),
    "missing in an array": ({"dark": one(None, 1.0)}, "'ink' of 'letters' holds what is no number"),
    "no part": ({"part": one("", "train")}, "belong to no part.*1 of 160"),
    "no test row": ({"part": ["train"] * ROWS}, "No row has 'test' in 'part'"),
    "only test rows": ({"part": ["test"] * ROWS}, "no row to train on"),
    "few training rows": ({"part": ["train"] * 9 + ["test"] * (ROWS - 9)}, "too few rows.*found 9"),
    "an entity twice": (
        {"letter": ["same"] * ROWS},
        "more than one row an entity.*160 rows for one; more than one for 1 entity",
    ),
}


@pytest.mark.parametrize("case", COLUMNS)
def test_rows_that_cannot_be_learnt_from_are_refused(case: str, tmp_path: Path) -> None:
    columns, says = COLUMNS[case]
    assert_says(refused(world(tmp_path, columns)), says)


def test_no_rows_at_all_are_refused(tmp_path: Path) -> None:
    import pyarrow as pa

    made = world(tmp_path)
    made.columns = {name: pa.array(values)[:0] for name, values in made.columns.items()}
    assert_says(refused(made), "no rows")


SCHEMAS: dict[str, tuple[tuple[FeatureSet, ...], str]] = {
    "one name in two feature sets": (
        (own(lambda rows, at: rows, ("pages",)), own(lambda rows, at: rows, ("pages",), "again")),
        "Two feature sets of 'letters' return 'pages'",
    ),
    "an array's place is a feature too": (
        (own(lambda rows, at: content_of(rows, at).mutate(**{"ink[1]": rows.pages}), ("ink", "ink[1]"), arrays={"ink": 2}),),
        r"Two features have one name.*'ink\[1\]' twice",
    ),
    "an array of another length": (
        (own(lambda rows, at: rows.mutate(ink=ibis.array([rows.dark])), ("ink",), arrays={"ink": 2}),),
        "'ink' of 'letters' has another length.*found 1 numbers in 160 rows",
    ),
    "no array": (
        (own(lambda rows, at: rows.mutate(ink=rows.dark), ("ink",), arrays={"ink": 2}),),
        "'ink'",
    ),
    "no feature": ((), "returned no features|no feature"),
}  # fmt: skip


@pytest.mark.parametrize("case", SCHEMAS)
def test_features_that_do_not_fit_together_are_refused(case: str, tmp_path: Path) -> None:
    features, says = SCHEMAS[case]
    assert_says(refused(world(tmp_path, features=(*features, official))), says)


FEW = [int(number == 5) for number in range(ROWS)]
PARTS: dict[str, tuple[dict[str, Any], Any, str]] = {
    "a fold of one class, calibrated": (
        {"estimators": (CALIBRATED,)}, CALIBRATED, "'calibrated' would learn from rows of one class.*two classes or more in"
    ),
    "a fold of one class, stacked": (
        {"estimators": (LOGISTIC, TREES, Ensemble("both", ("logistic", "trees"), "stacking"))},
        Ensemble("both", ("logistic", "trees"), "stacking"),
        "'logistic' would learn from rows of one class",
    ),
    "fewer entities than folds": (
        {"estimators": (CALIBRATED,), "split": RandomSplit(folds=200)}, CALIBRATED, "too few groups.*at least 200.*found 128"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", PARTS)
def test_folds_that_nothing_can_be_tried_on_are_refused(case: str, tmp_path: Path) -> None:
    declared, estimator, says = PARTS[case]
    made = world(tmp_path, {"answer": FEW}, **declared)
    with pytest.raises(TrainingError, match=says) as caught:
        made.fit(estimator)
    assert caught.value.fix


def parity_of(made: StaticWorld, trained: TrainedModel) -> float:
    """Return how far the exported model is from the trained one on the test rows and changed copies of them."""
    pipeline, rows = load_pipeline(trained.pipeline, artifacts=made.artifacts), made.held_out()
    columns = {each.name: rows[each.name].to_pylist() for each in trained.features}
    data = to_onnx(pipeline, trained.features)
    return check_parity(pipeline, data, trained.features, columns, tolerance=1e-5).max_difference


HANDLED: dict[str, dict[str, Any]] = {
    "text without a word": {"body": ["!!! ???"] * ROWS},
    "every word once": {"body": [f"word{number}" for number in range(ROWS)]},
    "null in test only": {"pages": [NAN if number % 4 == 0 else float(number) for number in range(ROWS)]},
    "constant number": {"pages": [5.0] * ROWS},
    "constant category": {"kind": ["card"] * ROWS},
    "nothing varies": {"pages": [5.0] * ROWS, "kind": ["a"] * ROWS, "body": ["a b"] * ROWS, "dark": [0.0] * ROWS},
    "numbers as categories": {"kind": [number % 3 for number in range(ROWS)]},
    "strange level names": {"kind": [["\u2603", "tab\there", " "][number % 3] for number in range(ROWS)]},
    "a single positive": {"answer": FEW},
}


@pytest.mark.parametrize("case", HANDLED)
def test_what_can_be_handled_trains_and_is_exported_alike(case: str, tmp_path: Path) -> None:
    made = world(tmp_path, HANDLED[case])
    assert parity_of(made, made.fit()) <= 1e-5


@pytest.mark.parametrize("encode", ["one_hot", "ordinal", "target"])
def test_a_category_of_many_levels_makes_no_large_model_and_is_warned_of(encode: Any, tmp_path: Path) -> None:
    """Each row has a level of its own: all of them count as rare, whatever encodes them. A million takes as little."""
    many = letters(12_000)
    many["kind"] = many["letter"]
    lean = own(lambda rows, at: rows, ("pages", "kind"))
    made = world(
        tmp_path, many, features=(lean, official), estimators=(TREES,), preprocessing=Preprocessing(encode=encode)
    )
    trained = made.fit()
    told = [warning for warning in trained.warnings if "'kind' has 9,000 levels in 9,000 rows" in warning]
    assert len(told) == (1 if encode == "one_hot" else 0), "10,000 levels are told apart by one column"
    size = made.artifacts.size_of(trained.pipeline)
    assert size is not None
    assert size < 100_000


def test_a_number_too_large_to_scale_is_learnt_from_as_it_is(tmp_path: Path) -> None:
    huge = {"pages": [3e38 * (-1) ** number for number in range(ROWS)]}
    assert world(tmp_path / "trees", huge, estimators=(TREES,)).fit().train_rows == 120
    unscaled = Preprocessing(columns={"pages": ColumnPreprocessing(scale=False)})
    assert world(tmp_path / "linear", huge, preprocessing=unscaled).fit().train_rows == 120


@pytest.mark.parametrize("value", [0, 1])
def test_test_rows_of_one_class_train_a_model_and_are_not_measured(tmp_path: Path, value: int) -> None:
    made = TrainingWorld(tmp_path, rows=300)
    made.build(
        change=lambda rows: with_column("label", lambda n: value if n >= 200 else rows["label"][n].as_py())(rows)
    )
    trained = made.fit()
    with pytest.raises(TrainingError, match=r"cannot be measured.*at least 2 rows of each class") as caught:
        made.card(trained)
    assert caught.value.fix


APRIL, MAY, NOW = (datetime(1997, month, 1, tzinfo=UTC) for month in (4, 5, 9))


def changing(orders: Any, as_of: Any, change: Callable[[Any], Any]) -> Any:
    """Return two features until April, and changed ones from May on."""
    made = orders.group_by("customer").agg(spent=orders.amount.sum(), kinds=orders.kind.nunique())
    return change(made) if as_of.op().value >= MAY else made


CHANGES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "appears": (lambda made: made.mutate(new=made.spent), "new"),
    "disappears": (lambda made: made.drop("kinds"), "nothing in its place"),
    "changes its type": (lambda made: made.mutate(kinds=made.kinds.cast("string")), "kinds"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_column_that_is_not_the_same_at_every_cut_is_refused(case: str, tmp_path: Path) -> None:
    from keelway.engines.local.artifacts import LocalArtifacts
    from keelway.engines.sql.state import SqlState
    from keelway.features import build_features

    change, found = CHANGES[case]
    shop = OrderBook(tmp_path / "shop")
    for day in ("1997-03-01", "1997-03-15", "1997-04-20", "1997-05-20"):
        shop.order("ana", day)
        shop.order("bob", day)
    wrong = FeatureSet(
        "wrong", entity="customer", sources=(ORDERS,), function=lambda rows, at: changing(rows, at, change)
    )
    label = Label(
        "churned", entity="customer", source=ORDERS, horizon=timedelta(days=30), absent=1,
        function=lambda rows, at: rows.group_by("customer").agg(churned=0 * rows.count()),
    )  # fmt: skip
    declared = Model("churn", features=(wrong,), label=label, estimators=(LOGISTIC,), cuts=Cuts(APRIL))
    with pytest.raises(FeatureError, match=r"other columns at|are others at") as caught:
        build_features(
            declared,
            {"orders": shop.snapshot()},  # type: ignore[dict-item]  # as much of a snapshot as features need
            as_ofs=(APRIL, MAY),
            purpose="training",
            with_label=True,
            paths_of=shop.paths_of,
            artifacts=LocalArtifacts(tmp_path / "artifacts"),
            state=SqlState(f"sqlite:///{tmp_path / 'state.db'}"),
            now=NOW,
        )
    assert found in caught.value.found
    assert "same columns for every cut" in caught.value.fix
