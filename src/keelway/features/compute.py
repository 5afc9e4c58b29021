"""Running a user's functions on tables that hold only what may be seen at a cut date.

The rules this module keeps:

- A feature function sees a row only if the row happened before `as_of` and was known before `as_of`; a row that
  carries no time only needs to be known.
- A label function sees a row only if it happened in `[as_of, as_of + horizon)` and is known by now. A label without a
  horizon sees the rows that a feature function sees, and the columns that it is made of are hidden from those.
- Columns that begin with `_` belong to Keelway and are not shown.
- Several cut dates are one statement, the union of one branch a cut.
- The answer depends on the rows alone, not on their order (`keelway.features.execute`).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keelway.core import DUCKDB_SESSION
from keelway.errors import FeatureError
from keelway.features.calls import called
from keelway.features.execute import QueryEngine, computing
from keelway.features.label_values import as_label, checked_labels
from keelway.features.names import AS_OF, ENTITY, LABEL, RESERVED
from keelway.features.records import FeatureColumn, columns_apart
from keelway.features.told import counted
from keelway.project import Dataset, FeatureSet, Label, Task
from keelway.snapshot import SnapshotRows

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa

KNOWN_AT = "_known_at"
MEMORY_LIMIT = "400MB"
_UTC = "timestamp('UTC', 6)"


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of the datasets inside one DuckDB connection.

    Attributes:
        by_name: Dataset to table.
        hidden: Dataset to the columns that feature functions do not see, because the label is made of them.
        engine: What answers queries over them; None for tables without data.
    """

    by_name: Mapping[str, Any]
    hidden: Mapping[str, frozenset[str]] = field(default_factory=dict)
    engine: QueryEngine | None = None

    def visible(self, dataset: Dataset, as_of: datetime) -> ir.Table:
        """Return the rows that had happened and were known before `as_of`, without hidden columns."""
        shown = self._known(dataset, as_of)
        return shown.select([name for name in shown.columns if name not in self.hidden.get(dataset.name, ())])

    def outcome(self, label: Label, as_of: datetime, *, now: datetime) -> ir.Table:
        """Return the rows of the label's horizon that are known by now; without a horizon, those known before `as_of`."""
        if label.horizon is None:
            return self._known(label.source, as_of)
        table = self.by_name[label.source.name]
        happened = table[label.source.event_time]
        return _shown(
            table.filter(
                happened >= _literal(as_of),
                happened < _literal(as_of + label.horizon),
                table[KNOWN_AT] <= _literal(now),
            )
        )

    def _known(self, dataset: Dataset, as_of: datetime) -> ir.Table:
        table, moment = self.by_name[dataset.name], _literal(as_of)
        known = table.filter(table[KNOWN_AT] < moment)
        return _shown(known if dataset.is_static else known.filter(known[dataset.event_time] < moment))


@contextmanager
def opened(
    datasets: Sequence[Dataset],
    rows: Mapping[str, SnapshotRows],
    *,
    in_order: bool = False,
    spill: Path | None = None,
) -> Iterator[Tables]:
    """Open the versions of some datasets as tables.

    Args:
        in_order: Copy the rows into memory in one order, for one thread; where the same rows are asked for very often.
        spill: Where the engine puts what takes more than `MEMORY_LIMIT`; without it, it takes what the machine has.

    Raises:
        FeatureError: The files of a dataset cannot be read, or lack its event time.
    """
    import duckdb
    import ibis
    from ibis.common.exceptions import IbisError

    config: dict[str, Any] = {"threads": 1} if in_order else {}
    if spill is not None:
        config |= {"memory_limit": MEMORY_LIMIT, "temp_directory": str(spill)}
    connection = ibis.duckdb.connect(":memory:", **config)
    try:
        connection.raw_sql(DUCKDB_SESSION)
        tables = {}
        for dataset in datasets:
            try:
                tables[dataset.name] = _loaded(connection, dataset, rows[dataset.name], in_order=in_order)
            except (duckdb.Error, IbisError) as error:
                raise FeatureError(
                    f"The snapshot of {dataset.name!r} cannot be read", expected="Parquet files", found=str(error)
                ) from error
        moments = {_table_of(dataset): dataset.event_time for dataset in datasets}
        engine = QueryEngine(connection, moments, in_order=in_order, is_unbounded=spill is None)
        yield Tables(tables, engine=engine)
    finally:
        connection.disconnect()


def feature_query(
    features: FeatureSet, tables: Tables, *, as_ofs: Sequence[datetime]
) -> tuple[Any, list[FeatureColumn]]:
    """Return what gives `entity`, `as_of` and the features of one feature set, one row an entity and cut date.

    Raises:
        FeatureError: The function raises, or returns other columns than it may.
    """
    branches, columns = [], None
    hidden = frozenset().union(*(tables.hidden.get(source.name, ()) for source in features.sources))
    for as_of in as_ofs:
        given = [tables.visible(source, as_of) for source in features.sources]
        result = called(features.function, (*given, _literal(as_of)), what=told_as(features), hidden=hidden)
        found = _columns_of(features, result)
        if columns is not None and found != columns:
            raise FeatureError(
                f"Feature set {features.name!r} has other columns at {as_of.date()} than at {as_ofs[0].date()}",
                **columns_apart(columns, found),
                fix="Let the function return the same columns for every cut; cast one whose type changes.",
            )
        columns = found
        branches.append(_branch(result, features.entity, as_of, [_cast(result, column) for column in found]))
    return _union(branches), columns or []


def feature_rows(
    features: FeatureSet, tables: Tables, *, as_ofs: Sequence[datetime]
) -> tuple[pa.Table, list[FeatureColumn]]:
    """Return `entity`, `as_of` and the features of one feature set, in an order of their own, and the features.

    Raises:
        FeatureError: The function raises, or returns anything but one row of numbers and texts an entity.
    """
    query, columns = feature_query(features, tables, as_ofs=as_ofs)
    rows = executed(query, tables, what=told_as(features))
    check_one_row_each(rows, what=told_as(features))
    return rows, columns


def told_as(features: FeatureSet) -> str:
    """Return what a feature set is called in errors."""
    return f"Feature set {features.name!r}"


def label_rows(label: Label, tables: Tables, *, task: Task, as_ofs: Sequence[datetime], now: datetime) -> pa.Table:
    """Return `entity`, `as_of` and `label` of the entities that the label function names.

    A label is int8 (0 or 1), the name of a class as text, or float64, by the task.

    Raises:
        FeatureError: The function raises, or returns anything but one row with such a value an entity.
    """
    what, branches = f"Label {label.name!r}", []
    for as_of in as_ofs:
        result = called(label.function, (tables.outcome(label, as_of, now=now), _literal(as_of)), what=what)
        _require(result, (label.entity, label.name), what=what)
        value = as_label(result[label.name], task, what=what)
        branches.append(_branch(result, label.entity, as_of, [value.name(LABEL)]))
    rows = executed(_union(branches), tables, what=what)
    check_one_row_each(rows, what=what)
    return rows.set_column(2, LABEL, checked_labels(rows, task, what=f"{what} of {label.entity}"))


def _loaded(connection: Any, dataset: Dataset, rows: SnapshotRows, *, in_order: bool) -> Any:
    if not rows.paths:
        raise FeatureError(f"The snapshot of {dataset.name!r} has no rows", expected="one Parquet file or more")
    connection.raw_sql(f'CREATE TEMP VIEW "rows of {dataset.name}" AS {rows.sql}')
    table = connection.table(f"rows of {dataset.name}")
    times_of_rows = (KNOWN_AT,) if dataset.is_static else (dataset.event_time, KNOWN_AT)
    for needed in times_of_rows:
        if needed not in table.columns:
            raise FeatureError(
                f"The snapshot of {dataset.name!r} has no column {needed!r}",
                expected=needed,
                found=", ".join(table.columns),
            )
    kept = [name for name in table.columns if name == KNOWN_AT or not name.startswith("_")]
    shown = table.mutate(**{name: table[name].cast(_UTC) for name in times_of_rows}).select(kept)
    if in_order:
        shown = shown.order_by(sorted(kept, key=lambda name: name != dataset.event_time))  # stable: event time first
    kind = "TABLE" if in_order else "VIEW"
    connection.raw_sql(f'CREATE TEMP {kind} "{_table_of(dataset)}" AS {connection.compile(shown)}')
    return connection.table(_table_of(dataset))


def _table_of(dataset: Dataset) -> str:
    return f"keelway_{dataset.name}"


def _shown(table: Any) -> Any:
    return table.select([name for name in table.columns if not name.startswith("_")])


def _literal(moment: datetime) -> Any:
    import ibis

    return ibis.literal(moment, type=_UTC)


def _require(result: Any, names: Sequence[str], *, what: str) -> None:
    for name in names:
        if name not in result.columns:
            raise FeatureError(f"{what} returned no column {name!r}", expected=name, found=", ".join(result.columns))


def _columns_of(features: FeatureSet, result: Any) -> list[FeatureColumn]:
    what = f"Feature set {features.name!r}"
    _require(result, (features.entity, *features.columns), what=what)
    names = list(features.columns) or [name for name in result.columns if name != features.entity]
    if not names:
        raise FeatureError(f"{what} returned no features", expected="one column or more beside the entity")
    for name in names:
        if name in RESERVED or name.startswith("_"):
            raise FeatureError(f"{what} returned a column with a reserved name", expected="another name", found=name)
    if strange := sorted({*features.texts, *features.arrays} - {*names}):
        raise FeatureError(
            f"{what} returned no column {strange[0]!r}, which is declared as a text or an array",
            expected=strange[0],
            found=", ".join(names),
        )
    return [_column(features, name, result[name].type()) for name in names]


def _column(features: FeatureSet, name: str, kind: Any) -> FeatureColumn:
    if name in features.arrays and kind.is_array() and kind.value_type.is_numeric():
        return FeatureColumn(name, "array", features.arrays[name])
    if kind.is_string() and name not in features.arrays:
        return FeatureColumn(name, "text" if name in features.texts else "categorical")
    if (kind.is_boolean() or kind.is_numeric() or kind.is_null()) and name not in (*features.texts, *features.arrays):
        return FeatureColumn(name, "numeric")
    raise FeatureError(
        f"Feature set {features.name!r} returned {name!r} as {kind}",
        expected=_expected(features, name),
        found=str(kind),
        fix=_way_out(kind),
    )


def _expected(features: FeatureSet, name: str) -> str:
    if name in features.arrays:
        return "a list of numbers, as it is declared"
    return "a text, as it is declared" if name in features.texts else "a number, a truth value or a text"


def _way_out(kind: Any) -> str:
    if kind.is_array():
        return 'Declare it with its length: @feature_set(..., arrays={"name": 64}).'
    return "Turn a time into days with keelway.features.blocks.days_since, anything else with .cast(...)."


def _cast(result: Any, column: FeatureColumn) -> Any:
    value = result[column.name]
    if column.kind == "numeric":
        return value.cast("float64").name(column.name)
    if column.kind == "array":
        return value.cast("array<float32>").name(column.name)
    return value.fill_null("").name(column.name)


def _branch(result: Any, entity: str, as_of: datetime, columns: list[Any]) -> Any:
    return result.select(result[entity].cast("string").name(ENTITY), _literal(as_of).name(AS_OF), *columns)


def _union(branches: list[Any]) -> Any:
    return functools.reduce(lambda left, right: left.union(right), branches)


def executed(query: Any, tables: Tables, *, what: str) -> pa.Table:
    """Return the rows of a query, in an order of their own.

    Raises:
        FeatureError: It cannot be computed.
    """
    assert tables.engine is not None
    with computing(what):
        return tables.engine.rows(query)


def check_one_row_each(rows: pa.Table, *, what: str) -> None:
    """Refuse rows of which one has no entity, or two have the same entity and cut date."""
    import pyarrow.compute as pc

    missing = rows.filter(pc.is_null(rows[ENTITY])).num_rows
    if missing:
        raise FeatureError(
            f"{what} returned rows without an entity", expected="an entity in each row", found=f"{missing} rows"
        )
    if pc.count_distinct(rows[ENTITY]).as_py() == rows.num_rows:  # as in a table of one cut date
        return
    groups = rows.group_by([ENTITY, AS_OF]).aggregate([([], "count_all")])
    twice = groups.filter(pc.greater(groups["count_all"], 1))
    if twice.num_rows:
        raise FeatureError(
            f"{what} returned more than one row an entity",
            expected="one row for each",
            found=f"{pc.max(twice['count_all']).as_py():,} rows for one; more than one for {counted(twice, 'entity', 'entities')}",
            fix="End the function with group_by(entity).agg(...).",
        )
