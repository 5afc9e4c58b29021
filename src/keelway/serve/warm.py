"""Asks a version that was just loaded for a few answers, so that its first callers do not pay what first calls cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from keelway.errors import ServingError
from keelway.features import FeatureColumn
from keelway.serve.ports import Scorer

WARM_ROWS = (1, 1, 64)
"""How many rows each call asks for: one row is one path of a runtime, many are another."""


def warm_up(scorer: Scorer) -> None:
    """Ask for answers to rows of nothing but nulls.

    Raises:
        ServingError: It gives none, or numbers that are none.
    """
    row = blank_row(scorer.features)
    for count in WARM_ROWS:
        answers = scorer.predictions([row] * count)
        flat = [number for answer in answers for number in (answer if isinstance(answer, list) else [answer])]
        if len(answers) != count or not all(math.isfinite(number) for number in flat):
            raise ServingError(
                "A version that was loaded does not answer to rows of nulls",
                expected=f"{count} finite answers",
                found=f"{len(answers)} answers, {sum(not math.isfinite(number) for number in flat)} not finite",
                fix="Take it back, and look at its card.",
            )


def blank_row(features: Sequence[FeatureColumn]) -> list[Any]:
    """Return a row without a value; an array, which cannot be null, is one of zeros."""
    return [[0.0] * (feature.length or 0) if feature.kind == "array" else None for feature in features]
