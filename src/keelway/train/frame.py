"""Turn rows of a feature table into what a pipeline reads: 32-bit numbers and text, in the order of the schema."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from keelway.errors import TrainingError
from keelway.features import FeatureColumn, coded_texts
from keelway.project import Task

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

EXAMPLES = 5
EXPECTED: dict[Task, str] = {
    "binary": "0 or 1",
    "multiclass": "the name of a class",
    "regression": "a finite number",
}
KINDS = ("numeric", "categorical", "text", "array")


def ordered(features: Sequence[FeatureColumn]) -> list[FeatureColumn]:
    """Return the columns as a pipeline reads them: numbers, categories, texts, arrays."""
    return [each for kind in KINDS for each in features if each.kind == kind]


def frame_of(columns: Mapping[str, Any], features: Sequence[FeatureColumn], *, coded: bool = False) -> pd.DataFrame:
    """Return a frame of 32-bit floats (missing: NaN) and text (missing: ''), as `ordered` puts the features.

    An array becomes as many columns as it is long, `pixels[0]`, `pixels[1]` and so on.

    Args:
        columns: Feature to its values, as a list or as a column of a feature table.
        features: The schema.
        coded: Whether categories are kept as pandas categoricals: the same texts, of which each distinct one is looked at once.

    Raises:
        TrainingError: A column is missing, holds infinity or a number beyond 32 bits, or arrays of another length.
    """
    import pandas as pd

    made: dict[str, Any] = {}
    for each in ordered(features):
        if each.name not in columns:
            raise TrainingError(f"Feature {each.name!r} is missing", expected="every feature of the schema")
        values = columns[each.name]
        if each.kind == "numeric":
            made[each.name] = _numbers(each.name, values)
        elif each.kind == "array":
            numbers = _arrays(each, values)
            made |= {f"{each.name}[{place}]": numbers[:, place] for place in range(each.length)}
        elif coded and each.kind == "categorical":
            made[each.name] = _categorical(values)
        else:
            made[each.name] = pd.Series(_texts(values), dtype=object)
    return pd.DataFrame(made)


def labels_of(rows: pa.Table, task: Task = "binary") -> NDArray[Any]:
    """Return the labels of rows: 0 or 1 as int8, names of classes as text, or numbers as float64.

    Raises:
        TrainingError: There is no label, a missing one, or a value that no label of the task has.
    """
    import numpy as np

    if "label" not in rows.column_names:
        raise TrainingError("The feature table has no label", expected="a table built for training")
    strange = sorted(repr(value) for value in rows["label"].unique().to_pylist() if not _fits(value, task))
    if strange:
        what = "neither 0 nor 1" if task == "binary" else f"not {EXPECTED[task]}"
        raise TrainingError(f"A label is {what}", expected=EXPECTED[task], found=", ".join(strange[:EXAMPLES]))
    kinds: dict[Task, Any] = {"binary": np.int8, "multiclass": object, "regression": np.float64}
    return np.asarray(rows["label"].to_numpy(), dtype=kinds[task])


def encoded(labels: NDArray[Any], classes: Sequence[str]) -> NDArray[np.int64]:
    """Return each label's place among the classes, or -1 where it is none of them.

    >>> import numpy as np
    >>> encoded(np.array(["b", "a", "x"], dtype=object), ("a", "b")).tolist()
    [1, 0, -1]
    """
    import numpy as np

    place = {name: number for number, name in enumerate(classes)}
    return np.array([place.get(label, -1) for label in labels], dtype=np.int64)


def _fits(value: Any, task: Task) -> bool:
    if task == "binary":
        return value in (0, 1)
    if task == "multiclass":
        return isinstance(value, str) and value != ""
    return isinstance(value, float) and math.isfinite(value)


def _numbers(name: str, values: Any) -> NDArray[np.float32]:
    import numpy as np

    given = values.to_numpy() if hasattr(values, "to_pylist") else values
    with np.errstate(over="ignore"):
        numbers = np.asarray(given, dtype=np.float64).astype(np.float32)
    _check_finite(name, numbers)
    return numbers


def _texts(values: Any) -> NDArray[np.object_]:
    """Return texts, missing ones empty; of a column of Arrow every equal text is one object, which is quick to compare."""
    import numpy as np

    if not hasattr(values, "to_pylist"):
        return np.array(["" if item is None else item for item in values], dtype=object)
    codes, distinct = coded_texts(values)
    texts: NDArray[np.object_] = np.array(distinct, dtype=object)[codes]
    return texts


def _categorical(values: Any) -> pd.Categorical:
    """Return texts, missing ones empty, as codes of the distinct ones."""
    import pandas as pd

    if not hasattr(values, "to_pylist"):
        return pd.Categorical(_texts(values))
    codes, distinct = coded_texts(values)
    return pd.Categorical.from_codes(codes, categories=pd.Index(distinct, dtype=object))


def _arrays(feature: FeatureColumn, values: Any) -> NDArray[np.float32]:
    import numpy as np

    lists = values.to_pylist() if hasattr(values, "to_pylist") else values
    lengths = {len(each or ()) for each in lists} - {feature.length}
    if lengths:
        raise TrainingError(
            f"Array {feature.name!r} has another length than the schema says",
            expected=f"{feature.length} numbers in each row",
            found=", ".join(map(str, sorted(lengths)[:EXAMPLES])),
            fix="Give every number of the array; none may be missing.",
        )
    with np.errstate(over="ignore"):
        numbers = np.asarray(lists, dtype=np.float64).astype(np.float32).reshape(len(lists), feature.length)
    _check_finite(feature.name, numbers)
    return numbers


def _check_finite(name: str, numbers: NDArray[np.float32]) -> None:
    import numpy as np

    infinite = np.isinf(numbers).reshape(len(numbers), -1).any(axis=1)
    if infinite.any():
        raise TrainingError(
            f"Feature {name!r} holds infinity",
            expected="numbers that fit 32 bits, or null",
            found=f"{int(infinite.sum())} of {len(numbers)} rows",
            fix="Guard the division or the logarithm in the feature's function.",
        )
