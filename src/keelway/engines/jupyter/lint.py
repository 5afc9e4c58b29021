"""Look a notebook over without executing it: does it parse, was it executed in order, and does it give something away?

A cell with the tag `no-lint` is only parsed. What is found is told by its kind and place, never by its text.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from keelway.engines.jupyter.document import blank_lines, code_cells, python_of
from keelway.privacy import scrub

LintRule = Literal["unreadable", "syntax", "order", "secret", "person", "path", "execution"]
OFF = "no-lint"
_SECRETS = {
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "an access key of AWS": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a token of GitHub": r"\b(?:gh[pousr]_[0-9A-Za-z]{36,}|github_pat_[0-9A-Za-z_]{22,})\b",
    "a token of Databricks": r"\bdapi[0-9a-f]{32}\b",
    "a token of Slack": r"\bxox[abposr]-[0-9A-Za-z-]{10,}",
    "a signed token": r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}",
    "a password in an address": r"\b[a-z][a-z0-9+.-]*://[^\s/:@'\"{}]+:[^\s/@'\"{}]+@",
    "a password or token in the code": (
        r"(?i)\b\w*(?:password|passwd|secret|token|api_?key|access_?key)\w*['\"]?\]?\s*[:=]\s*"
        r"['\"](?!(?:env|file|vault|aws-sm|azure-kv|databricks):)[^'\"\s{}<>]{8,}['\"]"
    ),
}
_SECRET = {name: re.compile(pattern) for name, pattern in _SECRETS.items()}
_FOLDERS = "home|Users|root|mnt|media|tmp|var|opt|srv|usr|etc|data|work|workspace|Volumes|private|content"
_PATH = re.compile(rf"(?<![\w./:~}}-])(?:/(?:{_FOLDERS})/[\w.-]|[A-Za-z]:\\{{1,2}}[\w.-]|\\\\[\w.-]+\\)")
_MASK = re.compile(r"\[[a-zA-Z][\w -]*\]")


@dataclass(frozen=True, slots=True)
class NotebookFinding:
    """Something that is wrong with a notebook.

    Attributes:
        cell: The cell's number among all cells, from 1; 0 where the whole notebook is meant.
        line: The line in the cell, from 1; 0 where the whole cell is meant or an output.
    """

    notebook: str
    cell: int
    line: int
    rule: LintRule
    message: str


def look_over(document: Any, name: str) -> list[NotebookFinding]:
    """Return what is wrong with a notebook as it stands, in the order of its cells.

    Args:
        name: What the findings call it.
    """
    found = [
        NotebookFinding(name, number, line, rule, message)
        for number, cell in enumerate(document.cells, start=1)
        for line, rule, message in _of_cell(cell)
    ]
    found += [NotebookFinding(name, number, 0, "order", message) for number, message in _out_of_order(document)]
    return sorted(found, key=lambda each: (each.cell, each.line, each.rule))


def _of_cell(cell: Any) -> Iterator[tuple[int, LintRule, str]]:
    if cell.cell_type == "code":
        yield from _syntax(cell)
    if OFF in cell.metadata.get("tags", []):
        return
    for line, text in enumerate(cell.source.splitlines(), start=1):
        yield from ((line, rule, message) for rule, message in _given_away(text))
    if cell.cell_type == "code":
        told = dict.fromkeys(told for text in _shown(cell) for told in _given_away(text))
        yield from ((0, rule, f"{message}, in its output") for rule, message in told)


def _syntax(cell: Any) -> Iterator[tuple[int, LintRule, str]]:
    try:
        with warnings.catch_warnings(action="ignore"):  # of escapes that mean nothing; they show when it is executed
            compile(python_of(cell), "<cell>", "exec", flags=ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except SyntaxError as error:
        yield (error.lineno or 0) + blank_lines(cell), "syntax", error.msg
    except ValueError as error:  # a null byte
        yield 0, "syntax", str(error)


def _out_of_order(document: Any) -> Iterator[tuple[int, str]]:
    """Yield the cells whose numbers of execution are not 1, 2, 3 and on; a notebook without any was cleared."""
    cells = code_cells(document)
    if all(cell.execution_count is None for _, cell in cells):
        return
    for expected, (number, cell) in enumerate(cells, start=1):
        if cell.execution_count is None:
            yield number, "was not executed, and others were"
        elif cell.execution_count != expected:
            yield number, f"was executed as number {cell.execution_count}, stands as number {expected}"


def _given_away(text: str) -> Iterator[tuple[LintRule, str]]:
    """Yield what a line should not hold, by its kind alone."""
    for name, pattern in _SECRET.items():
        if pattern.search(text):
            yield "secret", f"holds {name}"
    masked = scrub(text)
    if masked != text:
        kinds = [kind for kind in dict.fromkeys(_MASK.findall(masked)) if kind not in text]
        yield "person", f"names a person: {', '.join(kinds) or 'masked'}"
    if _PATH.search(text):
        yield "path", "holds a path of one machine"


def _shown(cell: Any) -> Iterator[str]:
    """Yield the lines of text among the outputs of a cell."""
    for output in cell.outputs:
        if output.output_type == "stream":
            yield from _lines(output.text)
        elif output.output_type == "error":
            yield from _lines("\n".join(output.traceback))
        else:
            for kind, data in output.data.items():
                if kind.startswith("text/"):
                    yield from _lines(data)


def _lines(text: Any) -> list[str]:
    return ("".join(text) if isinstance(text, list) else str(text)).splitlines()
