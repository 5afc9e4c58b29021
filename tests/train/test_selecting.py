"""A selection keeps the columns that tell something and drops those that do not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from keelway.errors import TrainingError
from keelway.project import Estimator, Preprocessing
from keelway.testing.mixed import MixedRows
from keelway.train.preprocess import make_selector

METHODS = ["variance", "mutual_information", "l1", "permutation"]
TELLING, FLAG, CONSTANT = 0, 1, 2  # the other columns are noise


def matrix_of(task: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a number and a flag that decide the label, a constant, and three columns of noise."""
    draw = np.random.default_rng(1)
    matrix = draw.normal(size=(600, 6)).astype(np.float32)
    matrix[:, FLAG] = matrix[:, FLAG] > 0
    matrix[:, CONSTANT] = 0.1
    score = 2 * matrix[:, TELLING] + 3 * matrix[:, FLAG] + draw.normal(size=600) / 4
    labels = {"binary": score > 1.5, "multiclass": np.digitize(score, [0.5, 2.5]), "regression": score}[task]
    return matrix, np.asarray(labels, dtype=np.float64 if task == "regression" else np.int64)


def kept(task: Any, **chosen: Any) -> list[int]:
    selector = make_selector(Preprocessing(**chosen), 3, task=task)
    assert selector is not None
    matrix, labels = matrix_of(task)
    support = selector.fit(matrix, labels).get_support()
    assert selector.transform(matrix).tolist() == matrix[:, support].tolist()
    return [int(place) for place in np.flatnonzero(support)]


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("method", METHODS)
def test_what_decides_the_label_is_kept_and_a_constant_is_dropped(method: str, task: str) -> None:
    found = kept(task, select=method)
    assert {TELLING, FLAG} <= set(found)
    assert CONSTANT not in found


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("method", METHODS[1:])
def test_the_best_columns_are_kept_where_few_may_stay(method: str, task: str) -> None:
    assert kept(task, select=method, keep=2) == [TELLING, FLAG]


def test_more_columns_than_there_are_may_stay() -> None:
    assert kept("binary", select="variance", keep=99) == [0, 1, 3, 4, 5]


@pytest.mark.parametrize("method", METHODS)
def test_the_same_rows_keep_the_same_columns(method: str) -> None:
    assert kept("binary", select=method) == kept("binary", select=method)


def test_without_a_way_to_select_all_columns_stay() -> None:
    assert make_selector(Preprocessing(), 3) is None


def test_where_no_column_is_of_use_the_training_is_refused() -> None:
    rows = MixedRows.draw(60)
    same = {name: [values[0]] * 60 for name, values in rows.columns.items()}
    with pytest.raises(TrainingError, match="No column is left after selection"):
        MixedRows(same, rows.labels).fitted(
            Estimator("one", "sklearn.linear_model.LogisticRegression"), Preprocessing(select="variance", impute="zero")
        )
