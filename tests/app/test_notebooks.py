"""A notebook that is executed is a run like any other, and what it makes belongs to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from keelway.app.notebooks import NotebookRoom, NotebookRun, in_words
from keelway.app.runs import RunRoom
from keelway.app.tracking import workspace_for
from keelway.core import RunId, digest_file
from keelway.errors import UsageError
from keelway.train.tracking import TrackedRun

nbformat = pytest.importorskip("nbformat", reason="the extra for notebooks is not installed")
pytest.importorskip("nbclient", reason="the extra for notebooks is not installed")

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
[principals."user:ben"]
roles = ["data-scientist"]
"""


@pytest.fixture(autouse=True, scope="module")
def nobody_is_configured() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("KEELWAY_")]:
            patch.delenv(name)
        yield


def project_in(folder: Path) -> Path:
    root = folder / "churn"
    (root / "src" / "churn").mkdir(parents=True)
    (root / "src" / "churn" / "__init__.py").write_text("HORIZON_D = 90\n")
    (root / "src" / "churn" / "project.py").write_text("x = 1\n")
    (root / "keelway.toml").write_text(TOML)
    return root


def write(path: Path, *sources: str, defaults: int | None = None) -> Path:
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"
    if defaults is not None:
        cells[defaults].metadata["tags"] = ["parameters"]
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def room(root: Path, **who: Any) -> NotebookRoom:
    return NotebookRoom(workspace_for(root, **who))


def record_of(root: Path, run_id: RunId) -> TrackedRun:
    with closing(workspace_for(root)) as at, at.state.snapshot() as tx:
        return tx.get(TrackedRun, run_id)


INNER = """
import keelway, churn
with keelway.run("inner", parameters={"horizon": churn.HORIZON_D}) as run:
    run.log("loss", rate / depth)
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return project_in(tmp_path_factory.mktemp("notebooks"))


@pytest.fixture(scope="module")
def done(root: Path) -> NotebookRun:
    """A notebook with a run in it and a cell that fails, executed once by somebody."""
    source = write(
        root / "notebooks" / "first.ipynb",
        "depth = 1\nrate = 0.5\nwords = [1, 2]",
        INNER,
        "raise ValueError('no customer ana@example.org')",
        "never = 1",
        defaults=0,
    )
    return room(root, actor="user:ben").run(
        source, output=root / "out" / "first.ipynb", parameters={"depth": 2}, seed=11, model="churn"
    )


def test_a_notebook_that_fails_is_an_answer_with_the_place(done: NotebookRun) -> None:
    assert (done.status, done.cells, done.executed) == ("failed", 5, 4)
    assert done.failure is not None
    assert in_words(done.failure) == "cell 4, line 1: ValueError: no customer [e-mail]"


def test_the_run_is_recorded_with_everything_it_was_given(done: NotebookRun, root: Path) -> None:
    run = record_of(root, done.run_id)
    assert (run.kind, run.name, run.model, run.seed, run.principal) == ("notebook", "first", "churn", 11, "user:ben")
    assert run.parameters == done.parameters == {"depth": 2, "rate": 0.5, "words": "[1, 2]"}
    assert (run.status, run.error) == ("failed", "cell 4, line 1: ValueError: no customer [e-mail]")
    assert run.script == ("notebooks/first.ipynb",)
    assert run.metrics["cells"] == 4
    assert run.metrics["cell_seconds"] >= 0
    assert run.code.project_digest == workspace_for(root).code.project_digest
    assert (run.ended_at - run.started_at).total_seconds() >= done.seconds


def test_source_and_result_are_kept_under_their_digests(done: NotebookRun, root: Path) -> None:
    run = record_of(root, done.run_id)
    assert run.artifacts == {"source.ipynb": done.source, "executed.ipynb": done.result}
    assert digest_file(root / "notebooks" / "first.ipynb") == done.source
    assert digest_file(root / "out" / "first.ipynb") == done.result
    executed = nbformat.read(root / "out" / "first.ipynb", as_version=4)
    assert [cell.execution_count for cell in executed.cells] == [1, 2, 3, 4, None]
    assert executed.cells[1].source == "# Parameters\ndepth = 2"


def test_what_is_made_in_it_belongs_to_it(done: NotebookRun, root: Path) -> None:
    (child,) = done.children
    inner = record_of(root, child)
    assert (inner.name, inner.parent, inner.seed, inner.principal) == ("inner", done.run_id, 11, "user:ben")
    assert (inner.parameters, inner.metrics["loss"]) == ({"horizon": 90}, 0.25)
    listed = RunRoom(workspace_for(root)).list(where=f"parent = '{done.run_id}'")
    assert [entry.run_id for entry in listed] == [child]


def test_the_list_of_runs_shows_notebooks(done: NotebookRun, root: Path) -> None:
    listed = RunRoom(workspace_for(root)).list()
    assert {"notebook", "script"} == {entry.kind for entry in listed}
    assert [e.name for e in RunRoom(workspace_for(root)).list(kinds=["notebook"])] == ["first"]


def test_a_notebook_is_not_written_over_and_parameters_are_checked_before_anything_runs(root: Path) -> None:
    source = write(root / "notebooks" / "other.ipynb", "depth = 1", defaults=0)
    runs = len(RunRoom(workspace_for(root)).list())
    with pytest.raises(UsageError, match="not written over"):
        room(root).run(source, output=source)
    with pytest.raises(UsageError, match="no such parameter"):
        room(root).run(source, parameters={"dept": 1})
    assert len(RunRoom(workspace_for(root)).list()) == runs
    source.unlink()


def test_without_a_project_the_folder_keeps_the_run(tmp_path: Path) -> None:
    source = write(tmp_path / "a.ipynb", "x = 1")
    done = room(tmp_path, actor="user:ana").run(source)
    run = record_of(tmp_path, done.run_id)
    assert (done.status, done.output, run.status, run.error) == ("succeeded", "", "succeeded", "")
    assert run.code.project_digest == digest_file(source)


def test_an_interrupt_reaches_the_notebook_and_what_was_done_is_kept(tmp_path: Path) -> None:
    root = project_in(tmp_path)
    waiting = "import keelway, pathlib, time\nwith keelway.run('inner'):\n    pathlib.Path('begun').touch()\n    time.sleep(120)"
    source = write(root / "long.ipynb", "print('before')", waiting)
    heeding = ["env", "--default-signal=INT"]  # a job in a shell's background would ignore interrupts
    command = [*heeding, sys.executable, "-m", "keelway", "notebook", "run", str(source), str(root / "out.ipynb")]
    process = subprocess.Popen(
        [*command, "--project", str(root)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    deadline = time.monotonic() + 60
    while not (root / "begun").exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    told = process.communicate(timeout=60)[0].decode()
    assert process.returncode == 130, told

    kinds = {entry.kind: entry for entry in RunRoom(workspace_for(root)).list()}
    assert (kinds["notebook"].status, kinds["script"].status) == ("interrupted", "interrupted")
    assert kinds["script"].parent == kinds["notebook"].run_id
    kept = nbformat.read(root / "out.ipynb", as_version=4)
    assert kept.cells[0].outputs[0].text == "before\n"


@pytest.fixture(scope="module")
def linted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = project_in(tmp_path_factory.mktemp("linted"))
    write(root / "a" / "good.ipynb", "import churn\nassert churn.HORIZON_D == 90")
    write(root / "a" / "order.ipynb", "print(later)", "later = 1")
    write(root / "b" / "syntax.ipynb", "x = = 1")
    (root / "b" / "broken.ipynb").write_text("{")
    write(root / ".ipynb_checkpoints" / "good-checkpoint.ipynb", "x = = 1")
    write(root / "build" / "old.ipynb", "x = = 1")
    return root


class TestLint:
    def test_notebooks_are_found_and_executed_from_top_to_bottom(self, linted: Path) -> None:
        report = room(linted).lint()
        assert report.notebooks == ("a/good.ipynb", "a/order.ipynb", "b/broken.ipynb", "b/syntax.ipynb")
        found = [(each.notebook, each.cell, each.line, each.rule) for each in report.findings]
        assert found == [
            ("a/order.ipynb", 1, 1, "execution"),
            ("b/broken.ipynb", 0, 0, "unreadable"),
            ("b/syntax.ipynb", 1, 1, "syntax"),
        ]
        assert report.findings[0].message == "NameError: name 'later' is not defined"
        assert nbformat.read(linted / "a" / "order.ipynb", as_version=4).cells[0].outputs == []

    def test_without_executing_only_what_stands_there_is_judged(self, linted: Path) -> None:
        report = room(linted).lint([linted / "a"], run=False)
        assert (report.executed, report.findings) == (False, ())
        assert [each.rule for each in room(linted).lint([linted / "b" / "syntax.ipynb"], run=False).findings] == [
            "syntax"
        ]

    def test_stripping_takes_outputs_out_of_the_files(self, tmp_path: Path) -> None:
        root = project_in(tmp_path)
        path = write(root / "a.ipynb", "x = 1", "y = 1")
        document = nbformat.read(path, as_version=4)
        document.cells[1].update(
            execution_count=7, outputs=[nbformat.v4.new_output("stream", name="stdout", text="ana@example.org")]
        )
        nbformat.write(document, path)
        assert {each.rule for each in room(root).lint(run=False).findings} == {"order", "person"}
        report = room(root).lint(run=False, strip=True)
        assert (report.stripped, report.findings) == (("a.ipynb",), ())
        assert room(root).lint(run=False, strip=True).stripped == ()

    def test_a_check_of_nothing_does_not_pass(self, tmp_path: Path) -> None:
        root = project_in(tmp_path)
        with pytest.raises(UsageError, match="no notebooks"):
            room(root).lint()
        with pytest.raises(UsageError, match="no such notebook"):
            room(root).lint([root / "a.ipynb"])


def test_what_cannot_be_read_is_told_and_left_as_it_is(root: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.ipynb"
    broken.write_text('{"cells": [')
    report = room(root).lint([broken], run=False, strip=True)
    (finding,) = report.findings
    assert (finding.rule, finding.cell, report.stripped) == ("unreadable", 0, ())
    assert broken.read_text() == '{"cells": ['


def test_a_notebook_is_looked_for_under_folders_but_not_in_hidden_ones(root: Path, tmp_path: Path) -> None:
    for name in ("b.ipynb", "deep/a.ipynb", ".ipynb_checkpoints/a-checkpoint.ipynb", ".hidden/c.ipynb"):
        write(tmp_path / name, "1 + 1")
    told: list[str] = []
    report = room(root, progress=told.append).lint([tmp_path], run=False)
    assert [Path(name).name for name in report.notebooks] == ["b.ipynb", "a.ipynb"]
    assert told == list(report.notebooks)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no notebooks"):
        room(root).lint([tmp_path / "empty"], run=False)
