"""A search on the command line: declared, run, carried on, looked at, and trained with."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from keelway.app import App
from keelway.core import digest_of
from keelway.register import ModelVersion
from keelway.train import TrainedModel
from keelway.train.tuning import Tuning

PROJECT = "src/churn/project.py"
SPACE = 'space={"C": Range(0.001, 10, log=True)}'


@pytest.fixture(scope="module")
def searching(small_project: Path, tmp_path_factory: pytest.TempPathFactory, desk_of: Callable[[Path], Any]) -> Any:
    """The small project with a search of four trials for its logistic regression, searched once."""
    import shutil

    root = tmp_path_factory.mktemp("searching") / "churn"
    shutil.copytree(small_project, root, ignore=shutil.ignore_patterns("state.db*", "mlflow.db*"))
    desk = desk_of(root)
    desk.edit(PROJECT, '{"C": 1.0, "max_iter": 1000})', f'{{"C": 1.0, "max_iter": 1000}}, {SPACE})')
    desk.edit(
        PROJECT, '    trivial_rule="recency_d",\n', '    trivial_rule="recency_d",\n    search=Search(trials=4),\n'
    )
    desk.edit(PROJECT, "    Project,\n", "    Project,\n    Range,\n    Search,\n")
    desk.found = desk("tune", "churn")
    return desk


@pytest.fixture
def app(searching: Any) -> Iterator[App]:
    with closing(App.open(searching.root)) as opened:
        yield opened


@pytest.mark.journey
class TestTune:
    def test_it_answers_with_the_best_parameters(self, searching: Any) -> None:
        [tuning] = searching.found
        assert (tuning["estimator"], tuning["metric"], tuning["trials"]) == ("logistic", "log_loss", 4)
        assert 0.001 <= tuning["parameters"]["C"] <= 10
        assert tuning["ended"] == "trials"

    def test_a_finished_search_is_not_done_again(self, searching: Any) -> None:
        assert searching("tune", "churn") == searching.found

    def test_more_trials_carry_on_with_the_same_study_and_people_see_how_far_it_is(self, searching: Any) -> None:
        told = searching.call("tune", "churn", "--trials", "6", "--estimator", "logistic", json_wanted=False)
        assert told.exit_code == 0
        assert "logistic: trial 4, 5 of at most 6: log_loss" in told.stderr
        assert "trial 3," not in told.stderr
        assert searching.found[0]["study"] in told.stdout

    def test_show_ranks_the_trials_and_writes_the_plots(self, searching: Any, tmp_path: Path) -> None:
        shown = searching("tune", "show", "churn", "--svg", str(tmp_path / "plots"))
        [view] = shown["searches"]
        assert view["study"] == searching.found[0]["study"]
        assert len(view["trials"]) >= 4
        assert view["importances"] == {"C": 1.0}
        assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == [
            "churn-logistic-history.svg",
            "churn-logistic-importance.svg",
            "churn-logistic-slice-C.svg",
        ]
        text = searching.call("tune", "show", "churn", json_wanted=False).stdout
        assert "importance: C 1.000" in text
        assert "ended by trials" in text

    def test_each_trial_is_among_the_runs(self, searching: Any) -> None:
        runs = searching("runs", "--kind", "trial", "--metric", "log_loss", "--top", "50")
        assert len(runs) >= 4
        assert min(run["metrics"]["log_loss"] for run in runs[:1]) <= searching.found[0]["value"]

    def test_the_run_trains_with_what_was_found_and_can_be_reproduced(self, searching: Any, app: App) -> None:
        answer = searching("run", "churn")
        assert "tune:logistic" in answer["run"]["steps"]
        [tuning] = searching.found
        logistic = next(each for each in answer["candidates"] if each["estimator"] == "logistic")
        assert (logistic["trials"], logistic["tuned"]) == (tuning["trials"], tuning["value"])
        assert logistic["parameters"] == tuning["parameters"]
        shown = searching.call("run", "churn", json_wanted=False).stdout
        assert f"best of {tuning['trials']} trials ({tuning['value']:.4f} over the folds)" in shown
        with app.workspace.state.snapshot() as tx:
            [version] = tx.newest(ModelVersion, parent="churn")
            trained = next(each for each in tx.newest(TrainedModel, parent="churn") if each.estimator == "logistic")
            found = tx.by_digest(Tuning, trained.studies[tuning["study"]])
        assert trained.parameters["C"] == found.parameters["C"] == tuning["parameters"]["C"]
        assert digest_of(found) == trained.studies[tuning["study"]]
        assert version.model == "churn"
        reproduced = searching("reproduce", answer["run"]["run_id"])
        assert reproduced["alike"] == "bit-equal"

    def test_a_model_without_a_search_is_told(self, searching: Any) -> None:
        told = searching.refused("tune", "churn", "--estimator", "boosting")
        assert "boosting" in told["found"]
        assert "Search" in told["fix"]

    def test_a_wrong_timeout_is_told(self, searching: Any) -> None:
        assert "duration" in searching.refused("tune", "churn", "--timeout", "0m")["expected"]

    def test_nothing_searched_yet_is_told(self, searching: Any) -> None:
        told = searching.refused("tune", "show", "churn", "--estimator", "boosting")
        assert told["fix"] == "Run: keelway tune churn"

    @pytest.mark.crash
    def test_an_interrupt_is_obeyed_at_once_and_the_search_is_carried_on(self, searching: Any) -> None:
        command = [word for word in searching.command("tune", "churn", "--trials", "100000") if word != "--json"]
        heeding = ["env", "--default-signal=INT"]  # a job in a shell's background would ignore interrupts
        process = subprocess.Popen([*heeding, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        line = next(line for line in process.stderr if "of at most 100000" in line)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "the same command carries on" in told
        tried = int(line.split("trial ")[1].split(",")[0])
        followed = searching.call("tune", "churn", "--trials", str(tried + 3), json_wanted=False)
        assert followed.exit_code == 0
        assert f"trial {tried}," not in followed.stderr
