"""Writes what a library metric counts as SQL over the batch, for rules that some rows may break."""

# ruff: noqa: S608 - the SQL is made of names and values that are quoted here.
from __future__ import annotations

from keelway.contract.contract import Column, Rule, RuleKind
from keelway.contract.odcs.document import Place


def measure_of(rule: Rule, column: Column, place: Place) -> str:
    """Return the SQL that counts the rows that break a rule."""
    name = quoted(column.name)
    if rule.kind is RuleKind.REQUIRED:
        return f"count(*) - count({name})"
    if rule.kind is RuleKind.UNIQUE:
        return f"count({name}) - count(DISTINCT {name})"
    if rule.kind is RuleKind.ALLOWED:
        values = ", ".join(_sql_literal(value, column.kind) for value in rule.allowed)
        return f"count(CASE WHEN {name} NOT IN ({values}) THEN 1 END)"
    raise place.wrong("mustBe", "0 for a pattern", "another bound", "Break the pattern out into a rule that warns.")


def quoted(name: str) -> str:
    """Return a name as an identifier in SQL."""
    return '"' + name.replace('"', '""') + '"'


def _sql_literal(value: str, kind: str) -> str:
    if kind in ("integer", "number", "boolean"):
        return value
    text = "'" + value.replace("'", "''") + "'"
    return text if kind == "string" else f"{kind.upper()} {text}"


def repeats_of(key: tuple[str, ...]) -> str:
    """Return the query that counts the rows whose key stands in another row."""
    names = [quoted(name) for name in key]
    groups = f"SELECT count(*) AS n FROM {{object}} WHERE {' AND '.join(f'{name} IS NOT NULL' for name in names)}"
    return f"SELECT coalesce(sum(n - 1), 0) FROM ({groups} GROUP BY {', '.join(names)}) AS again"
