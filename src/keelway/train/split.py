"""Split cuts forward in time: a model is tested on the newest cut and learns only from what was known by then.

A label observed over a horizon is known at `as_of + horizon`. A training cut whose labels are known only after the test
cut would let the model see the future of the customers it is tested on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from keelway.core import time_text
from keelway.errors import TrainingError

NEVER = "never"
WHEN_UNAVOIDABLE = "when_unavoidable"


@dataclass(frozen=True, slots=True)
class Split:
    """Which cuts train and which one tests.

    Attributes:
        train: The training cuts, oldest first.
        test: The newest cut.
        overlap_days: How far the newest training cut's label window reaches beyond the test cut; 0 is clean.
    """

    train: tuple[datetime, ...]
    test: datetime
    overlap_days: int


def forward_split(as_ofs: Sequence[datetime], horizon: timedelta, overlap: str = NEVER) -> Split:
    """Return a split that trains on the cuts before the newest whose labels were known by then.

    Args:
        as_ofs: The cuts, in any order.
        horizon: How long after its cut a label becomes known.
        overlap: `never`, or `when_unavoidable` to fall back on all earlier cuts where none is clean; the split says
            by how many days they overlap.

    Raises:
        TrainingError: There is no cut to train on, or `overlap` is neither of the two.
    """
    if overlap not in (NEVER, WHEN_UNAVOIDABLE):
        raise TrainingError("Unknown rule for overlap", expected=f"{NEVER} or {WHEN_UNAVOIDABLE}", found=repr(overlap))
    cuts = sorted(set(as_ofs))
    if len(cuts) < 2:
        raise TrainingError(
            "There is nothing to hold out",
            expected="at least two cuts, one to train on and a later one to test on",
            found=f"{len(cuts)}",
            fix="Let `cuts` start earlier or come more often, or wait until more labels are known.",
        )
    *earlier, test = cuts
    clean = tuple(cut for cut in earlier if cut + horizon <= test)
    if clean:
        return Split(clean, test, 0)
    if overlap == NEVER:
        raise TrainingError(
            "No training cut has labels known by the test cut",
            expected=f"a cut at or before {time_text(test - horizon)}",
            found=f"the earliest at {time_text(earlier[0])}",
            fix='Start `cuts` earlier, shorten the label\'s horizon, or declare Model(overlap="when_unavoidable").',
        )
    return Split(tuple(earlier), test, math.ceil((earlier[-1] + horizon - test) / timedelta(days=1)))
