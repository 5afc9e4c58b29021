"""What a search may try for one parameter: a range of numbers, or a choice among values."""

from __future__ import annotations

import math
from dataclasses import dataclass

from keelway.core import Scalar
from keelway.errors import ProjectError


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from `low` to `high`, both included; whole numbers where both ends are.

    Attributes:
        log: Whether a search draws evenly over the logarithm, as suits rates and penalties.
        step: The distance between neighbours; None for every number in between.

    >>> Range(2, 64).whole, Range(0.001, 1, log=True).whole
    (True, False)
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise _wrong("two finite numbers, the smaller one first", f"{self.low} to {self.high}")
        if self.log and not self.low > 0:
            raise _wrong("a lowest value above zero where log=True", str(self.low))
        if self.step is not None and not 0 < self.step <= self.high - self.low:
            raise _wrong("a step above zero that fits into the range", str(self.step))
        if self.log and self.step is not None:
            raise _wrong("either log=True or a step", f"both, step {self.step}")

    @property
    def whole(self) -> bool:
        """Whether the parameter is a whole number."""
        return all(isinstance(each, int) for each in (self.low, self.high, self.step or 0))


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several values, which have no order."""

    values: tuple[Scalar, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple(self.values))
        if len(set(map(repr, self.values))) != len(self.values) or len(self.values) < 2:
            raise ProjectError(
                "Wrong choice to search", expected="two or more different values", found=repr(self.values)
            )


def _wrong(expected: str, found: str) -> ProjectError:
    return ProjectError("Wrong range to search", expected=expected, found=found)
