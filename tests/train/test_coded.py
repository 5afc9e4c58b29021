"""Encoding by distinct values gives what scikit-learn gives row by row, and leaves scikit-learn's own encoder behind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import OneHotEncoder

from keelway.features import FeatureColumn
from keelway.project import Estimator, Preprocessing
from keelway.train import Lesson, fitted_pipeline
from keelway.train.frame import frame_of
from keelway.train.preprocess.coded import CodedOneHot
from keelway.train.preprocess.levels import known_levels
from keelway.train.stored import pipeline_bytes

LEVELS = ["", "a", "b", "ü"]
texts = st.lists(st.tuples(st.sampled_from([*LEVELS, "new"]), st.sampled_from(["x", "y"])), min_size=1, max_size=80)


def encoders(levels: list[list[str]]) -> tuple[CodedOneHot, OneHotEncoder]:
    chosen = {"categories": levels, "handle_unknown": "ignore", "sparse_output": False, "dtype": np.float32}
    return CodedOneHot(**chosen), OneHotEncoder(**chosen)


def frame(rows: list[tuple[str, str]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["first", "second"], dtype=object)


@settings(max_examples=60, deadline=None)
@given(rows=texts)
def test_the_numbers_and_the_fitted_encoder_are_scikit_learns(rows: list[tuple[str, str]]) -> None:
    coded, own = encoders([LEVELS, ["x"]])
    made, expected = coded.fit_transform(frame(rows)), own.fit_transform(frame(rows))
    assert np.array_equal(made, expected)
    plain = coded.plain()
    assert type(plain) is OneHotEncoder
    assert vars(plain).keys() == vars(own).keys()
    assert np.array_equal(plain.transform(frame(rows)), expected)


@pytest.mark.parametrize("distinct", [3, 90], ids=["few values", "nearly as many values as rows"])
def test_both_ways_are_taken(distinct: int) -> None:
    rows = [(f"id {number % distinct}", "x") for number in range(100)]
    coded, own = encoders([[f"id {number}" for number in range(2)], ["x"]])
    assert np.array_equal(coded.fit_transform(frame(rows)), own.fit_transform(frame(rows)))


def test_a_fitted_pipeline_holds_no_encoder_of_ours() -> None:
    plans = pd.DataFrame({"plan": np.array(["a", "b"] * 40, dtype=object)})
    lesson = Lesson(
        features=(FeatureColumn("plan", "categorical"),), frame=plans, labels=np.arange(80) % 3 % 2,
        preprocessing=Preprocessing(rare_level=1),
    )  # fmt: skip
    pipeline = fitted_pipeline(lesson, Estimator("logistic", "sklearn.linear_model.LogisticRegression"))
    first = pipeline[0]
    held = [*(stage for _, stage, _ in first.transformers_), *(stage for _, stage, _ in first.transformers)]
    assert {type(each) for each in held} == {OneHotEncoder}
    assert pipeline.predict_proba(plans).shape == (80, 2)


KINDS = (FeatureColumn("size", "numeric"), FeatureColumn("plan", "categorical"), FeatureColumn("city", "categorical"))


@pytest.mark.parametrize("encode", ["one_hot", "ordinal", "target"])
@pytest.mark.parametrize("distinct", [3, 40], ids=["few values", "nearly as many values as rows"])
def test_categories_kept_as_codes_are_learnt_from_as_texts_are(encode: Any, distinct: int) -> None:
    """A value that no row of a part has is no level of it either."""
    rows = pa.table(
        {
            "size": [None if number % 7 == 0 else float(number) for number in range(120)],
            "plan": [None if number % 5 == 0 else f"p{number % distinct}" for number in range(120)],
            "city": ["rare" if number == 119 else f"c{number % 2}" for number in range(120)],
        }
    )
    columns = {name: rows[name] for name in rows.column_names}
    stored = []
    dictionaries = {name: _with_more_levels(column) if name != "size" else column for name, column in columns.items()}
    for held, coded in ((columns, False), (columns, True), (dictionaries, False), (dictionaries, True)):
        made = frame_of(held, KINDS, coded=coded)
        assert (made["plan"].dtype == object) is not coded
        assert made["plan"].tolist() == ["" if each is None else each for each in rows["plan"].to_pylist()]
        lesson = Lesson(
            features=KINDS,
            frame=made,
            labels=np.arange(120) % 3 % 2,
            preprocessing=Preprocessing(rare_level=1, encode=encode),
        ).part(np.arange(90))
        pipeline = fitted_pipeline(lesson, Estimator("logistic", "sklearn.linear_model.LogisticRegression"))
        stored.append(pipeline_bytes(pipeline))
        assert np.array_equal(pipeline.predict_proba(frame_of(columns, KINDS)), pipeline.predict_proba(made))
    assert set(stored) == {stored[0]}


def _with_more_levels(column: pa.ChunkedArray) -> pa.DictionaryArray:
    """Return a column as codes of its distinct texts, among which some stand in no row."""
    return pa.array(["never", *column.to_pylist(), "nor this"]).dictionary_encode()[1:-1]


def test_a_level_that_no_row_has_is_not_known() -> None:
    values = pd.Series(pd.Categorical.from_codes([2, 0, 2], categories=["b", "never", "a"]))
    assert known_levels(values, rare_level=1) == known_levels(["a", "b", "a"], rare_level=1) == ["a", "b"]
    assert known_levels(values, rare_level=0) == ["a", "b"]
