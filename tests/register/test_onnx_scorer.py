"""A registered model, loaded from its checked bytes, keeps the promises of a scorer."""

from __future__ import annotations

import pytest

from keelway.register import OnnxModel, load_onnx
from keelway.testing.scorer import ScorerConformance
from keelway.testing.training import BOOSTED, LOGISTIC, TrainingWorld


@pytest.fixture(scope="module", params=[LOGISTIC, BOOSTED], ids=lambda each: each.name)
def scorer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> OnnxModel:
    world = TrainingWorld(tmp_path_factory.mktemp("scorer"))
    version = world.register(world.fit(request.param))
    return OnnxModel(load_onnx(version, artifacts=world.artifacts, public_key=world.key.public), version.features)


class TestOnnxModel(ScorerConformance):
    pass
