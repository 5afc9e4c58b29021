"""Holds a page of the documentation and what a test measured together.

A table stands in its page between `<!-- NAME -->` and `<!-- end of NAME -->`. A test makes the table anew and asks
`must_tell`; with `KEELWAY_WRITE_PAGES=1` in the environment the page is written instead, which is how it is made.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path


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


def must_tell(page: Path, name: str, text: str) -> None:
    """Assert that a page holds this text in the block of a name.

    Raises:
        AssertionError: The page tells something else, or has no such block.
    """
    begin, end = f"<!-- {name} -->\n", f"\n<!-- end of {name} -->"
    whole = page.read_text("utf8")
    before, found, rest = whole.partition(begin)
    told, closed, after = rest.partition(end)
    assert found, f"{page.name} has no block {name}"
    assert closed, f"{page.name} does not close the block {name}"
    if os.environ.get("KEELWAY_WRITE_PAGES"):
        page.write_text(before + begin + text + end + after, "utf8")
        return
    assert told == text, f"{page.name} does not tell what was measured; write it with KEELWAY_WRITE_PAGES=1"
