"""Holds a page of the documentation and what a test measured together.

A table stands in its page between `<!-- NAME -->` and `<!-- end of NAME -->`. A test makes the table anew and asks
`must_tell`; a page that is to be rewritten is written instead, which is how it is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the documentation.

    Attributes:
        rewrite: Whether the page is written anew instead of being compared.
    """

    path: Path
    rewrite: bool = False

    def must_tell(self, name: str, text: str) -> None:
        """Assert that the page holds this text in the block of a name.

        Raises:
            AssertionError: The page tells something else, or has no such block.
        """
        begin, end = f"<!-- {name} -->\n", f"\n<!-- end of {name} -->"
        whole = self.path.read_text("utf8")
        before, found, rest = whole.partition(begin)
        told, closed, after = rest.partition(end)
        assert found, f"{self.path.name} has no block {name}"
        assert closed, f"{self.path.name} does not close the block {name}"
        if self.rewrite:
            self.path.write_text(before + begin + text + end + after, "utf8")
            return
        assert told == text, f"{self.path.name} does not tell what was measured; have the test write it"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    r"""Return a Markdown table.

    >>> print(table(["a", "b"], [[1, "x|y"]]))
    | a | b |
    |---|---|
    | 1 | x\|y |
    """
    lines = [list(head), *([_cell(value) for value in row] for row in rows)]
    shown = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([shown[0], "|" + "---|" * len(head), *shown[1:]])


def _cell(value: object) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")
