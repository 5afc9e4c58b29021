"""Writes the repairs and the typing of one column as DuckDB expressions.

Values that come from a contract stand in the SQL only as quoted literals made by `literal`. A time zone is applied
to times without an offset: a time that does not exist, because the clock jumped over it, is no time; one that
comes twice is the second, in standard time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

from keelway.contract import Column

SPACE = "' ' || chr(9) || chr(160) || chr(8239)"
"""What `trim` cuts: blanks, tabs and no-break spaces."""
SQL_TYPES = {
    "string": "VARCHAR",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
}
_SHAPES = {
    "integer": r"[+-]?[0-9]+",
    "number": r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?",
    "date": r"[0-9]{4}-[0-9]{2}-[0-9]{2}",
}
_MOMENT = r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?)?"
_OFFSET = r"(Z|[+-][0-9]{2}:?[0-9]{2})"

Flags = dict[str, str]
"""Repair to the expression that is true for a row it was applied to."""


def literal(text: str) -> str:
    """Return a text as an SQL literal.

    >>> literal("it's")
    "'it''s'"
    """
    return "'" + text.replace("'", "''") + "'"


def quoted(name: str) -> str:
    """Return a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def declared(column: Column) -> tuple[str, ...]:
    """Return the repairs that a column allows and that are counted row by row."""
    allowed = {
        "alias": column.aliases,
        "trim": column.trim,
        "strip": column.strip,
        "decimal_comma": column.decimal_comma,
        "missing": column.missing,
        "default": column.default is not None,
        "format": column.formats,
        "time_zone": column.time_zone and column.kind == "timestamp",
        "unit": column.multiply_by is not None,
    }
    return tuple(repair for repair, asked in allowed.items() if asked)


def repaired(column: Column, text: str) -> tuple[str, Flags]:
    """Return the expression of a column's text after its repairs, with the repairs that changed it."""
    flags: Flags = {}
    for repair, change in _changes(column):
        changed = change(text)
        if repair:
            flags[repair] = f"({changed}) IS DISTINCT FROM ({text})"
        text = f"({changed})"
    return text, flags


def _changes(column: Column) -> list[tuple[str, Callable[[str], str]]]:
    """Return the repairs of a text in order: the name, and what makes of an expression the next."""
    changes: list[tuple[str, Callable[[str], str]]] = []
    if column.trim:
        changes.append(("trim", _trimmed))
    if column.strip:
        changes.append(("strip", lambda text: _trimmed(reduce(_without, column.strip, text))))
    if column.decimal_comma:
        changes.append(("decimal_comma", _with_point))
    if column.missing:
        words = listed(column.missing)
        changes.append(("missing", lambda text: f"CASE WHEN {text} IN ({words}) THEN NULL ELSE {text} END"))
    changes.append(("", lambda text: f"nullif({text}, '')"))  # the empty text is no value: not a repair, so not counted
    if column.default is not None:
        default = literal(column.default)
        changes.append(("default", lambda text: f"coalesce({text}, {default})"))
    return changes


def _trimmed(text: str) -> str:
    return f"trim({text}, {SPACE})"


def _without(text: str, cut: str) -> str:
    return f"replace({text}, {literal(cut)}, '')"


def _with_point(text: str) -> str:
    shape = r"'[+-]?([0-9]+|[0-9]{1,3}(\.[0-9]{3})+),[0-9]+'"
    swapped = f"replace(replace({text}, '.', ''), ',', '.')"
    return f"CASE WHEN regexp_full_match({text}, {shape}) THEN {swapped} ELSE {text} END"


def listed(texts: tuple[str, ...]) -> str:
    """Return texts as SQL literals with commas between."""
    return ", ".join(literal(text) for text in texts)


def typed(column: Column, text: str) -> tuple[str, Flags]:
    """Return the expression of a column's value, read from a text, and the repairs it took."""
    if column.kind == "string":
        return text, {}
    if column.kind == "timestamp":
        value, flags = _time(column, text)
    else:
        value, flags = _plain_cast(column.kind, text), {}
        if column.formats:
            flags["format"] = f"{text} IS NOT NULL AND ({value}) IS NULL"
            tried = ", ".join(f"try_strptime({text}, {literal(form)})" for form in column.formats)
            value = f"coalesce({value}, CAST(coalesce({tried}) AS {SQL_TYPES[column.kind]}))"
    return in_unit(column, value, flags)


def _plain_cast(kind: str, text: str) -> str:
    """Return the strict reading of a text: DuckDB's own casts round 1.5 to 2 and drop time zones."""
    if kind == "boolean":
        truth = f"lower({text}) IN ('true', 't', '1')"
        return f"CASE WHEN {truth} THEN TRUE WHEN lower({text}) IN ('false', 'f', '0') THEN FALSE END"
    cast = f"TRY_CAST({text} AS {SQL_TYPES[kind]})"
    fits = f"regexp_full_match({text}, '{_SHAPES[kind]}')"
    if kind == "number":
        fits += f" AND isfinite({cast})"
    return f"CASE WHEN {fits} THEN {cast} END"


def _time(column: Column, text: str) -> tuple[str, Flags]:
    """Return the expression of a time in UTC, without a zone."""
    wall = f"TRY_CAST({text} AS TIMESTAMP)"
    without = f"regexp_full_match({text}, '{_MOMENT}')"
    read = f"CASE WHEN {without} THEN {local(column, wall)} ELSE {_with_offset(text)} END"
    flags: Flags = {}
    naive = [without]
    if column.formats:
        flags["format"] = f"{text} IS NOT NULL AND ({read}) IS NULL"
        tried = []
        for form in column.formats:
            found = f"try_strptime({text}, {literal(form)})"
            zoned = "%z" in form or "%Z" in form
            tried.append(f"timezone('UTC', {found})" if zoned else local(column, found))
            naive += [] if zoned else [f"{found} IS NOT NULL"]
        read = f"coalesce({read}, {', '.join(f'CAST({one} AS TIMESTAMP)' for one in tried)})"
    if column.time_zone:
        flags["time_zone"] = f"({' OR '.join(naive)}) AND ({read}) IS NOT NULL"
    return read, flags


def local(column: Column, wall: str) -> str:
    """Return the moment in UTC of a time on the clocks of the column's time zone."""
    if not column.time_zone:
        return wall
    zone = literal(column.time_zone)
    moment = f"timezone({zone}, {wall})"
    return f"CASE WHEN timezone({zone}, {moment}) = {wall} THEN timezone('UTC', {moment}) END"


def _with_offset(text: str) -> str:
    moment = f"TRY_CAST(regexp_extract({text}, '^{_MOMENT}') AS TIMESTAMP)"
    minutes = (
        f"CASE WHEN right({text}, 1) != 'Z' "
        f"THEN CAST(regexp_extract({text}, '([+-])[0-9]{{2}}:?[0-9]{{2}}$', 1) || '1' AS INTEGER) * "
        f"(60 * CAST(regexp_extract({text}, '[+-]([0-9]{{2}}):?[0-9]{{2}}$', 1) AS INTEGER) + "
        f"CAST(right({text}, 2) AS INTEGER)) ELSE 0 END"
    )
    return f"CASE WHEN regexp_full_match({text}, '{_MOMENT}{_OFFSET}') THEN {moment} - to_minutes({minutes}) END"


def in_unit(column: Column, value: str, flags: Flags) -> tuple[str, Flags]:
    """Return a number in the unit of the snapshot; an integer that does not stay one is no value."""
    factor = column.multiply_by
    if factor is None or column.kind not in ("integer", "number"):
        return value, flags
    flags = {**flags, "unit": f"({value}) IS NOT NULL"}
    if column.kind == "number":
        product = f"({value}) * CAST({literal(repr(float(factor)))} AS DOUBLE)"
        return f"CASE WHEN isfinite({product}) THEN {product} END", flags
    if float(factor).is_integer():
        return f"TRY_CAST(CAST({value} AS HUGEINT) * {int(factor)} AS BIGINT)", flags
    product = f"({value}) * CAST({literal(repr(float(factor)))} AS DOUBLE)"
    return f"CASE WHEN {product} = trunc({product}) THEN TRY_CAST({product} AS BIGINT) END", flags
