"""Folds: parts of the training rows to try on what was learnt from the others. Test rows are never among them.

- Over time, a fold validates on one cut and trains on the earlier cuts whose labels were known by then.
- Otherwise rows are dealt out at random, with equal shares of classes, and groups (or entities) are not cut in two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from keelway.core import time_text
from keelway.errors import TrainingError
from keelway.features import FeatureTable
from keelway.project import Model, TimeSplit
from keelway.train.deal import dealt
from keelway.train.parts import class_codes, codes_of, group_column

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Fold:
    """One part of the training rows to try on, and the rows to learn from for it.

    Attributes:
        train: Positions among the training rows, rising.
        validate: Positions among the training rows, rising; none of them is in `train`.
        name: What it is called in records.
    """

    train: NDArray[np.intp]
    validate: NDArray[np.intp]
    name: str


def folds(rows: pa.Table, model: Model, table: FeatureTable) -> tuple[Fold, ...]:
    """Return the folds of the training rows, as the model's split declares them.

    Where no fold over time is clean and the model declares `overlap="when_unavoidable"`, entities are dealt out at
    random instead: nobody is then validated on who was learnt from, but the times mix.

    Args:
        rows: The training rows of the table, as `training_rows` returns them.
        model: The model, whose split says how to fold.
        table: The feature table that the rows are of.

    Raises:
        TrainingError: There are too few rows, groups or cuts to fold.
    """
    if not isinstance(model.split, TimeSplit):
        return _dealt_out(rows, model, count=model.split.folds, by=group_column(rows, model))
    if forward := _forward(rows, model.split.folds):
        return forward
    if model.overlap == "when_unavoidable":
        return _dealt_out(rows, model, count=max(2, model.split.folds), by="entity")
    raise TrainingError(
        f"The training rows of {table.model!r} cannot be folded in time",
        expected="a training cut with an earlier one whose labels were known by then",
        found=", ".join(time_text(cut)[:10] for cut in sorted(set(rows["as_of"].to_pylist()))) or "no cut",
        fix='Start `cuts` earlier, shorten the label\'s horizon, or declare Model(overlap="when_unavoidable").',
    )


def _forward(rows: pa.Table, count: int) -> tuple[Fold, ...]:
    """Return one fold for each of the newest cuts that have something known before them, oldest first."""
    import numpy as np

    cuts, known = (rows[name].to_numpy().astype("datetime64[us]") for name in ("as_of", "label_known_at"))
    found = []
    for cut in np.unique(cuts)[1:]:
        before = np.flatnonzero((cuts < cut) & (known <= cut))
        if len(before):
            found.append(Fold(before, np.flatnonzero(cuts == cut), f"validated on {str(cut)[:10]}"))
    return tuple(found[-count:])


def _dealt_out(rows: pa.Table, model: Model, *, count: int, by: str) -> tuple[Fold, ...]:
    import numpy as np

    groups = codes_of(rows, by)
    distinct = int(groups.max(initial=-1)) + 1
    if distinct < count:
        raise TrainingError(
            f"There are too few groups to fold the training rows of {model.name!r}",
            expected=f"at least {count}, one for each fold",
            found=f"{distinct} by {by!r}",
            fix="Declare fewer folds, or a finer group.",
        )
    parts = dealt(class_codes(rows, model), groups, shares=(1 / count,) * count, seed=model.split.seed)
    return tuple(
        Fold(np.flatnonzero(parts != part), np.flatnonzero(parts == part), f"random {part + 1} of {count}, by {by}")
        for part in range(count)
    )
