"""What every benchmark prints: one line per figure, or the same as JSON.

report([Figure("predict", 5210, "requests/s", ratio_to="mlflow models serve", ratio=190, aim=">= 50")], args.json)
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value.

    Attributes:
        name: What was measured.
        value: The figure, in `unit`; None where it could not be measured (`unit` then says why).
        unit: Its unit, such as `ms` or `requests/s`.
        ratio_to: The peer or the floor it was compared with in the same run.
        ratio: The figure against the peer's.
        aim: What we want, in words.
        between: The least and the greatest that the ratio may be, with 95 % confidence, where that was reckoned.
    """

    name: str
    value: float | None
    unit: str
    ratio_to: str = ""
    ratio: float | None = None
    aim: str = ""
    between: tuple[float, float] | None = None

    def __str__(self) -> str:
        shown = "not measured:" if self.value is None else _number(self.value)
        notes = []
        if self.ratio_to:
            ratio = "not measured" if self.ratio is None else _number(self.ratio)
            if self.between is not None:
                ratio += f" (95 %: {self.between[0]:.3f} to {self.between[1]:.3f})"
            notes.append(f"ratio to {self.ratio_to}: {ratio}")
        if self.aim:
            notes.append(f"aim {self.aim}")
        return f"{self.name}: {shown} {self.unit}" + (f" ({'; '.join(notes)})" if notes else "")


def report(figures: Iterable[Figure], json_flag: bool) -> None:
    """Print figures for people, or as one JSON list."""
    if json_flag:
        sys.stdout.write(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n")
        return
    for figure in figures:
        sys.stdout.write(f"{figure}\n")


def _number(value: float) -> str:
    if value == 0 or 1e-3 <= abs(value) < 1e15:
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:.3e}"
