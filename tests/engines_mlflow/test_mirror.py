"""What MLflow's users see of a run that was tracked here, in a real store of MLflow."""

from __future__ import annotations

import json
import math
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.core import digest_bytes
from keelway.engines.mlflow import MlflowTracker
from keelway.errors import EngineError
from keelway.testing.run_index import NOW, tracked
from keelway.train.tracking import MetricPoint

mlflow = pytest.importorskip("mlflow")

from mlflow.tracking import MlflowClient  # noqa: E402
from mlflow.utils.validation import _validate_metric_name, _validate_param_name  # noqa: E402

from keelway.engines.mlflow.mirror import plain_name, thinned  # noqa: E402

SIGNATURE = json.dumps(
    {
        "inputs": [{"name": "age", "type": "double", "required": True}],
        "outputs": [{"name": "probability", "type": "double", "required": True}],
    }
)


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowTracker(f"sqlite:///{path}").alias_of("churn", "prod")
    return path


@pytest.fixture
def uri(empty_store: Path, tmp_path: Path) -> str:
    path = tmp_path / "mlflow.db"
    source, target = sqlite3.connect(empty_store), sqlite3.connect(path)
    source.backup(target)
    source.close()
    target.close()
    return f"sqlite:///{path}"


def course(name: str, *values: float) -> list[MetricPoint]:
    return [MetricPoint(name, value, step, NOW + timedelta(seconds=step)) for step, value in enumerate(values)]


def test_a_run_is_laid_out_as_its_users_expect(uri: str, tmp_path: Path) -> None:
    (tmp_path / "stored").write_text("<svg/>")
    run = tracked(
        3, dataset=digest_bytes(b"data"), signature_json=SIGNATURE, tags={"stage": "draft"}, warnings=("careful",),
        input_example_json='{"columns": ["age"], "data": [[41.0]]}', not_finite={"gain": "inf"},
    )  # fmt: skip
    points = [*course("loss", 0.9, 0.5, math.nan, 0.2), *course("system/process_memory_usage_megabytes", 100.0)]
    link = MlflowTracker(uri).mirror(run, points, {"plots/loss.svg": tmp_path / "stored"}, metrics={"test_auc": 0.7})

    client = MlflowClient(uri, uri)
    seen = client.get_run(link)
    assert client.get_experiment(seen.info.experiment_id).name == "churn"
    assert (seen.info.run_name, seen.info.status) == ("run 3", "FINISHED")
    assert (seen.info.start_time, seen.info.end_time - seen.info.start_time) == (1772366580000, 2500)
    assert seen.data.params == {"depth": "3", "penalty": "None", "scale": "True", "name": "it's"}
    history = client.get_metric_history(link, "loss")
    assert [(each.step, str(each.value)) for each in history] == [(0, "0.9"), (1, "0.5"), (2, "nan"), (3, "0.2")]
    assert seen.data.metrics["test_auc"] == 0.7
    assert seen.data.metrics["system/process_memory_usage_megabytes"] == 100.0
    tags = seen.data.tags
    assert (tags["mlflow.user"], tags["mlflow.source.name"], tags["mlflow.source.type"]) == (
        "user:ana", "train.py", "LOCAL"
    )  # fmt: skip
    assert (tags["mlflow.source.git.commit"], tags["keelway.commit"]) == ("c0ffee", "c0ffee+dirty")
    assert (tags["keelway.seed"], tags["stage"], tags["keelway.warnings"]) == ("3", "draft", "careful")
    assert (tags["keelway.not_finite"], tags["keelway.diff"]) == ("gain=inf", digest_bytes(b"diff"))
    (data,) = seen.inputs.dataset_inputs
    assert data.dataset.digest == digest_bytes(b"data")[7:43]
    assert json.loads(data.dataset.schema)["mlflow_colspec"][0]["name"] == "age"
    assert {each.path for each in client.list_artifacts(link)} == {"model", "plots"}
    assert {each.path for each in client.list_artifacts(link, "model")} == {
        "model/MLmodel", "model/input_example.json", "model/requirements.txt"
    }  # fmt: skip
    assert Path(client.download_artifacts(link, "plots/loss.svg")).read_text() == "<svg/>"
    assert Path(client.download_artifacts(link, "model/requirements.txt")).read_text() == "numpy==2.4\n"


def test_mlflow_reads_the_signature_it_did_not_infer(uri: str) -> None:
    link = MlflowTracker(uri).mirror(tracked(1, signature_json=SIGNATURE), [], {}, metrics={})
    told = json.loads(Path(MlflowClient(uri, uri).download_artifacts(link, "model/MLmodel")).read_text())
    assert json.loads(told["signature"]["inputs"])[0] == {"name": "age", "type": "double", "required": True}


def test_a_file_of_the_run_is_neither_replaced_nor_written_into(uri: str, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("mine")
    link = MlflowTracker(uri).mirror(tracked(1, signature_json=SIGNATURE), [], {"model/MLmodel": kept}, metrics={})
    assert Path(MlflowClient(uri, uri).download_artifacts(link, "model/MLmodel")).read_text() == "mine"
    assert kept.read_text() == "mine"


def test_a_run_is_shown_once(uri: str) -> None:
    tracker, run = MlflowTracker(uri), tracked(1)
    first = tracker.mirror(run, course("loss", 1, 2), {}, metrics={})
    assert MlflowTracker(uri).mirror(run, course("loss", 1, 2), {}, metrics={}) == first
    assert len(MlflowClient(uri, uri).search_runs(["1"])) == 1


def test_a_mirror_that_was_cut_short_is_completed(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import keelway.engines.mlflow.mirror as module

    def cut(*_: object, **__: object) -> None:
        raise OSError("the disk is full")

    run = tracked(1, tags={f"t{number}": str(number) for number in range(150)})
    with monkeypatch.context() as patch:
        patch.setattr(module, "log_files", cut)
        with pytest.raises(EngineError, match="the disk is full"):
            MlflowTracker(uri).mirror(run, course("loss", 1, 2), {}, metrics={})
    client = MlflowClient(uri, uri)
    (part,) = client.search_runs(["1"])
    assert part.data.tags["keelway.mirror"] == "part"

    link = MlflowTracker(uri).mirror(run, course("loss", 1, 2), {}, metrics={})
    (whole,) = client.search_runs(["1"])
    assert (whole.info.run_id, whole.info.status, whole.data.tags["keelway.mirror"]) == (link, "FINISHED", "whole")
    assert len(client.get_metric_history(link, "loss")) == 2
    assert whole.data.tags["t149"] == "149"


@pytest.mark.parametrize("parent_first", [True, False])
def test_a_run_stands_under_the_one_it_belongs_to(uri: str, parent_first: bool) -> None:
    parent, child = tracked(1), tracked(2, parent=tracked(1).run_id)
    tracker = MlflowTracker(uri)
    links = {
        run.run_id: tracker.mirror(run, [], {}, metrics={})
        for run in ((parent, child) if parent_first else (child, parent))
    }
    seen = MlflowClient(uri, uri).get_run(links[child.run_id])
    assert seen.data.tags["mlflow.parentRunId"] == links[parent.run_id]


@pytest.mark.parametrize(("status", "shown"), [("failed", "FAILED"), ("interrupted", "KILLED")])
def test_how_a_run_ended_is_shown(uri: str, status: str, shown: str) -> None:
    link = MlflowTracker(uri).mirror(tracked(1, status=status, error="boom"), [], {}, metrics={})
    seen = MlflowClient(uri, uri).get_run(link)
    assert (seen.info.status, seen.data.tags["keelway.error"]) == (shown, "boom")


def test_names_that_mlflow_refuses_are_shown_under_others(uri: str) -> None:
    run = tracked(1, parameters={"a b@c": 1, "../x": "y" * 9000})
    link = MlflowTracker(uri).mirror(run, course("precision@5", 1), {}, metrics={"évalué?": 1.0})
    seen = MlflowClient(uri, uri).get_run(link)
    assert seen.data.metrics["precision_5"] == 1.0
    assert set(seen.data.params) == {"a b_c", "__/x"}


def test_a_long_course_is_thinned_and_says_how_long_it_was(uri: str) -> None:
    run = tracked(1, points=5000)
    link = MlflowTracker(uri).mirror(run, course("loss", *map(float, range(5000))), {}, metrics={})
    client = MlflowClient(uri, uri)
    history = client.get_metric_history(link, "loss")
    assert (len(history), history[0].value, history[-1].value) == (2000, 0.0, 4999.0)
    assert client.get_run(link).data.tags["keelway.points"] == "5000"


@given(st.text(max_size=300))
def test_every_name_becomes_one_that_mlflow_takes(name: str) -> None:
    shown = plain_name(name)
    _validate_metric_name(shown)
    _validate_param_name(shown)


@given(st.lists(st.integers(), max_size=5000))
def test_thinning_keeps_the_order_and_both_ends(values: list[int]) -> None:
    kept = list(thinned(values))
    places = iter(values)
    assert all(any(value == other for other in places) for value in kept)
    assert (kept[:1], kept[-1:]) == (values[:1], values[-1:])


def test_the_store_is_set_to_write_ahead(tmp_path: Path) -> None:
    MlflowTracker(f"sqlite:///{tmp_path / 'new.db'}").alias_of("churn", "prod")
    connection = sqlite3.connect(tmp_path / "new.db")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
