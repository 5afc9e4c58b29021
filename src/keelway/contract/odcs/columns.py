"""Reads one column of an ODCS schema: its type, the rules that stand in its own fields, and the repairs it allows."""

from __future__ import annotations

import math
import re
import zoneinfo
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from keelway.contract.contract import Column, PiiClass, Rule, RuleKind
from keelway.contract.odcs.document import NOT_CHECKED, Place, Properties
from keelway.contract.rules.expressions import typed
from keelway.contract.rules.patterns import spelled
from keelway.errors import ContractError

if TYPE_CHECKING:
    from open_data_contract_standard.model import SchemaProperty

KINDS = ("string", "integer", "number", "boolean", "date", "timestamp")
KIND_NAMES = {
    "string": "a text",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "date": "a date",
    "timestamp": "a time",
}
COLUMN_PROPERTIES = (
    "aliases", "trim", "strip", "decimalComma", "dateFormats", "missing", "default", "multiplyBy", "timeZone", "pii",
    "tokenFormat",
)  # fmt: skip
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
OPTIONS = {
    "string": ("minLength", "maxLength", "pattern"),
    "integer": _BOUNDS,
    "number": _BOUNDS,
    "boolean": (),
    "date": (*_BOUNDS, "format"),
    "timestamp": (*_BOUNDS, "format", "defaultTimezone"),
}
ONLY_FOR = {
    "decimalComma": ("number",),
    "multiplyBy": ("integer", "number"),
    "dateFormats": ("date", "timestamp"),
    "timeZone": ("timestamp",),
}
"""Repairs that mean something for some kinds of columns only."""
_JAVA_TOKENS = {
    "yyyy": "%Y", "yy": "%y", "MMM": "%b", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S",
    "SSSSSS": "%f", "SSS": "%g", "'T'": "T", "'Z'": "Z",
}  # fmt: skip
_JAVA = re.compile("|".join(sorted(_JAVA_TOKENS, key=len, reverse=True)))


def column_of(item: SchemaProperty, place: Place) -> Column:
    """Return a column as its own fields say, without the rules under `quality`.

    Raises:
        ContractError: Something in it is wrong, or asks for what is not checked.
    """
    kind = item.logicalType or "nothing"
    if kind not in KINDS:
        raise place.wrong("logicalType", f"one of {', '.join(KINDS)}", kind)
    if item.physicalName not in (None, item.name):
        raise place.wrong("physicalName", "the name itself", str(item.physicalName), "Give it as an alias.")
    options = _options(item, kind, place)
    own = Properties(item.customProperties, COLUMN_PROPERTIES, place)
    minimum, minimum_excluded = _bound(options, "inimum", kind, place)
    maximum, maximum_excluded = _bound(options, "aximum", kind, place)
    column = Column(
        name=item.name or "",
        kind=kind,
        required=bool(item.required or item.primaryKey),
        unique=bool(item.unique),
        minimum=minimum,
        maximum=maximum,
        exclusive_minimum=minimum_excluded,
        exclusive_maximum=maximum_excluded,
        min_length=_length(options, "minLength", place),
        max_length=_length(options, "maxLength", place),
        pattern=pattern_of(options.get("pattern"), place),
        allowed=allowed_of([value.value for value in item.enum or ()], kind, place),
        classification=item.classification or "",
        pii=PiiClass(own.one_of("pii", tuple(PiiClass), PiiClass.NONE)),
        token_format=own.one_of("tokenFormat", ("", "digits"), ""),
        **_repairs(options, own, kind, place),
    )
    _must_agree(column, place)
    return column


def _repairs(options: dict[str, Any], own: Properties, kind: str, place: Place) -> dict[str, Any]:
    """Return the fields of a column that say which faults may be mended."""
    for name, kinds in ONLY_FOR.items():
        if own.value(name) not in (None, False) and kind not in kinds:
            raise place.wrong(name, f"a column of type {' or '.join(kinds)}", kind)
    return {
        "formats": _formats(options, own, place),
        "aliases": own.texts("aliases"),
        "trim": own.one_of("trim", (True, False), False),
        "strip": own.texts("strip"),
        "decimal_comma": own.one_of("decimalComma", (True, False), False),
        "missing": own.texts("missing"),
        "default": _default(own, kind, place),
        "multiply_by": _factor(own, kind),
        "time_zone": _zone(options, own),
    }


def plain_rules(column: Column) -> Iterator[Rule]:
    """Yield the rules that stand in a column's own fields; each quarantines the row."""
    name, own = column.name, (column.name,)
    if column.required:
        yield Rule(RuleKind.REQUIRED, own, f"{name}: missing")
    if column.kind != "string":
        yield Rule(RuleKind.TYPE, own, f"{name}: not {KIND_NAMES[column.kind]}")
    if column.minimum is not None:
        words, out = ("not above", True) if column.exclusive_minimum else ("below", False)
        reason = f"{name}: {words} {column.minimum}"
        yield Rule(RuleKind.MINIMUM, own, reason, minimum=column.minimum, exclusive=out)
    if column.maximum is not None:
        words, out = ("not below", True) if column.exclusive_maximum else ("above", False)
        reason = f"{name}: {words} {column.maximum}"
        yield Rule(RuleKind.MAXIMUM, own, reason, maximum=column.maximum, exclusive=out)
    if column.min_length is not None:
        reason, bound = f"{name}: shorter than {column.min_length}", str(column.min_length)
        yield Rule(RuleKind.MIN_LENGTH, own, reason, minimum=bound)
    if column.max_length is not None:
        reason, bound = f"{name}: longer than {column.max_length}", str(column.max_length)
        yield Rule(RuleKind.MAX_LENGTH, own, reason, maximum=bound)
    if column.pattern is not None:
        yield pattern_rule(name, column.pattern)
    if column.allowed:
        yield Rule(RuleKind.ALLOWED, own, f"{name}: not an allowed value", allowed=column.allowed)
    if column.unique:
        yield unique_rule(own)


def pattern_rule(name: str, pattern: str) -> Rule:
    """Return the rule that a part of a column's text matches a pattern."""
    return Rule(RuleKind.PATTERN, (name,), f"{name}: does not match {pattern}", text=pattern)


def unique_rule(columns: tuple[str, ...]) -> Rule:
    """Return the rule that no two rows have the same values."""
    return Rule(RuleKind.UNIQUE, columns, f"{', '.join(columns)}: repeats an earlier row")


def pattern_of(pattern: Any, place: Place) -> str | None:
    """Return a pattern that every engine reads alike.

    Raises:
        ContractError: It is none.
    """
    if pattern is None:
        return None
    if not isinstance(pattern, str) or not pattern:
        raise place.wrong("pattern", "an expression", f"{pattern!r:.80}")
    try:
        spelled(pattern, "pyspark")
    except ContractError as error:
        raise place.wrong("pattern", error.expected, error.found, error.fix) from error
    return pattern


def allowed_of(values: list[Any], kind: str, place: Place) -> tuple[str, ...]:
    """Return the allowed values of a column, each of which must be a value of its kind."""
    return tuple(_typed(value, kind, "allowed values", place) for value in values)


def _typed(value: Any, kind: str, field: str, place: Place) -> str:
    """Return a value from YAML as text, once it is clear that it is of a column's kind.

    YAML reads NO as false, 007 as 7 and 1.10 as 1.1, so a text must be written as one.
    """
    if (kind == "string" and not isinstance(value, str)) or (kind != "boolean" and isinstance(value, bool)):
        raise place.wrong(field, KIND_NAMES[kind], repr(value), "Put quotes around it, so that YAML leaves it alone.")
    text = str(value).lower() if isinstance(value, bool) else str(value)
    try:
        found = typed(text, kind)
    except (ValueError, KeyError) as error:
        raise place.wrong(field, KIND_NAMES[kind], repr(text)) from error
    if isinstance(found, float) and not math.isfinite(found):
        raise place.wrong(field, "a finite number", text)
    return text


def _options(item: SchemaProperty, kind: str, place: Place) -> dict[str, Any]:
    options = item.logicalTypeOptions or {}
    for name in options:
        if name not in OPTIONS[kind]:
            known = ", ".join(OPTIONS[kind]) or "none"
            raise place.wrong("logicalTypeOptions", f"{kind} options: {known}", name, NOT_CHECKED)
    return options


def _bound(options: dict[str, Any], end: str, kind: str, place: Place) -> tuple[str | None, bool]:
    """Return a bound as text and whether it is itself excluded."""
    plain, exclusive = (options.get(name) for name in (f"m{end}", f"exclusiveM{end}"))
    if exclusive is not None and not isinstance(exclusive, bool):
        if plain is not None:
            raise place.wrong(f"exclusiveM{end}", f"one of m{end} and exclusiveM{end}", "both")
        return _typed(exclusive, kind, f"exclusiveM{end}", place), True
    if exclusive and plain is None:
        raise place.wrong(f"exclusiveM{end}", f"a value, or m{end} beside it", "true alone")
    return (None if plain is None else _typed(plain, kind, f"m{end}", place)), bool(exclusive)


def _length(options: dict[str, Any], name: str, place: Place) -> int | None:
    value = options.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise place.wrong(name, "a number of characters", repr(value))
    return value


def _formats(options: dict[str, Any], own: Properties, place: Place) -> tuple[str, ...]:
    written = [options["format"]] if "format" in options else []
    return tuple(_strptime(str(text), place) for text in (*written, *own.texts("dateFormats")))


def _strptime(text: str, place: Place) -> str:
    """Return the strptime form of a date format, which may be written as ODCS does (`dd.MM.yyyy`)."""
    if "%" in text:
        return text
    if re.search("[A-Za-z]", _JAVA.sub("", text)):
        raise place.wrong("format", "a format such as dd.MM.yyyy or %d.%m.%Y", text)
    return _JAVA.sub(lambda match: _JAVA_TOKENS[match[0]], text)


def _default(own: Properties, kind: str, place: Place) -> str | None:
    value = own.value("default")
    if value is None:
        return None
    text = _typed(value, kind, "default", place)
    if not text:
        raise own.wrong("default", "a value; an empty text is none")
    return text


def _factor(own: Properties, kind: str) -> float | None:
    factor = own.number("multiplyBy")
    if factor is None:
        return None
    if factor == 0 or not math.isfinite(factor) or (kind == "integer" and not factor.is_integer()):
        raise own.wrong("multiplyBy", "a whole number" if kind == "integer" else "a number other than 0")
    return factor


def _zone(options: dict[str, Any], own: Properties) -> str:
    zone = own.text("timeZone", str(options.get("defaultTimezone", "")))
    try:
        return zoneinfo.ZoneInfo(zone).key if zone else ""
    except (zoneinfo.ZoneInfoNotFoundError, ValueError) as error:
        raise own.wrong("timeZone", "a zone such as Europe/Berlin") from error


def _must_agree(column: Column, place: Place) -> None:
    """Refuse bounds that nothing fits, and tokens where no text can stand."""
    if column.minimum is not None and column.maximum is not None:
        low, high = typed(column.minimum, column.kind), typed(column.maximum, column.kind)
        if low > high:  # type: ignore[operator]  # both are of the column's kind
            raise place.wrong("minimum", f"at most the maximum {column.maximum}", column.minimum)
    if column.min_length is not None and column.max_length is not None and column.min_length > column.max_length:
        raise place.wrong("minLength", f"at most the maxLength {column.max_length}", str(column.min_length))
    tokens = column.pii in (PiiClass.SUBJECT, PiiClass.DIRECT)
    if tokens and column.kind != "string":
        raise place.wrong("pii", "a column of type string, which can hold a token", column.kind)
    if column.token_format and not tokens:
        raise place.wrong("tokenFormat", "a column with pii subject or direct", repr(str(column.pii)))
