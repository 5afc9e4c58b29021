"""A data scientist works in a notebook, and executes it on the command line as a run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from keelway.app import App
from keelway.core import RunId
from keelway.train.tracking import TrackedRun

nbformat = pytest.importorskip("nbformat", reason="the extra for notebooks is not installed")
pytest.importorskip("nbclient", reason="the extra for notebooks is not installed")

pytestmark = pytest.mark.journey

CELLS = (
    "version = 'churn:1'",
    "%load_ext keelway\nproject",
    "%keelway run churn",
    "project.scorecard(version)",
    "print(len(project.features('churn')), list(project.features('churn').columns)[:2])\nproject.feature_table('churn')",
    "%keelway runs --top 3",
    "assert version == 'churn:1', 'no such version'",
)


@pytest.fixture(scope="module")
def desk(trained_project: Path, tmp_path_factory: pytest.TempPathFactory, desk_of: Callable[[Path], Any]) -> Any:
    root = tmp_path_factory.mktemp("notebook") / "churn"
    shutil.copytree(trained_project, root)
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    cells[0].metadata["tags"] = ["parameters"]
    (root / "notebooks").mkdir()
    nbformat.write(nbformat.v4.new_notebook(cells=cells), root / "notebooks" / "work.ipynb")
    return desk_of(root)


@pytest.fixture(scope="module")
def done(desk: Any) -> Any:
    return desk("notebook", "run", str(desk.root / "notebooks/work.ipynb"), str(desk.root / "out.ipynb"))


def page(desk: Any) -> list[str]:
    """Return what each cell of the executed notebook shows, as HTML."""
    cells = nbformat.read(desk.root / "out.ipynb", as_version=4).cells
    return ["\n".join(out.get("data", {}).get("text/html", "") for out in cell.outputs) for cell in cells]


def test_the_notebook_is_a_run_and_the_training_in_it_its_child(desk: Any, done: Any) -> None:
    assert (done["status"], done["cells"], done["failure"]) == ("succeeded", len(CELLS), None)
    (child,) = done["children"]
    assert desk("runs", "show", child)["entry"]["kind"] == "plan"
    listed = {entry["run_id"]: entry["kind"] for entry in desk("runs")}
    assert listed[done["run_id"]] == "notebook"


def test_what_was_made_is_shown_in_the_page(desk: Any, done: Any) -> None:
    _, project, run, scorecard, table, runs, _ = page(desk)
    assert "<dt>models</dt><dd>churn</dd>" in project
    assert "cached" in run
    assert "roc_auc" in scorecard
    assert "recency_d" in table
    assert done["children"][0] in runs


def test_a_parameter_changes_what_happens_and_a_failure_is_told_with_its_place(desk: Any, tmp_path: Path) -> None:
    cells = [nbformat.v4.new_code_cell(source) for source in ("wanted = 1", "x = 1\nassert wanted == 1, wanted")]
    cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "a.ipynb")
    told = desk.call("notebook", "run", str(tmp_path / "a.ipynb"), "-r", "wanted", "1", json_wanted=False)
    assert told.exit_code == 1
    assert "cell 3, line 2: AssertionError: 1" in told.stderr
    assert "assert wanted == 1, wanted" in told.stderr
    assert "3 of 3 cells" in told.stdout


def test_the_record_names_the_moment_and_the_principal(desk: Any, done: Any) -> None:
    with closing(App.open(desk.root)) as app, app.workspace.state.snapshot() as tx:
        run = tx.get(TrackedRun, RunId(done["run_id"]))
    assert (run.principal, run.parameters) == ("user:ana", {"version": "churn:1"})


def test_lint_says_what_is_wrong_and_strips(desk: Any) -> None:
    out = str(desk.root / "out.ipynb")
    assert desk("notebook", "lint", out, "--no-execute")["findings"] == []
    document = json.loads(Path(out).read_text("utf8"))
    document["cells"][1]["source"] = ["password = 'hunter22-hunter22'"]
    Path(out).write_text(json.dumps(document), "utf8")
    told = desk.call("notebook", "lint", out, "--no-execute", "--strip", json_wanted=False)
    assert told.exit_code == 1
    assert "stripped out.ipynb" in told.stdout
    assert "hunter22" not in told.stdout
    assert "1 notebook, 1 finding" in told.stdout
