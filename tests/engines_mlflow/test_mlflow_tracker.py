"""Runs, versions and aliases in a real MLflow store, and what is told where it fails."""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from keelway.core import digest_bytes
from keelway.engines.local.tracker import NoTracker
from keelway.engines.mlflow import MlflowTracker
from keelway.errors import EngineError, MissingExtraError, TrainingError
from keelway.testing.tracker import TrackerConformance

mlflow = pytest.importorskip("mlflow")


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an empty store; making one takes seconds, copying it does not."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowTracker(f"sqlite:///{path}").alias_of("churn", "prod")
    return path


@pytest.fixture
def store(empty_store: Path, tmp_path: Path) -> Path:
    """Return a copy of the empty store."""
    path = tmp_path / "mlflow.db"
    source, target = sqlite3.connect(empty_store), sqlite3.connect(path)
    source.backup(target)
    source.close()
    target.close()
    return path


class TestMlflowTracker(TrackerConformance):
    @pytest.fixture
    def tracker(self, store: Path) -> MlflowTracker:
        return MlflowTracker(f"sqlite:///{store}")


def test_mlflows_users_see_the_training_and_its_data(store: Path) -> None:
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{store}"
    digest = digest_bytes(b"table")
    run = MlflowTracker(uri).record_training(
        "churn", name="logistic 2025-05-01", parameters={"C": 0.5}, metrics={"train_rows": 9.0},
        tags={"keelway.key": "k", "keelway.commit": "x" * 9000}, dataset_digest=digest, signature_json="{}",
        artifacts={"pipeline": digest},
    )  # fmt: skip
    seen = MlflowClient(uri, uri).get_run(run)
    assert (seen.info.run_name, seen.info.status) == ("logistic 2025-05-01", "FINISHED")
    assert (seen.data.params, seen.data.metrics) == ({"C": "0.5"}, {"train_rows": 9.0})
    assert seen.data.tags["keelway.dataset"] == seen.data.tags["keelway.artifact.pipeline"] == digest
    assert seen.inputs.dataset_inputs[0].dataset.digest == digest[7:43]


def told(key: str) -> dict[str, Any]:
    return {
        "name": "logistic", "parameters": {"C": 0.5}, "tags": {"keelway.key": key, "keelway.model": "churn"},
        "dataset_digest": digest_bytes(b"table"), "signature_json": '{"inputs":[{"name":"x","type":"double"}]}',
    }  # fmt: skip


def shown(uri: str) -> list[Any]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri, uri)
    experiment = client.get_experiment_by_name("churn")
    return list(client.search_runs([experiment.experiment_id])) if experiment is not None else []


@contextmanager
def seen_running(uri: str, key: str, *, tracker: MlflowTracker | None = None) -> Iterator[Any]:
    """Announce a training at once, and yield its run in MLflow when it is seen there."""
    announcing = tracker or MlflowTracker(uri, announce_after_s=0)
    with announcing.announced_training("churn", **told(key)):
        deadline = time.monotonic() + 120
        while not (found := shown(uri)) and time.monotonic() < deadline:
            time.sleep(0.01)
        yield found[0]


def test_a_training_is_seen_running_and_then_finished(store: Path) -> None:
    uri = f"sqlite:///{store}"
    tracker = MlflowTracker(uri, announce_after_s=0)
    with seen_running(uri, "k", tracker=tracker) as running:
        assert running.info.status == "RUNNING"
    (running,) = shown(uri)
    assert running.data.params == {"C": "0.5"}
    assert running.inputs.dataset_inputs[0].dataset.name == "feature_table"
    made = tracker.record_training("churn", **told("k"), metrics={"rows": 9.0}, artifacts={})
    (finished,) = shown(uri)
    assert (finished.info.run_id, finished.info.status, finished.data.metrics) == (made, "FINISHED", {"rows": 9.0})
    assert finished.data.params == {"C": "0.5"}


def test_a_training_that_is_over_soon_is_not_announced(store: Path) -> None:
    uri = f"sqlite:///{store}"
    tracker = MlflowTracker(uri, announce_after_s=3600)
    with tracker.announced_training("churn", **told("k")):
        pass
    assert shown(uri) == []
    made = tracker.record_training("churn", **told("k"), metrics={"rows": 9.0}, artifacts={})
    assert [(run.info.run_id, run.info.status) for run in shown(uri)] == [(made, "FINISHED")]


@pytest.mark.parametrize("after_s", [0, 3600], ids=["once it was announced", "before it was announced"])
def test_a_training_that_fails_is_seen_failed_with_the_reason_and_may_be_tried_again(store: Path, after_s: int) -> None:
    uri = f"sqlite:///{store}"
    tracker = MlflowTracker(uri, announce_after_s=after_s)
    with pytest.raises(TrainingError), tracker.announced_training("churn", **told("k")):
        raise TrainingError("Every training label is the same")
    (failed,) = shown(uri)
    assert failed.info.status == "FAILED"
    assert "Every training label is the same" in failed.data.tags["keelway.error"]
    made = tracker.record_training("churn", **told("k"), metrics={}, artifacts={})
    (finished,) = shown(uri)
    assert (finished.info.run_id, finished.info.status) == (made, "FINISHED")


def test_what_was_killed_after_its_announcement_is_completed_by_another_process(store: Path) -> None:
    uri = f"sqlite:///{store}"
    with seen_running(uri, "k"):
        pass
    made = MlflowTracker(uri).record_training("churn", **told("k"), metrics={"rows": 9.0}, artifacts={})
    (run,) = shown(uri)
    assert (run.info.run_id, run.info.status, run.data.metrics) == (made, "FINISHED", {"rows": 9.0})


def test_no_training_fails_because_its_announcement_does(store: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="keelway.runs")
    tracker = MlflowTracker(f"sqlite:///{store}", announce_after_s=0)
    assert tracker.alias_of("churn", "prod") is None
    with sqlite3.connect(store) as connection:
        connection.execute("DROP TABLE latest_metrics")
        connection.execute("DROP TABLE tags")
    with tracker.announced_training("churn", **told("other")):
        pass
    with pytest.raises(TrainingError, match="no rows"), tracker.announced_training("churn", **told("third")):
        raise TrainingError("no rows")
    with pytest.raises(EngineError, match="MLflow failed"):
        tracker.record_training("churn", **told("other"), metrics={}, artifacts={})


def test_a_training_goes_on_while_the_store_cannot_be_opened(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="keelway.runs")
    (tmp_path / "mlflow.db").write_bytes(b"this is no database" * 100)
    with MlflowTracker(f"sqlite:///{tmp_path / 'mlflow.db'}").announced_training("churn", **told("k")):
        pass
    assert "trainings are not announced" in caplog.text


def test_a_version_that_others_registered_counts_as_none_of_ours(store: Path) -> None:
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{store}"
    client, tracker = MlflowClient(uri, uri), MlflowTracker(uri)
    client.create_registered_model("churn")
    theirs = client.create_model_version("churn", source="elsewhere:/x")
    client.set_registered_model_alias("churn", "prod", theirs.version)
    assert tracker.alias_of("churn", "prod") == 0
    assert tracker.register_version("churn", 1, "", {"keelway.key": "t"}) == "models:/churn/2"
    tracker.set_alias("churn", "prod", 1)
    assert tracker.alias_of("churn", "prod") == 1


def test_a_file_that_is_no_database_is_an_engine_error(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(EngineError, match=r"MLflow failed.*not a database") as told:
        MlflowTracker(f"sqlite:///{path}").alias_of("churn", "prod")
    assert isinstance(told.value.__cause__, sqlite3.DatabaseError)
    assert "engines.tracking" in told.value.fix


def test_a_folder_that_cannot_be_made_is_an_engine_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineError):
        MlflowTracker(f"sqlite:///{tmp_path / 'file' / 'mlflow.db'}").alias_of("churn", "prod")


def test_what_mlflow_refuses_is_an_engine_error(store: Path) -> None:
    tracker = MlflowTracker(f"sqlite:///{store}")
    with pytest.raises(EngineError, match="Run with id=nobody not found"):
        tracker.log_metrics("nobody", {"auc": 0.5})
    with pytest.raises(EngineError):
        tracker.register_version("", 1, "", {})


def test_tables_that_are_gone_are_an_engine_error(store: Path) -> None:
    tracker = MlflowTracker(f"sqlite:///{store}")
    assert tracker.alias_of("churn", "prod") is None
    with sqlite3.connect(store) as connection:
        connection.execute("DROP TABLE registered_models")
    connection.close()
    with pytest.raises(EngineError, match="no such table"):
        tracker.alias_of("churn", "prod")


def vendor_errors() -> Iterator[type[Exception]]:
    """Every error that MLflow's client declares."""
    for name in dir(mlflow.exceptions):
        kind = getattr(mlflow.exceptions, name)
        if isinstance(kind, type) and issubclass(kind, Exception) and kind.__module__ == "mlflow.exceptions":
            yield kind


def test_every_error_that_mlflow_declares_is_translated() -> None:
    from keelway.engines.mlflow.tracker import translated

    kinds = list(vendor_errors())
    assert len(kinds) > 5
    for kind in kinds:
        error = kind.__new__(kind)  # their constructors differ
        Exception.__init__(error, "they say no")
        with pytest.raises(EngineError, match="they say no") as told, translated():
            raise error
        assert told.value.__cause__ is error


def test_a_missing_package_is_told_with_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in sys.modules if each.partition(".")[0] == "mlflow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(MissingExtraError, match="pip install 'keelway\\[mlflow\\]'"):
        MlflowTracker("sqlite:///nowhere.db").alias_of("churn", "prod")


def test_no_tracker_keeps_nothing() -> None:
    tracker = NoTracker()
    assert tracker.register_version("churn", 1, "", {}) == ""
    tracker.set_alias("churn", "prod", 1)
    assert tracker.alias_of("churn", "prod") is None
