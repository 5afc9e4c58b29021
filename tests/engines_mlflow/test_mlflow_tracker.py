"""Runs, versions and aliases in a real MLflow store."""

from __future__ import annotations

from pathlib import Path

import pytest

from keelway.core import digest_bytes
from keelway.engines.mlflow import MlflowTracker
from keelway.errors import MissingRecordError

pytest.importorskip("mlflow")


def test_runs_versions_and_aliases_are_mirrored_once(tmp_path: Path) -> None:
    tracker = MlflowTracker(f"sqlite:///{tmp_path / 'mlflow.db'}")
    runs = {
        tracker.record_training(
            "churn", name="a", parameters={"c": 1.0}, metrics={"rows": 3.0}, tags={"keelway.key": "k"},
            dataset_digest=digest_bytes(b"d"), signature_json="{}", artifacts={"pipeline": digest_bytes(b"p")},
        )
        for _ in range(2)
    }  # fmt: skip
    assert len(runs) == 1
    run = runs.pop()
    tracker.log_metrics(run, {"auc": 0.5})
    links = {tracker.register_version("churn", 1, run, {"keelway.key": "t"}) for _ in range(2)}
    assert links == {"models:/churn/1"}
    assert tracker.alias_of("churn", "prod") is None
    tracker.set_alias("churn", "prod", 1)
    assert tracker.alias_of("churn", "prod") == 1
    with pytest.raises(MissingRecordError):
        tracker.set_alias("churn", "prod", 9)
