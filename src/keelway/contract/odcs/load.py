"""Reads a contract from Open Data Contract Standard (ODCS) YAML, version 3.0 or 3.1.

What Keelway does not check is refused, never passed over: a rule in a contract is a promise. `docs/contracts.md`
lists every field that is read, and Keelway's own properties, which stand under `customProperties`.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keelway.contract.contract import Column, Contract, Rule, RuleKind, Severity, UnknownColumns
from keelway.contract.odcs.columns import column_of, plain_rules, unique_rule
from keelway.contract.odcs.document import Place, Properties, document_of, text_of
from keelway.contract.odcs.promises import owner_of, service_levels_of
from keelway.contract.odcs.quality import column_quality, missing_texts, schema_quality
from keelway.contract.odcs.references import references
from keelway.contract.rules.conditions import columns_of, condition
from keelway.core import digest_bytes
from keelway.errors import ContractError

if TYPE_CHECKING:
    import ibis.expr.types as ir
    from open_data_contract_standard.model import OpenDataContractStandard, SchemaObject, SchemaProperty

API_VERSIONS = ("v3.0.", "v3.1.")
DATASET_PROPERTIES = (
    "unknownColumns", "stopAtQuarantinedShare", "format", "delimiter", "quote", "encoding", "finalNewline",
    "header", "skipLines",
)  # fmt: skip
MOST_SKIPPED_LINES = 100_000
FORMATS = ("", "csv", "jsonl", "parquet")
IBIS_TYPES = {"integer": "int64", "number": "float64"}
"""Ibis type by kind of column, where it is not of the same name."""


def load_contract(path: Path, dataset_name: str) -> Contract:
    """Return the contract of a dataset from an ODCS file.

    Raises:
        ContractError: The file is missing, is no YAML, is no ODCS 3.0 or 3.1, lacks something, or asks for
            something that is not checked; the message names the line or the field.
    """
    place = Place(path)
    text = text_of(place)
    document = document_of(text, place)
    _must_be_odcs(document, place)
    schema = _schema(document, dataset_name, place)
    at = place.at(f"schema {dataset_name}")
    levels = service_levels_of(document, dataset_name, place)
    read = [_column(item, dataset_name, at) for item in schema.properties or ()]
    columns = tuple(column for column, _ in read)
    key = _key(schema)
    of_columns = [rule for _, rules in read for rule in rules]
    of_schema = _schema_rules(schema, columns, key, dataset_name, at)
    rules = _distinct([*of_columns, *of_schema, *levels.rules], at)
    _must_fit(rules, columns, at)
    return Contract(
        dataset=dataset_name,
        contract_id=document.id or "",
        version=document.version or "",
        columns=columns,
        rules=tuple(_with_columns(rule, columns, at) for rule in rules),
        key=key,
        owner=owner_of(document, place),
        max_age_s=levels.max_age_s,
        source=digest_bytes(text.encode()),
        text=text,
        retention_days=levels.retention_days,
        **_how_files_are_read(Properties(schema.customProperties, DATASET_PROPERTIES, at)),
    )


def _how_files_are_read(own: Properties) -> dict[str, Any]:
    """Return the fields of a contract that say how its files are read, and when they are refused."""
    return {
        "unknown_columns": UnknownColumns(own.one_of("unknownColumns", tuple(UnknownColumns), UnknownColumns.IGNORE)),
        "stop_at_quarantined_share": _share(own),
        "format": own.one_of("format", FORMATS, ""),
        "delimiter": _character(own, "delimiter", ","),
        "quote": _character(own, "quote", '"'),
        "encoding": _encoding(own),
        "final_newline": own.one_of("finalNewline", ("required", "optional"), "required") == "required",
        "has_header": own.one_of("header", ("first line", "none"), "first line") == "first line",
        "skip_lines": _lines(own),
    }


def _must_be_odcs(document: OpenDataContractStandard, place: Place) -> None:
    version = document.apiVersion or "nothing"
    if not version.startswith(API_VERSIONS):
        raise place.wrong("apiVersion", "v3.0.x or v3.1.x", version)
    if document.kind != "DataContract":
        raise place.wrong("kind", "DataContract", document.kind or "nothing")
    if not document.version:
        raise place.wrong("version", "the contract's version, such as 1.0.0", "nothing")


def _schema(document: OpenDataContractStandard, dataset: str, place: Place) -> SchemaObject:
    names = [item.name or "" for item in document.schema_ or ()]
    if names.count(dataset) != 1:
        raise place.wrong("schema", f"one object named {dataset}", ", ".join(names) or "nothing")
    schema = (document.schema_ or [])[names.index(dataset)]
    if not schema.properties:
        raise place.wrong(f"schema {dataset}: properties", "at least one column", "none")
    return schema


def _column(item: SchemaProperty, dataset: str, place: Place) -> tuple[Column, list[Rule]]:
    """Return a column, and all rules that stand at it."""
    if not item.name or item.name.startswith("_"):
        raise place.wrong("properties", "names that do not start with '_'", repr(item.name))
    at = place.at(f"column {item.name}")
    column = column_of(item, at)
    quality = item.quality or []
    column = replace(column, missing=tuple(dict.fromkeys((*column.missing, *missing_texts(quality, at)))))
    rules = [
        *plain_rules(column),
        *column_quality(quality, column, at),
        *references(item.relationships or [], (column.name,), dataset, at),
    ]
    return _as_ruled(column, rules), rules


def _as_ruled(column: Column, rules: Iterable[Rule]) -> Column:
    """Return a column whose fields also say what its rules under `quality` ask for, unless they only warn."""
    for rule in rules:
        if rule.severity is Severity.WARN:
            continue
        if rule.kind is RuleKind.REQUIRED:
            column = replace(column, required=True)
        elif rule.kind is RuleKind.UNIQUE and rule.columns == (column.name,):
            column = replace(column, unique=True)
        elif rule.kind is RuleKind.ALLOWED:
            column = replace(column, allowed=column.allowed or rule.allowed)
        elif rule.kind is RuleKind.PATTERN:
            column = replace(column, pattern=column.pattern or rule.text)
    return column


def _key(schema: SchemaObject) -> tuple[str, ...]:
    keys = [(item.primaryKeyPosition or 0, item.name or "") for item in schema.properties or () if item.primaryKey]
    return tuple(name for _, name in sorted(keys))


def _schema_rules(
    schema: SchemaObject, columns: tuple[Column, ...], key: tuple[str, ...], dataset: str, place: Place
) -> list[Rule]:
    """Return the rules of the schema itself: its key, its quality, its relationships."""
    return [
        *([unique_rule(key)] if key else []),
        *schema_quality(schema.quality or [], columns, place),
        *references(schema.relationships or [], (), dataset, place),
    ]


def _distinct(rules: list[Rule], place: Place) -> list[Rule]:
    """Return the rules without those asked for twice; rules are counted by reason, so each needs its own."""
    by_reason: dict[str, Rule] = {}
    for rule in rules:
        known = by_reason.setdefault(rule.reason, rule)
        if known != rule:
            fix = "Give one of them another `name`, or take one out."
            raise place.wrong("quality", "one rule of each name", f"{rule.reason!r} twice", fix)
    return list(by_reason.values())


def _must_fit(rules: list[Rule], columns: tuple[Column, ...], place: Place) -> None:
    """Refuse names that stand twice, and rules about columns that are not there."""
    names: set[str] = set()
    for column in columns:
        for name in (column.name, *column.aliases):
            if name in names:
                raise place.wrong("properties", "each name and alias once", f"{name} twice")
            names.add(name)
    kinds = {column.name: column.kind for column in columns}
    for rule in rules:
        for name in rule.columns:
            if name not in kinds:
                raise place.wrong(rule.reason, f"one of {', '.join(kinds)}", name)
        if rule.kind is RuleKind.FRESHNESS and rule.columns and kinds[rule.columns[0]] not in ("date", "timestamp"):
            raise place.wrong(rule.reason, "a column of type date or timestamp", rule.columns[0])


def _with_columns(rule: Rule, columns: tuple[Column, ...], place: Place) -> Rule:
    """Return a rule that knows its columns; a condition names them in its text."""
    if rule.kind is not RuleKind.EXPRESSION:
        return rule
    try:
        condition(rule.text, _table(columns))
    except ContractError as error:
        raise place.wrong(rule.reason, error.expected, error.found, error.fix) from error
    return replace(rule, columns=columns_of(rule.text, tuple(column.name for column in columns)))


def _table(columns: tuple[Column, ...]) -> ir.Table:
    """Return a table without rows that has the columns of the contract."""
    import ibis

    return ibis.table({column.name: IBIS_TYPES.get(column.kind, column.kind) for column in columns}, name="batch")


def _share(own: Properties) -> float:
    share = own.number("stopAtQuarantinedShare")
    if share is not None and not 0 <= share <= 1:
        raise own.wrong("stopAtQuarantinedShare", "a share between 0 and 1")
    return 1.0 if share is None else share


def _character(own: Properties, name: str, default: str) -> str:
    value = own.text(name, default)
    refused = '\r\n"' if name == "delimiter" else "\r\n"
    if len(value) > 1 or any(each in refused for each in value) or (name == "delimiter" and not value):
        raise own.wrong(name, "one character")
    return value


def _lines(own: Properties) -> int:
    count = own.value("skipLines")
    if count is None:
        return 0
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= MOST_SKIPPED_LINES:
        raise own.wrong("skipLines", f"a whole number of lines from 0 to {MOST_SKIPPED_LINES}")
    return count


def _encoding(own: Properties) -> str:
    value = str(own.value("encoding") or "utf-8")
    try:
        return codecs.lookup(value).name
    except LookupError as error:
        raise own.wrong("encoding", "an encoding such as utf-8 or latin-1") from error
