"""Row rules as Ibis expressions: the same question on DuckDB, Snowflake, Databricks and Spark SQL.

A table that was read from files has one typed column for each column of the contract and the text it was read from
as `_text_<name>`; a table of a warehouse has typed columns only. An expression is true for a row that breaks the
rule; false and null both say that it does not, so a missing value breaks nothing but `required`.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from keelway.contract.contract import Column, Contract, Rule, RuleKind, Severity
from keelway.contract.rules.condition_nodes import double
from keelway.contract.rules.conditions import condition
from keelway.contract.rules.patterns import spelled

if TYPE_CHECKING:
    import ibis.expr.types as ir

TEXT = "_text_"
"""What stands before a column's name in the name of its text."""
ROW_RULES = frozenset(
    {
        RuleKind.REQUIRED,
        RuleKind.TYPE,
        RuleKind.MINIMUM,
        RuleKind.MAXIMUM,
        RuleKind.MIN_LENGTH,
        RuleKind.MAX_LENGTH,
        RuleKind.PATTERN,
        RuleKind.ALLOWED,
        RuleKind.EXPRESSION,
    }
)
LARGEST = 1.7976931348623157e308
"""The largest double; not-a-number counts as more on every engine, infinity is more."""


def violations(table: ir.Table, contract: Contract, *, engine: str = "duckdb") -> list[tuple[Rule, ir.BooleanValue]]:
    """Return the row rules of a contract, in order, each with the expression that is true where it is broken.

    Args:
        table: One typed column for each column of the contract, and `_text_<name>` where the text is known.
        engine: The name Ibis gives the engine that will run it.

    Raises:
        ContractError: A condition or a pattern cannot be used.
    """
    return [(rule, _violation(table, rule, contract, engine)) for rule in contract.rules if rule.kind in ROW_RULES]


def rules_asked(contract: Contract, event_time: str) -> tuple[Rule, ...]:
    """Return the rules of a contract and, where it is not among them, that a row says when it happened."""
    known = any(
        rule.kind is RuleKind.REQUIRED and rule.columns == (event_time,) and rule.severity is not Severity.WARN
        for rule in contract.rules
    )
    if known or not event_time:
        return contract.rules
    return (Rule(RuleKind.REQUIRED, (event_time,), f"{event_time}: missing"), *contract.rules)


def _violation(table: ir.Table, rule: Rule, contract: Contract, engine: str) -> ir.BooleanValue:
    if rule.kind is RuleKind.EXPRESSION:
        return ~condition(rule.text, table, engine=engine)
    (name,) = rule.columns
    column = contract.column(name)
    assert column is not None, f"{contract.dataset} has no column {name}"
    if rule.kind in (RuleKind.REQUIRED, RuleKind.TYPE):
        return _unreadable(table, column) if rule.kind is RuleKind.TYPE else _text(table, name).isnull()
    if rule.kind in (RuleKind.MINIMUM, RuleKind.MAXIMUM):
        return _out_of_bounds(table[name], rule, column)
    if rule.kind is RuleKind.ALLOWED:
        return ~table[name].isin([_literal(text, column, table[name]) for text in rule.allowed])
    return _ill_formed(table[name], rule, engine)


def _text(table: ir.Table, name: str) -> ir.Value:
    """Return what says whether there is a value: its text, or the value itself where no text is known."""
    return table[TEXT + name] if TEXT + name in table.columns else table[name]


def _unreadable(table: ir.Table, column: Column) -> ir.BooleanValue:
    """Return what is true for a text that is no value, or a number that is infinite or none at all."""
    import ibis

    value = table[column.name]
    if TEXT + column.name in table.columns:
        return table[TEXT + column.name].notnull() & value.isnull()
    if value.type().is_floating():
        return (value > double(LARGEST)) | (value < double(-LARGEST))
    return ibis.literal(False)


def _out_of_bounds(value: ir.Value, rule: Rule, column: Column) -> ir.BooleanValue:
    if rule.kind is RuleKind.MINIMUM:
        bound = _literal(rule.minimum or "", column, value)
        return value <= bound if rule.exclusive else value < bound
    bound = _literal(rule.maximum or "", column, value)
    return value >= bound if rule.exclusive else value > bound


def _ill_formed(value: ir.StringValue, rule: Rule, engine: str) -> ir.BooleanValue:
    if rule.kind is RuleKind.MIN_LENGTH:
        return value.length() < int(rule.minimum or 0)
    if rule.kind is RuleKind.MAX_LENGTH:
        return value.length() > int(rule.maximum or 0)
    return ~value.re_search(spelled(rule.text, engine))


def _literal(text: str, column: Column, value: ir.Value) -> ir.Value:
    """Return a text of the contract as a value to compare a column with; the loader has seen that it is one."""
    import ibis

    found: Any = typed(text, column.kind)
    if isinstance(found, datetime) and not value.type().timezone:
        found = found.replace(tzinfo=None)
    return double(found) if isinstance(found, float) else ibis.literal(found)


def typed(text: str, kind: str) -> str | int | float | bool | date | datetime:
    """Return a text of a contract as a value of a column's kind; times are in UTC.

    >>> typed("3", "integer"), typed("2026-03-01", "date").isoformat()
    (3, '2026-03-01')

    Raises:
        ValueError: It is none.
    """
    if kind == "integer":
        return int(text)
    if kind == "number":
        return float(text)
    if kind == "boolean":
        return {"true": True, "false": False}[text.lower()]
    if kind == "date":
        return date.fromisoformat(text)
    if kind == "timestamp":
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    return text
