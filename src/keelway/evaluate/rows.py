"""Truth and predictions as arrays that can be measured: finite, of equal length, classes by their place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from keelway.errors import TrainingError
from keelway.evaluate.metrics import MeasuredTask

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Numbers = NDArray[np.float64]

EXAMPLES = 5


def checked_rows(
    task: MeasuredTask,
    truth: ArrayLike,
    predictions: ArrayLike,
    classes: Sequence[str] = (),
    *,
    only_ranked: bool = False,
) -> tuple[Numbers, Numbers]:
    """Return truth, (rows,), and predictions, (rows,) or (rows, classes); classes become places among `classes`.

    Binary predictions are probabilities, unless rows are `only_ranked` by them.

    Raises:
        TrainingError: There are no rows, shapes differ, a value is no finite number or of an unknown class, or a
            probability is outside [0, 1].
    """
    import numpy as np

    given = finite(predictions, "The model")
    rows = places_of(truth, classes).astype(np.float64) if task == "multiclass" else np.asarray(truth, dtype=np.float64)
    shape = (len(rows), len(classes)) if task == "multiclass" else (len(rows),)
    if not len(rows) or given.shape != shape:
        raise TrainingError(
            "Truth and predictions do not fit", expected=f"predictions of shape {shape}", found=str(given.shape)
        )
    if not np.isfinite(rows).all() or (task == "binary" and not np.isin(rows, (0, 1)).all()):
        expected = "0 or 1" if task == "binary" else "finite numbers"
        raise TrainingError("The truth cannot be measured against", expected=expected, found=_strange(rows))
    if task in ("binary", "multiclass") and not only_ranked and (given.min() < 0 or given.max() > 1):
        raise TrainingError(
            "A probability lies outside [0, 1]", expected="0 to 1", found=f"{given.min():g} to {given.max():g}"
        )
    return rows, given


def places_of(truth: ArrayLike, classes: Sequence[str]) -> NDArray[np.intp]:
    """Return the place of each row's class among the classes.

    Raises:
        TrainingError: A row is of a class that is not among them.
    """
    import numpy as np

    place = {name: number for number, name in enumerate(classes)}
    named = [str(each) for each in np.asarray(truth).tolist()]
    if strange := sorted({each for each in named if each not in place}):
        raise TrainingError(
            "Test rows are of classes that the model never saw",
            expected=", ".join(list(classes)[:EXAMPLES]) or "the names of the classes",
            found=", ".join(strange[:EXAMPLES]),
            fix="Train on rows of every class, or let the label's function gather rare ones under one name.",
        )
    return np.array([place[each] for each in named], dtype=np.intp)


def finite(values: Any, who: str) -> Numbers:
    """Return numbers as an array.

    Raises:
        TrainingError: One is not finite.
    """
    import numpy as np

    found = np.asarray(values, dtype=np.float64)
    if strange := int(found.size - np.isfinite(found).sum()):
        raise TrainingError(
            f"{who} gives scores that are not numbers", expected="finite numbers", found=f"{strange} of {found.size}"
        )
    return found


def _strange(rows: Numbers) -> str:
    import numpy as np

    odd = rows[~np.isfinite(rows) | ~np.isin(rows, (0, 1))]
    return ", ".join(f"{each:g}" for each in np.unique(odd)[:EXAMPLES])
