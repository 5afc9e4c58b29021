"""Asking a DuckDB connection so that the answer depends on the rows alone: not on their order, on files or on threads.

A query that has one answer in any order (`keelway.features.order`) is asked of the Parquet files as they are, on all threads, its
sums made exact (`keelway.features.exact`). Every other one is asked on one thread of copies in one order, which hold the columns
that it reads.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from keelway.errors import FeatureError
from keelway.features.exact import Exact
from keelway.features.order import is_order_free
from keelway.features.told import without_values
from keelway.features.trace import Trace

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_AT_ONCE = 1 << 16
_BESIDE = "keelway rows beside"


@dataclass(slots=True)
class QueryEngine:
    """One connection of Ibis to DuckDB, and the tables that are asked there.

    Attributes:
        moments: Table to the column by which its rows come first; empty for rows without a time.
        in_order: The tables are in order already.
        is_unbounded: Whether the connection may take as much memory as the machine has.
    """

    connection: Any
    moments: Mapping[str, str]
    in_order: bool = False
    is_unbounded: bool = False
    _exact: Exact = field(init=False)
    _copies: dict[tuple[str, frozenset[str]], Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._exact = Exact(self.connection)

    def rows(self, query: Any) -> pa.Table:
        """Return the rows of a query, in an order of their own."""
        with self._asked(query) as asked:
            return asked.to_pyarrow()

    def sorted_rows(
        self, queries: Mapping[str, Any], keys: Sequence[str], *, beside: pa.Table | None = None
    ) -> Generator[pa.Table, None, None]:
        """Yield the rows of some queries side by side, in ascending order of the keys, some at a time; none at first.

        What one query has is there; where another lacks it, its columns are null. The connection puts aside in files what takes
        more memory than it may have. Until the last has come, or the generator is closed, nothing else can be asked.

        Args:
            queries: By what they are called in errors; each has the keys first, then columns that no other has.
            beside: Further columns for rows that have the same keys.

        Raises:
            FeatureError: One cannot be computed.
        """
        names = [name for query in queries.values() for name in query.columns[len(keys) :]]
        shared, what = ", ".join(f'"{key}"' for key in keys), " and ".join(queries)
        with ExitStack() as stack:
            sources = []
            for number, (each, query) in enumerate(queries.items()):
                with computing(each):
                    sources.append(self._source(query, number, len(keys), alone=len(queries) == 1, stack=stack))
            text = sources[0] + "".join(f" FULL OUTER JOIN {source} USING ({shared})" for source in sources[1:])
            if beside is not None:
                names += beside.column_names[len(keys) :]
                self.connection.con.register(_BESIDE, beside)
                stack.callback(self.connection.con.unregister, _BESIDE)
                text += f' LEFT JOIN "{_BESIDE}" USING ({shared})'
            with computing(what):
                asked = self.connection.con.sql(f"SELECT * FROM {text} ORDER BY {shared}")  # noqa: S608 - names are ours
                reader = stack.enter_context(asked.to_arrow_reader(ROWS_AT_ONCE))
            for part in _read(reader, what=what):
                yield part.rename_columns([*keys, *names])

    def exact(self, query: Any) -> Any:
        """Return a query with exact sums, or as it is where the order of rows decides other things too."""
        return self._exact.rewritten(query) if is_order_free(query) else query

    def takes_more_memory(self, cause: object) -> bool:
        """Take as much memory as the machine has where a query failed for want of it, and say whether that is so.

        What the engine cannot put aside in files is, for example, lists of all the values of a group.
        """
        if self.is_unbounded or "Out of Memory Error" not in str(cause):  # Arrow hands on the engine's words alone
            return False
        self.connection.raw_sql("RESET memory_limit")
        self.is_unbounded = True
        return True

    def _source(self, query: Any, number: int, keys: int, *, alone: bool, stack: ExitStack) -> str:
        """Return the rows of a query as SQL: itself, or a table of them where others stand beside or it is asked on one thread."""
        names = {f"{number}.{place}": name for place, name in enumerate(query.columns[keys:])}  # apart in any letters
        with self._asked(query) as given:
            asked = given.rename(names)
            self.connection.to_pyarrow(asked.head(0))  # hands it what the query reads in memory
            rows = self.connection.compile(asked)
            if alone and (self.in_order or is_order_free(query)):
                return f"({rows}) AS rows"
            self.connection.raw_sql(f'CREATE TEMP TABLE "keelway rows {number}" AS {rows}')
        stack.callback(self.connection.raw_sql, f'DROP TABLE "keelway rows {number}"')
        return f'"keelway rows {number}"'

    @contextmanager
    def _asked(self, query: Any) -> Iterator[Any]:
        """Give a query as it is to be asked, while as many threads are at work as it may be asked on."""
        if self.in_order or is_order_free(query):
            yield self.exact(query)
            return
        self.connection.raw_sql("SET threads = 1")
        try:
            yield self._over_copies(query)
        finally:
            self.connection.raw_sql("RESET threads")

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
            self.connection.raw_sql(f'DROP TABLE IF EXISTS "{name}"')  # one that was begun when memory ran out
            self._copies[table.name, read] = self.connection.create_table(name, narrow, temp=True).op()
        return self._copies[table.name, read]


@contextmanager
def computing(what: str) -> Iterator[None]:
    """Translate what the engine says of a query.

    Raises:
        FeatureError: It cannot be computed.
    """
    import duckdb
    import ibis
    from ibis.common.exceptions import IbisError

    try:
        yield
    except (duckdb.Error, IbisError, ibis.IbisError) as error:
        raise FeatureError(
            f"{what} cannot be computed",
            found=without_values(error),
            fix="Mend the function; `try_cast` gives null where a value does not fit.",
        ) from error


def _read(reader: pa.RecordBatchReader, *, what: str) -> Iterator[pa.Table]:
    """Yield what a reader gives; all was computed and put in order before, so what the engine says now is of its own files."""
    import pyarrow as pa

    yield reader.schema.empty_table()
    while True:
        try:
            batch = reader.read_next_batch()
        except StopIteration:
            return
        except OSError as error:
            raise FeatureError(f"{what} cannot be put in order", found=str(error).partition("\n")[0]) from error
        yield pa.Table.from_batches([batch])
