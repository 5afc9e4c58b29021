"""The exported model answers as the trained one, also for what training never saw; a difference is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from keelway.errors import RefusedError
from keelway.features import columns_for_scoring
from keelway.project import Estimator
from keelway.register import OnnxModel, check_parity, to_onnx
from keelway.testing.mixed import BentPipeline
from keelway.testing.training import BOOSTED, FEATURES, LOGISTIC, TrainingWorld, customers
from keelway.train import frame_of, load_pipeline

ROWS = 20_000


def strange_customers(rows: int) -> dict[str, list[Any]]:
    """Return customers with nulls, empty and unseen plans, and numbers between those that training saw."""
    draw = np.random.default_rng(3)
    recency = [
        None if lost else half / 2
        for lost, half in zip(draw.random(rows) < 0.2, draw.integers(0, 900, rows), strict=True)
    ]
    spend = np.where(draw.random(rows) < 0.1, draw.choice([0.0, -5.0, 1e-20, 1e5], rows), draw.exponential(100, rows))
    plans = draw.choice(["", "a", "b", "unseen", "ü☃"], rows).tolist()
    return {"recency_d": recency, "plan": plans, "spend": [None if each > 400 else each for each in spend.tolist()]}


@pytest.mark.parametrize("estimator", [LOGISTIC, BOOSTED], ids=lambda each: each.name)
def test_twenty_thousand_rows_are_answered_alike(world: TrainingWorld, estimator: Estimator) -> None:
    pipeline = load_pipeline(world.fit(estimator).pipeline, artifacts=world.artifacts)
    columns = strange_customers(ROWS)
    parity = check_parity(pipeline, to_onnx(pipeline, FEATURES), FEATURES, columns, tolerance=1e-5)
    assert parity.rows > ROWS
    assert parity.max_difference <= 1e-5
    assert parity.nulls_tested
    assert parity.unseen_tested
    assert len(set(pipeline.predict_proba(frame_of(columns, FEATURES))[:, 1].round(6))) > 50


def test_the_same_pipeline_is_exported_to_the_same_bytes(world: TrainingWorld) -> None:
    pipeline = load_pipeline(world.fit(BOOSTED).pipeline, artifacts=world.artifacts)
    before = pipeline.predict_proba(frame_of(strange_customers(50), FEATURES))
    assert to_onnx(pipeline, FEATURES) == to_onnx(pipeline, FEATURES)
    assert (pipeline.predict_proba(frame_of(strange_customers(50), FEATURES)) == before).all()


@pytest.mark.parametrize(("change", "told"), [(0.01, "a difference of 0.01"), (float("nan"), "a difference of nan")])
def test_a_difference_is_refused_and_the_worst_row_named(world: TrainingWorld, change: float, told: str) -> None:
    pipeline = load_pipeline(world.fit().pipeline, artifacts=world.artifacts)
    columns = columns_for_scoring(customers(100, seed=4), FEATURES)
    bent = BentPipeline(pipeline, 42, change)
    with pytest.raises(RefusedError, match="differs from the trained one") as refused:
        check_parity(bent, to_onnx(pipeline, FEATURES), FEATURES, columns, tolerance=1e-5)
    (reason,) = refused.value.reasons
    assert reason == f"{told} in row 42"
    if change == 0.01:
        assert check_parity(bent, to_onnx(pipeline, FEATURES), FEATURES, columns, tolerance=0.02).rows == 700


@pytest.mark.parametrize(("way", "told"), [(0, "missing"), (1, "unusual"), (2, "extreme")])
def test_what_was_changed_in_a_copy_is_named_and_no_value(world: TrainingWorld, way: int, told: str) -> None:
    pipeline = load_pipeline(world.fit().pipeline, artifacts=world.artifacts)
    columns = columns_for_scoring(customers(100, seed=4), FEATURES)
    with pytest.raises(RefusedError) as refused:
        check_parity(
            BentPipeline(pipeline, 100 + 30 + way, 0.01), to_onnx(pipeline, FEATURES), FEATURES, columns, tolerance=1e-5
        )
    (reason,) = refused.value.reasons
    assert reason.startswith(f"a difference of 0.01 in a copy of a row with {told} ")
    named = reason.rpartition(f"{told} ")[2].split(", ")
    assert named
    assert set(named) <= {each.name for each in FEATURES}


def test_a_model_that_differs_is_not_registered(world: TrainingWorld) -> None:
    world.declare(onnx_tolerance=1e-12)
    trained = world.fit()
    with pytest.raises(RefusedError, match="differs from the trained one"):
        world.register(trained)
    with world.state.snapshot() as tx:
        assert tx.log.size() == 0


def test_a_null_number_and_an_empty_category_may_be_written_either_way(world: TrainingWorld) -> None:
    pipeline = load_pipeline(world.fit().pipeline, artifacts=world.artifacts)
    model = OnnxModel(to_onnx(pipeline, FEATURES), FEATURES)
    columns: dict[str, list[Any]] = {"recency_d": [None, float("nan")], "plan": [None, ""], "spend": [1.0, 1.0]}
    first, second = model.probabilities(columns)
    assert first == second
