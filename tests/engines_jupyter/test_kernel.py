"""A notebook is executed in a process of its own, and whatever stops it is told with its place."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from keelway.engines.jupyter import CellProgress, Execution, execute
from keelway.engines.jupyter import kernel as module
from keelway.errors import EngineError, MissingExtraError

pytest.importorskip("nbclient", reason="the extra for notebooks is not installed")
pytest.importorskip("ipykernel", reason="the extra for notebooks is not installed")


@pytest.fixture(scope="module")
def failed(notebook: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Execution, list[CellProgress], Path]:
    """A notebook whose fifth cell fails in its third line."""
    folder = tmp_path_factory.mktemp("notebook")
    document = notebook(
        "# Title",
        "import os, sys\nprint(os.getcwd(), os.getpid(), sys.executable, os.environ['GIVEN'], os.environ['IPYTHONDIR'])",
        "raise KeyError('expected here')",
        "def share(of):\n    return 1 / of",
        "\n# a comment\nshare(0)",
        "print('never')",
        tags={2: ["raises-exception"]},
    )
    document.cells[5].update(execution_count=9)
    told: list[CellProgress] = []
    return execute(document, folder=folder, environment={"GIVEN": "a b"}, on_cell=told.append), told, folder


def test_the_place_of_a_failure_is_told_as_the_notebook_counts(failed: Any) -> None:
    execution, _, _ = failed
    assert execution.status == "failed"
    where = execution.failure
    assert (where.cell, where.line, where.kind, where.message) == (5, 3, "ZeroDivisionError", "division by zero")
    assert where.source == "share(0)"


def test_what_came_before_the_failure_is_kept_and_what_comes_after_is_not_executed(failed: Any) -> None:
    execution, _, _ = failed
    assert [cell.execution_count for cell in execution.document.cells[1:]] == [1, 2, 3, 4, None]
    assert [cell.outputs[0].output_type if cell.outputs else "" for cell in execution.document.cells[1:]] == [
        "stream", "error", "", "error", ""
    ]  # fmt: skip
    assert list(execution.seconds) == [2, 3, 4, 5]


def test_it_is_another_process_of_this_python_in_the_given_folder(failed: Any) -> None:
    execution, _, folder = failed
    where, process, python, *given, profile = execution.document.cells[1].outputs[0].text.split()
    assert (where, python, given) == (str(folder), sys.executable, ["a", "b"])
    assert int(process) != os.getpid()
    assert not Path(profile).exists()  # no start-up file of the user, and nothing stays


def test_each_cell_is_told_when_it_begins_and_when_it_ended(failed: Any) -> None:
    _, told, _ = failed
    assert [(each.cell, each.done, each.of, each.seconds is None) for each in told[:4]] == [
        (2, 0, 5, True), (2, 1, 5, False), (3, 1, 5, True), (3, 2, 5, False)
    ]  # fmt: skip
    assert told[-1].source == "# a comment"
    assert len(told) == 8


def test_a_cell_that_takes_too_long_is_stopped(notebook: Any, tmp_path: Path) -> None:
    document = notebook("import time\ntime.sleep(60)")
    execution = execute(document, folder=tmp_path, environment={}, timeout_s=1)
    assert execution.failure is not None
    assert (execution.failure.kind, execution.failure.cell) == ("Timeout", 1)
    assert execution.failure.message == "the cell ran for more than 1 seconds"


def test_a_process_that_dies_is_told(notebook: Any, tmp_path: Path) -> None:
    execution = execute(notebook("import os; os._exit(9)", "x = 1"), folder=tmp_path, environment={})
    assert execution.failure is not None
    assert (execution.status, execution.failure.kind, list(execution.seconds)) == ("failed", "KernelDied", [1])


def test_an_interrupt_between_cells_ends_the_process(notebook: Any, tmp_path: Path) -> None:
    document = notebook("import os; print(os.getpid(), flush=True)", "x = 1")

    def stop(progress: CellProgress) -> None:
        if progress.done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(document, folder=tmp_path, environment={}, on_cell=stop)
    with pytest.raises(ProcessLookupError):
        os.kill(int(document.cells[0].outputs[0].text), 0)


def test_a_process_that_cannot_be_started_is_told_with_its_last_words(
    notebook: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no such module >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    with pytest.raises(EngineError, match="cannot be started") as caught:
        execute(notebook("x = 1"), folder=tmp_path, environment={})
    assert caught.value.found == "no such module"


def test_a_missing_package_is_told_with_what_to_type(
    notebook: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = notebook("x = 1")
    monkeypatch.setitem(sys.modules, "nbclient", None)
    with pytest.raises(MissingExtraError, match=r"keelway\[notebook\]"):
        execute(document, folder=tmp_path, environment={})


def test_a_long_message_is_cut(notebook: Any) -> None:
    (cell,) = notebook("x").cells
    assert len(module._failure(1, cell, "ValueError", "x" * 10_000).message) == module.MOST_MESSAGE
