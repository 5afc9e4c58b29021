"""Execute a notebook from top to bottom in a fresh process, cell by cell, and keep what came of it whatever happens.

The process is this Python, with no start-up files of the user, so what is recorded of the environment is true of it.
Its folder is the notebook's. An interrupt is handed on to it, so that what runs in it can end in order.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from keelway.engines.jupyter.document import blank_lines, code_cells, first_line
from keelway.errors import EngineError, MissingExtraError

STARTUP_S = 120
KERNEL = "keelway"
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_PLACE = re.compile(r"Cell In\[\d+\], line (\d+)")
MOST_MESSAGE = 500


@dataclass(frozen=True, slots=True)
class CellFailure:
    """Where and why a notebook stopped.

    Attributes:
        cell: The cell's number among all cells, from 1.
        line: The line in the cell, from 1; 0 where it cannot be told.
        kind: The class of the error; `Timeout`, `KernelDied` or `KeyboardInterrupt` where it was none of the notebook's.
        message: What the error says.
        source: The line of the notebook that stopped it, or the cell's first one.
    """

    cell: int
    line: int
    kind: str
    message: str
    source: str


@dataclass(frozen=True, slots=True)
class CellProgress:
    """A cell that begins or ended.

    Attributes:
        cell: The cell's number among all cells, from 1.
        done: How many cells of code ended before it, and it where it ended.
        of: How many cells of code there are.
        seconds: How long it took; None at its beginning.
    """

    cell: int
    done: int
    of: int
    source: str
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Execution:
    """What executing a notebook came to.

    Attributes:
        document: The notebook with its outputs, as far as it came.
        failure: What stopped it, or None.
        seconds: Cell number to how long it took, of those that were begun.
    """

    document: Any
    status: Literal["succeeded", "failed", "interrupted"]
    failure: CellFailure | None
    seconds: dict[int, float]


def execute(
    document: Any,
    *,
    folder: Path,
    environment: Mapping[str, str],
    timeout_s: int = 0,
    on_cell: Callable[[CellProgress], None] = lambda _: None,
) -> Execution:
    """Execute a notebook in place and return what came of it; an error of the notebook is an answer, not an exception.

    Args:
        document: The notebook; its outputs are replaced.
        folder: The folder that its process works in.
        environment: Variables of its process besides those of this one.
        timeout_s: For how many seconds a cell may run; 0 for ever.
        on_cell: Told of each cell that begins and that ended; the document holds the outputs so far.

    Raises:
        EngineError: The process cannot be started.
        MissingExtraError: The packages for notebooks are not installed.
    """
    seconds: dict[int, float] = {}
    failure: CellFailure | None = None
    cells = code_cells(document)
    for cell in document.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    with _kernel(document, folder, environment, timeout_s) as client:
        for done, (number, cell) in enumerate(cells):
            on_cell(CellProgress(number, done, len(cells), first_line(cell), None))
            begun = time.perf_counter()
            failure = _executed(client, number, cell)
            seconds[number] = time.perf_counter() - begun
            on_cell(CellProgress(number, done + 1, len(cells), first_line(cell), seconds[number]))
            if failure is not None:
                break
    interrupted = failure is not None and failure.kind == KeyboardInterrupt.__name__
    status: Literal["succeeded", "failed", "interrupted"] = "interrupted" if interrupted else "failed"
    return Execution(document, status if failure else "succeeded", failure, seconds)


def _executed(client: Any, number: int, cell: Any) -> CellFailure | None:
    """Execute one cell; return what stopped it."""
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    try:
        client.execute_cell(cell, number - 1)
    except CellExecutionError as error:
        return _failure(number, cell, error.ename, error.evalue)
    except CellTimeoutError:
        _interrupt(client)
        return _failure(number, cell, "Timeout", f"the cell ran for more than {client.timeout} seconds")
    except DeadKernelError:
        return _failure(number, cell, "KernelDied", "the process of the notebook ended: out of memory, or killed")
    except KeyboardInterrupt:
        _interrupt(client)
        return _failure(number, cell, KeyboardInterrupt.__name__, "interrupted")
    return None


def _interrupt(client: Any) -> None:
    """Hand an interrupt on to the notebook's process; it may be gone already."""
    from jupyter_core.utils import run_sync

    try:
        run_sync(client.km.interrupt_kernel)()
    except (RuntimeError, OSError):
        return


def _failure(number: int, cell: Any, kind: str, message: str) -> CellFailure:
    """Return where a cell stopped, from the traceback among its outputs."""
    told = [line for output in cell.outputs if output.output_type == "error" for line in output.traceback]
    place = _PLACE.search(_COLOUR.sub("", "\n".join(told)))
    line = int(place.group(1)) + blank_lines(cell) if place else 0
    lines = cell.source.splitlines()
    source = lines[line - 1].strip() if 0 < line <= len(lines) else first_line(cell)
    return CellFailure(number, line, kind, _COLOUR.sub("", message)[:MOST_MESSAGE], source)


@contextmanager
def _kernel(document: Any, folder: Path, environment: Mapping[str, str], timeout_s: int) -> Iterator[Any]:
    """Lend the client of a fresh process; it is ended whatever happens."""
    notebook_client, manager_class, specs_class = _packages()
    with tempfile.TemporaryDirectory(prefix="keelway-notebook-") as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pyzmq and its event loop; the notebook's own are among its outputs
        _write_spec(Path(scratch))
        specs = specs_class(kernel_dirs=[scratch], ensure_native_kernel=False)
        manager = manager_class(kernel_name=KERNEL, kernel_spec_manager=specs)
        manager.connection_file = str(Path(scratch) / "connection.json")
        if os.name == "posix":  # sockets of the file system, which other users of the machine cannot read
            manager.transport, manager.ip = "ipc", str(Path(scratch) / "ipc")
        # nbclient takes None for no limit of time.
        client = notebook_client(document, km=manager, timeout=timeout_s or None, startup_timeout=STARTUP_S)
        client.owns_km = True
        client.reset_execution_trackers()
        own = {"IPYTHONDIR": scratch, "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
        with (Path(scratch) / "said").open("wb+") as said:
            try:
                _start(client, folder, {**os.environ, **own, **environment}, said)
                yield client
            finally:
                if client.km is not None:
                    client._cleanup_kernel()


def _start(client: Any, folder: Path, environment: dict[str, str], said: IO[bytes]) -> None:
    try:
        client.start_new_kernel(cwd=str(folder), env=environment, stderr=said)
        client.start_new_kernel_client()
    except (OSError, RuntimeError) as error:
        raise EngineError(
            "The process of the notebook cannot be started", found=_last_line(said) or str(error)
        ) from error


def _last_line(said: IO[bytes]) -> str:
    """Return the last line that a process said before it died."""
    said.seek(0)
    return said.read().decode("utf8", "replace").rstrip().rpartition("\n")[2][:MOST_MESSAGE]


def _write_spec(folder: Path) -> None:
    """Describe the process to start: this Python, and no other that is installed somewhere under the same name."""
    spec = {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "Keelway",
        "language": "python",
    }
    (folder / KERNEL).mkdir()
    (folder / KERNEL / "kernel.json").write_text(json.dumps(spec), "utf8")


def _packages() -> tuple[Any, Any, Any]:
    try:
        import ipykernel  # noqa: F401  # what the process to start is made of
        from jupyter_client.kernelspec import KernelSpecManager
        from jupyter_client.manager import AsyncKernelManager
        from nbclient import NotebookClient
    except ImportError as error:
        raise MissingExtraError(
            "Executing notebooks needs some more packages: pip install 'keelway[notebook]'",
            fix="pip install 'keelway[notebook]'",
        ) from error
    return NotebookClient, AsyncKernelManager, KernelSpecManager
