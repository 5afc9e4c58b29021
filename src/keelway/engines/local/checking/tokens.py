"""Replaces values that name a person: each distinct value of a column is given its token once.

From here on the view `rows` holds tokens (or nothing, for a column that is never kept), so that keys and references
compare tokens with the tokens of earlier versions. Only rows that break no row rule need any.
"""

# ruff: noqa: S608 - the SQL is made of numbers and of names and literals that `quoted` and `literal` quote.
from __future__ import annotations

from keelway.contract import Column, PiiClass, Tokenizer
from keelway.engines.local.checking.repairs import quoted
from keelway.engines.local.checking.segments import flag_names
from keelway.engines.local.checking.work import Work


def tokenise(work: Work, tokenizer: Tokenizer | None) -> None:
    """Let the view `rows` hold tokens where a column names a person, and nothing where it is never kept."""
    columns = work.contract.columns
    if not work.contract.pii_columns:
        return
    work.run("CREATE TEMP TABLE barred AS SELECT _file, _row FROM noted WHERE _broken IS NOT NULL")
    shown = []
    joins = []
    for index, column in enumerate(columns):
        name = f"r.{quoted(column.name)}"
        if column.pii is PiiClass.DROP:
            name = f"CAST(NULL AS VARCHAR) AS {quoted(column.name)}"
        elif column.pii:
            assert tokenizer is not None, "a check without a tokenizer is refused"
            _ask(work, tokenizer, column, f"tokens{index}")
            joins.append(f"LEFT JOIN tokens{index} ON CAST({name} AS VARCHAR) = tokens{index}.value")
            name = f"tokens{index}.token AS {quoted(column.name)}"
        shown.append(name)
    flags = [f"r.{name}" for name in flag_names(work.contract).values()]
    work.run("ALTER VIEW rows RENAME TO raw_rows")
    work.run(
        f"CREATE TEMP VIEW rows AS SELECT {', '.join(['r._file', 'r._row', *shown, *flags])} "
        f"FROM raw_rows r {' '.join(joins)}"
    )


def _ask(work: Work, tokenizer: Tokenizer, column: Column, table: str) -> None:
    """Fill a table with the values of a column and their tokens."""
    import pyarrow as pa

    name = f"CAST({quoted(column.name)} AS VARCHAR)"
    work.run(
        f"CREATE TABLE {table}_values AS SELECT DISTINCT {name} AS value FROM rows ANTI JOIN barred "
        f"USING (_file, _row) WHERE {quoted(column.name)} IS NOT NULL AND {work.good_files()}"
    )
    work.run(f"CREATE TEMP TABLE {table} (value VARCHAR, token VARCHAR)")
    for batch in work.stream(f"SELECT value FROM {table}_values ORDER BY value", aside=True):
        values = batch.column(0).to_pylist()
        made = pa.table({"value": values, "token": tokenizer.tokens(values, column)})
        work.connection.register("made", made)
        work.run(f"INSERT INTO {table} SELECT value, token FROM made")
        work.connection.unregister("made")
    work.run(f"DROP TABLE {table}_values")
