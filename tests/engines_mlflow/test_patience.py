"""A training is kept while MLflow is down, and shown once it is back."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from keelway.core import RunQuery
from keelway.engines.local.tracker import NoTracker, PatientTracker
from keelway.engines.mlflow import MlflowTracker
from keelway.errors import EngineError, MissingExtraError
from keelway.testing.training import TrainingWorld
from keelway.train.tracking import mirror_waiting

pytest.importorskip("mlflow")


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    path = tmp_path / "mlflow.db"
    path.write_bytes(b"this is no database" * 100)
    return path


def test_a_training_waits_for_the_tracker_with_its_figures(
    broken: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{broken}"
    world = TrainingWorld(tmp_path / "world", tracker=PatientTracker(MlflowTracker(uri)))
    trained = world.fit()
    card = world.card(trained)
    assert world.shown(trained) == ""
    assert "keelway runs sync" in caplog.text
    with pytest.raises(EngineError):
        mirror_waiting(state=world.state, artifacts=world.artifacts, tracker=MlflowTracker(uri))

    broken.unlink()
    (link,) = mirror_waiting(state=world.state, artifacts=world.artifacts, tracker=MlflowTracker(uri))
    assert mirror_waiting(state=world.state, artifacts=world.artifacts, tracker=MlflowTracker(uri)) == []
    seen = MlflowClient(uri, uri).get_run(link)
    assert seen.data.params["estimator"] == trained.factory
    assert seen.data.metrics["test_roc_auc"] == card.metrics["roc_auc"].value
    assert seen.data.metrics["train_rows"] == trained.train_rows
    assert seen.data.tags["keelway.artifact.pipeline"] == trained.pipeline
    with world.state.snapshot() as tx:
        assert tx.runs.search(RunQuery(kinds=("training",)))[0].mirror == link


def test_a_training_that_is_shown_at_once_waits_for_nothing(tmp_path: Path) -> None:
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    world = TrainingWorld(tmp_path / "world", tracker=PatientTracker(MlflowTracker(uri)))
    link = world.shown(world.fit())
    assert mirror_waiting(state=world.state, artifacts=world.artifacts, tracker=MlflowTracker(uri)) == []
    client = MlflowClient(uri, uri)
    assert {each.path for each in client.list_artifacts(link, "model")} == {
        "model/MLmodel", "model/input_example.json", "model/pipeline.skops", "model/requirements.txt"
    }  # fmt: skip


def test_versions_and_aliases_are_not_waited_for(broken: Path) -> None:
    tracker = PatientTracker(MlflowTracker(f"sqlite:///{broken}"))
    tracker.log_metrics("nobody", {"auc": 0.5})
    for call in (lambda: tracker.alias_of("churn", "prod"), lambda: tracker.register_version("churn", 1, "", {})):
        with pytest.raises(EngineError):
            call()


def test_a_server_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(EngineError) as caught:
        MlflowTracker(url).alias_of("churn", "prod")
    assert caught.value.found == f"no answer from {url}"


def test_a_package_that_is_missing_is_told_at_once() -> None:
    class Uninstalled(NoTracker):
        def record_training(self, *_: object, **__: object) -> str:
            raise MissingExtraError("The MLflow engine needs one more package")

    with pytest.raises(MissingExtraError):
        PatientTracker(Uninstalled()).record_training("churn")


def test_a_tracker_that_keeps_nothing_leaves_runs_waiting(tmp_path: Path) -> None:
    world = TrainingWorld(tmp_path / "world")
    world.fit()
    assert mirror_waiting(state=world.state, artifacts=world.artifacts, tracker=NoTracker()) == []
    with world.state.snapshot() as tx:
        assert tx.runs.search(RunQuery(kinds=("training",)))[0].mirror == ""
