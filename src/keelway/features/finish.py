"""Bringing rows of features into the order and the types they are stored in.

- No category and no text is null: a missing one is the empty text.
- No number is NaN or infinite; a missing one is null.
- Every array has its declared length and holds finite numbers only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from keelway.errors import FeatureError
from keelway.features.names import AS_OF, ENTITY, LABEL, LABEL_KNOWN_AT
from keelway.features.records import FeatureColumn
from keelway.features.told import counted

if TYPE_CHECKING:
    import pyarrow as pa

ORDER = [(AS_OF, "ascending"), (ENTITY, "ascending")]


def finished(rows: pa.Table, columns: Sequence[FeatureColumn], *, splitting: Sequence[str], model: str) -> pa.Table:
    """Return rows as they are stored.

    Args:
        splitting: Columns that are no features, but stand in the table because rows are split by them.
        model: The model's name, for errors.

    Raises:
        FeatureError: There is a value that cannot be stored.
    """
    import pyarrow as pa

    for column in columns:
        rows = rows.set_column(rows.column_names.index(column.name), column.name, _values(rows, column, model=model))
    names = [ENTITY, AS_OF, *(column.name for column in columns), *splitting]
    names += [name for name in (LABEL, LABEL_KNOWN_AT) if name in rows.column_names]
    utc = pa.timestamp("us", tz="UTC")
    for name in {AS_OF, LABEL_KNOWN_AT} & set(names):
        rows = rows.set_column(rows.column_names.index(name), name, rows[name].cast(utc))
    return rows.select(names).sort_by(ORDER).combine_chunks().replace_schema_metadata(None)


def side_by_side(left: pa.Table, right: pa.Table, *, how: str) -> pa.Table:
    """Return two tables joined by entity and cut date; other than Arrow's own join, it also carries lists.

    Args:
        how: What Arrow calls the join, such as `full outer`.
    """
    import numpy as np
    import pyarrow as pa

    keys = [ENTITY, AS_OF]
    places = left.select(keys).append_column("left", pa.array(np.arange(left.num_rows)))
    others = right.select(keys).append_column("right", pa.array(np.arange(right.num_rows)))
    places = places.join(others, keys, join_type=how, use_threads=False).combine_chunks()
    joined = places.select(keys)
    for table, side in ((left, "left"), (right, "right")):
        for name in table.column_names:
            if name not in keys:
                joined = joined.append_column(name, table[name].take(places[side]))
    return joined


def _values(rows: pa.Table, column: FeatureColumn, *, model: str) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    values = rows[column.name]
    if column.kind == "array":
        _check_arrays(rows, column, model=model)
        return values
    if column.kind != "numeric":
        return pc.fill_null(values.cast(pa.string()), "")
    _refuse(
        rows.filter(pc.fill_null(pc.is_inf(values), False)),
        f"Feature {column.name!r} of {model!r} is infinite",
        expected="a finite number or null",
        found="infinity",
        fix="Divide with keelway.features.blocks.ratio, which gives null where the divisor is zero.",
    )
    return pc.if_else(pc.is_nan(values), pa.scalar(None, pa.float64()), values)


def _check_arrays(rows: pa.Table, column: FeatureColumn, *, model: str) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    values, what = rows[column.name], f"Array {column.name!r} of {model!r}"
    lengths = pc.fill_null(pc.list_value_length(values), -1)
    wrong = rows.filter(pc.not_equal(lengths, column.length))
    found = f"{lengths.filter(pc.not_equal(lengths, column.length))[0].as_py()} numbers" if wrong.num_rows else ""
    _refuse(
        wrong,
        f"{what} has another length than declared",
        expected=f"{column.length} numbers in each row",
        found="nothing" if found.startswith("-1") else found,
        fix="Correct @feature_set(arrays=...), or fill and cut the arrays in its function.",
    )
    numbers = pc.list_flatten(values)
    odd = pc.invert(pc.fill_null(pc.is_finite(numbers), False))
    holders = pc.unique(pc.list_parent_indices(values.combine_chunks()).filter(odd.combine_chunks()))
    _refuse(
        rows.take(holders.sort() if holders else pa.array([], pa.int64())),
        f"{what} holds what is no number",
        expected="finite numbers only",
        found="null, NaN or infinity",
        fix="Fill missing numbers in the feature's function.",
    )


def _refuse(wrong: pa.Table, what: str, *, expected: str, found: str, fix: str) -> None:
    """Raise where there are wrong rows."""
    if wrong.num_rows:
        raise FeatureError(what, expected=expected, found=f"{found} in {counted(wrong)}", fix=fix)
