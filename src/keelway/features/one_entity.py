"""Features of one entity computed from only its own rows, one entity after the other, as a request would ask for them.

Each statement is prepared once, with the entity as its parameter, over small tables that hold the rows of some entities at a
time. The optimiser is off while it is prepared and carried out: choosing a plan takes longer than any plan over so few
rows, and DuckDB plans a statement anew at each execution if an optimiser was at work when it was prepared.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from keelway.features.calls import called
from keelway.features.compute import Tables, _branch, _cast, _columns_of, _literal
from keelway.features.names import AS_OF
from keelway.features.ports import OnlineValue
from keelway.features.reads import hidden_columns
from keelway.features.records import FeatureColumn
from keelway.project import FeatureSet, Model

if TYPE_CHECKING:
    import ibis.expr.types as ir

AT_ONCE = 250
"""Entities whose rows lie in the small tables at a time."""
PARAMETER = "KEELWAY_ENTITY()"
"""What stands in the SQL where the entity is asked for, until it is prepared."""


class OneEntity:
    """Computes features of one entity at a time; tables that do not know entities (prices, calendars) are handed over whole.

    Args:
        tables: In one order, in the memory of one connection.
        features: What a feature table of the model holds.
    """

    def __init__(self, model: Model, tables: Tables, *, as_of: datetime, features: Sequence[FeatureColumn]) -> None:
        hidden = hidden_columns(model.label, tables, as_of=as_of)
        tables = replace(tables, hidden={model.label.source.name: hidden})
        backend = next(iter(tables.by_name.values())).get_backend()
        self._connection, self._entity, self._features = backend.con, model.entity, features
        known = [table for table in tables.by_name.values() if model.entity in table.columns]
        self._small = {_small(table): table.get_name() for table in known}
        own = {name: _only(table, model.entity) for name, table in tables.by_name.items()}
        asked = [_asked(each, replace(tables, by_name=own), as_of) for each in model.features]
        places = {table.op(): backend.table(_small(table)).op() for table in known}
        self._plain = len(known) == len(own)
        self._statements = []
        self._optimise(on=False)
        for number, rows in enumerate(asked):
            sql = str(backend.compile(rows.op().replace(places).to_expr())).replace(PARAMETER, "$1")
            self._connection.execute(f"PREPARE keelway_features_{number} AS {sql}")
            self._statements.append((list(rows.columns[1:]), f"EXECUTE keelway_features_{number}"))

    def values(self, entities: Sequence[str]) -> Iterator[tuple[str, dict[str, OnlineValue] | None]]:
        """Yield entities and their features, in turn; None where no feature set knows one."""
        for begin in range(0, len(entities), AT_ONCE):
            some = entities[begin : begin + AT_ONCE]
            self._fill(some)
            for entity in some:
                yield entity, self._alone(entity)

    def _alone(self, entity: str) -> dict[str, OnlineValue] | None:
        given = entity.replace("'", "''")
        found: dict[str, Any] = {}
        for names, statement in self._statements:
            for row in self._connection.execute(f"{statement}('{given}')").fetchall():
                if row[0] != entity:  # rows of others that are not told apart by the entity's column
                    continue
                found |= dict(zip(names, row[1:], strict=True))
        return {each.name: _stored(found.get(each.name), each) for each in self._features} if found else None

    def _fill(self, entities: Sequence[str]) -> None:
        """Let the small tables hold the rows of some entities, in the order that they have among all."""
        self._optimise(on=True)
        column = self._entity.replace('"', '""')
        for small, whole in self._small.items():
            self._connection.execute(f'TRUNCATE "{small}"')
            self._connection.execute(
                f'INSERT INTO "{small}" SELECT * FROM "{whole}"'  # noqa: S608 - names are quoted
                f' WHERE CAST("{column}" AS TEXT) IN (SELECT unnest($1::TEXT[])) ORDER BY rowid',
                [list(entities)],
            )
        self._optimise(on=False)

    def _optimise(self, *, on: bool) -> None:
        """Switch the optimiser; it stays on where a statement also reads tables that are not small."""
        if self._plain:
            self._connection.execute("PRAGMA enable_optimizer" if on else "PRAGMA disable_optimizer")


def _small(whole: ir.Table) -> str:
    """Return the name of the small table beside a whole one, which is made where it is missing."""
    name = f"{whole.get_name()} of some entities"
    whole.get_backend().con.execute(
        f'CREATE TEMP TABLE IF NOT EXISTS "{name}" AS SELECT * FROM "{whole.get_name()}" LIMIT 0'  # noqa: S608 - quoted
    )
    return name


def _only(table: ir.Table, entity: str) -> ir.Table:
    """Return the rows of the entity that a statement is carried out for; a table that does not know entities as it is."""
    import ibis

    if entity not in table.columns:
        return table

    @ibis.udf.scalar.builtin(name="keelway_entity", signature=((), "string"))
    def keelway_entity():  # type: ignore[no-untyped-def]  # noqa: ANN202 - Ibis takes the signature above
        """Return the parameter of the statement."""

    own: ir.Table = table.filter(table[entity].cast("string") == keelway_entity())
    return own


def _asked(features: FeatureSet, tables: Tables, as_of: datetime) -> ir.Table:
    """Return the entity and its features as a query, with the sums that it has over all rows."""
    given = [tables.visible(source, as_of) for source in features.sources]
    result = called(features.function, (*given, _literal(as_of)), what=f"Feature set {features.name!r}")
    columns = _columns_of(features, result)
    rows = _branch(result, features.entity, as_of, [_cast(result, column) for column in columns]).drop(AS_OF)
    exact: ir.Table = rows if tables.engine is None else tables.engine.exact(rows)
    return exact


def _stored(value: Any, feature: FeatureColumn) -> OnlineValue:
    """Return a value as a feature table stores it."""
    if feature.kind == "numeric":
        return None if value is None or math.isnan(value) else float(value)
    if feature.kind == "array":
        return None if value is None else [float(each) for each in value]
    return "" if value is None else str(value)
