"""Reads a contract from Open Data Contract Standard (ODCS) YAML, version 3.0 or 3.1.

What Keelway does not check yet is refused, never passed over: a rule in a contract is a promise. Keelway's own
properties stand under `customProperties`: of the schema object `unknownColumns` (ignore, quarantine, stop),
`stopAtQuarantinedShare`, `delimiter`, `encoding`, `finalNewline` (required, optional); of a column `aliases`,
`trim`, `strip`, `decimalComma`, `dateFormats`, `missing`, `default`.
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keelway.contract.contract import Column, Contract, Rule, RuleKind, UnknownColumns
from keelway.core import digest_bytes
from keelway.errors import ContractError

if TYPE_CHECKING:
    from open_data_contract_standard.model import (
        CustomProperty,
        DataQuality,
        OpenDataContractStandard,
        SchemaObject,
        SchemaProperty,
    )

API_VERSIONS = re.compile(r"v3\.[01]\.\d+")
KINDS = ("string", "integer", "number", "boolean", "date", "timestamp")
DATASET_PROPERTIES = ("unknownColumns", "stopAtQuarantinedShare", "delimiter", "encoding", "finalNewline")
COLUMN_PROPERTIES = ("aliases", "trim", "strip", "decimalComma", "dateFormats", "missing", "default")
KIND_NAMES = {
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "date": "a date",
    "timestamp": "a time",
}
OPTIONS = {
    "string": ("minLength", "maxLength", "pattern"),
    "integer": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    "boolean": (),
    "date": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "format"),
    "timestamp": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "format"),
}
_JAVA_TOKENS = {
    "yyyy": "%Y", "yy": "%y", "MMM": "%b", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S",
    "SSSSSS": "%f", "SSS": "%g", "'T'": "T", "'Z'": "Z",
}  # fmt: skip
_JAVA = re.compile("|".join(sorted(_JAVA_TOKENS, key=len, reverse=True)))


def load_contract(path: Path, dataset_name: str) -> Contract:
    """Return the contract of a dataset from an ODCS file.

    Raises:
        ContractError: The file is missing, is no YAML, is no ODCS 3.0 or 3.1, lacks something, or asks for
            something that is not checked yet; the message names the line or the field.
    """
    text = _text(path)
    document = _document(text, path)
    version = document.apiVersion or "nothing"
    if not API_VERSIONS.fullmatch(version):
        raise _wrong(path, "apiVersion", "v3.0.x or v3.1.x", version)
    if document.kind != "DataContract":
        raise _wrong(path, "kind", "DataContract", document.kind or "nothing")
    if not document.version:
        raise _wrong(path, "version", "the contract's version, such as 1.0.0", "nothing")
    schema = _schema(document, dataset_name, path)
    where = f"schema {dataset_name}"
    if schema.quality:
        raise _wrong(path, f"{where}: quality", "rules on columns only", f"{len(schema.quality)} rules", _NOT_YET)
    own = _own_properties(schema.customProperties, DATASET_PROPERTIES, where, path)
    columns = tuple(_column(item, where, path) for item in schema.properties or ())
    _must_be_distinct(columns, where, path)
    keys = sorted(
        (item.primaryKeyPosition or 0, item.name or "") for item in schema.properties or () if item.primaryKey
    )
    key = tuple(name for _, name in keys)
    return Contract(
        dataset=dataset_name,
        contract_id=document.id or "",
        version=document.version,
        columns=columns,
        rules=column_rules(columns, key),
        key=key,
        unknown_columns=UnknownColumns(
            _one_of(own, "unknownColumns", tuple(UnknownColumns), UnknownColumns.IGNORE, where, path)
        ),
        stop_at_quarantined_share=_share(own, where, path),
        format="",
        delimiter=_delimiter(own, where, path),
        quote='"',
        encoding=_encoding(own, where, path),
        final_newline=_one_of(own, "finalNewline", ("required", "optional"), "required", where, path) == "required",
        owner="",
        max_age_s=None,
        source=digest_bytes(text.encode()),
        text=text,
    )


_NOT_YET = "Keelway does not check this yet: take it out of the contract, so that nobody relies on it."


def column_rules(columns: tuple[Column, ...], key: tuple[str, ...]) -> tuple[Rule, ...]:
    """Return the rules that stand in the columns themselves, column by column, then the key."""
    rules = [rule for column in columns for rule in _rules_of(column)]
    if key:
        rules.append(Rule(RuleKind.UNIQUE, key, f"{', '.join(key)}: repeats an earlier row"))
    return tuple(rules)


def _rules_of(column: Column) -> list[Rule]:
    name, own = column.name, (column.name,)
    rules = []
    if column.required:
        rules.append(Rule(RuleKind.REQUIRED, own, f"{name}: missing"))
    if column.kind != "string":
        rules.append(Rule(RuleKind.TYPE, own, f"{name}: not {KIND_NAMES[column.kind]}"))
    if column.minimum is not None:
        words, out = ("not above", True) if column.exclusive_minimum else ("below", False)
        reason = f"{name}: {words} {column.minimum}"
        rules.append(Rule(RuleKind.MINIMUM, own, reason, minimum=column.minimum, exclusive=out))
    if column.maximum is not None:
        words, out = ("not below", True) if column.exclusive_maximum else ("above", False)
        reason = f"{name}: {words} {column.maximum}"
        rules.append(Rule(RuleKind.MAXIMUM, own, reason, maximum=column.maximum, exclusive=out))
    if column.min_length is not None:
        reason, bound = f"{name}: shorter than {column.min_length}", str(column.min_length)
        rules.append(Rule(RuleKind.MIN_LENGTH, own, reason, minimum=bound))
    if column.max_length is not None:
        reason, bound = f"{name}: longer than {column.max_length}", str(column.max_length)
        rules.append(Rule(RuleKind.MAX_LENGTH, own, reason, maximum=bound))
    if column.pattern is not None:
        rules.append(Rule(RuleKind.PATTERN, own, f"{name}: does not match {column.pattern}", text=column.pattern))
    if column.allowed:
        rules.append(Rule(RuleKind.ALLOWED, own, f"{name}: not an allowed value", allowed=column.allowed))
    if column.unique:
        rules.append(Rule(RuleKind.UNIQUE, own, f"{name}: repeats an earlier row"))
    return rules


def _wrong(path: Path, field: str, expected: str, found: str, fix: str = "") -> ContractError:
    return ContractError(f"{path.name}: {field}", expected=expected, found=found, fix=fix or f"Mend {path}.")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ContractError(
            "There is no contract",
            expected="an ODCS file",
            found=str(path),
            fix="Write it, or mend the dataset's path.",
        ) from error
    except OSError as error:
        raise ContractError(f"{path.name} cannot be read", found=error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise _wrong(path, "encoding", "UTF-8", f"byte {error.start} is not") from error


def _document(text: str, path: Path) -> OpenDataContractStandard:
    """Parse the YAML and its shape."""
    import yaml
    from open_data_contract_standard.model import OpenDataContractStandard
    from pydantic import ValidationError

    try:
        value = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "the file"
        raise _wrong(path, line, "YAML", error.problem or "something else") from error
    except yaml.YAMLError as error:
        raise _wrong(path, "the file", "YAML", str(error).splitlines()[0]) from error
    if not isinstance(value, dict):
        raise _wrong(path, "the file", "a mapping at the top", type(value).__name__)
    try:
        return OpenDataContractStandard.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        found = f"{first['input']!r:.80}"
        raise _wrong(path, field, f"ODCS {value.get('apiVersion', 'v3.1.0')} ({first['msg']})", found) from error


def _schema(document: OpenDataContractStandard, dataset: str, path: Path) -> SchemaObject:
    names = [item.name or "" for item in document.schema_ or ()]
    if dataset not in names:
        raise _wrong(path, "schema", f"an object named {dataset}", ", ".join(names) or "nothing")
    schema = (document.schema_ or [])[names.index(dataset)]
    if not schema.properties:
        raise _wrong(path, f"schema {dataset}: properties", "at least one column", "none")
    return schema


def _column(item: SchemaProperty, where: str, path: Path) -> Column:
    """Return one column of the schema."""
    if not item.name or item.name.startswith("_"):
        raise _wrong(path, f"{where}: properties", "names that do not start with '_'", repr(item.name))
    where = f"{where}, column {item.name}"
    kind = item.logicalType or "nothing"
    if kind not in KINDS:
        raise _wrong(path, f"{where}: logicalType", f"one of {', '.join(KINDS)}", kind)
    options = item.logicalTypeOptions or {}
    for name in options:
        if name not in OPTIONS[kind]:
            known = ", ".join(OPTIONS[kind]) or "none"
            raise _wrong(path, f"{where}: logicalTypeOptions", f"{kind} options: {known}", name, _NOT_YET)
    own = _own_properties(item.customProperties, COLUMN_PROPERTIES, where, path)
    quality = _quality(item.quality or [], where, path)
    formats = [options["format"]] if "format" in options else []
    formats += _texts(own, "dateFormats", where, path)
    minimum, minimum_excluded = _bound(options, "inimum")
    maximum, maximum_excluded = _bound(options, "aximum")
    return Column(
        name=item.name,
        kind=kind,
        required=bool(item.required or item.primaryKey or quality.get("required")),
        unique=bool(item.unique or quality.get("unique")),
        formats=tuple(_strptime(text, where, path) for text in formats),
        minimum=minimum,
        maximum=maximum,
        exclusive_minimum=minimum_excluded,
        exclusive_maximum=maximum_excluded,
        min_length=options.get("minLength"),
        max_length=options.get("maxLength"),
        pattern=options.get("pattern") or quality.get("pattern"),
        allowed=tuple(str(value.value) for value in item.enum or ()) or tuple(quality.get("allowed", ())),
        classification=item.classification or "",
        aliases=tuple(_texts(own, "aliases", where, path)),
        trim=_one_of(own, "trim", (True, False), False, where, path),
        strip=tuple(_texts(own, "strip", where, path)),
        decimal_comma=_one_of(own, "decimalComma", (True, False), False, where, path),
        missing=tuple(_texts(own, "missing", where, path)),
        default=str(own["default"]) if own.get("default") is not None else None,
    )


def _bound(options: dict[str, Any], end: str) -> tuple[str | None, bool]:
    """Return a bound as text and whether it is itself excluded."""
    plain, exclusive = (options.get(name) for name in (f"m{end}", f"exclusiveM{end}"))
    if exclusive is not None and not isinstance(exclusive, bool):
        return str(exclusive), True
    return (None if plain is None else str(plain)), bool(exclusive)


def _quality(rules: list[DataQuality], where: str, path: Path) -> dict[str, Any]:
    """Return what the library metrics of a column ask, in the words of `Column`."""
    asked: dict[str, Any] = {}
    for rule in rules:
        metric = rule.metric or rule.rule or rule.type or "a rule"
        arguments = rule.arguments or {}
        if rule.mustBe != 0 or metric not in ("nullValues", "duplicateValues", "invalidValues", "missingValues"):
            expected = "nullValues, duplicateValues or invalidValues with mustBe: 0"
            raise _wrong(path, f"{where}: quality", expected, metric, _NOT_YET)
        if metric in ("nullValues", "missingValues"):
            asked["required"] = True
        elif metric == "duplicateValues":
            asked["unique"] = True
        else:
            asked["allowed"] = [str(value) for value in arguments.get("validValues", ())]
            asked["pattern"] = arguments.get("pattern")
    return asked


def _own_properties(
    properties: list[CustomProperty] | None, known: tuple[str, ...], where: str, path: Path
) -> dict[str, Any]:
    """Return Keelway's custom properties; one that is misspelt or misplaced would silently do nothing."""
    found = {item.property or "": item.value for item in properties or () if item.vendor in (None, "keelway")}
    for name in found:
        if name not in known:
            fix = "Mend the name, or give a property of another tool its `vendor`."
            raise _wrong(path, f"{where}: customProperties", f"one of {', '.join(known)}", name, fix)
    return found


def _must_be_distinct(columns: tuple[Column, ...], where: str, path: Path) -> None:
    names: set[str] = set()
    for column in columns:
        for name in (column.name, *column.aliases):
            if name in names:
                raise _wrong(path, f"{where}: properties", "each name and alias once", f"{name} twice")
            names.add(name)


def _one_of(own: dict[str, Any], name: str, choices: tuple[Any, ...], default: Any, where: str, path: Path) -> Any:
    value = own.get(name, default)
    if value not in choices:
        raise _wrong(path, f"{where}: {name}", " or ".join(str(choice) for choice in choices), repr(value))
    return value


def _texts(own: dict[str, Any], name: str, where: str, path: Path) -> list[str]:
    value = own.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise _wrong(path, f"{where}: {name}", "a list of texts", f"{value!r:.80}")
    return value


def _share(own: dict[str, Any], where: str, path: Path) -> float:
    value = own.get("stopAtQuarantinedShare", 1.0)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise _wrong(path, f"{where}: stopAtQuarantinedShare", "a share between 0 and 1", repr(value))
    return float(value)


def _delimiter(own: dict[str, Any], where: str, path: Path) -> str:
    value = own.get("delimiter", ",")
    if not isinstance(value, str) or len(value) != 1 or value in '"\r\n':
        raise _wrong(path, f"{where}: delimiter", "one character", repr(value))
    return value


def _encoding(own: dict[str, Any], where: str, path: Path) -> str:
    value = str(own.get("encoding", "utf-8"))
    try:
        return codecs.lookup(value).name
    except LookupError as error:
        raise _wrong(path, f"{where}: encoding", "an encoding such as utf-8 or latin-1", value) from error


def _strptime(text: str, where: str, path: Path) -> str:
    """Return the strptime form of a date format, which may be written as ODCS does (`dd.MM.yyyy`)."""
    if "%" in text:
        return text
    if re.search("[A-Za-z]", _JAVA.sub("", text)):
        raise _wrong(path, f"{where}: format", "a format such as dd.MM.yyyy or %d.%m.%Y", text)
    return _JAVA.sub(lambda match: _JAVA_TOKENS[match[0]], text)
