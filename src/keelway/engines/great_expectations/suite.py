"""Writes a contract as a Great Expectations 1.x suite: one expectation a rule, and the rules it has no words for.

Both count a missing value as no break of anything but `required`. Of a key that repeats, Great Expectations counts
every row and Keelway all but the first; of everything else both count the same rows.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from keelway.contract import Column, Contract, PiiClass, Rule, RuleKind, Severity, spelled
from keelway.errors import MissingExtraError

if TYPE_CHECKING:
    from great_expectations import ExpectationSuite

LARGEST_EXACT = 2**53
"""Whole numbers up to here are the same as a double, which is how a column with missing values is held."""
_COMPARISON = re.compile(r"\s*(\w+)\s*(>=|>|<=|<)\s*(\w+)\s*")
_UNASKED = {
    RuleKind.TYPE: "a version has its types; texts are read before",
    RuleKind.REFERENCE: "it needs another dataset",
    RuleKind.FUNCTIONAL_DEPENDENCY: "it compares a row with the rows that share a value",
    RuleKind.FRESHNESS: "it is about one batch and the time it came",
    RuleKind.DISTRIBUTION: "it is about one batch and the version before",
    RuleKind.SQL: "it is about one batch in Keelway's SQL",
}

_Expectation = tuple[str, dict[str, Any]]
"""The class of an expectation and what it is made with."""


@dataclass(frozen=True, slots=True)
class PlannedExpectation:
    """A rule in the words of Great Expectations.

    Attributes:
        expectation: The class in `great_expectations.expectations`.
        arguments: What it is made with.
    """

    rule: Rule
    expectation: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class UnaskedRule:
    """A rule that Great Expectations is not asked, and why."""

    reason: str
    why: str


@dataclass(frozen=True, slots=True)
class SuitePlan:
    """A contract as a suite: what is asked, and what is not."""

    asked: tuple[PlannedExpectation, ...]
    unasked: tuple[UnaskedRule, ...]


def plan_of(contract: Contract, *, of_version: bool = True) -> SuitePlan:
    """Return each rule as an expectation, or why it is none.

    Args:
        of_version: Whether the suite is for versions, which hold tokens for people and many batches; else for one
            batch as it is before that.
    """
    asked: list[PlannedExpectation] = []
    unasked: list[UnaskedRule] = []
    for rule in contract.rules:
        planned = _planned(rule, contract, of_version=of_version)
        if isinstance(planned, str):
            unasked.append(UnaskedRule(rule.reason, planned))
        else:
            asked.append(PlannedExpectation(rule, *planned))
    return SuitePlan(tuple(asked), tuple(unasked))


def suite_of(contract: Contract, *, of_version: bool = True) -> ExpectationSuite:
    """Return a contract as a suite, with each rule's reason, kind and severity in the expectation's `meta`.

    Raises:
        MissingExtraError: Great Expectations is not installed.
    """
    with quiet_import():
        import great_expectations as gx
        import great_expectations.expectations as known

    return gx.ExpectationSuite(
        name=contract.dataset,
        expectations=[
            getattr(known, planned.expectation)(**planned.arguments, **_told(planned.rule))
            for planned in plan_of(contract, of_version=of_version).asked
        ],
        meta={"keelway": {"contract": contract.contract_id, "version": contract.version}},
    )


def _told(rule: Rule) -> dict[str, Any]:
    return {
        "severity": "warning" if rule.severity is Severity.WARN else "critical",
        "meta": {"keelway": {"reason": rule.reason, "kind": rule.kind.value, "severity": rule.severity.value}},
    }


@contextmanager
def quiet_import() -> Iterator[None]:
    """Let Great Expectations be imported: what its dependencies say of their own imports is not ours to mend.

    Raises:
        MissingExtraError: It is not installed.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "module 'sre_(constants|parse|compile)' is deprecated", DeprecationWarning)
        try:
            yield
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                "A second opinion needs one more package",
                expected="great_expectations",
                found=str(error),
                fix="pip install 'keelway[great-expectations]'",
            ) from error


def _planned(rule: Rule, contract: Contract, *, of_version: bool) -> _Expectation | str:
    """Return the expectation and its arguments, or why there is none."""
    columns = [found for name in rule.columns if (found := contract.column(name)) is not None]
    why = _UNASKED.get(rule.kind, "") or (_hidden(rule, columns) if of_version else "")
    if why:
        return why
    if rule.kind is RuleKind.ROW_COUNT:
        return "ExpectTableRowCountToBeBetween", _between(rule, int)
    if rule.kind is RuleKind.UNIQUE:
        return _unique(rule)
    if rule.kind is RuleKind.EXPRESSION:
        return _pair(rule, contract)
    return _BY_KIND[rule.kind](rule, columns[0])


def _hidden(rule: Rule, columns: list[Column]) -> str:
    """Return why a rule cannot be asked of a version, or empty."""
    if rule.kind is RuleKind.ROW_COUNT:
        return "it is about one batch; a version holds many"
    if any(column.pii is PiiClass.DROP for column in columns):
        return "the column is empty in every version"
    if any(column.pii for column in columns) and rule.kind not in (RuleKind.REQUIRED, RuleKind.UNIQUE):
        return "it is asked of the value, and a version holds tokens"
    return ""


def _unique(rule: Rule) -> _Expectation:
    if len(rule.columns) == 1:
        return "ExpectColumnValuesToBeUnique", {"column": rule.columns[0]}
    return "ExpectCompoundColumnsToBeUnique", {
        "column_list": list(rule.columns),
        "ignore_row_if": "any_value_is_missing",
    }


def _pair(rule: Rule, contract: Contract) -> _Expectation | str:
    """Return a condition that compares two columns; others have no words there."""
    found = _COMPARISON.fullmatch(rule.text)
    if found is None or not all(contract.column(name) for name in (found[1], found[3])):
        return "a condition other than the comparison of two columns"
    first, second = (found[1], found[3]) if found[2].startswith(">") else (found[3], found[1])
    arguments = {"column_A": first, "column_B": second, "or_equal": found[2].endswith("=")}
    return "ExpectColumnPairValuesAToBeGreaterThanB", {**arguments, "ignore_row_if": "either_value_is_missing"}


def _required(_: Rule, column: Column) -> _Expectation:
    return "ExpectColumnValuesToNotBeNull", {"column": column.name}


def _length(rule: Rule, column: Column) -> _Expectation:
    return "ExpectColumnValueLengthsToBeBetween", {"column": column.name, **_between(rule, int)}


def _pattern(rule: Rule, column: Column) -> _Expectation | str:
    if re.search(r"\\[pP]\{", rule.text):
        return "a class of letters that Python has no word for"
    return "ExpectColumnValuesToMatchRegex", {"column": column.name, "regex": _python(rule.text)}


def _range(rule: Rule, column: Column) -> _Expectation | str:
    if column.kind == "integer" and abs(Decimal(rule.minimum or rule.maximum or 0)) > LARGEST_EXACT:
        return "a whole number that a double does not hold"
    read = _moment if column.kind in ("date", "timestamp") else float
    return "ExpectColumnValuesToBeBetween", {"column": column.name, **_between(rule, read)}


def _allowed(rule: Rule, column: Column) -> _Expectation | str:
    readers: dict[str, Any] = {"string": str, "integer": int, "number": float}
    if column.kind not in readers:
        return f"a set of values of type {column.kind}"
    values = [readers[column.kind](value) for value in rule.allowed]
    return "ExpectColumnValuesToBeInSet", {"column": column.name, "value_set": values}


def _between(rule: Rule, read: Any) -> dict[str, Any]:
    """Return the bounds of a rule, each only where there is one."""
    bounds: dict[str, Any] = {}
    for name, side in (("minimum", "min"), ("maximum", "max")):
        if (text := getattr(rule, name)) is not None:
            bounds[f"{side}_value"] = read(text)
            if rule.exclusive:
                bounds[f"strict_{side}"] = True
    return bounds


def _moment(text: str) -> str:
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()


def _python(pattern: str) -> str:
    r"""Return a pattern as Python reads it: `$` is the very end, a dot is no line break.

    >>> _python("^a.$")
    '^a[^\n]\\Z'
    """
    return re.sub(r"\\(.)", lambda found: r"\Z" if found[1] == "z" else found[0], spelled(pattern, "pyspark"))


_BY_KIND: dict[RuleKind, Callable[[Rule, Column], _Expectation | str]] = {
    RuleKind.REQUIRED: _required,
    RuleKind.MINIMUM: _range,
    RuleKind.MAXIMUM: _range,
    RuleKind.MIN_LENGTH: _length,
    RuleKind.MAX_LENGTH: _length,
    RuleKind.PATTERN: _pattern,
    RuleKind.ALLOWED: _allowed,
}
