"""Notebooks made of a few lines."""

from __future__ import annotations

from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat", reason="the extra for notebooks is not installed")


@pytest.fixture(scope="session")
def notebook() -> Any:
    """Return a function that makes a notebook of cells: code, or `# ...` for text; `tags` are by place."""
    return notebook_of


def notebook_of(*sources: str, tags: dict[int, list[str]] | None = None) -> Any:
    v4 = nbformat.v4
    cells = [
        v4.new_markdown_cell(source) if source.startswith("# ") else v4.new_code_cell(source) for source in sources
    ]
    for place, (cell, tagged) in enumerate((cell, (tags or {}).get(n)) for n, cell in enumerate(cells)):
        cell.id = f"cell-{place}"
        if tagged:
            cell.metadata["tags"] = tagged
    return v4.new_notebook(cells=cells)
