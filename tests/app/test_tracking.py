"""`keelway.run` anywhere: in a project, without one, inside another run, and while the tracker is down."""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

import keelway
from keelway.app.runs import RunRoom, small_is_good
from keelway.app.settings import EngineSettings
from keelway.app.tracking import finish_mirroring, sync, workspace_for
from keelway.app.wire import Workspace
from keelway.core import SimulatedClock
from keelway.errors import EngineError, IdentityError, MissingRecordError, UsageError

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TOML = """
[project]
name = "churn"
module = "churn.project"
actor = "user:ana"
[signing]
name = "churn"
[engines]
tracking = ""
[principals."user:ana"]
roles = ["data-scientist"]
[principals."sp:ci"]
roles = ["data-scientist"]
token_sha256 = "%s"
"""


@pytest.fixture(autouse=True)
def nobody_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("KEELWAY_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "churn"
    (root / "src" / "churn").mkdir(parents=True)
    (root / "src" / "churn" / "project.py").write_text("x = 1\n")
    (root / "requirements.txt").write_text("numpy==2\n")
    (root / "keelway.toml").write_text(TOML % ("0" * 64))
    return root


def room(folder: Path) -> RunRoom:
    return RunRoom(workspace_for(folder))


def test_a_run_in_a_project_is_the_projects(project: Path) -> None:
    with keelway.run("baseline", folder=project / "src", parameters={"depth": 3}, model="churn", seed=5) as run:
        run.log("auc", 0.8)
    (entry,) = room(project).list()
    assert (entry.name, entry.model, entry.principal, entry.seed) == ("baseline", "churn", "user:ana", 5)
    assert (entry.parameters, entry.metrics["auc"], entry.status) == ({"depth": 3}, 0.8, "succeeded")
    record = run.close()
    assert record.experiment == "churn"
    assert record.code.lock_digest.startswith("sha256:")
    assert record.code.project_digest == Workspace.open(project, clock=SimulatedClock(NOW)).code.project_digest
    assert record.machine.cpus >= 1
    assert record.machine.libraries["scikit-learn"]
    assert any(line.startswith("numpy==") for line in record.requirements)
    assert "system/process_memory_usage_megabytes" in record.metrics


def test_time_seed_and_actor_are_arguments(project: Path) -> None:
    clock = SimulatedClock(NOW)
    with (
        keelway.run("outer", folder=project, clock=clock, seed=11) as outer,
        keelway.run("inner", folder=project) as inner,
    ):
        inner.log("auc", 1)
    assert (outer.close().started_at, outer.close().ended_at) == (NOW, NOW)
    assert (inner.seed, inner.close().parent) == (11, outer.id)
    with pytest.raises(IdentityError, match="has to show a token"):
        keelway.run("baseline", folder=project, actor="sp:ci")
    with pytest.raises(IdentityError, match="Unknown principal"):
        keelway.run("baseline", folder=project, actor="user:eve")


def test_the_project_may_be_named_by_the_environment(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEELWAY_PROJECT", str(project))
    keelway.run("baseline").close()
    assert [entry.name for entry in room(project).list()] == ["baseline"]


def test_a_folder_without_a_project_keeps_its_own_runs(tmp_path: Path) -> None:
    folder = tmp_path / "99 Notebooks!"
    folder.mkdir()
    script = folder / "train.py"
    script.write_text("import keelway\nwith keelway.run('scratch') as run:\n    run.log('auc', 0.7)\n")
    subprocess.run([sys.executable, script.name, "--fast"], cwd=folder, check=True)
    detail = room(folder).show(room(folder).list()[0].run_id)
    assert detail.entry.principal == f"user:{getpass.getuser()}"
    assert detail.record["script"] == [str(script), "--fast"] or detail.record["script"] == ["train.py", "--fast"]
    assert (folder / ".keelway" / ".gitignore").read_text() == "*\n"
    assert detail.entry.mirror


def test_two_changed_trees_differ_and_are_marked(project: Path) -> None:
    def git(*words: str) -> None:
        who = ["-c", "user.name=Ana", "-c", "user.email=ana@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", "-C", str(project), *who, *words], check=True, capture_output=True)

    from keelway.app import tracking

    git("init", "--quiet")
    (project / ".gitignore").write_text(".keelway\n")
    git("add", ".")
    git("commit", "--quiet", "-m", "first")
    seen = []
    for text in ("x = 1\n", "x = 2\n", "x = 3\n"):
        (project / "src" / "churn" / "project.py").write_text(text)
        tracking._seen.clear()
        seen.append(keelway.run("baseline", folder=project).close())
    clean, first, second = (each.code for each in seen)
    assert (clean.diff_digest, clean.commit.endswith("+dirty")) == ("", False)
    assert first.commit == second.commit == f"{clean.commit}+dirty"
    assert len({clean.diff_digest, first.diff_digest, second.diff_digest}) == 3
    assert [entry.dirty for entry in room(project).list()] == [True, True, False]
    assert len(room(project).list(where="dirty = true")) == 2


def test_runs_wait_while_the_tracker_is_down_and_are_shown_once_it_is_back(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    toml = project / "keelway.toml"
    toml.write_text(toml.read_text().replace('tracking = ""', f'tracking = "{EngineSettings().tracking}"'))
    broken = project / ".keelway" / "mlflow.db"
    broken.parent.mkdir()
    broken.write_bytes(b"this is no database" * 100)
    with keelway.run("baseline", folder=project) as run:
        run.log("auc", 0.8, step=3)
    at = workspace_for(project)
    finish_mirroring(at)
    assert "keelway runs sync" in caplog.text
    assert (run.close().status, RunRoom(at).list()[0].mirror) == ("succeeded", "")
    with pytest.raises(EngineError, match="not a database"):
        RunRoom(at).sync()

    broken.unlink()
    assert RunRoom(workspace_for(project)).sync().mirrored == 1
    assert sync(workspace_for(project)) == []
    (entry,) = RunRoom(at).list()
    client = MlflowClient(f"sqlite:///{broken}", f"sqlite:///{broken}")
    (shown,) = client.search_runs([client.get_experiment_by_name("churn").experiment_id])
    assert (shown.info.run_id, shown.info.run_name) == (entry.mirror, "baseline")
    assert [(each.step, each.value) for each in client.get_metric_history(entry.mirror, "auc")] == [(3, 0.8)]


def test_two_runs_are_compared_and_what_differs_is_marked(project: Path) -> None:
    for depth, auc in ((3, 0.8), (4, 0.9)):
        with keelway.run(f"depth {depth}", folder=project, parameters={"depth": depth, "scale": True}) as run:
            run.log({"auc": auc, "rows": 10})
    runs = room(project)
    second, first = (entry.run_id for entry in runs.list())
    compared = runs.compare([first, second])
    assert {line.name: (line.values, line.same) for line in compared.parameters} == {
        "depth": ((3, 4), False), "scale": ((True, True), True)
    }  # fmt: skip
    figures = {line.name: (line.values, line.same) for line in compared.metrics}
    assert (figures["auc"], figures["rows"]) == (((0.8, 0.9), False), ((10.0, 10.0), True))
    assert {line.name: line.same for line in compared.facts}["environment"]
    with pytest.raises(UsageError, match="nothing to compare"):
        runs.compare([first])


def test_runs_are_ranked_by_a_figure_in_the_direction_its_name_tells(project: Path) -> None:
    for number in range(3):
        with keelway.run(f"run {number}", folder=project) as run:
            run.log({"auc": number, "log_loss": number})
    names = lambda **asked: [entry.name for entry in room(project).list(**asked)]
    assert names(metric="auc", limit=2) == ["run 2", "run 1"]
    assert names(metric="log_loss", limit=1) == ["run 0"]
    assert names(metric="auc", lowest=True, limit=1) == ["run 0"]
    assert names(where="auc >= 1 and name != 'run 2'") == ["run 1"]


@pytest.mark.parametrize(
    ("metric", "small"),
    [("roc_auc", False), ("test_log_loss", True), ("evaluate:a.brier", True), ("accuracy", False), ("rmse", True)],
)
def test_the_name_of_a_figure_says_what_is_better(metric: str, small: bool) -> None:
    assert small_is_good(metric) is small


def test_an_id_that_is_not_there_or_not_enough_is_told(project: Path) -> None:
    runs = room(project)
    with pytest.raises(MissingRecordError, match="no such run"):
        runs.show("nothing")
    made = [keelway.run("a", folder=project).close().run_id for _ in range(2)]
    common = made[0][: next(place for place in range(32) if made[0][place] != made[1][place])]
    with pytest.raises(UsageError, match="Several runs"):
        runs.show(common)
    assert runs.show(made[0][: len(common) + 1]).entry.run_id == made[0]


def test_a_script_cannot_be_rebuilt_from_records_and_that_is_said(project: Path) -> None:
    run = keelway.run("a", folder=project).close()
    with pytest.raises(UsageError, match="cannot be rebuilt") as told:
        room(project).reproduce(run.run_id)
    assert "keelway runs compare" in told.value.fix


def test_many_runs_in_a_row_are_all_mirrored_by_few_threads(project: Path) -> None:
    pytest.importorskip("mlflow")
    toml = project / "keelway.toml"
    toml.write_text(toml.read_text().replace('tracking = ""', f'tracking = "{EngineSettings().tracking}"'))
    before = threading.active_count()
    for number in range(12):
        keelway.run(f"run {number}", folder=project, parameters={"depth": number}).close()
        mirrors = [thread for thread in threading.enumerate() if thread.name == "keelway-mirror"]
        assert len(mirrors) <= 1
    at = workspace_for(project)
    finish_mirroring(at)
    entries = RunRoom(at).list()
    assert len({entry.mirror for entry in entries}) == 12
    assert all(entry.mirror for entry in entries)
    assert threading.active_count() <= before + 2  # flushing threads of runs that were closed end within a second


def test_a_process_that_is_killed_before_it_mirrors_leaves_that_to_a_sync(project: Path) -> None:
    pytest.importorskip("mlflow")
    toml = project / "keelway.toml"
    toml.write_text(toml.read_text().replace('tracking = ""', f'tracking = "{EngineSettings().tracking}"'))
    code = "import os, keelway\nwith keelway.run('short') as run:\n    run.log('auc', 1)\nos._exit(9)\n"
    assert subprocess.run([sys.executable, "-c", code], cwd=project, check=False).returncode == 9
    assert [entry.status for entry in room(project).list()] == ["succeeded"]
    assert room(project).sync().mirrored == 1
    assert room(project).list()[0].mirror
