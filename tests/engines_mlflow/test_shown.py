"""What `mlflow ui` shows of trainings, searches and notebooks: read back through MLflow's own client."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from keelway.core import RunId, RunQuery, digest_bytes, digest_file
from keelway.engines.mlflow import MlflowTracker
from keelway.flow import Plan, run_plan
from keelway.testing.flow import note_step, step_context
from keelway.testing.run_index import NOW, tracked
from keelway.testing.training import CODE, TrainingWorld
from keelway.train import signature_text
from keelway.train.tracking import mirror_waiting
from keelway.train.tuning import TrialOrigin, TuningTrial, record_trials, trial_run_id

mlflow = pytest.importorskip("mlflow")

from mlflow.tracking import MlflowClient  # noqa: E402

MODEL_FILES = {"model/MLmodel", "model/input_example.json", "model/requirements.txt"}


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"


@pytest.fixture(scope="module")
def client(uri: str) -> MlflowClient:
    MlflowTracker(uri).alias_of("churn", "prod")
    return MlflowClient(uri, uri)


def test_a_training_is_shown_with_everything_its_users_expect(uri: str, client: MlflowClient, tmp_path: Path) -> None:
    world = TrainingWorld(tmp_path, tracker=MlflowTracker(uri))
    trained = world.fit(code=replace(CODE, commit="c0ffee+dirty", diff_digest=digest_bytes(b"diff")))

    link = world.shown(trained)
    seen = client.get_run(link)
    assert seen.data.params["estimator"] == trained.factory
    assert seen.data.metrics["train_rows"] == trained.train_rows
    assert seen.data.metrics["system/process_memory_usage_megabytes"] > 1
    assert "system/process_cpu_utilization_percentage" in seen.data.metrics
    assert seen.info.end_time >= seen.info.start_time
    tags = seen.data.tags
    assert (tags["keelway.kind"], tags["keelway.seed"], tags["keelway.model"]) == ("training", "7", trained.model)
    assert (tags["mlflow.source.git.commit"], tags["keelway.commit"]) == ("c0ffee", "c0ffee+dirty")
    assert "scikit-learn" in json.loads(tags["keelway.libraries"])
    (data,) = seen.inputs.dataset_inputs
    assert json.loads(data.dataset.source)["digest"] == trained.feature_table
    listed = {each.path for each in client.list_artifacts(link, "model")}
    assert listed == {*MODEL_FILES, "model/pipeline.skops"}
    kept = Path(client.download_artifacts(link, "model/pipeline.skops"))
    assert digest_file(kept) == trained.pipeline
    example = json.loads(Path(client.download_artifacts(link, "model/input_example.json")).read_text())
    assert example["columns"] == [each.name for each in trained.features]


def test_trials_stand_under_the_search_that_made_them(uri: str, client: MlflowClient, tmp_path: Path) -> None:
    world = TrainingWorld(tmp_path)
    context = step_context(tmp_path, state=world.state)
    search = run_plan(Plan("tune:churn", (note_step("a"),)), context=replace(context, parent="a-notebook"))
    features = world.table.features
    origin = TrialOrigin(
        study="s", model="churn", estimator="lr", metric="log_loss", experiment="shop", parent=search.run_id,
        principal=context.principal, seed=3, code=CODE, dataset=digest_bytes(b"table"),
        signature_json=signature_text(features, "binary"),
        input_example_json=json.dumps({"columns": [each.name for each in features], "data": [[1.0] * len(features)]}),
    )  # fmt: skip
    trials = [
        TuningTrial(number, "complete", {"C": number + 0.5}, 0.5, (0.6, 0.5), NOW, NOW, "") for number in range(2)
    ]
    record_trials(trials, origin, artifacts=world.artifacts, state=world.state)
    links = mirror_waiting(state=world.state, artifacts=world.artifacts, tracker=MlflowTracker(uri), experiment="shop")
    assert len(links) == 3

    with world.state.snapshot() as tx:
        shown = {entry.run_id: entry.mirror for entry in tx.runs.search(RunQuery(limit=10))}
    parent = client.get_run(shown[search.run_id])
    assert (parent.info.run_name, parent.info.status) == ("tune:churn", "FINISHED")
    assert (parent.data.tags["keelway.kind"], parent.data.tags["keelway.parent"]) == ("plan", "a-notebook")
    for number in range(2):
        link = shown[trial_run_id("s", number)]
        trial = client.get_run(link)
        assert trial.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert trial.info.experiment_id == parent.info.experiment_id
        assert trial.data.params == {"C": f"{number + 0.5}"}
        assert [each.value for each in client.get_metric_history(link, "log_loss")] == [0.6, 0.5]
        assert {each.path for each in client.list_artifacts(link, "model")} == MODEL_FILES
        (data,) = trial.inputs.dataset_inputs
        assert json.loads(data.dataset.schema)["mlflow_colspec"][0]["name"] == features[0].name


def test_without_a_name_to_list_them_under_plans_are_not_shown(uri: str, tmp_path: Path) -> None:
    world = TrainingWorld(tmp_path)
    run_plan(Plan("train:churn", (note_step("a"),)), context=step_context(tmp_path, state=world.state))
    assert mirror_waiting(state=world.state, artifacts=world.artifacts, tracker=MlflowTracker(uri)) == []


def test_a_notebook_is_shown_with_its_files_and_the_runs_within(uri: str, client: MlflowClient, tmp_path: Path) -> None:
    (tmp_path / "executed").write_text("{}")
    tracker = MlflowTracker(uri)
    outer = tracked(7, kind="notebook", script=("notebooks/first.ipynb",), run_id=RunId("f" * 32))
    shown = tracker.mirror(outer, [], {"executed.ipynb": tmp_path / "executed"}, metrics={})
    inner = tracker.mirror(tracked(8, parent=outer.run_id), [], {}, metrics={})

    tags = client.get_run(shown).data.tags
    assert (tags["mlflow.source.type"], tags["mlflow.source.name"]) == ("NOTEBOOK", "notebooks/first.ipynb")
    assert "executed.ipynb" in {each.path for each in client.list_artifacts(shown)}
    assert client.get_run(inner).data.tags["mlflow.parentRunId"] == shown
