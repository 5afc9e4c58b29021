"""The stages of a pipeline that scikit-learn does not have; plain data, so that a stored pipeline can hold them.

This module imports scikit-learn and is itself imported where a pipeline is made, stored or exported.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, TransformerMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from keelway.train.boosters import booster_answers
from keelway.train.preprocess.scores import column_scores
from keelway.train.preprocess.text import TFIDF, TextVectors, text_vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

RARE = "\0rare"  # stands for every level that is not known; no text column of a table holds a zero byte


class KnownLevels(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Gives every level that is not known one name, so that rare and new levels are the same to what follows.

    Args:
        levels: The known levels of each column.
    """

    def __init__(self, levels: list[list[str]]) -> None:
        self.levels = levels

    def fit(self, table: Any, labels: Any = None) -> Self:  # noqa: ARG002  (scikit-learn hands over both)
        """Learn nothing: the levels are given."""
        self.fitted_ = True
        return self

    def transform(self, table: Any) -> NDArray[np.object_]:
        """Return texts, one row per row."""
        check_is_fitted(self)
        rows = np.asarray(table, dtype=object)
        made = np.empty(rows.shape, dtype=object)
        for place, levels in enumerate(self.levels):
            known = set(levels)
            made[:, place] = [value if value in known else RARE for value in rows[:, place]]
        return made


class To32Bits(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Rounds numbers to 32 bits, which is what the exported model computes with."""

    def fit(self, matrix: Any, labels: Any = None) -> Self:  # noqa: ARG002
        """Learn nothing."""
        self.fitted_ = True
        return self

    def transform(self, matrix: Any) -> NDArray[np.float32]:
        """Return the same numbers with 32 bits."""
        check_is_fitted(self)
        return np.asarray(matrix).astype(np.float32)


class TextColumns(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Turns one column of texts into a bounded number of 32-bit numbers.

    Args:
        method: `tfidf` or `hashing`.
        columns: How many numbers a text may become.
    """

    def __init__(self, method: str = TFIDF, columns: int = 1000) -> None:
        self.method = method
        self.columns = columns

    def fit(self, table: Any, labels: Any = None) -> Self:  # noqa: ARG002
        """Learn which words get a column, and their weights."""
        made = text_vectors(_texts(table), method=self.method, columns=self.columns)
        self.columns_ = made.columns
        self.words_ = list(made.words)
        self.weights_ = list(made.weights)
        return self

    def transform(self, table: Any) -> NDArray[np.float32]:
        """Return one row per text."""
        return self.vectors().matrix(_texts(table))

    def vectors(self) -> TextVectors:
        """Return what was learnt, as plain data."""
        check_is_fitted(self)
        return TextVectors(self.columns_, tuple(self.words_), tuple(self.weights_))


class ColumnSelector(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Keeps the columns that are of use; remembers only which.

    Args:
        method: `variance`, `mutual_information`, `l1` or `permutation`.
        keep: How many columns at most; None for all that score above zero.
        seed: The seed of everything random.
        task: What is predicted.
    """

    def __init__(self, method: str, keep: int | None = None, seed: int = 0, task: str = "binary") -> None:
        self.method = method
        self.keep = keep
        self.seed = seed
        self.task = task

    def fit(self, matrix: Any, labels: Any) -> Self:
        """Score every column and remember those that are kept."""
        scores = column_scores(np.asarray(matrix), labels, method=self.method, seed=self.seed, task=self.task)
        ranked = sorted((place for place, score in enumerate(scores) if score > 0), key=lambda each: -scores[each])
        self.n_features_in_ = len(scores)
        self.kept_ = sorted(ranked[: self.keep])
        return self

    def get_support(self) -> NDArray[np.bool_]:
        """Return which columns are kept, in their order."""
        check_is_fitted(self)
        support = np.zeros(self.n_features_in_, dtype=bool)
        support[self.kept_] = True
        return support

    def transform(self, matrix: Any) -> Any:
        """Return the kept columns."""
        return np.asarray(matrix)[:, self.get_support()]


class BoosterText(BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """A fitted model of LightGBM or XGBoost, in the text form of its own library; holds nothing that can be executed.

    Args:
        library: `lightgbm` or `xgboost`.
        text: What the library wrote.
    """

    def __init__(self, library: str, text: str) -> None:
        self.library = library
        self.text = text

    def fit(self, matrix: Any, labels: Any) -> Self:
        """Refuse: what is stored was fitted before."""
        raise NotImplementedError("A stored model cannot be fitted again: fit the estimator that is declared")

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def _answers(self, matrix: Any, *, margins: bool = False) -> NDArray[np.float64]:
        return booster_answers(self.library, self.text, matrix, margins=margins, holder=self)


class BoosterRegressor(RegressorMixin, BoosterText):  # type: ignore[misc]
    """A fitted booster that answers with numbers."""

    def predict(self, matrix: Any) -> NDArray[np.float64]:
        """Return the number for each row."""
        return self._answers(matrix)


class BoosterClassifier(ClassifierMixin, BoosterText):  # type: ignore[misc]
    """A fitted booster that answers with probabilities.

    Args:
        library: `lightgbm` or `xgboost`.
        text: What the library wrote.
        classes: The labels of the classes in the order of the probabilities.
        margins: Whether the library's own estimator has a decision function, which is what a calibration reads then.
    """

    def __init__(self, library: str, text: str, classes: list[Any], margins: bool = False) -> None:
        super().__init__(library, text)
        self.classes = classes
        self.margins = margins

    @property
    def classes_(self) -> NDArray[Any]:
        """The labels of the classes, as a classifier of scikit-learn has them."""
        return np.asarray(self.classes)

    def predict_proba(self, matrix: Any) -> NDArray[np.float64]:
        """Return one probability per class for each row."""
        found = self._answers(matrix)
        return found if found.ndim == 2 else np.column_stack([1 - found, found])

    @available_if(lambda self: self.margins)  # type: ignore[untyped-decorator]
    def decision_function(self, matrix: Any) -> NDArray[np.float64]:
        """Return the sums of the trees, before they become probabilities."""
        return self._answers(matrix, margins=True)

    def predict(self, matrix: Any) -> NDArray[Any]:
        """Return the most probable class."""
        named: NDArray[Any] = self.classes_[self.predict_proba(matrix).argmax(axis=1)]
        return named


def _texts(table: Any) -> Sequence[str]:
    return ["" if value is None else value for value in np.asarray(table, dtype=object)[:, 0]]
