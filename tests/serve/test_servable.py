"""What the serving path does not know is refused before any traffic reaches it."""

from __future__ import annotations

from typing import Any

import pytest

from keelway.features import FeatureColumn
from keelway.serve import check_servable

NUMBER, CATEGORY = FeatureColumn("age", "numeric"), FeatureColumn("town", "categorical")


def test_binary_models_of_numbers_and_categories_are_served() -> None:
    check_servable("churn:1", "binary", [NUMBER, CATEGORY])


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_another_task_is_not(task: Any) -> None:
    with pytest.raises(NotImplementedError, match=f"churn:1 is {task}"):
        check_servable("churn:1", task, [NUMBER])


@pytest.mark.parametrize("feature", [FeatureColumn("body", "text"), FeatureColumn("pixels", "array", 64)])
def test_neither_are_texts_and_arrays(feature: FeatureColumn) -> None:
    with pytest.raises(NotImplementedError, match=rf"also reads {feature.name} \({feature.kind}\)"):
        check_servable("churn:1", "binary", [NUMBER, feature])
