"""Asks the rules that look at several rows at once: keys, references to other datasets, functional dependencies.

Each is a query of its own on the columns it needs. A reference and a functional dependency are asked of every row
that can be read; a key only of rows that break nothing else: the first of them by file and line keeps it, unless an
earlier version has it.
"""

# ruff: noqa: S608 - the SQL is made of numbers and of names and literals that `quoted` and `literal` quote.
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from keelway.contract import Against, Rule, RuleKind, Severity
from keelway.engines.local.checking.repairs import listed, literal, quoted
from keelway.engines.local.checking.segments import version_files
from keelway.engines.local.checking.work import Work
from keelway.errors import ContractError

ZONED = "TIMESTAMP WITH TIME ZONE"
BARRED = "SELECT _file, _row FROM noted WHERE _broken IS NOT NULL UNION ALL SELECT _file, _row FROM late"


def ask_set_rules(work: Work, against: Against) -> None:
    """Find the rows that break a rule on several rows."""
    rules = list(enumerate(work.judgement.rules))
    for nth, rule in rules:
        if rule.kind is RuleKind.REFERENCE:
            _told(work, rule, nth, _without_counterpart(work, rule, against))
        elif rule.kind is RuleKind.FUNCTIONAL_DEPENDENCY:
            _told(work, rule, nth, _of_another_value(work, rule))
    for nth, rule in rules:
        if rule.kind is RuleKind.UNIQUE:
            found = [_in_earlier_version(work, rule, against), _repeats(work, rule)]
            _told(work, rule, nth, " UNION ".join(filter(None, found)))


def _told(work: Work, rule: Rule, nth: int, found: str) -> None:
    """Take the rows a query finds (`_file`, `_row`) as breaking a rule."""
    if rule.severity is Severity.WARN:
        count = work.number(f"SELECT count(*) FROM ({found})")
        if count:
            work.warnings[rule.reason] = work.warnings.get(rule.reason, 0) + count
        return
    work.run(f"CREATE OR REPLACE TEMP TABLE found AS {found}")
    work.run(f"INSERT INTO late SELECT _file, _row, {nth}, {literal(rule.reason)} FROM found")
    files = work.connection.execute("SELECT _file, count(*) FROM found GROUP BY _file ORDER BY _file").fetchall()
    for number, count in files:
        if rule.severity is Severity.FILE:
            work.quarantine_file(number, rule.reason)
        if rule.severity is Severity.STOP:
            work.stopped[rule.reason] = work.stopped.get(rule.reason, 0) + count


def _without_counterpart(work: Work, rule: Rule, against: Against) -> str:
    """Return the query for rows whose values do not stand in the dataset referred to."""
    if rule.dataset not in against.references:
        raise ContractError(
            f"The rows of {work.contract.dataset} refer to {rule.dataset}",
            expected=f"a version of {rule.dataset} to compare with",
            found="none",
            fix=f"Ingest {rule.dataset} first.",
        )
    paths = against.references[rule.dataset]
    present = _present(rule.columns, "r")
    if not paths:
        return f"SELECT _file, _row FROM rows r WHERE {present} AND {work.good_files('r')}"
    _must_have(work, paths, rule)
    equal = _equal(work, rule.columns, paths, rule.references)
    return (
        f"SELECT _file, _row FROM rows r ANTI JOIN {_distinct(paths, rule.references)} p ON {equal} "
        f"WHERE {present} AND {work.good_files('r')}"
    )


def _must_have(work: Work, paths: Sequence[Path], rule: Rule) -> None:
    known = work.columns_in(paths)
    lacking = [name for name in rule.references if name not in known]
    if lacking:
        raise ContractError(
            f"The rows of {work.contract.dataset} refer to {rule.dataset}",
            expected=f"columns {', '.join(rule.references)}",
            found=", ".join(known),
            fix=f"Mend the reference, or ingest {rule.dataset} with {', '.join(lacking)}.",
        )


def _of_another_value(work: Work, rule: Rule) -> str:
    """Return the query for rows that do not have the most frequent value of those with their determinant.

    Where several values are the most frequent, nothing says which is right, so every row with a value is found.
    Rows of files that are quarantined whole count too, or the answer would depend on the order of the rules.
    """
    *determinant, dependent = (quoted(name) for name in rule.columns)
    keys = ", ".join(determinant)
    same = " AND ".join(f"r.{name} = torn.{name}" for name in determinant)
    unread = f"_file NOT IN ({', '.join(str(number) for number in sorted(work.problems))})" if work.problems else "TRUE"
    asked = (
        f"SELECT _file, _row, {keys}, {dependent} FROM rows ANTI JOIN ({_misshapen(work)}) USING (_file, _row) "
        f"WHERE {_present(rule.columns, 'rows')} AND {unread}"
    )
    counted = f"SELECT {keys}, {dependent}, count(*) AS _seen FROM ({asked}) GROUP BY ALL"
    torn = (
        f"SELECT {keys}, arg_max({dependent}, _seen) AS _usual, max(_seen, 2) AS _most FROM ({counted}) "
        f"GROUP BY {keys} HAVING count(*) > 1"
    )
    return (
        f"SELECT _file, _row FROM ({asked}) r JOIN ({torn}) torn ON {same} "
        f"WHERE (_most[1] = _most[2] OR r.{dependent} <> _usual) AND {work.good_files('r')}"
    )


def _misshapen(work: Work) -> str:
    """Return the query for rows whose cells may stand in the wrong columns: they are noted for that alone."""
    reasons = listed(tuple(rule.reason for rule in work.judgement.tests))
    return f"SELECT _file, _row FROM noted WHERE NOT list_contains(CAST([{reasons}] AS VARCHAR[]), _broken[1])"


def _in_earlier_version(work: Work, rule: Rule, against: Against) -> str:
    """Return the query for rows whose key an earlier version has; empty where none can have it."""
    paths = against.previous
    if not paths or not set(rule.columns) <= set(work.columns_in(paths)):
        return ""  # a column that the earlier version lacks has no values there
    equal = _equal(work, rule.columns, paths, rule.columns)
    return (
        f"SELECT _file, _row FROM (SELECT _file, _row FROM rows r SEMI JOIN {_distinct(paths, rule.columns)} p "
        f"ON {equal} WHERE {_present(rule.columns, 'r')} AND {work.good_files('r')}) ANTI JOIN ({BARRED}) "
        f"USING (_file, _row)"
    )


def _repeats(work: Work, rule: Rule) -> str:
    """Return the query for rows whose key stands in an earlier row of the batch."""
    keys = ", ".join(quoted(name) for name in rule.columns)
    where = f"{_present(rule.columns, 'rows')} AND {work.good_files('rows')}"
    same = " AND ".join(f"rows.{quoted(name)} = twice.{quoted(name)}" for name in rule.columns)
    work.run(
        f"CREATE OR REPLACE TEMP TABLE again AS SELECT _file, _row, {keys} FROM rows SEMI JOIN "
        f"(SELECT {keys} FROM rows WHERE {where} GROUP BY {keys} HAVING count(*) > 1) twice ON {same} WHERE {where}"
    )
    ranked = f"row_number() OVER (PARTITION BY {keys} ORDER BY _file, _row) AS place"
    candidates = f"SELECT * FROM again ANTI JOIN ({BARRED}) USING (_file, _row)"
    return f"SELECT _file, _row FROM (SELECT _file, _row, {ranked} FROM ({candidates})) WHERE place > 1"


def _present(columns: Sequence[str], table: str) -> str:
    return " AND ".join(f"{table}.{quoted(name)} IS NOT NULL" for name in columns)


def _distinct(paths: Sequence[Path], columns: Sequence[str]) -> str:
    return f"(SELECT {', '.join(quoted(name) for name in columns)} FROM {version_files(paths)})"


def _equal(work: Work, own: Sequence[str], paths: Sequence[Path], theirs: Sequence[str]) -> str:
    """Return the condition that the columns of `r` and `p` are equal; columns of other types compare as texts."""
    known = work.columns_in(paths)
    here = work.columns_of("rows")
    pairs = []
    for mine, other in zip(own, theirs, strict=True):
        left, right, kind = f"r.{quoted(mine)}", f"p.{quoted(other)}", known[other]
        if kind == ZONED:
            right, kind = f"timezone('UTC', {right})", "TIMESTAMP"
        if here[mine] != kind:
            left, right = f"CAST({left} AS VARCHAR)", f"CAST({right} AS VARCHAR)"
        pairs.append(f"{left} = {right}")
    return " AND ".join(pairs)
