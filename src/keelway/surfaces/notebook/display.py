"""What a command tells while it runs, shown in the page of a notebook: progress that is written anew, and tables."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from html import escape
from typing import Any

from keelway.core import html_table

MOST_LINES = 200


class NotebookProgress:
    """Lines of progress in one place of the page: the newest is seen, the others unfold.

    Safe to be told from several threads.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._told = 0
        self._handle: Any = None
        self._lock = threading.Lock()

    def __call__(self, line: str) -> None:
        """Show one more line."""
        with self._lock:
            self._lines = [*self._lines, line.strip()][-MOST_LINES:]
            self._told += 1
            shown = {"text/plain": line.strip(), "text/html": self._html()}
            if self._handle is None:
                self._handle = _display(shown, display_id=True)
            else:
                self._handle.update(shown, raw=True)

    def _html(self) -> str:
        *before, newest = map(escape, self._lines)
        left_out = self._told - len(self._lines)
        earlier = [f"({left_out} lines before)", *before] if left_out else before
        unfolded = "\n".join(earlier)
        return f"<details><summary>{newest} <small>({self._told})</small></summary><pre>{unfolded}</pre></details>"


class NotebookStage:
    """Where a command's answers go in a notebook.

    Attributes:
        answered: The last answer, as a value.
    """

    def __init__(self) -> None:
        self.answered: object = None
        self.progress = NotebookProgress()

    def answer(self, value: object) -> None:
        """Keep an answer."""
        self.answered = value

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Show a table."""
        plain = "\n".join("  ".join(map(str, row)).rstrip() for row in (headings, *rows))
        _display({"text/plain": plain, "text/html": escaped_table("Answer", headings, rows)})


def _display(shown: dict[str, str], **settings: Any) -> Any:
    """Show something in the page, and return what it can be written anew by."""
    from IPython import display

    show: Any = display.display
    return show(shown, raw=True, **settings)


def escaped_table(caption: str, headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a table of texts."""
    return html_table(caption, headings, [[escape(str(cell)) for cell in row] for row in rows])
