"""Runs, versions and aliases in a real MLflow store."""

from __future__ import annotations

from pathlib import Path

import pytest

from keelway.engines.local.tracker import NoTracker
from keelway.engines.mlflow import MlflowTracker
from keelway.testing.tracker import TrackerConformance

pytest.importorskip("mlflow")


class TestMlflowTracker(TrackerConformance):
    @pytest.fixture
    def tracker(self, tmp_path: Path) -> MlflowTracker:
        return MlflowTracker(f"sqlite:///{tmp_path / 'mlflow.db'}")


def test_no_tracker_keeps_nothing() -> None:
    tracker = NoTracker()
    assert tracker.register_version("churn", 1, "", {}) == ""
    tracker.set_alias("churn", "prod", 1)
    assert tracker.alias_of("churn", "prod") is None
