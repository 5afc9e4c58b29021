"""Asks the rules on a batch as a whole: how many rows, how fresh, spread as before, and queries of the contract.

They look at the rows that would be kept. A rule either warns or stops the load; where there is nothing to measure,
as in a batch without rows or without a version before, it is not broken.
"""

# ruff: noqa: S608 - the SQL is made of numbers and of names and literals that `quoted` and `literal` quote.
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from keelway.contract import NUMBER, Against, Rule, RuleKind, Severity, bins_of, number_of, psi, within
from keelway.core import time_text
from keelway.engines.local.checking.repairs import quoted
from keelway.engines.local.checking.segments import version_files
from keelway.engines.local.checking.work import Work

if TYPE_CHECKING:
    import pyarrow as pa


def ask_batch_rules(work: Work, against: Against, *, kept: str) -> None:
    """Ask the rules on the whole batch.

    Args:
        kept: The table or query of the rows that would be kept.
    """
    asked = [(rule, _QUESTIONS[rule.kind]) for rule in work.judgement.rules if rule.kind in _QUESTIONS]
    if not asked:
        return
    work.run(f"CREATE TEMP VIEW kept AS SELECT * FROM {kept}")
    _read_before(work, [rule for rule, _ in asked if rule.kind is RuleKind.DISTRIBUTION], against)
    for rule, question in asked:
        found = question(work, rule, against)
        if within(found, rule):
            continue
        undated = rule.kind is RuleKind.FRESHNESS and found == math.inf
        why = f"every row is dated after {time_text(_known_at(work))}" if undated else ""
        if rule.severity is Severity.WARN:
            work.warnings[f"{rule.reason}: {why}" if why else rule.reason] = 1
        else:
            work.stops.append(f"{rule.reason}: {why or f'{found:.6g}{_bounds(rule)}'}")


def _bounds(rule: Rule) -> str:
    """Return the bounds of a rule in words."""
    low = "" if rule.minimum is None else f", {'more than' if rule.exclusive else 'at least'} {rule.minimum}"
    high = "" if rule.maximum is None else f", {'less than' if rule.exclusive else 'at most'} {rule.maximum}"
    return f"{low}{high} expected"


def _row_count(work: Work, rule: Rule, against: Against) -> float:  # noqa: ARG001 - every question is asked alike
    return work.number("SELECT count(*) FROM kept")


def _age(work: Work, rule: Rule, against: Against) -> float | None:  # noqa: ARG001 - every question is asked alike
    """Return how old the youngest row was, in seconds, when the youngest file became known.

    A row that is dated later says nothing about age, or one wrong date would make a feed look fresh for years; where
    all rows are, the age is infinite.
    """
    moment = f"CAST({quoted(rule.columns[0] if rule.columns else work.event_time)} AS TIMESTAMP)"
    known_at = _known_at(work)
    asked = f"SELECT epoch(max({moment}) FILTER (WHERE {moment} <= $known)), count({moment}) FROM kept"
    youngest, dated = work.connection.execute(asked, {"known": known_at.replace(tzinfo=None)}).fetchall()[0]
    if youngest is None:
        return math.inf if dated else None
    return float(known_at.timestamp() - youngest)


def _known_at(work: Work) -> datetime:
    """Return when the youngest file became known, in UTC."""
    return max(layout.file.known_at for layout in work.layouts).astimezone(UTC)


def _read_before(work: Work, rules: Sequence[Rule], against: Against) -> None:
    """Read once, into the table `before`, what rules on distributions look at of the version before."""
    if not rules or not against.previous:
        return
    wanted = {name for rule in rules for name in rule.columns}
    columns = [quoted(name) for name in work.columns_in(against.previous) if name in wanted]
    files = version_files(against.previous)
    work.run(f"CREATE TEMP TABLE before AS SELECT {', '.join(columns) or '0 AS nothing'} FROM {files}")


def _stability(work: Work, rule: Rule, against: Against) -> float | None:
    """Return the population stability index of a column against the version before."""
    (name,) = rule.columns
    if not against.previous:
        return None
    query = _bins_query(name, work.schema_of("before"), work.schema_of("kept"))
    return psi(work.connection.execute(query).fetchall()) if query else None


@lru_cache(maxsize=64)  # writing the query takes longer than asking it of a small batch
def _bins_query(name: str, before: pa.Schema, kept: pa.Schema) -> str:
    """Return the query for the rows in each bin of a column; empty where nothing can be compared."""
    import ibis

    tables = {"before": before, "kept": kept}
    old, new = (ibis.table(ibis.Schema.from_pyarrow(schema), name=table) for table, schema in tables.items())
    query = bins_of(old, new, name, at_once=True)
    return "" if query is None else str(ibis.to_sql(query, dialect="duckdb"))


def _answer(work: Work, rule: Rule, against: Against) -> float | None:  # noqa: ARG001 - every question is asked alike
    """Return the one number that a query of the contract gives."""
    query = number_of(rule.text, "SELECT * FROM kept", dialect="duckdb")
    found = work.connection.execute(f"SELECT {NUMBER} FROM ({query})").fetchall()[0][0]
    return None if found is None else float(found)


_QUESTIONS: dict[RuleKind, Callable[[Work, Rule, Against], float | None]] = {
    RuleKind.ROW_COUNT: _row_count,
    RuleKind.FRESHNESS: _age,
    RuleKind.DISTRIBUTION: _stability,
    RuleKind.SQL: _answer,
}
