"""Turn rows of a feature table into what a pipeline reads: 32-bit numbers and text, in the order of the schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from keelway.errors import TrainingError
from keelway.features import FeatureColumn

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

EXAMPLES = 5


def ordered(features: Sequence[FeatureColumn]) -> list[FeatureColumn]:
    """Return the columns as a pipeline reads them: numbers first, then categories."""
    return [each for kind in ("numeric", "categorical") for each in features if each.kind == kind]


def frame_of(columns: Mapping[str, Sequence[Any]], features: Sequence[FeatureColumn]) -> pd.DataFrame:
    """Return a frame of 32-bit floats (missing: NaN) and text (missing: ''), numbers first.

    Raises:
        TrainingError: A column is missing, or holds infinity or a number beyond 32 bits.
    """
    import numpy as np
    import pandas as pd

    made: dict[str, Any] = {}
    for each in ordered(features):
        if each.name not in columns:
            raise TrainingError(f"Feature {each.name!r} is missing", expected="every feature of the schema")
        if each.kind == "numeric":
            with np.errstate(over="ignore"):
                values = np.asarray(columns[each.name], dtype=np.float64).astype(np.float32)
            if np.isinf(values).any():
                raise TrainingError(
                    f"Feature {each.name!r} holds infinity",
                    expected="numbers that fit 32 bits, or null",
                    found=f"{int(np.isinf(values).sum())} of {len(values)} rows",
                    fix="Guard the division or the logarithm in the feature's function.",
                )
            made[each.name] = values
        else:
            made[each.name] = pd.Series(["" if item is None else item for item in columns[each.name]], dtype=object)
    return pd.DataFrame(made)


def labels_of(rows: pa.Table) -> NDArray[np.int8]:
    """Return the labels of rows, 0 or 1.

    Raises:
        TrainingError: There is no label, a null, or a value other than 0 and 1.
    """
    import numpy as np

    if "label" not in rows.column_names:
        raise TrainingError("The feature table has no label", expected="a table built for training")
    values = rows["label"].to_pylist()
    strange = sorted({repr(value) for value in values if value not in (0, 1)})
    if strange:
        raise TrainingError("A label is neither 0 nor 1", expected="0 or 1", found=", ".join(strange[:EXAMPLES]))
    return np.asarray(values, dtype=np.int8)
