"""Asking a DuckDB connection so that the answer depends on the rows alone: not on their order, on files or on threads.

A query that has one answer in any order (`keelway.features.order`) is asked of the Parquet files as they are, on all threads, its
sums made exact (`keelway.features.exact`). Every other one is asked on one thread of copies in one order, which hold the columns
that it reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from keelway.features.exact import Exact
from keelway.features.order import is_order_free
from keelway.features.trace import Trace

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(slots=True)
class QueryEngine:
    """One connection of Ibis to DuckDB, and the tables that are asked there.

    Attributes:
        moments: Table to the column by which its rows come first; empty for rows without a time.
        in_order: The tables are in order already.
    """

    connection: Any
    moments: Mapping[str, str]
    in_order: bool = False
    _exact: Exact = field(init=False)
    _copies: dict[tuple[str, frozenset[str]], Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._exact = Exact(self.connection)

    def rows(self, query: Any) -> pa.Table:
        """Return the rows of a query, in an order of their own."""
        if is_order_free(query):
            return self.exact(query).to_pyarrow()
        if self.in_order:
            return query.to_pyarrow()
        self.connection.raw_sql("SET threads = 1")
        try:
            return self._over_copies(query).to_pyarrow()
        finally:
            self.connection.raw_sql("RESET threads")

    def exact(self, query: Any) -> Any:
        """Return a query with exact sums, or as it is where the order of rows decides other things too."""
        return self._exact.rewritten(query) if is_order_free(query) else query

    def _over_copies(self, query: Any) -> Any:
        """Return a query that reads copies in order."""
        import ibis.expr.operations as ops

        root, trace = query.op(), Trace()
        read = trace.rows(root).union(*(trace.column(root, name) for name in root.schema.names))
        reads_all = bool(
            root.find((ops.SQLStringView, ops.SQLQueryResult, ops.AliasedRelation))
        )  # what SQL reads is unknown
        copies = {}
        for table in root.find(ops.DatabaseTable):
            if table.name in self.moments:
                own = table.schema.names if reads_all else (column for name, column in read if name == table.name)
                copies[table] = self._copy(table, frozenset(own))
        return root.replace(copies).to_expr()

    def _copy(self, table: Any, read: frozenset[str]) -> Any:
        """Return a copy of a table in one order; the columns that are not read are null there."""
        import ibis

        if (table.name, read) not in self._copies:
            given, moment = table.to_expr(), self.moments[table.name]
            absent = {name: ibis.null(given[name].type()).name(name) for name in given.columns if name not in read}
            order = sorted(read, key=lambda name: (name != moment, name))
            narrow = given.mutate(**absent).order_by(order) if order else given
            name = f"{table.name} in order {len(self._copies)}"
            self._copies[table.name, read] = self.connection.create_table(name, narrow, temp=True).op()
        return self._copies[table.name, read]
