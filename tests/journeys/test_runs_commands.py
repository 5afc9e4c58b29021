"""A data scientist looks at runs on the command line, and trains one again."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

import keelway
from keelway.surfaces.cli.main import main

if TYPE_CHECKING:
    from conftest import Desk

pytestmark = pytest.mark.journey
pytest.importorskip("mlflow.tracking")  # first imported in the thread that mirrors, its warnings would be errors


@pytest.fixture
def scripted(tmp_path: Path) -> Path:
    """A folder without a project, with two runs of a script in it."""
    for depth, auc in ((3, 0.81), (4, 0.84)):
        with keelway.run(f"depth {depth}", folder=tmp_path, parameters={"depth": depth}) as run:
            run.log({"auc": auc, "log_loss": 1 - auc})
            run.artifact(b"<svg/>", name="plot.svg")
    return tmp_path


def answer(folder: Path, *words: str) -> Any:
    told = CliRunner().invoke(main, [*words, "--project", str(folder), "--json"])
    assert told.exit_code == 0, told.stderr
    return json.loads(told.stdout)


def shown(folder: Path, *words: str) -> str:
    told = CliRunner().invoke(main, [*words, "--project", str(folder)])
    assert told.exit_code == 0, told.stderr
    return told.stdout


def test_runs_of_a_script_are_listed_ranked_and_compared(scripted: Path) -> None:
    second, first = answer(scripted, "runs")
    assert (first["name"], first["metrics"]["auc"]) == ("depth 3", 0.81)
    assert [run["name"] for run in answer(scripted, "runs", "--metric", "log_loss", "--top", "1")] == ["depth 4"]
    assert [run["name"] for run in answer(scripted, "runs", "--where", "auc < 0.82 and depth = 3")] == ["depth 3"]
    assert answer(scripted, "runs", "--since", "2100-01-01") == []
    assert "auc=0.84" in shown(scripted, "runs", "--metric", "auc")
    told = shown(scripted, "runs", "show", first["run_id"])
    assert all(word in told for word in ("depth 3", "plot.svg", "environment", "auc"))
    compared = answer(scripted, "runs", "compare", first["run_id"], second["run_id"])
    assert {"name": "depth", "same": False, "values": [3, 4]} in compared["parameters"]
    (line,) = [
        row
        for row in shown(scripted, "runs", "compare", first["run_id"], second["run_id"]).splitlines()
        if row.startswith("depth")
    ]
    assert line.split() == ["depth", "3", "4", "*"]


def test_a_wrong_condition_says_where_and_how(scripted: Path) -> None:
    told = CliRunner().invoke(main, ["runs", "--where", "auc >", "--project", str(scripted), "--json"])
    assert told.exit_code == 2
    assert json.loads(told.stderr)["what"] == "The condition cannot be read at character 6"


def test_a_folder_that_holds_no_runs_is_no_project_and_stays_clean(tmp_path: Path) -> None:
    told = CliRunner().invoke(main, ["runs", "--project", str(tmp_path)])
    assert told.exit_code == 2
    assert "There is no project here" in told.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_trainings_of_a_plan_are_ranked_and_come_out_bit_equal(trained: Desk) -> None:
    (plan,) = trained("runs")
    assert (plan["kind"], plan["name"], plan["status"], plan["model"]) == ("plan", "train:churn", "succeeded", "churn")
    best, *others = trained("runs", "--metric", "roc_auc", "--top", "10")
    assert best["kind"] == "training"
    assert all(best["metrics"]["roc_auc"] >= other["metrics"]["roc_auc"] for other in others)
    assert trained("runs", "--where", f"estimator = '{best['estimator']}' and kind = 'training'") == [best]

    before = trained.standing()
    again = trained("reproduce", plan["run_id"])
    assert again["alike"] == "bit-equal"
    assert {each["estimator"] for each in again["trainings"]} == {each["estimator"] for each in [best, *others]}
    for training in again["trainings"]:
        assert (training["first_difference"], training["largest"]) == ("", 0.0)
        assert [check["stage"] for check in training["stages"]] == [
            "snapshot", "code", "environment", "seed", "features", "pipeline", "metrics"
        ]  # fmt: skip
    assert trained.standing() == before
    assert "bit-equal" in trained.call("reproduce", best["run_id"][:16], json_wanted=False).stdout


def test_what_came_out_differently_is_named_with_where_it_parted(
    trained: Desk, desk_at: Callable[[Path], Desk]
) -> None:
    (plan,) = trained("runs")
    trained.edit("src/churn/project.py", '"max_iter": 20', '"max_iter": 3')
    told = desk_at(trained.root).call("reproduce", plan["run_id"])
    assert told.exit_code == 1
    answer = json.loads(told.stdout)
    assert answer["alike"] == "different"
    (changed,) = [each for each in answer["trainings"] if each["alike"] != "bit-equal"]
    assert changed["first_difference"] == "code"
    assert changed["largest"] > 0
    differing = [check["stage"] for check in changed["stages"] if not check["same"]]
    assert differing == ["code", "pipeline", "metrics"]


def test_a_list_shows_first_what_models_are_judged_by(trained: Desk) -> None:
    listed = trained.call("runs", "--kind", "training", json_wanted=False).stdout
    assert re.search(r"roc_auc=\S+ log_loss=", listed)
    asked = trained.call("runs", "--where", "brier < 1", json_wanted=False).stdout
    assert re.search(r"Z  brier=", asked)
    assert trained.call("runs", "--metric", "nothing", json_wanted=False).stdout == "no run has the figure 'nothing'\n"
    assert trained.call("runs", "--where", "brier > 1", json_wanted=False).stdout == "no run is like that\n"
    assert trained.call("runs", "--kind", "plans").exit_code == 2


def test_a_sync_tells_what_it_did(trained: Desk) -> None:
    assert trained("runs", "sync") == {"mirrored": 0, "recorded": 0, "tracker": ""}
    assert "engines.tracking is empty" in trained.call("runs", "sync", json_wanted=False).stdout
