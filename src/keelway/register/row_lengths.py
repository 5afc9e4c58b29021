"""The length that rows must have before a scorer answers them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keelway.errors import ServingError


def check_row_lengths(rows: Sequence[Sequence[Any]], width: int) -> None:
    """Return when every row has a value for each feature.

    Args:
        width: How many features the model has.

    Raises:
        ServingError: A row is too short or too long; the first such row's length is told.
    """
    for row in rows:
        if len(row) != width:
            raise ServingError(
                "A row has another length than the model's features", expected=f"{width} values", found=f"{len(row)}"
            )
