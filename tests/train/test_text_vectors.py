"""Texts become a bounded number of columns, as scikit-learn would count the same words."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from keelway.train import vectors_from, vectors_told
from keelway.train.preprocess import split_words, text_vectors

TEXTS = [
    "Free prize! Call 0800 now, it's FREE",
    "lunch at noon?",
    "Call me at noon, or at lunch",
    "",
    "größe ☃ straße",
    "Straße: call a free taxi",
]


def test_words_are_weighed_as_scikit_learn_weighs_them() -> None:
    ours = text_vectors(TEXTS, method="tfidf", columns=100)
    theirs = TfidfVectorizer(token_pattern=r"\w+", min_df=2, dtype=np.float32).fit(TEXTS)
    assert ours.words == tuple(theirs.get_feature_names_out())
    assert ours.matrix(TEXTS) == pytest.approx(theirs.transform(TEXTS).toarray(), abs=1e-6)


def test_the_words_of_most_texts_get_the_columns() -> None:
    made = text_vectors(TEXTS, method="tfidf", columns=2)
    assert made.words == ("at", "call")
    assert made.matrix(["nothing known"]).tolist() == [[0.0, 0.0]]


def test_where_no_two_texts_share_a_word_one_column_tells_that_there_is_a_text() -> None:
    made = text_vectors(["one", "two", ""], method="tfidf", columns=5)
    assert made.matrix(["one", "new words", ""]).tolist() == [[1.0], [1.0], [0.0]]


@given(texts=st.lists(st.text(max_size=60), min_size=1, max_size=8), method=st.sampled_from(["tfidf", "hashing"]))
def test_each_text_is_a_row_of_length_one_or_nothing(texts: list[str], method: str) -> None:
    vectors = text_vectors([*TEXTS, *texts], method=method, columns=7)
    made = vectors.matrix(texts)
    assert made.shape == (len(texts), vectors.columns)
    assert vectors.columns <= 7
    lengths = np.linalg.norm(made.astype(np.float64), axis=1)
    assert all(abs(length - 1) < 1e-6 or length == 0 for length in lengths)
    if method == "hashing":
        assert [length > 0 for length in lengths] == [bool(split_words(text)) for text in texts]
    for row, text in enumerate(texts):
        assert vectors.matrix([text])[0].tobytes() == made[row].tobytes()


@given(texts=st.lists(st.text(max_size=60), max_size=8), method=st.sampled_from(["tfidf", "hashing"]))
def test_what_is_told_of_vectors_makes_the_same_vectors(texts: list[str], method: str) -> None:
    vectors = text_vectors([*TEXTS, *texts], method=method, columns=9)
    again = vectors_from(json.loads(json.dumps(vectors_told(vectors))))
    assert again == vectors
    assert again.matrix(TEXTS).tobytes() == vectors.matrix(TEXTS).tobytes()


def test_the_column_of_a_hashed_word_is_the_same_in_every_process() -> None:
    made = text_vectors([], method="hashing", columns=1000).matrix(["lunch"])
    assert np.flatnonzero(made[0]).tolist() == [547]
