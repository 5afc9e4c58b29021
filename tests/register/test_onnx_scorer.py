"""A registered model, loaded from its checked bytes, keeps the promises of a scorer in both of its forms."""

from __future__ import annotations

import pytest

from keelway.register import ModelVersion, OnnxModel, OnnxScorer, PlanScorer, load_onnx, load_scorer
from keelway.serve import Scorer
from keelway.testing.scorer import ScorerConformance
from keelway.testing.training import BOOSTED, LOGISTIC, TrainingWorld

Registered = tuple[TrainingWorld, ModelVersion]


@pytest.fixture(scope="module", params=[LOGISTIC, BOOSTED], ids=lambda each: each.name)
def registered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Registered:
    world = TrainingWorld(tmp_path_factory.mktemp("scorer"))
    return world, world.register(world.fit(request.param))


@pytest.fixture(scope="module", params=["plan", "onnx"])
def scorer(request: pytest.FixtureRequest, registered: Registered) -> Scorer:
    world, version = registered
    if request.param == "plan":
        return load_scorer(version, artifacts=world.artifacts, public_key=world.key.public)
    data = load_onnx(version, artifacts=world.artifacts, public_key=world.key.public)
    return OnnxScorer(OnnxModel(data, version.features), task=version.task)


class TestRegisteredScorer(ScorerConformance):
    pass


def test_a_version_with_a_plan_is_served_by_it(registered: Registered) -> None:
    world, version = registered
    found = load_scorer(version, artifacts=world.artifacts, public_key=world.key.public)
    assert isinstance(found, PlanScorer)
    assert (version.served_form, version.served, version.no_plan) == ("plan", version.plan, "")
