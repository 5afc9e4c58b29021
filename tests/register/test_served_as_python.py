"""A version that is served as Python: declared, never by itself; its pipeline is all it has, and is signed like any export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from keelway.errors import ProjectError, RefusedError, ServingError
from keelway.features import columns_for_scoring
from keelway.register import champion_scorer, load_scorer, load_served, scorer_of
from keelway.register.parity import check_answers
from keelway.testing.training import FEATURES, TrainingWorld, customers
from keelway.train import frame_of, load_pipeline


def rows_of(columns: Mapping[str, Sequence[Any]]) -> list[list[Any]]:
    return [list(row) for row in zip(*(columns[feature.name] for feature in FEATURES), strict=True)]


def test_its_pipeline_is_what_is_signed_and_served(world: TrainingWorld) -> None:
    world.declare(serve="python")
    version = world.register(world.fit())
    assert (version.served_form, version.onnx, version.plan) == ("python", version.pipeline, None)
    assert (version.parity.max_difference, version.parity.nulls_tested, version.parity.unseen_tested) == (0, True, True)
    assert "declared" in version.no_plan
    data = load_served(version, artifacts=world.artifacts, public_key=world.key.public)
    assert data == world.artifacts.get(version.pipeline)
    with pytest.raises(ServingError, match="process of its own"):
        scorer_of(version, data)


def test_where_it_is_tried_and_compared_it_answers_as_its_pipeline(world: TrainingWorld) -> None:
    world.declare(serve="python")
    version = world.register(world.fit())
    columns = columns_for_scoring(customers(50, seed=3), FEATURES)
    pipeline = load_pipeline(version.pipeline, artifacts=world.artifacts)
    expected = pipeline.predict_proba(frame_of(columns, FEATURES))[:, 1].tolist()
    ports: dict[str, Any] = {"artifacts": world.artifacts, "public_key": world.key.public}
    assert load_scorer(version, **ports).predictions(rows_of(columns)) == expected
    assert champion_scorer(version, **ports)(columns) == expected


def test_without_the_declaration_a_model_has_an_exported_form(world: TrainingWorld) -> None:
    version = world.register(world.fit())
    assert version.served_form in {"plan", "onnx"}
    assert version.onnx != version.pipeline


def test_the_declaration_is_one_of_two_and_leaves_the_default_definition_as_it_was(world: TrainingWorld) -> None:
    before = world.model.definition()
    with pytest.raises(ProjectError, match="serve"):
        world.declare(serve="somehow")
    world.declare(serve="compiled")
    assert world.model.definition() == before
    world.declare(serve="python")
    assert world.model.definition() != before


class Strange:
    """A pipeline that gives no number, or fails, where a value is missing."""

    def __init__(self, *, fails: bool) -> None:
        self._fails = fails

    def predict_proba(self, frame: Any) -> Any:
        missing = frame["recency_d"].isna().to_numpy()
        if self._fails and missing.any():
            raise ValueError("customer 00042 has no recency")
        share = np.where(missing, np.nan, 0.5)
        return np.column_stack([share, share])


@pytest.mark.parametrize(("fails", "told"), [(False, "not finite"), (True, "fails on rows")])
def test_a_pipeline_that_cannot_answer_nulls_is_refused_without_telling_of_a_row(fails: bool, told: str) -> None:
    columns = columns_for_scoring(customers(60, seed=5), FEATURES)
    with pytest.raises(RefusedError, match=told) as refused:
        check_answers(Strange(fails=fails), FEATURES, columns, is_number=False)
    assert "00042" not in str(refused.value)
