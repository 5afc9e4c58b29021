"""Notebooks: executing one as a recorded run, and checking that they execute and give nothing away."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from keelway.app.tracking import open_run
from keelway.app.wire import Workspace
from keelway.core import Digest, RunId, RunQuery, RunTest, Scalar, SystemClock, digest_bytes, time_text
from keelway.errors import DataError, UsageError

if TYPE_CHECKING:
    from keelway.engines.jupyter import CellFailure, CellProgress, Execution, NotebookFinding
    from keelway.train.tracking import ActiveRun, TrackedRun

SUFFIX = ".ipynb"
SOURCE = "source.ipynb"
EXECUTED = "executed.ipynb"
"""What a run's artifacts are called: the notebook before and after."""
PASSED_OVER = ("build", "dist", "node_modules", "site-packages", "__pycache__")
"""Folders in which notebooks are not looked for, besides those whose name begins with a dot."""
MOST_CHILDREN = 1000
LONG_S = 1.0
MOST_SOURCE = 70


@dataclass(frozen=True, slots=True)
class NotebookRun:
    """What executing a notebook came to, as it is recorded.

    Attributes:
        source: Digest of the notebook's file as it was.
        result: Digest of the executed notebook, as far as it came; among the artifacts of the run.
        output: The file that it was written to, or empty.
        cells: How many cells of code there are.
        executed: How many of them were begun.
        children: The runs that were made in it, oldest first.
    """

    run_id: RunId
    name: str
    status: Literal["succeeded", "failed", "interrupted"]
    source: Digest
    result: Digest
    output: str
    parameters: dict[str, Scalar]
    cells: int
    executed: int
    seconds: float
    failure: CellFailure | None
    children: tuple[RunId, ...]


@dataclass(frozen=True, slots=True)
class NotebookLint:
    """What a look over notebooks found.

    Attributes:
        notebooks: The notebooks, as the findings call them.
        executed: Whether they were executed.
        stripped: Those that were rewritten without outputs.
    """

    notebooks: tuple[str, ...]
    executed: bool
    stripped: tuple[str, ...]
    findings: tuple[NotebookFinding, ...]


class NotebookRoom:
    """Use cases on notebooks."""

    def __init__(self, workspace: Workspace) -> None:
        self._at = workspace

    def run(
        self,
        source: Path,
        *,
        output: Path | None = None,
        parameters: Mapping[str, Any] | None = None,
        timeout_s: int = 0,
        seed: int | None = None,
        model: str = "",
    ) -> NotebookRun:
        """Execute a notebook in a process of its own and record that as a run; what it makes belongs to the run.

        A notebook that fails is recorded as far as it came, and told in the answer.

        Args:
            source: The notebook; it is not changed.
            output: Where to write the executed notebook; it is written anew after every cell.
            parameters: Values for the names that its cell with the tag `parameters` sets.
            timeout_s: For how many seconds a cell may run; 0 for ever.
            seed: Recorded, and handed to runs within; that of the run around it by default, else 0.
            model: The model it is about, to be found by.

        Raises:
            UsageError: There is no such notebook, a parameter is unknown, or the output is the source.
            DataError: It is no notebook.
            EngineError: Its process cannot be started.
        """
        from keelway.engines.jupyter import parameter_defaults, read_notebook, with_parameters

        if output is not None and output.resolve() == source.resolve():
            raise UsageError("A notebook is not written over", expected="another file to write to", found=str(output))
        given = dict(parameters or {})
        document = read_notebook(source)
        prepared = with_parameters(document, given)
        opened = open_run(self._at, source.stem, kind="notebook", model=model, seed=seed, script=source)
        with opened:
            defaults = {name: value for name, value in parameter_defaults(document).items() if value is not None}
            opened.parameters({**defaults, **given})
            opened.artifact(source, name=SOURCE)
            try:
                execution = self._executed(prepared, source, output, opened, timeout_s)
            finally:
                _keep(prepared, opened, output)
            record = _closed(opened, execution)
        return _told(record, execution, output=output, children=self._children(opened.id))

    def lint(
        self, paths: Sequence[Path] = (), *, run: bool = True, strip: bool = False, timeout_s: int = 600
    ) -> NotebookLint:
        """Look notebooks over, and execute each from top to bottom in a process of its own.

        Args:
            paths: Files, or folders to look in; the project's folder by default.
            run: Whether to execute them; what they write and record is written and recorded.
            strip: Rewrite them first, without outputs.
            timeout_s: For how many seconds a cell may run; 0 for ever.

        Raises:
            UsageError: There is no such file, or no notebook at all.
        """
        files = list(_notebooks(paths or [self._at.root]))
        if not files:  # a check of nothing must not pass for a check
            raise UsageError("There are no notebooks", expected=f"a file *{SUFFIX}", found=f"{len(paths)} places")
        findings: list[NotebookFinding] = []
        rewritten: list[str] = []
        for path in files:
            name = self._called(path)
            self._at.progress(name)
            if strip and _strip(path):
                rewritten.append(name)
            findings += self._looked_over(path, name, run=run, timeout_s=timeout_s)
        return NotebookLint(tuple(map(self._called, files)), run, tuple(rewritten), tuple(findings))

    def _executed(
        self, prepared: Any, source: Path, output: Path | None, opened: ActiveRun, timeout_s: int
    ) -> Execution:
        from keelway.engines.jupyter import execute, write_notebook

        def on_cell(progress: CellProgress) -> None:
            if progress.seconds is not None:
                opened.log("cell_seconds", progress.seconds, step=progress.cell)
                if output is not None:
                    write_notebook(prepared, output)
            self._tell(progress)

        belongs = {"KEELWAY_RUN": opened.id, "KEELWAY_SEED": str(opened.seed)}
        return execute(
            prepared,
            folder=source.resolve().parent,
            environment={**self._environment(), **belongs},
            timeout_s=timeout_s,
            on_cell=on_cell,
        )

    def _environment(self) -> dict[str, str]:
        """Return the variables that let a notebook act in this project, as this principal, at this moment."""
        at = self._at
        told = {"KEELWAY_PROJECT": str(at.root), "KEELWAY_ACTOR": at.principal.id}
        if at.settings.project.module:
            known = os.environ.get("PYTHONPATH")
            code = str(at.root / at.settings.project.source)
            told["PYTHONPATH"] = f"{code}{os.pathsep}{known}" if known else code
        if not isinstance(at.clock, SystemClock):
            told["KEELWAY_NOW"] = time_text(at.now())
        return told

    def _looked_over(self, path: Path, name: str, *, run: bool, timeout_s: int) -> list[NotebookFinding]:
        from keelway.engines.jupyter import NotebookFinding, execute, look_over, read_notebook, stripped

        try:
            document = read_notebook(path)
        except (DataError, UsageError) as error:
            return [NotebookFinding(name, 0, 0, "unreadable", str(error))]
        findings = look_over(document, name)
        if not run or any(each.rule == "syntax" for each in findings):
            return findings
        execution = execute(
            stripped(document),
            folder=path.resolve().parent,
            environment=self._environment(),
            timeout_s=timeout_s,
            on_cell=self._tell,
        )
        failure = _scrubbed(execution.failure)
        if failure is not None:
            told = f"{failure.kind}: {failure.message}"
            findings.append(NotebookFinding(name, failure.cell, failure.line, "execution", told))
        if execution.status == "interrupted":
            raise KeyboardInterrupt
        return findings

    def _children(self, run_id: RunId) -> tuple[RunId, ...]:
        query = RunQuery((), "", RunTest("parent", "field", "=", run_id), "", False, None, MOST_CHILDREN)
        with self._at.state.snapshot() as tx:
            return tuple(entry.run_id for entry in reversed(tx.runs.search(query)))

    def _tell(self, progress: CellProgress) -> None:
        if progress.seconds is None:
            self._at.progress(
                f"cell {progress.cell}, {progress.done + 1} of {progress.of}: {progress.source[:MOST_SOURCE]}"
            )
        elif progress.seconds >= LONG_S:
            self._at.progress(f"cell {progress.cell} took {progress.seconds:.1f} s")

    def _called(self, path: Path) -> str:
        inside = path.resolve().is_relative_to(self._at.root)
        return path.resolve().relative_to(self._at.root).as_posix() if inside else str(path)


def _keep(prepared: Any, opened: ActiveRun, output: Path | None) -> None:
    """Keep an executed notebook, as far as it came."""
    from keelway.engines.jupyter import notebook_bytes, write_notebook

    opened.artifact(notebook_bytes(prepared), name=EXECUTED)
    if output is not None:
        write_notebook(prepared, output)


def _closed(opened: ActiveRun, execution: Execution) -> TrackedRun:
    """End the run as the notebook ended, and return its record."""
    opened.log("cells", len(execution.seconds))
    failure = _scrubbed(execution.failure)
    return opened.close(status=execution.status, error="" if failure is None else in_words(failure))


def _told(record: TrackedRun, execution: Execution, *, output: Path | None, children: tuple[RunId, ...]) -> NotebookRun:
    from keelway.engines.jupyter import code_cells

    return NotebookRun(
        run_id=record.run_id,
        name=record.name,
        status=record.status,
        source=record.artifacts[SOURCE],
        result=record.artifacts[EXECUTED],
        output="" if output is None else str(output),
        parameters=record.parameters,
        cells=len(code_cells(execution.document)),
        executed=len(execution.seconds),
        seconds=sum(execution.seconds.values()),
        failure=_scrubbed(execution.failure),
        children=children,
    )


def in_words(failure: CellFailure) -> str:
    """Return where and why a notebook stopped."""
    place = f"cell {failure.cell}" + (f", line {failure.line}" if failure.line else "")
    return f"{place}: {failure.kind}: {failure.message}"


def _scrubbed(failure: CellFailure | None) -> CellFailure | None:
    """Return a failure without what names a person: messages quote values."""
    from dataclasses import replace

    from keelway.privacy import scrub

    return None if failure is None else replace(failure, message=scrub(failure.message))


def _strip(path: Path) -> bool:
    """Rewrite a notebook without outputs; say whether that changed it."""
    from keelway.engines.jupyter import notebook_bytes, read_notebook, stripped, write_notebook

    try:
        document = read_notebook(path)
    except (DataError, UsageError):  # told by the look over it
        return False
    bare = stripped(document)
    if digest_bytes(notebook_bytes(bare)) == digest_bytes(notebook_bytes(document)):
        return False
    write_notebook(bare, path)
    return True


def _notebooks(paths: Sequence[Path]) -> Iterator[Path]:
    """Yield the notebooks at and under some places, sorted within each."""
    for path in paths:
        if path.is_dir():
            inside = sorted(path.rglob(f"*{SUFFIX}"))
            yield from (each for each in inside if not _passed_over(each.relative_to(path)))
        elif path.is_file():
            yield path
        else:
            raise UsageError("There is no such notebook", expected="a notebook, or a folder of them", found=str(path))


def _passed_over(path: Path) -> bool:
    return any(part.startswith(".") or part in PASSED_OVER for part in path.parts)
