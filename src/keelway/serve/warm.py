"""Asks a version that was just loaded for a few answers, so that its first callers do not pay what first calls cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import cycle, islice
from typing import Any

from keelway.errors import ServingError
from keelway.features import FeatureColumn
from keelway.project import Task
from keelway.serve.ports import Scorer

WARM_ROWS = (1, 1, 64)
"""How many rows each call asks for: one row is one path of a runtime, many are another."""
SUM_SLACK = 1e-4
"""How far the probabilities of all classes may be from 1 together."""


def warm_up(scorer: Scorer, stored: Sequence[Sequence[Any]] = ()) -> None:
    """Ask for answers to rows of nothing but nulls, and to rows that the version was trained on.

    Args:
        stored: Rows of the training; none where they are not at hand.

    Raises:
        ServingError: It gives none, or numbers that are none.
    """
    _warm(scorer, [blank_row(scorer.features)], "rows of nulls")
    if stored:
        _warm(scorer, stored, "rows of its training")


def _warm(scorer: Scorer, rows: Sequence[Sequence[Any]], what: str) -> None:
    for count in WARM_ROWS:
        answers = scorer.predictions(list(islice(cycle(rows), count)))
        flat = [number for answer in answers for number in (answer if isinstance(answer, list) else [answer])]
        if len(answers) != count or not all(math.isfinite(number) for number in flat):
            raise ServingError(
                f"A version that was loaded does not answer to {what}",
                expected=f"{count} finite answers",
                found=f"{len(answers)} answers, {sum(not math.isfinite(number) for number in flat)} not finite",
                fix="Take it back, and look at its card.",
            )


def strange_answers(answers: Sequence[Any], task: Task, *, classes: int = 0) -> tuple[str, ...]:
    """Return what is wrong with answers to a smoke test; empty where each is one.

    Args:
        task: A binary model answers numbers in [0, 1], a regression finite numbers, a multiclass model lists of
            probabilities that sum to 1 (to four digits: they are numbers of 32 bits).
        classes: How many probabilities such a list has.
    """
    if task == "multiclass":
        strange = sum(
            len(each) != classes or not all(0 <= share <= 1 for share in each) or not abs(sum(each) - 1) <= SUM_SLACK
            for each in answers
        )
        what = f"are no {classes} probabilities that sum to 1"
    elif task == "binary":
        strange, what = sum(not 0 <= each <= 1 for each in answers), "are no probability"
    else:
        strange, what = sum(not math.isfinite(each) for each in answers), "are no finite number"
    return (f"{strange} of {len(answers)} answers {what}",) if strange else ()


def blank_row(features: Sequence[FeatureColumn]) -> list[Any]:
    """Return a row without a value; an array, which cannot be null, is one of zeros."""
    return [[0.0] * (feature.length or 0) if feature.kind == "array" else None for feature in features]
