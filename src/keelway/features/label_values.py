"""The values of a label, by task: 0 or 1, the name of a class, or a finite number."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from keelway.errors import FeatureError
from keelway.features.names import LABEL
from keelway.features.told import counted
from keelway.project import LabelValue, Task

if TYPE_CHECKING:
    import pyarrow as pa

EXPECTED: dict[Task, str] = {
    "binary": "0 or 1",
    "multiclass": "the name of a class: a text, a whole number or a truth value",
    "regression": "a finite number",
}
WRONG: dict[Task, str] = {
    "binary": "neither 0 nor 1",
    "multiclass": "the name of no class",
    "regression": "no finite number",
}


def as_label(value: Any, task: Task, *, what: str) -> Any:
    """Return an Ibis column as the type that labels of the task are computed in: float64, or text for classes.

    Raises:
        FeatureError: The column has a type that no label of the task has.
    """
    kind = value.type()
    number = kind.is_boolean() or kind.is_integer() or kind.is_floating() or kind.is_decimal()
    named = kind.is_string() or kind.is_boolean() or kind.is_integer()
    if not (named if task == "multiclass" else number):
        raise FeatureError(
            f"{what} is not {'a class' if task == 'multiclass' else 'a number'}",
            expected=EXPECTED[task],
            found=str(kind),
            fix=f"Cast it in the label's function, or declare another task than {task!r} for the model.",
        )
    return value.cast("string" if task == "multiclass" else "float64")


def checked_labels(rows: pa.Table, task: Task, *, what: str) -> pa.ChunkedArray:
    """Return the labels of rows in the type they are stored in.

    Raises:
        FeatureError: A label is missing, or has a value that no label of the task has.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    labels = rows[LABEL]
    if task == "binary":
        right = pc.is_in(labels, value_set=pa.array([0.0, 1.0]))
    elif task == "multiclass":
        right = pc.not_equal(labels, "")
    else:
        right = pc.is_finite(labels)
    wrong = rows.filter(pc.invert(pc.fill_null(right, False)))
    if wrong.num_rows:
        raise FeatureError(
            f"{what} has a value that is {WRONG[task]}",
            expected=EXPECTED[task],
            found=f"{_in_words(wrong[LABEL][0].as_py())} in {counted(wrong)}",
            fix="Filter such rows out in the label's function, or mend it.",
        )
    return labels.cast(label_type(task))


def _in_words(value: float | str | None) -> str:
    """Return what kind of value a wrong label is; which one it is stays untold, for it may be a person's."""
    if value is None:
        return "nothing"
    if isinstance(value, str):
        return "an empty text"
    if math.isnan(value):
        return "NaN"
    return "infinity" if math.isinf(value) else "another number"


def label_type(task: Task) -> pa.DataType:
    """Return the type that labels of a task are stored in."""
    import pyarrow as pa

    return {"binary": pa.int8(), "multiclass": pa.string(), "regression": pa.float64()}[task]


def absent_label(value: LabelValue, task: Task) -> LabelValue:
    """Return the label of an entity without an outcome as it is stored.

    >>> absent_label(True, "multiclass"), absent_label(3, "multiclass"), absent_label(3, "regression")
    ('true', '3', 3.0)
    """
    if task == "multiclass":
        return str(value).lower() if isinstance(value, bool) else str(value)
    return float(value) if task == "regression" else int(value)
