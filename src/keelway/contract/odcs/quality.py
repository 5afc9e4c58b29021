"""Reads the rules under `quality` of an ODCS schema.

A library metric that must be 0 is a rule on each row, or on each set of rows; with any other bound it is a rule on
the batch, counted by a query. `type: sql` is a query over the batch. `type: custom` with `engine: keelway` is a
condition over a row (a text), the distribution of a column (`metric: psi`) or a functional dependency between
columns (`dependency: {determinant: [...], dependent: [...]}`). Everything else is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from keelway.contract.contract import Column, Rule, RuleKind
from keelway.contract.odcs.bounds import Bounds, bounds_of
from keelway.contract.odcs.columns import allowed_of, pattern_of, pattern_rule, unique_rule
from keelway.contract.odcs.document import NOT_CHECKED, Place, Properties
from keelway.contract.odcs.measures import measure_of, quoted, repeats_of
from keelway.contract.odcs.severity import batch_severity, row_severity
from keelway.contract.rules.queries import query_of
from keelway.errors import ContractError

if TYPE_CHECKING:
    from open_data_contract_standard.model import DataQuality

METRICS = ("nullValues", "missingValues", "invalidValues", "duplicateValues")
DISTRIBUTION_KINDS = ("string", "integer", "number", "boolean")
SIDES = ("determinant", "dependent")
"""The two sides of a functional dependency: rows that are equal in the first are equal in the second."""


def column_quality(rules: list[DataQuality], column: Column, place: Place) -> Iterator[Rule]:
    """Yield the rules under a column's `quality`.

    Raises:
        ContractError: A rule is wrong, or asks for what is not checked.
    """
    for rule in rules:
        at = _seen(rule, place)
        kind = _type(rule)
        if kind == "library":
            yield from _column_metric(rule, column, at)
        elif kind == "sql":
            yield _query(rule, (column.name,), at)
        else:
            yield _custom(rule, column, at)


def schema_quality(rules: list[DataQuality], columns: tuple[Column, ...], place: Place) -> Iterator[Rule]:
    """Yield the rules under the `quality` of the schema itself.

    Raises:
        ContractError: A rule is wrong, or asks for what is not checked.
    """
    for rule in rules:
        at = _seen(rule, place)
        kind = _type(rule)
        if kind == "library":
            yield _schema_metric(rule, columns, at)
        elif kind == "sql":
            yield _query(rule, (), at)
        elif isinstance(rule.implementation, dict):
            yield from _dependency(rule, columns, at)
        else:
            yield _condition(rule, at)


def missing_texts(rules: list[DataQuality], place: Place) -> tuple[str, ...]:
    """Return the texts that a column's `missingValues` metric counts as no value; null and the empty text always do."""
    texts: list[str] = []
    for rule in rules:
        if (rule.metric or rule.rule) == "missingValues":
            given = _arguments(rule, ("missingValues",), place).get("missingValues", [])
            if not isinstance(given, list) or not all(item is None or isinstance(item, str) for item in given):
                raise place.wrong("missingValues", "a list of texts", f"{given!r:.80}", "Put quotes around them.")
            texts += [item for item in given if item]
    return tuple(texts)


def _seen(rule: DataQuality, place: Place) -> Place:
    """Return the place of a rule, once it is clear that it asks for no schedule and no other tool."""
    at = place.at(f"quality {rule.name or rule.metric or rule.rule or rule.type or ''}".rstrip())
    for name in ("schedule", "scheduler"):
        if getattr(rule, name):
            raise at.wrong(name, "nothing, as rules are checked with each batch", str(getattr(rule, name)), NOT_CHECKED)
    Properties(rule.customProperties, (), at)
    if _type(rule) not in ("library", "sql", "custom"):
        raise at.wrong("type", "library, sql or custom", str(rule.type or "nothing"), NOT_CHECKED)
    if rule.type == "custom" and rule.engine != "keelway":
        raise at.wrong("engine", "keelway", str(rule.engine or "nothing"), NOT_CHECKED)
    return at


def _type(rule: DataQuality) -> str:
    return rule.type or ("library" if rule.metric or rule.rule else "")


def _arguments(rule: DataQuality, known: tuple[str, ...], place: Place) -> dict[str, Any]:
    arguments = rule.arguments or {}
    for name in arguments:
        if name not in known:
            raise place.wrong("arguments", ", ".join(known) or "none", name, NOT_CHECKED)
    return arguments


def _column_metric(rule: DataQuality, column: Column, place: Place) -> Iterator[Rule]:
    """Yield what a library metric asks of each row, or of the batch where some rows may break it."""
    metric = rule.metric or rule.rule or ""
    if metric not in METRICS:
        raise place.wrong("metric", ", ".join(METRICS), metric, NOT_CHECKED)
    bounds = bounds_of(rule, place)
    asked = list(_asked(rule, metric, column, place))
    if bounds.none_at_all:
        severity = row_severity(rule.severity, place)
        named = rule.name if len(asked) == 1 else None
        yield from (replace(each, severity=severity, reason=named or each.reason) for each in asked)
        return
    (measure,) = [measure_of(each, column, place) for each in asked] if len(asked) == 1 else (None,)
    if measure is None:
        raise place.wrong("arguments", "validValues alone, where some rows may break the rule", "a pattern too")
    yield _counted(rule, f"{column.name}: {metric}", measure, (column.name,), bounds, place)


def _asked(rule: DataQuality, metric: str, column: Column, place: Place) -> Iterator[Rule]:
    """Yield the rules on rows that a metric counts the breaks of."""
    own = (column.name,)
    if metric in ("nullValues", "missingValues"):
        _arguments(rule, ("missingValues",) if metric == "missingValues" else (), place)
        yield Rule(RuleKind.REQUIRED, own, f"{column.name}: missing")
    elif metric == "duplicateValues":
        _arguments(rule, (), place)
        yield unique_rule(own)
    else:
        yield from _valid(_arguments(rule, ("validValues", "pattern"), place), column, place)


def _valid(arguments: dict[str, Any], column: Column, place: Place) -> Iterator[Rule]:
    values, pattern = arguments.get("validValues"), pattern_of(arguments.get("pattern"), place)
    if values is not None and (not isinstance(values, list) or not values):
        raise place.wrong("validValues", "a list of values", f"{values!r:.80}")
    if values is None and pattern is None:
        raise place.wrong("arguments", "validValues or pattern", "neither")
    if pattern is not None and column.kind != "string":
        raise place.wrong("pattern", "a column of type string", column.kind)
    if pattern is not None:
        yield pattern_rule(column.name, pattern)
    if values is not None:
        allowed = allowed_of(values, column.kind, place)
        yield Rule(RuleKind.ALLOWED, (column.name,), f"{column.name}: not an allowed value", allowed=allowed)


def _schema_metric(rule: DataQuality, columns: tuple[Column, ...], place: Place) -> Rule:
    """Return what a library metric asks of the whole object: its count of rows, or no two rows alike."""
    metric = rule.metric or rule.rule or ""
    bounds = bounds_of(rule, place)
    if metric == "rowCount":
        _arguments(rule, (), place)
        if rule.unit not in (None, "rows"):
            raise place.wrong("unit", "rows", str(rule.unit))
        reason = rule.name or f"the number of rows is {bounds.broken}"
        return bounds.on(Rule(RuleKind.ROW_COUNT, (), reason, severity=batch_severity(rule.severity, place)))
    if metric != "duplicateValues":
        raise place.wrong("metric", "rowCount or duplicateValues; others stand at a column", metric, NOT_CHECKED)
    key = _key(rule, columns, place)
    if bounds.none_at_all:
        asked = unique_rule(key)
        return replace(asked, severity=row_severity(rule.severity, place), reason=rule.name or asked.reason)
    reason = rule.name or f"{', '.join(key)}: duplicateValues {bounds.broken}"
    if rule.unit not in (None, "rows"):
        raise place.wrong("unit", "rows", str(rule.unit))
    asked = Rule(RuleKind.SQL, key, reason, severity=batch_severity(rule.severity, place))
    return bounds.on(replace(asked, text=query_of(repeats_of(key))))


def _key(rule: DataQuality, columns: tuple[Column, ...], place: Place) -> tuple[str, ...]:
    names = _arguments(rule, ("properties",), place).get("properties")
    known = [column.name for column in columns]
    if not isinstance(names, list) or not names or any(name not in known for name in names):
        raise place.wrong("arguments.properties", f"some of {', '.join(known)}", f"{names!r:.80}")
    return tuple(names)


def _counted(
    rule: DataQuality, what: str, measure: str, columns: tuple[str, ...], bounds: Bounds, place: Place
) -> Rule:
    """Return the rule on the batch that a measure, in rows or in percent of them, keeps its bounds."""
    unit = rule.unit or "rows"
    if unit not in ("rows", "percent"):
        raise place.wrong("unit", "rows or percent", unit)
    told = f"{what} {bounds.broken}{' percent' if unit == 'percent' else ''}"
    number = f"coalesce(100.0 * ({measure}) / nullif(count(*), 0), 0)" if unit == "percent" else measure
    asked = Rule(
        RuleKind.SQL,
        columns,
        rule.name or told,
        severity=batch_severity(rule.severity, place),
        text=query_of(f"SELECT {number} FROM {{object}}"),  # noqa: S608 - names and values are quoted above
    )
    return bounds.on(asked)


def _query(rule: DataQuality, columns: tuple[str, ...], place: Place) -> Rule:
    """Return a rule on the batch that was written as SQL."""
    bounds = bounds_of(rule, place)
    text = rule.query or ""
    for spelling in ("${property}", "{property}", "${column}", "{column}"):
        if spelling in text and not columns:
            raise place.wrong("query", "{property} in the rule of a column only", spelling)
        text = text.replace(spelling, quoted(columns[0]) if columns else "")
    try:
        query = query_of(text)
    except ContractError as error:
        raise place.wrong("query", error.expected, error.found) from error
    reason = rule.name or f"{rule.query} is {bounds.broken}"
    return bounds.on(Rule(RuleKind.SQL, columns, reason, severity=batch_severity(rule.severity, place), text=query))


def _custom(rule: DataQuality, column: Column, place: Place) -> Rule:
    if not isinstance(rule.implementation, dict):
        return _condition(rule, place)
    if rule.implementation != {"metric": "psi"}:
        found = f"{rule.implementation!r:.80}"
        raise place.wrong("implementation", "a condition in SQL, or metric: psi", found, NOT_CHECKED)
    if column.kind not in DISTRIBUTION_KINDS:
        raise place.wrong("metric", f"psi for a column of type {', '.join(DISTRIBUTION_KINDS)}", column.kind)
    bounds = bounds_of(rule, place)
    if bounds.minimum is not None or bounds.maximum is None:
        raise place.wrong("mustBe", "mustBeLessThan or mustBeLessOrEqualTo", "another operator")
    reason = rule.name or f"{column.name}: PSI against the version before is {bounds.broken}"
    asked = Rule(RuleKind.DISTRIBUTION, (column.name,), reason, severity=batch_severity(rule.severity, place))
    return bounds.on(asked)


def _dependency(rule: DataQuality, columns: tuple[Column, ...], place: Place) -> Iterator[Rule]:
    """Yield a rule for each dependent column: rows with the same determinant have the same value of it."""
    implementation = rule.implementation if isinstance(rule.implementation, dict) else {}
    sides = implementation.get("dependency")
    if set(implementation) != {"dependency"} or not isinstance(sides, dict) or set(sides) != set(SIDES):
        wanted = f"a condition in SQL, or dependency: {{{SIDES[0]}: [...], {SIDES[1]}: [...]}}"
        raise place.wrong("implementation", wanted, f"{implementation!r:.80}", NOT_CHECKED)
    known = [column.name for column in columns]
    determinant, dependents = (_side(sides, side, known, place) for side in SIDES)
    if both := [name for name in dependents if name in determinant]:
        raise place.wrong("dependent", "other columns than those of the determinant", ", ".join(both))
    bounds_of(rule, place, none=True)
    severity = row_severity(rule.severity, place)
    told = rule.name or f"does not follow from {', '.join(determinant)}"
    for dependent in dependents:
        reason = told if rule.name and len(dependents) == 1 else f"{dependent}: {told}"
        yield Rule(RuleKind.FUNCTIONAL_DEPENDENCY, (*determinant, dependent), reason, severity=severity)


def _side(sides: dict[str, Any], side: str, known: list[str], place: Place) -> tuple[str, ...]:
    names = sides[side]
    if not isinstance(names, list) or not names or any(name not in known for name in names):
        raise place.wrong(side, f"some of {', '.join(known)}", f"{names!r:.80}")
    if len(set(names)) < len(names):
        raise place.wrong(side, "each column once", f"{names!r:.80}")
    return tuple(names)


def _condition(rule: DataQuality, place: Place) -> Rule:
    """Return a condition over each row; the loader sees later that it fits the columns."""
    text = rule.implementation
    if not isinstance(text, str) or not text.strip():
        raise place.wrong("implementation", "a condition in SQL", f"{text!r:.80}")
    bounds_of(rule, place, none=True)
    reason = rule.name or f"not true: {text}"
    return Rule(RuleKind.EXPRESSION, (), reason, severity=row_severity(rule.severity, place), text=text)
