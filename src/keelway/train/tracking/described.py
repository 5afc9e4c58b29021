"""Describe what a model learns from without keeping a row of it: digest, signature, and an example that is nobody.

The input example holds, column by column, the median of the numbers or the most frequent of the words, so that it has
the right shape and belongs to no person.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from keelway.core import DIGEST_PREFIX, canonical_json
from keelway.features import ColumnProfile, FeatureColumn, Profile

if TYPE_CHECKING:
    import pandas as pd

MOST_HASHED_BYTES = 1 << 30
MOST_COLUMNS = 2000
OTHER_LEVELS = "__other__"
EXAMPLE_ROWS = 100_000
"""Rows that the example is computed from, at most."""


def described(inputs: Any, outputs: Any = None) -> dict[str, str]:
    """Return `dataset` (a digest), `signature` and `input_example` of data; what cannot be told is empty.

    Args:
        inputs: A data frame, an Arrow table or an array of one or two dimensions, dense or sparse.
        outputs: What is predicted, or None.
    """
    frame = _frame(inputs)
    if frame is None or frame.shape[1] > MOST_COLUMNS:
        return {}
    told = {"inputs": _columns(frame), "outputs": _columns(_frame(outputs)) if outputs is not None else []}
    return {
        "dataset": data_digest(frame),
        "signature": canonical_json(told).decode(),
        "input_example": canonical_json({"columns": [str(each) for each in frame], "data": [_example(frame)]}).decode(),
    }


def typical_row(features: Sequence[FeatureColumn], profile: Profile) -> str:
    """Return one made-up row of features as an input example: means of numbers, the most frequent words."""
    row = [_typical_feature(each, profile.columns.get(each.name)) for each in features]
    return canonical_json({"columns": [each.name for each in features], "data": [row]}).decode()


def _typical_feature(feature: FeatureColumn, seen: ColumnProfile | None) -> Any:
    if feature.kind == "numeric":
        return None if seen is None else seen.mean
    if feature.kind == "array":
        return [0.0] * feature.length
    levels = {} if seen is None else {name: count for name, count in seen.levels.items() if name != OTHER_LEVELS}
    return max(levels, key=lambda name: levels[name]) if levels and feature.kind == "categorical" else ""


def data_digest(frame: pd.DataFrame) -> str:
    """Return the digest over names, types and values of a frame, or an empty text where it is too large to hash."""
    import pandas as pd

    if int(frame.memory_usage(index=False).sum()) > MOST_HASHED_BYTES:
        return ""
    total = hashlib.sha256(repr([(str(name), str(kind)) for name, kind in frame.dtypes.items()]).encode())
    try:
        total.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
    except TypeError:  # a column holds what cannot be hashed, such as lists
        return ""
    return DIGEST_PREFIX + total.hexdigest()


def _frame(data: Any) -> pd.DataFrame | None:
    """Return data as a frame where that is cheap, else None."""
    import pandas as pd

    if isinstance(data, pd.DataFrame):
        return data
    if isinstance(data, pd.Series):
        return data.to_frame(data.name if data.name is not None else "output")
    if hasattr(data, "to_pandas"):
        made: pd.DataFrame = data.to_pandas()
        return made
    shape = getattr(data, "shape", None)
    if shape is None or hasattr(data, "tocsr") or len(shape) not in (1, 2):
        return None
    return pd.DataFrame(data if len(shape) == 2 else data.reshape(-1, 1))


def _columns(frame: pd.DataFrame | None) -> list[dict[str, Any]]:
    if frame is None:
        return []
    return [{"name": str(name), "type": _kind(kind), "required": True} for name, kind in frame.dtypes.items()]


def _kind(kind: Any) -> str:
    """Return the name that MLflow's schemas have for a type."""
    import pandas as pd

    if pd.api.types.is_bool_dtype(kind):
        return "boolean"
    if pd.api.types.is_integer_dtype(kind):
        return "integer" if kind.itemsize <= 4 else "long"
    if pd.api.types.is_float_dtype(kind):
        return "float" if kind.itemsize <= 4 else "double"
    return "datetime" if pd.api.types.is_datetime64_any_dtype(kind) else "string"


def _example(frame: pd.DataFrame) -> list[Any]:
    return [_typical(frame.iloc[:EXAMPLE_ROWS, place]) for place in range(frame.shape[1])]


def _typical(column: pd.Series[Any]) -> Any:
    import pandas as pd

    known = column.dropna()
    if known.empty:
        return None
    if pd.api.types.is_bool_dtype(known):
        return bool(known.mode().iloc[0])
    if pd.api.types.is_numeric_dtype(known):
        middle = float(known.quantile(0.5, interpolation="nearest"))
        return int(middle) if pd.api.types.is_integer_dtype(known) else middle
    try:
        return str(known.mode().iloc[0])
    except TypeError:  # values that cannot be counted
        return None
