from __future__ import annotations

from pathlib import Path

import pytest

from keelway.testing.training import TrainingWorld


@pytest.fixture
def world(tmp_path: Path) -> TrainingWorld:
    return TrainingWorld(tmp_path / "world")
