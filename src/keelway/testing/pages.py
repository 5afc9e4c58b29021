"""Holds a page of the documentation and what a test measured together.

A table stands in its page between `<!-- NAME -->` and `<!-- end of NAME -->`. A test makes the table anew and asks
`must_tell`; a page that is to be rewritten is written instead, which is how it is made.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

DECIMAL = re.compile(r"-?\d+\.\d+")


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the documentation.

    Attributes:
        rewrite: Whether the page is written anew instead of being compared.
    """

    path: Path
    rewrite: bool = False

    def must_tell(self, name: str, text: str, *, tolerance: float = 0.0) -> None:
        """Assert that the page holds this text in the block of a name.

        Args:
            name: The name of the block.
            text: What was measured.
            tolerance: How far a number with decimals may lie from what the page says.

        Raises:
            AssertionError: The page tells something else, or has no such block.
        """
        before, told, after = self._around(name)
        if self.rewrite:
            self.path.write_text(before + text + after, "utf8")
            return
        assert alike(told, text, tolerance=tolerance), (
            f"{self.path.name} does not tell what was measured; have the test write it"
        )

    def told(self, name: str) -> str:
        """Return the text of a block.

        Raises:
            AssertionError: The page has no such block.
        """
        return self._around(name)[1]

    def _around(self, name: str) -> tuple[str, str, str]:
        """Return what stands before, in and after a block."""
        begin, end = f"<!-- {name} -->\n", f"\n<!-- end of {name} -->"
        before, found, rest = self.path.read_text("utf8").partition(begin)
        told, closed, after = rest.partition(end)
        assert found, f"{self.path.name} has no block {name}"
        assert closed, f"{self.path.name} does not close the block {name}"
        return before + begin, told, end + after


def alike(one: str, other: str, *, tolerance: float) -> bool:
    """Return whether two texts are the same, but for numbers with decimals that lie near each other.

    >>> alike("0.84 of 7 rows", "0.85 of 7 rows", tolerance=0.011), alike("7 rows", "8 rows", tolerance=9)
    (True, False)
    """
    if DECIMAL.sub("#", one) != DECIMAL.sub("#", other):
        return False
    pairs = zip(DECIMAL.findall(one), DECIMAL.findall(other), strict=True)
    return all(left == right or abs(float(left) - float(right)) <= tolerance for left, right in pairs)


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
