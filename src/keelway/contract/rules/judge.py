"""Runs a contract on a table where it stands: the same rules on DuckDB, Snowflake, Databricks and Spark.

One pass answers all row rules; each rule on several rows or on the batch is one more. As with files, a reference and
a functional dependency are asked of every row, a key of the rows that break nothing else, and rules on the batch of
the rows that would be kept.
Nothing is repaired and nothing is moved: the answer is how many rows break which rule.

    found = judge(connection.table("orders"), contract, previous=connection.table("orders_before"))
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from keelway.contract.contract import Contract, Rule, RuleKind, Severity
from keelway.contract.rules.distribution import bins_of, psi
from keelway.contract.rules.expressions import rules_asked, violations
from keelway.contract.rules.queries import NUMBER, number_of
from keelway.errors import ContractError, EngineError, KeelwayError, UsageError

if TYPE_CHECKING:
    import ibis.expr.types as ir


@dataclass(frozen=True, slots=True)
class _TableCase:
    """A table with what it is compared with."""

    table: ir.Table
    contract: Contract
    previous: ir.Table | None
    references: Mapping[str, ir.Table]
    event_time: str
    at: datetime | None


def judge(
    table: ir.Table,
    contract: Contract,
    *,
    previous: ir.Table | None = None,
    references: Mapping[str, ir.Table] | None = None,
    event_time: str = "",
    at: datetime | None = None,
) -> dict[str, int]:
    """Return how many rows break each rule, by reason, in the order of the rules; 1 for a rule on the batch.

    Args:
        table: Typed columns as the contract names them, bound to the engine that runs the rules.
        previous: The version before; without it no distribution is judged.
        references: Dataset to its newest version, for each dataset that a rule refers to.
        event_time: The column that says when a row happened; a row without it breaks the contract.
        at: The moment that freshness is counted to; None takes the youngest `_known_at` of the table.

    Raises:
        ContractError: The table does not have the contract's columns, or a rule cannot be evaluated.
        UsageError: A rule needs a table or a moment that is not given.
        EngineError: The engine fails.
    """
    _must_fit(table, contract)
    contract = replace(contract, rules=rules_asked(contract, event_time))
    try:
        counts = _counts(_TableCase(table, contract, previous, references or {}, event_time, at))
    except KeelwayError:
        raise
    except Exception as error:  # each engine has its own errors, and Ibis lets them through
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise EngineError(f"{table.get_backend().name} cannot judge {contract.dataset}", found=first) from error
    return {rule.reason: counts[rule.reason] for rule in contract.rules if counts.get(rule.reason)}


def within(value: float | None, rule: Rule) -> bool:
    """Whether a number lies within the bounds of a rule; no number breaks nothing."""
    if value is None:
        return True
    low, high = (None if bound is None else float(bound) for bound in (rule.minimum, rule.maximum))
    if rule.exclusive:
        return (low is None or value > low) and (high is None or value < high)
    return (low is None or value >= low) and (high is None or value <= high)


def _must_fit(table: ir.Table, contract: Contract) -> None:
    """Refuse a table that lacks a column, or has it of another kind."""
    fits = {
        "string": lambda kind: kind.is_string(),
        "integer": lambda kind: kind.is_integer() or (kind.is_decimal() and kind.scale == 0),
        "number": lambda kind: kind.is_numeric(),
        "boolean": lambda kind: kind.is_boolean(),
        "date": lambda kind: kind.is_date(),
        "timestamp": lambda kind: kind.is_timestamp(),
    }
    for column in contract.columns:
        found = table.schema().get(column.name)
        if found is None or not fits[column.kind](found):
            raise ContractError(
                f"The table does not fit the contract of {contract.dataset}",
                expected=f"a column {column.name} of type {column.kind}",
                found=", ".join(table.columns) if found is None else str(found),
            )


def _counts(case: _TableCase) -> dict[str, int]:
    """Return how often each rule is broken."""
    broken = violations(case.table, case.contract, engine=case.table.get_backend().name)
    counts = _of_rows(case.table, broken)
    rows = _without(case.table, broken)
    for rule in case.contract.rules:
        if rule.kind in (RuleKind.REFERENCE, RuleKind.FUNCTIONAL_DEPENDENCY):
            counts[rule.reason] = _count(_strangers(case.table, rule, case))
            rows = rows if rule.severity is Severity.WARN else _at_home(rows, rule, case)
    for rule in case.contract.rules:
        if rule.kind is RuleKind.UNIQUE:
            counts[rule.reason] = int(_repeats(rows, rule, case).to_pyarrow().to_pylist()[0]["found"])
            rows = rows if rule.severity is Severity.WARN else _once(rows, rule, case)
    return {**counts, **_of_batch(rows, case)}


def _of_rows(table: ir.Table, broken: list[tuple[Rule, ir.BooleanValue]]) -> dict[str, int]:
    """Return how many rows break each row rule, in one pass."""
    if not broken:
        return {}
    found = _answered(table, {f"n{index}": table.count(where=test) for index, (_, test) in enumerate(broken)})
    return {rule.reason: int(found[f"n{index}"]) for index, (rule, _) in enumerate(broken)}


def _answered(table: ir.Table, wanted: dict[str, Any]) -> dict[str, Any]:
    """Return what a table has in total."""
    (row,) = table.aggregate(**wanted).to_pyarrow().to_pylist()
    return dict(row)


def _count(table: ir.Table) -> int:
    return int(table.count().to_pyarrow().as_py())


def _without(table: ir.Table, broken: list[tuple[Rule, ir.BooleanValue]]) -> ir.Table:
    """Return the rows that no row rule keeps out."""
    import ibis

    out = [test for rule, test in broken if rule.severity is not Severity.WARN]
    return table.filter(~ibis.or_(*out).fill_null(False)) if out else table


def _known(rule: Rule, case: _TableCase) -> tuple[ir.Table, list[tuple[str, str]]]:
    """Return the values that a rule refers to, and which columns must be equal."""
    if rule.kind is RuleKind.FUNCTIONAL_DEPENDENCY:
        return _usual(rule, case.table), [(name, name) for name in rule.columns]
    there = case.references.get(rule.dataset)
    if there is None:
        raise UsageError("A rule refers to a table that is not given", expected=rule.dataset, found="none")
    return there.select(list(rule.references)).distinct(), list(zip(rule.columns, rule.references, strict=True))


def _usual(rule: Rule, table: ir.Table) -> ir.Table:
    """Return each determinant with its most frequent value; one with several has none, as none of them is right."""
    import ibis

    names, same = list(rule.columns), ibis.window(group_by=list(rule.columns[:-1]))
    counted = table.drop_null(names).group_by(names).agg(keelway_n=lambda each: each.count())
    ranked = counted.mutate(keelway_most=counted.keelway_n.max().over(same))
    first = ranked.filter(ranked.keelway_n == ranked.keelway_most)
    return first.mutate(keelway_firsts=first.count().over(same)).filter(lambda each: each.keelway_firsts == 1)[names]


def _strangers(rows: ir.Table, rule: Rule, case: _TableCase) -> ir.Table:
    """Return the rows whose values are not there; a row without a value refers to nothing, and follows from nothing."""
    known, pairs = _known(rule, case)
    return rows.drop_null(list(rule.columns)).anti_join(known, pairs)


def _at_home(rows: ir.Table, rule: Rule, case: _TableCase) -> ir.Table:
    """Return the other rows."""
    known, pairs = _known(rule, case)
    return rows.semi_join(known, pairs).union(_silent(rows, rule))


def _silent(rows: ir.Table, rule: Rule) -> ir.Table:
    """Return the rows that lack a value of a rule's columns."""
    import ibis

    return rows.filter(ibis.or_(*(rows[name].isnull() for name in rule.columns)))


def _earlier(rule: Rule, case: _TableCase) -> ir.Table | None:
    """Return the values that the version before has."""
    names = list(rule.columns)
    return None if case.previous is None else case.previous.drop_null(names).select(names).distinct()


def _repeats(rows: ir.Table, rule: Rule, case: _TableCase) -> ir.Table:
    """Return how many rows have values that stand in an earlier row, or in the version before, as `found`."""
    names = list(rule.columns)
    groups = rows.drop_null(names).group_by(names).agg(keelway_n=lambda each: each.count())
    earlier = _earlier(rule, case)
    if earlier is None:
        repeats = groups.keelway_n - 1
    else:
        groups = groups.left_join(earlier.mutate(keelway_seen=1), names)
        repeats = groups.keelway_n - groups.keelway_seen.isnull().ifelse(1, 0)
    return groups.aggregate(found=repeats.sum().fill_null(0))


def _once(rows: ir.Table, rule: Rule, case: _TableCase) -> ir.Table:
    """Return the rows without repeats; where a table does not say which row came first, any of them stays."""
    import ibis

    names = list(rule.columns)
    order = [name for name in ("_file", "_row") if name in rows.columns] or names
    present, earlier = rows.drop_null(names), _earlier(rule, case)
    if earlier is not None:
        present = present.anti_join(earlier, names)
    nth = ibis.row_number().over(group_by=names, order_by=order)
    first = present.mutate(keelway_nth=nth).filter(lambda each: each.keelway_nth == 0).drop("keelway_nth")
    return first.union(_silent(rows, rule))


def _of_batch(rows: ir.Table, case: _TableCase) -> dict[str, int]:
    """Return which rules on the batch its kept rows break."""
    counts: dict[str, int] = {}
    for rule, figure in _figures(rows, case):
        counts[rule.reason] = int(not within(figure, rule))
    return counts


def _figures(rows: ir.Table, case: _TableCase) -> Iterator[tuple[Rule, float | None]]:
    """Yield the one number that the bounds of each rule on the batch speak of."""
    for rule in case.contract.rules:
        if rule.kind is RuleKind.ROW_COUNT:
            yield rule, _count(rows)
        elif rule.kind is RuleKind.FRESHNESS:
            yield rule, _age(rule, rows, case)
        elif rule.kind is RuleKind.DISTRIBUTION and case.previous is not None:
            yield rule, _stability(case.previous, rows, rule.columns[0])
        elif rule.kind is RuleKind.SQL:
            yield rule, _answer(rule, rows)


def _stability(before: ir.Table, rows: ir.Table, name: str) -> float | None:
    """Return the population stability index of a column against the version before."""
    import ibis.expr.operations as ops

    bins = bins_of(before, rows, name, at_once=rows.get_backend().has_operation(ops.MultiQuantile))
    if bins is None:
        return None
    return psi((row["bin"], row["before"], row["after"]) for row in bins.to_pyarrow().to_pylist())


def _age(rule: Rule, rows: ir.Table, case: _TableCase) -> float | None:
    """Return how old the youngest row was, in seconds, when the rows became known.

    A row that is dated later says nothing about age; where all rows are, the age is infinite.
    """
    name = rule.columns[0] if rule.columns else case.event_time
    if not name or (case.at is None and "_known_at" not in rows.columns):
        raise UsageError("Freshness cannot be judged", expected="an event time and a moment", found="neither")
    known = case.at or _answered(rows, {"known": rows["_known_at"].max()})["known"]
    if known is None:
        return None
    dated = rows[name]
    found = _answered(rows, {"youngest": dated.max(where=dated <= _beside(dated, _moment(known))), "last": dated.max()})
    if found["youngest"] is None:
        return None if found["last"] is None else math.inf
    return (_moment(known) - _moment(found["youngest"])).total_seconds()


def _beside(column: ir.Column, moment: datetime) -> ir.Scalar:
    """Return a moment as a column of dates or times compares with it."""
    import ibis

    in_utc = moment.astimezone(UTC)
    if column.type().is_date():
        return ibis.literal(in_utc.date())
    return ibis.literal(in_utc if column.type().timezone else in_utc.replace(tzinfo=None))


def _moment(value: date | datetime) -> datetime:
    if not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _answer(rule: Rule, rows: ir.Table) -> float | None:
    """Return the one number of a query over the rows that are kept."""
    import ibis

    backend = rows.get_backend()
    query = number_of(rule.text, backend.compile(rows), dialect=backend.dialect)
    found = backend.sql(query, schema=ibis.schema({NUMBER: "float64"})).to_pyarrow()
    value = found.column(0)[0].as_py()
    return None if value is None else float(value)
