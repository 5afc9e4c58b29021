"""Whether values computed twice are the same: texts to the letter, numbers but for the order they were summed in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

TOLERANCE = 1e-9
"""How far a number may be off, relative to its size: sums in another order differ in their last digits."""


def same_values(left: Sequence[Any], right: Sequence[Any], *, tolerance: float = TOLERANCE) -> bool:
    """Return whether two columns are the same, value by value.

    >>> same_values([1.0, None, "a", [1.0, 2.0]], [1.0 + 1e-12, None, "a", [1.0, 2.0]])
    True
    >>> same_values([1.0], [None])
    False
    """
    return len(left) == len(right) and all(
        same_value(one, other, tolerance=tolerance) for one, other in zip(left, right, strict=True)
    )


def same_value(left: Any, right: Any, *, tolerance: float = TOLERANCE) -> bool:
    """Return whether two values are the same; NaN and null are one."""
    if isinstance(left, list) and isinstance(right, list):
        return same_values(left, right, tolerance=tolerance)
    left, right = (None if isinstance(each, float) and math.isnan(each) else each for each in (left, right))
    if isinstance(left, float) and isinstance(right, float):
        return math.isclose(left, right, rel_tol=tolerance, abs_tol=tolerance)
    return type(left) is type(right) and bool(left == right)
