"""The stage that drops columns."""

from __future__ import annotations

from typing import Any

from keelway.project import Preprocessing, Task


def make_selector(chosen: Preprocessing, seed: int, *, task: Task = "binary") -> Any | None:
    """Return the unfitted stage that keeps useful columns, or None where all are kept.

    `fit(matrix, labels)` chooses, `get_support()` says which columns are kept; there may be none.
    """
    if chosen.select is None:
        return None
    from keelway.train.stages import ColumnSelector

    return ColumnSelector(chosen.select, keep=chosen.keep, seed=seed, task=task)
