"""Assemble the pipeline that turns features into an answer, from the feature schema and what the model declares."""

from keelway.train.preprocess.columns import make_preprocessor, needs_scale
from keelway.train.preprocess.estimators import is_tree, make_estimator
from keelway.train.preprocess.levels import known_levels
from keelway.train.preprocess.selecting import make_selector
from keelway.train.preprocess.text import TextVectors, split_words, text_vectors, vectors_from, vectors_told

__all__ = [
    "TextVectors",
    "is_tree",
    "known_levels",
    "make_estimator",
    "make_preprocessor",
    "make_selector",
    "needs_scale",
    "split_words",
    "text_vectors",
    "vectors_from",
    "vectors_told",
]
