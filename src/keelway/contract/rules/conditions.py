"""Conditions over one row: SQL text becomes an Ibis expression that means the same on every engine.

The text is read as DuckDB SQL, and each part of it is built anew from a short list of what engines agree on; a name
that is not on the list is refused, so neither a query nor a function that reads or writes anything can get in.
Arithmetic is done in double precision and a division by zero is no value, wherever it runs.

>>> import ibis
>>> table = ibis.table({"shipped": "date", "ordered": "date"}, name="orders")
>>> bool_expression = condition("shipped >= ordered", table)
>>> str(bool_expression.type())
'boolean'
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from keelway.contract.rules.condition_nodes import NODES, SILENT
from keelway.contract.rules.patterns import spelled
from keelway.errors import ContractError

if TYPE_CHECKING:
    import ibis.expr.types as ir
    from sqlglot.expressions import Expr


def condition(text: str, table: ir.Table, *, engine: str = "duckdb") -> ir.BooleanValue:
    """Return a condition over the columns of a table.

    Raises:
        ContractError: It is not one condition, names an unknown column, or uses something not on the list.
    """
    value = Reader(text, table, engine).read(_parsed(text))
    if not value.type().is_boolean():
        raise _refused(text, "a condition", f"a {value.type()}")
    if not columns_of(text, table.columns):
        raise _refused(text, "a condition about at least one column", "none")
    return value


def columns_of(text: str, known: tuple[str, ...]) -> tuple[str, ...]:
    """Return the columns that a condition speaks of, in the order they are known in."""
    from sqlglot import expressions as sql

    named = {_named(node.name, known) for node in _parsed(text).find_all(sql.Column)}
    return tuple(name for name in known if name in named)


def _named(name: str, known: tuple[str, ...]) -> str | None:
    """Return the column that a name in SQL stands for; upper and lower case do not matter where it is clear."""
    if name in known:
        return name
    alike = [column for column in known if column.lower() == name.lower()]
    return alike[0] if len(alike) == 1 else None


def _parsed(text: str) -> Expr:
    import sqlglot
    from sqlglot.errors import SqlglotError

    try:
        found = sqlglot.parse(text, read="duckdb")
    except SqlglotError as error:
        raise _refused(text, "one condition in SQL", str(error).splitlines()[0]) from error
    if len(found) != 1 or found[0] is None:
        raise _refused(text, "one condition in SQL", f"{len(found)} statements" if len(found) > 1 else "nothing")
    return found[0]


def _refused(text: str, expected: str, found: str) -> ContractError:
    return ContractError(
        f"The condition `{text}` cannot be used",
        expected=expected,
        found=found,
        fix="docs/contracts.md lists what a condition may use.",
    )


class Reader:
    """Reads one condition: `read` turns a node of its syntax tree into an Ibis value."""

    def __init__(self, text: str, table: ir.Table, engine: str) -> None:
        self._text = text
        self._table = table
        self._engine = engine
        zones = [kind.timezone for kind in table.schema().types if kind.is_timestamp()]
        self._zone = UTC if zones and zones[0] else None

    def read(self, node: Expr) -> ir.Value:
        """Return the value of a node."""
        known = NODES.get(type(node).__name__)
        if known is None:
            raise self.refused("what the documentation lists", node.sql("duckdb"))
        build, names = known
        more = sorted(name for name, value in node.args.items() if value and name not in (*names, *SILENT))
        if more:
            raise self.refused(f"{type(node).__name__} without {', '.join(more)}", node.sql("duckdb"))
        return build(self, node)

    def refused(self, expected: str, found: str) -> ContractError:
        """Return the error that names the part of the condition that cannot be used."""
        return _refused(self._text, expected, found)

    def column(self, node: Expr) -> ir.Value:
        """Return a column of the table."""
        names = tuple(name for name in self._table.columns if not name.startswith("_text_"))
        name = _named(node.name, names)
        if name is None:
            raise self.refused(f"one of {', '.join(names)}", node.name)
        return self._table[name]

    def number(self, node: Expr | None) -> ir.Value:
        """Return an operand in double precision."""
        value = self._of(node, "a number", lambda kind: kind.is_numeric())
        return value.cast("float64")

    def string(self, node: Expr | None) -> ir.Value:
        """Return an operand that is text."""
        return self._of(node, "text", lambda kind: kind.is_string())

    def truth(self, node: Expr | None) -> ir.Value:
        """Return an operand that is true or false."""
        return self._of(node, "a condition", lambda kind: kind.is_boolean())

    def _of(self, node: Expr | None, expected: str, fits: Callable[[Any], bool]) -> ir.Value:
        assert node is not None
        value = self.read(node)
        if not fits(value.type()):
            raise self.refused(expected, f"{node.sql('duckdb')}, a {value.type()}")
        return value

    def plain(self, node: Expr | None, expected: str = "a text in quotes") -> str:
        """Return the text of a literal."""
        if type(node).__name__ != "Literal":
            raise self.refused(expected, node.sql("duckdb") if node is not None else "nothing")
        return str(node.name) if node is not None else ""

    def pair(self, left: Expr, right: Expr) -> tuple[ir.Value, ir.Value]:
        """Return two operands that can be compared; a text beside a date or time is read as one."""
        values = [self.read(left), self.read(right)]
        for own, other, node in ((0, 1, left), (1, 0, right)):
            if type(node).__name__ == "Literal" and values[own].type().is_string():
                kind = values[other].type()
                if kind.is_date() or kind.is_timestamp():
                    values[own] = self.moment(str(node.name), time=kind.is_timestamp())
        first, second = (_family(value.type()) for value in values)
        if first != second:
            raise self.refused(
                "two values of one kind", f"{left.sql('duckdb')} ({first}), {right.sql('duckdb')} ({second})"
            )
        return values[0], values[1]

    def moment(self, text: str, *, time: bool) -> ir.Value:
        """Return a date or a time that stands in quotes."""
        import ibis

        try:
            if not time:
                return ibis.literal(date.fromisoformat(text))
            found = datetime.fromisoformat(text)
        except ValueError as error:
            raise self.refused("a date or time as ISO 8601", text) from error
        aware = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
        return ibis.literal(aware if self._zone else aware.replace(tzinfo=None))

    def pattern(self, node: Expr) -> str:
        """Return a pattern in the spelling of the engine."""
        return spelled(self.plain(node), self._engine)


def _family(kind: Any) -> str:
    return "number" if kind.is_numeric() else str(kind).partition("(")[0]
