"""Bringing rows of features into the types they are stored in.

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


class Finisher:
    """Takes rows a part at a time; what is wrong with some is told in the end, of all parts together.

    Args:
        columns: The features.
        splitting: Columns that are no features, but stand in the table because rows are split by them.
        model: The model's name, for errors.
    """

    def __init__(self, columns: Sequence[FeatureColumn], *, splitting: Sequence[str], model: str) -> None:
        self._columns, self._splitting, self._model = columns, splitting, model
        self._wrong: dict[tuple[int, str], list[pa.Table]] = {}
        self._told: dict[tuple[int, str], tuple[str, str, str]] = {}

    def finished(self, rows: pa.Table) -> pa.Table:
        """Return rows as they are stored."""
        import pyarrow as pa

        for place, column in enumerate(self._columns):
            rows = rows.set_column(rows.column_names.index(column.name), column.name, self._values(rows, place))
        names = [ENTITY, AS_OF, *(column.name for column in self._columns), *self._splitting]
        names += [name for name in (LABEL, LABEL_KNOWN_AT) if name in rows.column_names]
        utc = pa.timestamp("us", tz="UTC")
        for name in {AS_OF, LABEL_KNOWN_AT} & set(names):
            rows = rows.set_column(rows.column_names.index(name), name, rows[name].cast(utc))
        return rows.select(names)

    def check(self) -> None:
        """Refuse the rows so far where one has a value that cannot be stored.

        Raises:
            FeatureError: There is one, in the first column that has any.
        """
        import pyarrow as pa

        for key in sorted(self._wrong)[:1]:
            expected, found, fix = self._told[key]
            number = counted(pa.concat_tables(self._wrong[key]))
            raise FeatureError(key[1], expected=expected, found=f"{found} in {number}", fix=fix)

    def _values(self, rows: pa.Table, place: int) -> pa.ChunkedArray:
        import pyarrow as pa
        import pyarrow.compute as pc

        column = self._columns[place]
        values = rows[column.name]
        if column.kind == "array":
            self._look_at_arrays(rows, place)
            return values
        if column.kind != "numeric":
            return pc.fill_null(values.cast(pa.string()), "")
        self._note(
            rows.filter(pc.fill_null(pc.is_inf(values), False)),
            (place, f"Feature {column.name!r} of {self._model!r} is infinite"),
            expected="a finite number or null",
            found="infinity",
            fix="Divide with keelway.features.blocks.ratio, which gives null where the divisor is zero.",
        )
        return pc.if_else(pc.is_nan(values), pa.scalar(None, pa.float64()), values)

    def _look_at_arrays(self, rows: pa.Table, place: int) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        column = self._columns[place]
        values, what = rows[column.name], f"Array {column.name!r} of {self._model!r}"
        lengths = pc.fill_null(pc.list_value_length(values), -1)
        wrong = rows.filter(pc.not_equal(lengths, column.length))
        found = f"{lengths.filter(pc.not_equal(lengths, column.length))[0].as_py()} numbers" if wrong.num_rows else ""
        self._note(
            wrong,
            (place, f"{what} has another length than declared"),
            expected=f"{column.length} numbers in each row",
            found="nothing" if found.startswith("-1") else found,
            fix="Correct @feature_set(arrays=...), or fill and cut the arrays in its function.",
        )
        numbers = pc.list_flatten(values)
        odd = pc.invert(pc.fill_null(pc.is_finite(numbers), False))
        holders = pc.unique(pc.list_parent_indices(values.combine_chunks()).filter(odd.combine_chunks()))
        self._note(
            rows.take(holders.sort() if holders else pa.array([], pa.int64())),
            (place, f"{what} holds what is no number"),
            expected="finite numbers only",
            found="null, NaN or infinity",
            fix="Fill missing numbers in the feature's function.",
        )

    def _note(self, wrong: pa.Table, key: tuple[int, str], *, expected: str, found: str, fix: str) -> None:
        """Keep when wrong rows are, by the place of their column and what is wrong with them."""
        if wrong.num_rows:
            self._wrong.setdefault(key, []).append(wrong.select([AS_OF]))
            self._told.setdefault(key, (expected, found, fix))
