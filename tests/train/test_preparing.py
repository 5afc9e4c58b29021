"""Features become numbers as declared, for each row by itself, and no row is shown its own outcome."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from keelway.errors import TrainingError
from keelway.features import FeatureColumn
from keelway.project import ColumnPreprocessing, Preprocessing
from keelway.testing.mixed import FEATURES, MixedRows
from keelway.train import frame_of
from keelway.train.preprocess import known_levels, make_preprocessor
from keelway.train.preprocess.levels import MAX_COLUMNS, MAX_LEVELS

AGE, INCOME = FeatureColumn("age", "numeric"), FeatureColumn("income", "numeric")
PLAN = FeatureColumn("plan", "categorical")
TRAINING = MixedRows.draw(120)


def prepared(
    columns: dict[str, list[Any]], features: tuple[FeatureColumn, ...], chosen: Preprocessing, *, scale: bool = True
) -> np.ndarray:
    frame = frame_of(columns, features)
    labels = np.arange(len(frame)) % 2
    return np.asarray(make_preprocessor(features, frame, chosen=chosen, scale=scale).fit_transform(frame, labels))


@pytest.mark.parametrize(
    ("impute", "value"), [("median", 2.0), ("mean", 3.0), ("zero", 0.0), ("most_frequent", 1.0)], ids=lambda each: each
)
def test_what_takes_the_place_of_a_missing_number(impute: Any, value: float) -> None:
    columns = {"age": [1.0, 1.0, None, 2.0, 3.0, 8.0]}
    made = prepared(columns, (AGE,), Preprocessing(impute=impute, scale=False))
    assert made[:, 0].tolist() == [1.0, 1.0, value, 2.0, 3.0, 8.0]


def test_a_missing_number_is_told_in_a_column_of_its_own() -> None:
    columns = {"age": [1.0, None, 3.0], "income": [None, 2.0, 2.0]}
    chosen = Preprocessing(missing_indicator=True, scale=False, columns={"income": ColumnPreprocessing(impute="zero")})
    made = prepared(columns, (AGE, INCOME), chosen)
    assert made.tolist() == [[1, 0, 0, 1], [2, 2, 1, 0], [3, 2, 0, 0]]


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        ("standard", [-(1.5**0.5), 0.0, 1.5**0.5]),
        (True, [-(1.5**0.5), 0.0, 1.5**0.5]),
        ("minmax", [0.0, 0.5, 1.0]),
        ("robust", [-1.0, 0.0, 1.0]),
        (False, [2.0, 4.0, 6.0]),
    ],
)
def test_how_a_number_is_scaled(way: Any, expected: list[float]) -> None:
    made = prepared({"age": [2.0, 4.0, 6.0]}, (AGE,), Preprocessing(scale=way))
    assert made[:, 0].tolist() == pytest.approx(expected, abs=1e-6)


def test_an_estimator_that_wants_no_scaling_gets_none_whatever_the_columns_say() -> None:
    chosen = Preprocessing(columns={"age": ColumnPreprocessing(scale="minmax")})
    made = prepared({"age": [2.0, 4.0, 6.0]}, (AGE,), chosen, scale=False)
    assert made[:, 0].tolist() == [2.0, 4.0, 6.0]


def test_one_column_may_be_treated_otherwise_than_all() -> None:
    columns = {"age": [None, 4.0, 8.0], "income": [None, 1.0, 3.0]}
    chosen = Preprocessing(
        impute="mean", scale=False, columns={"income": ColumnPreprocessing(impute="zero", scale="minmax")}
    )
    assert prepared(columns, (AGE, INCOME), chosen).tolist() == [[6.0, 0.0], [4.0, pytest.approx(1 / 3)], [8.0, 1.0]]


def test_an_ordinal_code_is_the_place_among_the_sorted_known_levels() -> None:
    frame = frame_of({"plan": ["b", "a", "c", "b", "a", "b"]}, (PLAN,))
    first = make_preprocessor((PLAN,), frame, chosen=Preprocessing(encode="ordinal", rare_level=2), scale=False)
    first.fit(frame)
    new = frame_of({"plan": ["a", "b", "c", "new", None]}, (PLAN,))
    assert first.transform(new)[:, 0].tolist() == [0, 1, -1, -1, -1]


def test_a_rare_and_a_new_level_have_the_same_mean_outcome() -> None:
    frame = frame_of({"plan": ["a"] * 30 + ["b"] * 30 + ["x", "y", "z"]}, (PLAN,))
    labels = np.array([1] * 30 + [0] * 30 + [1, 1, 1])
    first = make_preprocessor((PLAN,), frame, chosen=Preprocessing(encode="target", rare_level=5), scale=False)
    first.fit_transform(frame, labels)
    of = dict(zip("abxn", first.transform(frame_of({"plan": list("abxn")}, (PLAN,)))[:, 0].tolist(), strict=True))
    assert of["x"] == of["n"]
    assert of["b"] < 0.1 < 0.9 < of["a"]


def test_of_several_classes_each_has_its_share_by_level() -> None:
    frame = frame_of({"plan": ["a", "b", "c"] * 40}, (PLAN,))
    chosen = Preprocessing(encode="target", rare_level=1)
    first = make_preprocessor((PLAN,), frame, chosen=chosen, scale=False, task="multiclass")
    made = first.fit_transform(frame, np.array([0, 1, 2] * 40))
    assert made.shape == (120, 3)
    assert made.dtype == np.float32
    assert made[:3].argmax(axis=1).tolist() == [0, 1, 2]


def noise(count: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Return a category of very many levels that tells nothing, a number that tells something, and the label."""
    draw = np.random.default_rng(seed)
    number = draw.normal(size=count)
    labels = (number + draw.normal(size=count) * 2 > 0).astype(np.int8)
    columns = {"age": number.tolist(), "plan": [f"id {each}" for each in draw.integers(0, count // 4, count)]}
    return frame_of(columns, (AGE, PLAN)), labels


def validated(first: Any, learnt: np.ndarray, known: np.ndarray, tried: pd.DataFrame, truth: np.ndarray) -> float:
    model = LogisticRegression().fit(learnt, known)
    return float(roc_auc_score(truth, model.predict_proba(first.transform(tried))[:, 1]))


def test_a_random_category_of_very_many_levels_gains_nothing_because_its_encoding_is_cross_fitted() -> None:
    (frame, labels), (tried, truth) = noise(2000, seed=1), noise(2000, seed=2)
    chosen = Preprocessing(encode="target", rare_level=1)
    first = make_preprocessor((AGE, PLAN), frame, chosen=chosen, scale=True, seed=3)
    crossed = first.fit_transform(frame, labels)
    naive = first.transform(frame)  # what a fit and a transform one after the other would hand to the estimator
    assert abs(roc_auc_score(labels, crossed[:, 1]) - 0.5) < 0.06, "the encoding knows nothing of its own row"
    assert roc_auc_score(labels, naive[:, 1]) > 0.7, "without cross-fitting it would seem to know much"
    alone = make_preprocessor((AGE,), frame, chosen=chosen, scale=True)
    floor = validated(alone, alone.fit_transform(frame, labels), labels, tried, truth)
    assert validated(first, crossed, labels, tried, truth) <= floor + 0.005
    assert validated(first, naive, labels, tried, truth) < floor - 0.02, "the trap is a real one"


@pytest.mark.parametrize("row", [0, 17, 63])
def test_the_outcome_of_a_row_does_not_change_its_own_encoding(row: int) -> None:
    frame = MixedRows.draw(100, seed=4).frame
    labels = MixedRows.draw(100, seed=4).labels["binary"]
    other = labels.copy()
    other[row] = 1 - other[row]
    chosen = Preprocessing(encode="target", rare_level=1, scale=False)
    made = [
        make_preprocessor(FEATURES, frame, chosen=chosen, scale=False, seed=5).fit_transform(frame, each)
        for each in (labels, other)
    ]
    assert made[0][row].tolist() == made[1][row].tolist()
    assert (made[0] != made[1]).any(), "but it changes that of others"


CHOICES = st.builds(
    Preprocessing,
    impute=st.sampled_from(["median", "mean", "zero", "most_frequent"]),
    missing_indicator=st.booleans(),
    scale=st.sampled_from([False, "standard", "minmax", "robust"]),
    encode=st.sampled_from(["one_hot", "ordinal", "target"]),
    rare_level=st.integers(1, 40),
    text=st.sampled_from(["tfidf", "hashing"]),
    text_columns=st.integers(1, 9),
)


@settings(max_examples=30, deadline=None)
@given(chosen=CHOICES, order=st.permutations(range(40)), count=st.integers(1, 40))
def test_what_becomes_of_a_row_does_not_depend_on_the_rows_beside_it(
    chosen: Preprocessing, order: list[int], count: int
) -> None:
    frame = TRAINING.frame
    first = make_preprocessor(FEATURES, frame, chosen=chosen, scale=True).fit(frame, TRAINING.labels["binary"])
    some = MixedRows.draw(40, seed=9).frame
    together, picked = first.transform(some), order[:count]
    assert together.dtype == np.float32
    assert np.isfinite(together).all()
    assert first.transform(some.iloc[picked]).tobytes() == np.ascontiguousarray(together[picked]).tobytes()


@settings(max_examples=15, deadline=None)
@given(chosen=CHOICES, seed=st.integers(0, 5))
def test_the_same_rows_are_prepared_the_same_way(chosen: Preprocessing, seed: int) -> None:
    made = [
        make_preprocessor(FEATURES, TRAINING.frame, chosen=chosen, scale=True, seed=seed).fit_transform(
            TRAINING.frame, TRAINING.labels["binary"]
        )
        for _ in range(2)
    ]
    assert made[0].tobytes() == made[1].tobytes()


def test_every_kind_of_feature_has_its_columns() -> None:
    chosen = Preprocessing(text="hashing", text_columns=6, rare_level=1, scale=False)
    made = make_preprocessor(FEATURES, TRAINING.frame, chosen=chosen, scale=False).fit_transform(TRAINING.frame)
    towns = len(set(TRAINING.columns["town"]))
    assert made.shape == (120, 3 + 4 + towns + 6 + 4)
    assert made[:, -4:].tolist() == TRAINING.columns["pixels"]


def test_a_column_without_a_value_in_a_fold_becomes_zero() -> None:
    made = prepared({"age": [None, None], "income": [1.0, 2.0]}, (AGE, INCOME), Preprocessing(scale=False))
    assert made.tolist() == [[0.0, 1.0], [0.0, 2.0]]


def test_an_id_for_a_category_takes_a_bounded_number_of_columns() -> None:
    values = [f"id {number}" for number in range(MAX_LEVELS + 50)]
    assert len(known_levels(values, rare_level=1)) == MAX_COLUMNS
    assert len(known_levels(values, rare_level=1, at_most=MAX_LEVELS)) == MAX_LEVELS
    assert known_levels(values, rare_level=2) == ["id 0"], "where all are rare, the first one stands for them"
    frame = frame_of({"plan": values}, (PLAN,))
    for encode, wide in (("one_hot", 1), ("ordinal", 1), ("target", 1)):
        chosen = Preprocessing(encode=encode)  # type: ignore[arg-type]
        first = make_preprocessor((PLAN,), frame, chosen=chosen, scale=False)
        assert first.fit_transform(frame, np.arange(len(values)) % 2).shape == (len(values), wide)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"aeg": ColumnPreprocessing(impute="zero")}, "a column 'aeg' that there is not: expected age, plan"),
        ({"age": ColumnPreprocessing(encode="target")}, "numeric feature has no use for.*found encode"),
        ({"plan": ColumnPreprocessing(impute="zero", text="tfidf")}, "categorical feature.*found impute, text"),
    ],
    ids=["unknown", "number", "category"],
)
def test_a_choice_that_would_do_nothing_is_refused(columns: dict[str, ColumnPreprocessing], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        prepared({"age": [1.0, 2.0], "plan": ["a", "b"]}, (AGE, PLAN), Preprocessing(columns=columns))


def test_what_holds_for_a_column_is_what_is_declared_for_it_or_for_all() -> None:
    chosen = Preprocessing(
        encode="target", rare_level=5, columns={"plan": ColumnPreprocessing(rare_level=1, scale=False)}
    )
    assert chosen.of("plan") == Preprocessing(encode="target", rare_level=1, scale=False)
    assert chosen.of("town") == Preprocessing(encode="target", rare_level=5)
