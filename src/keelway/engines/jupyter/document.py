"""Notebooks as files: reading and writing them, and giving them parameters as papermill does.

A cell with the tag `parameters` holds defaults. What is given from outside stands in a new cell after it, with the tag
`injected-parameters`, which takes the place of an earlier one. The file that was read is never changed.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keelway.errors import DataError, MissingExtraError, StorageError, UsageError

PARAMETERS = "parameters"
INJECTED = "injected-parameters"
HEADING = "# Parameters"
FORMAT = 4


def read_notebook(path: Path) -> Any:
    """Return the notebook of a file, in the present format.

    Raises:
        UsageError: There is no such file, or its language is not Python.
        DataError: It is no notebook.
        MissingExtraError: The packages for notebooks are not installed.
    """
    nbformat = _nbformat()
    try:
        text = path.read_text("utf8")
    except FileNotFoundError:
        raise UsageError("There is no such notebook", expected="the path of a .ipynb file", found=str(path)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError("The notebook cannot be read", expected="a file of JSON", found=f"{path}: {error}") from error
    try:
        document = nbformat.reads(text, as_version=FORMAT)
    except Exception as error:  # whatever a library makes of bytes that are no notebook
        raise DataError(
            f"{path.name} is no notebook",
            expected=f"a notebook of format {FORMAT} or older",
            found=f"{type(error).__name__}: {str(error).splitlines()[0][:200]}",
        ) from error
    language = document.metadata.get("language_info", {}).get("name", "python")
    if language != "python":
        raise UsageError(f"{path.name} is not a notebook of Python", expected="python", found=language)
    return document


def write_notebook(document: Any, path: Path) -> None:
    """Write a notebook in one move: a reader sees the file before or after, never between.

    Raises:
        StorageError: It cannot be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(notebook_bytes(document))
        beside.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise StorageError("The notebook cannot be written", found=f"{path}: {error.strerror}") from error


def notebook_bytes(document: Any) -> bytes:
    """Return a notebook as the bytes of its file; equal notebooks have equal bytes."""
    return f"{_nbformat().writes(document)}\n".encode()


def code_cells(document: Any) -> list[tuple[int, Any]]:
    """Return the cells that have code in them, with their numbers among all cells, from 1."""
    cells = enumerate(document.cells, start=1)
    return [(number, cell) for number, cell in cells if cell.cell_type == "code" and cell.source.strip()]


def first_line(cell: Any) -> str:
    """Return the first line of a cell that says something."""
    return next((line.strip() for line in cell.source.splitlines() if line.strip()), "")


def blank_lines(cell: Any) -> int:
    """Return how many blank lines a cell begins with: Python is not shown them, and does not count them."""
    lines = cell.source.splitlines()
    return next((number for number, line in enumerate(lines) if line.strip()), 0)


def stripped(document: Any) -> Any:
    """Return a copy without what executing it left: outputs, numbers of execution, times."""
    copied = copy.deepcopy(document)
    for cell in copied.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            cell.metadata.pop("execution", None)
    copied.metadata.pop("widgets", None)
    return copied


def python_of(cell: Any) -> str:
    """Return the code of a cell with its magics and shell lines as calls, so that it is Python."""
    try:
        from IPython.core.inputtransformer2 import TransformerManager
    except ImportError as error:
        raise _missing() from error
    told: str = TransformerManager().transform_cell(cell.source)  # type: ignore[no-untyped-call]
    return told


def parameter_defaults(document: Any) -> dict[str, Any]:
    """Return the names that the cell of parameters sets, with their values where those are plain; else None."""
    place = _tagged(document, PARAMETERS)
    if place is None:
        return {}
    try:
        tree = ast.parse(python_of(document.cells[place]))
    except SyntaxError:
        return {}
    found: dict[str, Any] = {}
    for line in tree.body:
        if isinstance(line, ast.Assign):
            found |= {each.id: _plain(line.value) for each in line.targets if isinstance(each, ast.Name)}
        elif isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            found[line.target.id] = _plain(line.value)
    return found


def with_parameters(document: Any, parameters: Mapping[str, Any]) -> Any:
    """Return a copy of a notebook with a cell that sets parameters, in the place where papermill puts it.

    Raises:
        UsageError: A name is no name of Python, or the notebook's cell of parameters does not have it.
    """
    copied = copy.deepcopy(document)
    if not parameters:
        return copied
    _check_names(copied, parameters)
    source = "\n".join([HEADING, *(f"{name} = {python_literal(value)}" for name, value in parameters.items())])
    cell = _nbformat().v4.new_code_cell(source, metadata={"tags": [INJECTED]})
    cell.id = "injected"  # a random one would give equal notebooks other bytes
    former, defaults = _tagged(copied, INJECTED), _tagged(copied, PARAMETERS)
    if former is not None:
        copied.cells[former] = cell
    else:
        copied.cells.insert(0 if defaults is None else defaults + 1, cell)
    return copied


def python_literal(value: Any) -> str:
    """Return a value as Python writes it; made of texts, numbers, truths, nothing, lists and mappings.

    >>> python_literal({"a": [1, float("nan"), None]})
    "{'a': [1, float('nan'), None]}"
    """
    if isinstance(value, float) and not math.isfinite(value):
        return f"float('{value}')"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{python_literal(key)}: {python_literal(each)}" for key, each in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(python_literal, value)) + "]"
    return repr(value)


def parameter_value(text: str) -> Any:
    """Return the value that a text on the command line means: a number, truth, nothing, list or mapping, else the text.

    >>> [parameter_value(text) for text in ("3", ".5", "1e-3", "true", "None", "[1, 2]", "2026-01-01")]
    [3, 0.5, 0.001, True, None, [1, 2], '2026-01-01']
    """
    words = {"true": True, "false": False, "none": None, "null": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    if text[:1] in ("[", "{"):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _check_names(document: Any, parameters: Mapping[str, Any]) -> None:
    wrong = [name for name in parameters if not name.isidentifier()]
    if wrong:
        raise UsageError("A parameter needs a name of Python", expected="letters, digits and _", found=wrong[0])
    known = parameter_defaults(document)
    unknown = [name for name in parameters if name not in known]
    if known and unknown:
        raise UsageError(
            "The notebook has no such parameter",
            expected=", ".join(known),
            found=", ".join(unknown),
            fix=f"Set it in the cell with the tag {PARAMETERS!r}, or correct the name.",
        )


def _tagged(document: Any, tag: str) -> int | None:
    """Return the place of the first cell of code with a tag."""
    cells = enumerate(document.cells)
    return next((n for n, cell in cells if cell.cell_type == "code" and tag in cell.metadata.get("tags", [])), None)


def _plain(value: ast.expr | None) -> Any:
    try:
        return None if value is None else ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):  # computed
        return None


def _nbformat() -> Any:
    try:
        import nbformat
    except ImportError as error:
        raise _missing() from error
    return nbformat


def _missing() -> MissingExtraError:
    return MissingExtraError(
        "Notebooks need some more packages: pip install 'keelway[notebook]'", fix="pip install 'keelway[notebook]'"
    )
