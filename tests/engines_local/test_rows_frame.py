"""The frame of rows is the one that the pipeline was fitted with: the same numbers, texts, types and order."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as some

from keelway.engines.local.python_worker.rows_frame import RowsFrame
from keelway.errors import TrainingError
from keelway.features import FeatureColumn
from keelway.train import frame_of

AGE, PLAN = FeatureColumn("age", "numeric"), FeatureColumn("plan", "categorical")
TEXT, PIXELS = FeatureColumn("text", "text"), FeatureColumn("pixels", "array", 3)
VALUES: dict[str, some.SearchStrategy[Any]] = {
    "numeric": some.none() | some.floats(width=32, allow_infinity=False) | some.integers(-1_000_000, 1_000_000),
    "categorical": some.none() | some.text(max_size=5),
    "text": some.none() | some.text(max_size=20),
    "array": some.lists(some.floats(-1e6, 1e6), min_size=3, max_size=3),
}


def rows_of(features: tuple[FeatureColumn, ...]) -> some.SearchStrategy[list[list[Any]]]:
    row = some.tuples(*(VALUES[each.kind] for each in features)).map(list)
    return some.lists(row, min_size=1, max_size=8)


@pytest.mark.parametrize(
    "features",
    [(AGE,), (PLAN,), (PLAN, AGE), (TEXT, AGE, PLAN, FeatureColumn("spent", "numeric")), (AGE, PIXELS, PLAN)],
    ids=["numbers", "categories", "both", "mixed", "arrays"],
)
@given(data=some.data())
def test_rows_become_the_frame_that_training_makes_of_columns(
    features: tuple[FeatureColumn, ...], data: some.DataObject
) -> None:
    rows = data.draw(rows_of(features))
    columns = dict(zip([each.name for each in features], zip(*rows, strict=True), strict=True))
    found, wanted = RowsFrame(features)(rows), frame_of(columns, features)
    pd.testing.assert_frame_equal(found, wanted)
    assert type(found.index) is type(wanted.index)


@pytest.mark.parametrize("number", [float("inf"), -1e39], ids=["infinity", "beyond 32 bits"])
def test_a_number_that_does_not_fit_is_refused_by_the_name_of_its_feature(number: float) -> None:
    with pytest.raises(TrainingError, match="'age' holds infinity"):
        RowsFrame((PLAN, AGE))([["gold", 1.0], ["gold", number]])
