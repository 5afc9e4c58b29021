"""Judges rows by a contract: all row rules in one pass, which writes down only the rows that break one.

The rules come from the contract slice as Ibis expressions; here they become one statement over a segment.
"""

# ruff: noqa: S608 - the SQL is made of numbers and of names and literals that `quoted` and `literal` quote.
from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from keelway.contract import Contract, Rule, Severity, rules_asked, violations
from keelway.engines.local.checking.repairs import listed, literal
from keelway.engines.local.checking.segments import flag_names

IBIS_TYPES = {
    "string": "string",
    "integer": "int64",
    "number": "float64",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamp(6)",
}
WHOLE_FILE = "the file: "
"""Stands before the reason for which a row is quarantined together with its file."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The rules that a batch is judged by.

    Attributes:
        rules: The contract's rules that count: those that nobody waived, and that the event time is there.
        query: A query over a table `typed` that adds to each row `_v0`, `_v1`, ...: whether it breaks a row rule.
        tests: The row rules in that order.
        waived: Reasons that are not held against a row.
    """

    rules: tuple[Rule, ...]
    query: str
    tests: tuple[Rule, ...]
    waived: frozenset[str]

    def of(self, severity: Severity) -> set[str]:
        """Return the reasons of one severity."""
        return {rule.reason for rule in self.rules if rule.severity is severity}


@lru_cache(maxsize=8)  # writing the rules as SQL takes longer than asking them of a small batch
def judgement(contract: Contract, event_time: str, waived: frozenset[str]) -> Judgement:
    """Return the rules of a contract, ready to be asked."""
    import ibis

    asked = [_mildest(rule, waived) for rule in rules_asked(contract, event_time) if rule.reason not in waived]
    columns: dict[str, str] = {"_file": "int32", "_row": "int64", "_structure": "string"}
    columns |= dict.fromkeys(flag_names(contract).values(), "boolean")
    for column in contract.columns:
        columns[column.name] = IBIS_TYPES[column.kind]
        columns[f"_text_{column.name}"] = "string"
    table = ibis.table(columns, name="typed")
    found = violations(table, replace(contract, rules=tuple(asked)))
    tests = {f"_v{number}": test for number, (_, test) in enumerate(found)}
    query = ibis.to_sql(table.mutate(**tests) if tests else table, dialect="duckdb")
    return Judgement(tuple(asked), str(query), tuple(rule for rule, _ in found), waived)


def _mildest(rule: Rule, waived: frozenset[str]) -> Rule:
    """Return a rule against files as one against rows, where somebody released the file's other rows."""
    if rule.severity is Severity.FILE and WHOLE_FILE + rule.reason in waived:
        return replace(rule, severity=Severity.ROW)
    return rule


def judged_query(typed: str, judgement: Judgement, *, values: str) -> str:
    """Return the query that adds to typed rows what they break: `_broken` and `_warned`, null for nothing.

    Args:
        typed: The query of a segment.
        values: What is kept of it, as a list of columns.
    """
    broken = [
        (f"_v{number}", rule) for number, rule in enumerate(judgement.tests) if rule.severity is not Severity.WARN
    ]
    warned = [(f"_v{number}", rule) for number, rule in enumerate(judgement.tests) if rule.severity is Severity.WARN]
    structure = "_structure"
    if judgement.waived:
        structure = f"CASE WHEN _structure NOT IN ({listed(tuple(sorted(judgement.waived)))}) THEN _structure END"
    return (
        f"WITH typed AS ({typed}) SELECT {values}, CASE WHEN ({structure}) IS NOT NULL THEN [{structure}] "
        f"{_listing(broken)} END AS _broken, CASE WHEN ({structure}) IS NOT NULL THEN NULL {_listing(warned)} END "
        f"AS _warned FROM ({judgement.query})"
    )


def _listing(tests: list[tuple[str, Rule]]) -> str:
    """Return the branch that lists the reasons of a row; it is entered only for rows that have one."""
    if not tests:
        return ""
    any_of = " OR ".join(test for test, _ in tests)  # null is not true
    reasons = ", ".join(f"CASE WHEN {test} THEN {literal(rule.reason)} END" for test, rule in tests)
    return f"WHEN {any_of} THEN list_filter([{reasons}], lambda reason: reason IS NOT NULL)"
