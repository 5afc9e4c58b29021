"""Queries over a whole batch: SQL text that counts or measures, and gives one number.

The text is DuckDB SQL in which `{object}` stands for the batch. It may only read the batch, and only with functions
whose answer depends on nothing else; so a contract can neither open a file nor give another answer tomorrow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keelway.errors import ContractError

if TYPE_CHECKING:
    from sqlglot.expressions import Query

OBJECT = "{object}"
NUMBER = "keelway_number"
"""The column that the answer of a query stands in."""
_STAND_IN = "keelway_object"
UNSTEADY = (
    "Rand", "Randn", "Uuid", "CurrentDate", "CurrentTime", "CurrentTimestamp", "CurrentTimestampLTZ", "CurrentDatetime",
    "Localtime", "Localtimestamp", "CurrentUser", "CurrentSchema", "Anonymous", "Command", "Into", "TableSample",
    "ReadCSV", "ReadParquet",
)  # fmt: skip
"""What gives another answer at another time or place, or is no function that is known."""


def query_of(text: str) -> str:
    """Return a query with `{object}` for the batch, however it was spelled.

    >>> query_of("SELECT count(*) FROM ${table}")
    'SELECT count(*) FROM {object}'

    Raises:
        ContractError: It is not one query of one number over the batch alone.
    """
    for name in ("object", "table"):
        for spelling in (f"${{{name}}}", f"{{{name}}}"):
            text = text.replace(spelling, OBJECT)
    _parsed(text)
    return text


def query_on(text: str, table: str, *, dialect: str) -> str:
    """Return a query of a contract as SQL of an engine, over a table of that name.

    Every name is quoted, so that upper and lower case mean the same on every engine.

    >>> query_on("SELECT count(*) FROM {object} WHERE a IS NULL", "batch", dialect="snowflake")
    'SELECT COUNT(*) FROM "batch" WHERE "a" IS NULL'
    """
    from sqlglot import expressions as sql

    tree = _parsed(text)
    for found in tree.find_all(sql.Identifier):
        found.set("quoted", True)
        if found.name == _STAND_IN:
            found.set("this", table)
    return tree.sql(dialect=dialect)


def number_of(text: str, batch: str, *, dialect: str) -> str:
    """Return the SQL that answers a query of a contract in one row and one column `NUMBER`.

    Args:
        batch: SQL of the engine that gives the rows of the batch.
    """
    from sqlglot import expressions as sql

    name, number = (sql.to_identifier(each, quoted=True).sql(dialect=dialect) for each in (_STAND_IN, NUMBER))
    query = query_on(text, _STAND_IN, dialect=dialect)
    return f"WITH {name} AS ({batch}) SELECT CAST(({query}) AS DOUBLE) AS {number}"


def _parsed(text: str) -> Query:
    import sqlglot
    from sqlglot import expressions as sql
    from sqlglot.errors import SqlglotError

    try:
        found = sqlglot.parse(text.replace(OBJECT, _STAND_IN), read="duckdb")
    except SqlglotError as error:
        raise _refused(text, "one query in SQL", str(error).splitlines()[0]) from error
    (tree,) = found if len(found) == 1 else (None,)
    if not isinstance(tree, sql.Query):
        raise _refused(text, "one query that begins with SELECT", type(tree).__name__ if tree else f"{len(found)}")
    if len(tree.selects) != 1 or isinstance(tree.selects[0], sql.Star):
        raise _refused(text, "a query of one number", f"{len(tree.selects)} columns")
    _must_read_the_batch(tree, text)
    return tree


def _must_read_the_batch(tree: Query, text: str) -> None:
    from sqlglot import expressions as sql

    own = {_STAND_IN, *(cte.alias for cte in tree.find_all(sql.CTE))}
    tables = list(tree.find_all(sql.Table))
    for table in tables:
        if table.name not in own or not isinstance(table.this, sql.Identifier) or table.db:
            raise _refused(text, "no table but {object}", table.sql("duckdb"))
    if not any(table.name == _STAND_IN for table in tables):
        raise _refused(text, "a query over {object}", "none")
    for node in tree.walk():
        if type(node).__name__ in UNSTEADY:
            raise _refused(text, "functions that depend on the batch alone", node.sql("duckdb"))


def _refused(text: str, expected: str, found: str) -> ContractError:
    return ContractError(f"The query `{text}` cannot be used", expected=expected, found=found)
