"""The SQL of a feature set for an engine: what `build_features` asks, written for where the tables stand.

The function is called on tables without data that have the columns of the contracts and `_known_at`, the moment at
which a row became known. The statement holds the filters of the cut date, so that it cannot see the future either.
Snowflake, Databricks and Spark are compiled here, not asked.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from keelway.core import time_text
from keelway.errors import FeatureError, UsageError
from keelway.features.calls import called
from keelway.features.compute import _UTC, KNOWN_AT, Tables, _branch, _cast, _columns_of, _literal
from keelway.features.reads import _TYPES, Schemas, hidden_columns
from keelway.project import Dataset, FeatureSet, Label

SqlEngine = Literal["duckdb", "snowflake", "databricks", "spark"]
SQL_ENGINES: tuple[SqlEngine, ...] = get_args(SqlEngine)
_IN_UTC = {
    "duckdb": "SET TimeZone = 'UTC'",
    "snowflake": "ALTER SESSION SET TIMEZONE = 'UTC'",
    "databricks": "SET TIME ZONE 'UTC'",
    "spark": "SET TIME ZONE 'UTC'",
}


@dataclass(frozen=True, slots=True)
class FeatureSql:
    """One feature set as SQL.

    Attributes:
        feature_set: Its name.
        session: What the session must be told first: times without a zone are read as UTC.
        statement: The query; it returns `entity`, `as_of` and the features, one row an entity and cut date.
    """

    feature_set: str
    engine: SqlEngine
    as_ofs: tuple[datetime, ...]
    session: str
    statement: str

    @property
    def text(self) -> str:
        """Both statements, with a line above that says what they are."""
        when = ", ".join(time_text(as_of) for as_of in self.as_ofs)
        return f"-- {self.feature_set} as of {when}, for {self.engine}\n{self.session};\n{self.statement};"


def feature_sql(
    features: FeatureSet,
    schemas: Schemas,
    *,
    engine: str,
    as_ofs: Sequence[datetime],
    label: Label | None = None,
    database: str = "",
) -> FeatureSql:
    """Return a feature set as SQL for an engine.

    Args:
        schemas: The columns of each dataset, and of the label's, in the words of a contract.
        engine: One of `SQL_ENGINES`.
        as_ofs: The cut dates; several are one statement.
        label: The label of the model; what one without a horizon is made of is hidden from the features.
        database: Where the tables stand, as `SCHEMA` or `CATALOG.SCHEMA`; empty leaves that to the session.

    Raises:
        UsageError: There is no such engine, no cut date, or the database is not written so.
        FeatureError: The function cannot be built on these columns, or the engine has no word for what it does.
    """
    known = next((each for each in SQL_ENGINES if each == engine), None)
    if known is None:
        raise UsageError("There is no SQL for this engine", expected=", ".join(SQL_ENGINES), found=engine)
    if not as_ofs:
        raise UsageError("Features need a cut date", expected="one or more", found="none")
    what = f"Feature set {features.name!r}"
    tables = _without_data(_sources(features, label), schemas, database)
    union = functools.reduce(
        lambda left, right: left.union(right),
        [_at_one_cut(features, tables, as_of, label=label, what=what) for as_of in as_ofs],
    )
    _check_only_tables(union, what=what)
    return FeatureSql(features.name, known, tuple(as_ofs), _IN_UTC[known], _written(union, known, what=what))


def _sources(features: FeatureSet, label: Label | None) -> list[Dataset]:
    others = [label.source] if label is not None else []
    return list({source.name: source for source in (*features.sources, *others)}.values())


def _at_one_cut(features: FeatureSet, tables: Tables, as_of: datetime, *, label: Label | None, what: str) -> Any:
    hidden = hidden_columns(label, tables, as_of=as_of) if label is not None else frozenset()
    shown = Tables(tables.by_name, {label.source.name: hidden} if label is not None else {})
    given = [shown.visible(source, as_of) for source in features.sources]
    result = called(features.function, (*given, _literal(as_of)), what=what, hidden=hidden)
    columns = _columns_of(features, result)
    return _branch(result, features.entity, as_of, [_cast(result, column) for column in columns])


def _without_data(datasets: Sequence[Dataset], schemas: Schemas, database: str) -> Tables:
    import ibis

    *catalog, schema = database.split(".") if database else [""]
    if len(catalog) > 1 or not all(catalog) or (database and not schema):
        raise UsageError("This is no place of tables", expected="SCHEMA or CATALOG.SCHEMA", found=database)
    place = {"catalog": catalog[0] if catalog else None, "database": schema or None}
    tables = {}
    for dataset in datasets:
        types = {name: _TYPES.get(kind, kind) for name, kind in schemas[dataset.name].items()}
        if not dataset.is_static and dataset.event_time not in types:
            raise FeatureError(
                f"Dataset {dataset.name!r} has no column {dataset.event_time!r}",
                expected=f"the event time {dataset.event_time!r} in its contract",
                found=", ".join(types),
            )
        table = ibis.table({**types, KNOWN_AT: _UTC}, name=dataset.name, **place)
        in_utc = {} if dataset.is_static else {dataset.event_time: _in_utc(table[dataset.event_time])}
        tables[dataset.name] = table.mutate(**in_utc) if in_utc else table
    return Tables(tables)


def _in_utc(moment: Any) -> Any:
    return moment if moment.type().is_timestamp() else moment.cast(_UTC)


def _check_only_tables(query: Any, *, what: str) -> None:
    """Refuse what lives in this process alone: no other engine can read it."""
    import ibis.expr.operations as ops

    python = [each for each in query.op().find(ops.ScalarUDF) if each.__input_type__.name != "BUILTIN"]
    if python or query.op().find(ops.InMemoryTable):
        raise FeatureError(
            f"{what} cannot be written as SQL",
            expected="the tables it is handed, and functions of the engine",
            found="a function in Python" if python else "a table in the memory of this process",
            fix="Use a block of keelway.features.blocks, ibis.cases(...) for a small table, or a dataset of its own.",
        )


def _written(query: Any, engine: SqlEngine, *, what: str) -> str:
    import sqlglot.expressions as sge
    from ibis.common.exceptions import IbisError

    compiler = _compiler(engine)
    try:
        tree = compiler.to_sqlglot(query)
    except (IbisError, NotImplementedError) as error:
        raise FeatureError(
            f"{what} cannot be written for {engine}",
            expected=f"operations that {engine} has",
            found=str(error).partition("\n")[0],
            fix="Use the blocks of keelway.features.blocks; they compile for every engine.",
        ) from error
    if engine in ("databricks", "spark"):  # neither knows TIMESTAMP(6); both keep microseconds
        for kind in tree.find_all(sge.DataType):
            if kind.this in (sge.DataType.Type.TIMESTAMP, sge.DataType.Type.TIMESTAMPTZ):
                kind.set("expressions", [])
    return str(tree.sql(dialect=compiler.dialect, pretty=True))


@functools.cache
def _compiler(engine: SqlEngine) -> Any:
    """Return Ibis's compiler for an engine; no package of the vendor is needed for it."""
    from ibis.backends.sql import compilers
    from ibis.backends.sql.compilers.base import SQLGlotCompiler

    if engine in ("duckdb", "snowflake"):
        plain: Mapping[str, Any] = {"duckdb": compilers.DuckDBCompiler, "snowflake": compilers.SnowflakeCompiler}
        return plain[engine]()
    home: Any = compilers.DatabricksCompiler if engine == "databricks" else compilers.PySparkCompiler

    class Offline(home):  # type: ignore[misc]  # Ibis is not typed
        """Writes numbers as every other compiler does: Spark's asks an option that only an open connection has set."""

        visit_Field = SQLGlotCompiler.visit_Field  # noqa: N815 - the name is Ibis's

        def visit_NonNullLiteral(self, op: Any, *, value: Any, dtype: Any) -> Any:  # noqa: N802 - the name is Ibis's
            plain = SQLGlotCompiler if dtype.is_floating() else home
            return plain.visit_NonNullLiteral(self, op, value=value, dtype=dtype)

    return Offline()
