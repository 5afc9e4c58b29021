"""Lints a contract: the error for which it cannot be loaded, and warnings about what it leaves open.

A warning is never about taste: each names something that a reader of the contract will believe and that is not so,
or that nobody promised. A contract without a warning still says only what its owner wrote.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.contract.contract import Column, Contract, Rule, RuleKind, Severity, UnknownColumns
from keelway.contract.drafting.guess_pii import may_name_person
from keelway.contract.odcs.document import Place, document_of, text_of
from keelway.contract.odcs.load import load_contract
from keelway.errors import ContractError

if TYPE_CHECKING:
    from open_data_contract_standard.model import OpenDataContractStandard


@dataclass(frozen=True, slots=True)
class LintFinding:
    """One thing that is wrong with a contract.

    Attributes:
        is_error: Whether the contract cannot be used at all.
        where: The column or the part it is about, or empty for the whole contract.
        what: What is wrong, as a sentence without a full stop.
        fix: What to do about it.
    """

    is_error: bool
    where: str
    what: str
    fix: str


@dataclass(frozen=True, slots=True)
class LintReport:
    """What is wrong with a contract's file; `datasets` are those that were looked at."""

    datasets: tuple[str, ...]
    findings: tuple[LintFinding, ...]

    @property
    def has_errors(self) -> bool:
        """Whether the contract cannot be used."""
        return any(finding.is_error for finding in self.findings)


def lint_contract(path: Path, dataset: str = "") -> LintReport:
    """Return everything that is wrong with a contract's file, for one dataset or for each that it describes."""
    try:
        document = _document(path)
    except ContractError as error:
        return LintReport((), (_refused(error),))
    names = [dataset] if dataset else _names(document)
    if not names:
        found = LintFinding(True, "schema", "The contract describes no dataset", "Add an object under `schema`.")
        return LintReport((), (found,))
    findings: list[LintFinding] = []
    for name in names:
        try:
            contract = load_contract(path, name)
        except ContractError as error:
            findings.append(_refused(error))
        else:
            findings += warnings_of(contract)
    if (document.status or "") == "draft":
        findings.append(_warning("status", "The contract is still a draft", "Set `status: active` once it is read."))
    return LintReport(tuple(names), tuple(dict.fromkeys(findings)))


def datasets_in(path: Path) -> list[str]:
    """Return the names of the datasets that a contract's file describes.

    Raises:
        ContractError: The file cannot be read as ODCS.
    """
    return _names(_document(path))


def _document(path: Path) -> OpenDataContractStandard:
    place = Place(path)
    return document_of(text_of(place), place)


def _names(document: OpenDataContractStandard) -> list[str]:
    return [item.name or "" for item in document.schema_ or ()]


def _refused(error: ContractError) -> LintFinding:
    return LintFinding(True, "", str(error), error.fix)


def _warning(where: str, what: str, fix: str) -> LintFinding:
    return LintFinding(False, where, what, fix)


def warnings_of(contract: Contract) -> Iterator[LintFinding]:
    """Yield what a contract that can be loaded leaves open, the whole first, then column by column."""
    yield from _about_whole(contract)
    for column in contract.columns:
        rules = [rule for rule in contract.rules if column.name in rule.columns]
        yield from _about_rules(column, rules)
        yield from _about_values(column, rules)
        yield from _about_reading(column)
        yield from _about_people(column)


def _about_whole(contract: Contract) -> Iterator[LintFinding]:
    if not contract.owner:
        yield _warning("team", "Nobody answers for the data", "Name an owner under `team`.")
    if contract.max_age_s is None:
        yield _warning("slaProperties", "No freshness is promised", "Add a latency or frequency under `slaProperties`.")
    if contract.stop_at_quarantined_share >= 1:
        fix = "Set `stopAtQuarantinedShare` below 1."
        yield _warning("stopAtQuarantinedShare", "A batch of nothing but bad rows is loaded as an empty one", fix)
    if not any(rule.kind is RuleKind.UNIQUE for rule in contract.rules):
        fix = "Mark the columns that name a row with `primaryKey: true`."
        yield _warning("primaryKey", "Rows that come twice are loaded twice", fix)
    yield from _about_dependencies(contract)
    yield from _about_header(contract)
    keeping = [rule for rule in contract.rules if rule.severity is not Severity.WARN]
    if contract.rules and not keeping:
        yield _warning("quality", "Every rule only warns, so nothing is ever kept out", "Raise the severity of some.")


def _about_dependencies(contract: Contract) -> Iterator[LintFinding]:
    """Yield the functional dependencies that a key says already: no two rows that are kept share it."""
    keys = [
        rule.columns for rule in contract.rules if rule.kind is RuleKind.UNIQUE and rule.severity is not Severity.WARN
    ]
    for rule in contract.rules:
        if rule.kind is not RuleKind.FUNCTIONAL_DEPENDENCY:
            continue
        *determinant, dependent = rule.columns
        if any(set(key) <= set(determinant) for key in keys):
            named = ", ".join(determinant)
            what = f"It follows from {named}, which no two rows share, so only rows that come twice can break it"
            yield _warning(dependent, what, "Take it out, or name columns that rows do share.")


def _about_header(contract: Contract) -> Iterator[LintFinding]:
    """Yield what is said about the names in files that have none."""
    if contract.has_header or contract.format != "csv":
        return
    fix = "Take it out, or let the files name their columns."
    if contract.unknown_columns is not UnknownColumns.IGNORE:
        yield _warning("unknownColumns", "Files without a header have no column that is unknown", fix)
    for column in contract.columns:
        if column.aliases:
            yield _warning(column.name, "Files without a header never use its aliases", fix)


def _about_rules(column: Column, rules: list[Rule]) -> Iterator[LintFinding]:
    name = column.name
    if not rules:
        yield _warning(name, "Nothing is asked of it", "Say whether it is required, and what its values look like.")
    if column.required and column.default is not None:
        fix = "Take out one of the two."
        yield _warning(name, "It is required but has a default, so it is never missing", fix)
    for rule in rules:
        if rule.kind is RuleKind.ALLOWED and len(rule.allowed) == 1:
            fix = "Add the other values, or drop the column."
            yield _warning(name, f"Only one value is allowed: {rule.allowed[0]}", fix)
        if rule.kind is RuleKind.PATTERN and not (rule.text.startswith("^") and rule.text.endswith("$")):
            yield _warning(name, f"The pattern {rule.text} may match a part of the value", "Write it as ^...$.")


def _about_values(column: Column, rules: list[Rule]) -> Iterator[LintFinding]:
    """Yield values that the contract names and that break a rule of their own column."""
    own = [rule for rule in rules if rule.columns == (column.name,)]
    for rule in own:
        for value in rule.allowed if rule.kind is RuleKind.ALLOWED else ():
            for other in own:
                if _breaks(value, other, column):
                    fix = "Mend one of the two."
                    yield _warning(column.name, f"The allowed value {value!r} breaks another rule: {other.reason}", fix)
        for value in rule.allowed:
            if value in column.missing:
                yield _warning(column.name, f"{value!r} is allowed and means a missing value", "Mend one of the two.")
    for rule in own if column.default is not None else ():
        if _breaks(str(column.default), rule, column):
            yield _warning(column.name, f"The default {column.default!r} breaks a rule: {rule.reason}", "Mend it.")


def _breaks(value: str, rule: Rule, column: Column) -> bool:
    """Return whether a value as it is written breaks a rule; only what needs no reading of files is asked."""
    if rule.kind in _BROKEN_TEXT:
        return _BROKEN_TEXT[rule.kind](value, rule)
    if column.kind not in ("integer", "number") or rule.kind not in (RuleKind.MINIMUM, RuleKind.MAXIMUM):
        return False
    number, bound = float(value), float(rule.minimum or rule.maximum or 0)
    outside = number < bound if rule.kind is RuleKind.MINIMUM else number > bound
    return outside or (rule.exclusive and number == bound)


_BROKEN_TEXT: dict[RuleKind, Callable[[str, Rule], bool]] = {
    RuleKind.ALLOWED: lambda value, rule: value not in rule.allowed,
    RuleKind.MIN_LENGTH: lambda value, rule: len(value) < int(rule.minimum or 0),
    RuleKind.MAX_LENGTH: lambda value, rule: len(value) > int(rule.maximum or len(value)),
    RuleKind.PATTERN: lambda value, rule: re.search(rule.text, value) is None,
}


def _about_reading(column: Column) -> Iterator[LintFinding]:
    parts = [re.findall("%[a-zA-Z]", form) for form in column.formats]
    orders = {"".join(part for part in each if part in ("%d", "%m")) for each in parts}
    if orders >= {"%d%m", "%m%d"}:
        fix = "Keep one order of day and month; the first that fits wins."
        yield _warning(column.name, "A date such as 02/03 is read in two ways", fix)
    if column.kind == "timestamp" and column.formats and not column.time_zone:
        offset = [form for form in column.formats if "%z" not in form]
        if offset:
            fix = "Set `timeZone`, if only to UTC."
            yield _warning(column.name, f"Times written as {offset[0]} are taken for UTC", fix)


def _about_people(column: Column) -> Iterator[LintFinding]:
    if column.pii or column.allowed or column.kind == "boolean":
        return  # a switch about a phone is no phone
    if not (held := may_name_person(column.name)):
        return
    fix = "Set `pii` to subject, direct or drop, or `classification: public` if it names nobody."
    if column.classification.lower() not in ("public", "none"):
        yield _warning(column.name, f"The name says {held}, but the column has no PII class", fix)
