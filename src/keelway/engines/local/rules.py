"""Writes a contract as DuckDB expressions: cells, repairs, typed values and reasons, all for one pass.

Values that come from a contract stand in the SQL only as quoted literals made by `literal`; columns go by
number (`t0`, `y0`), never by name.
"""

from __future__ import annotations

from keelway.contract import Column, Contract

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
_NAMES = {
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "date": "a date",
    "timestamp": "a time",
}
_MOMENT = r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?)?"
_OFFSET = r"(Z|[+-][0-9]{2}:?[0-9]{2})?"


def literal(text: str) -> str:
    """Return a text as an SQL literal.

    >>> literal("it's")
    "'it''s'"
    """
    return "'" + text.replace("'", "''") + "'"


def cells(contract: Contract) -> str:
    """Return the columns `r0, r1, ...`: each field's text, by the layout `f` of its file."""
    return ", ".join(f"l.fields[f.p{index}] AS r{index}" for index in range(len(contract.columns)))


def repairs(column: Column) -> dict[str, str]:
    """Return the layers of repairs: name of the repair to the expression over the layer before (`{v}`)."""
    layers: dict[str, str] = {}
    if column.trim:
        layers["trim"] = f"trim({{v}}, {SPACE})"
    if column.strip:
        stripped = "{v}"
        for text in column.strip:
            stripped = f"replace({stripped}, {_braced(literal(text))}, '')"
        layers["strip"] = f"trim({stripped}, {SPACE})"
    if column.decimal_comma:
        shape = r"'[+-]?([0-9]+|[0-9]{{1,3}}(\.[0-9]{{3}})+),[0-9]+'"
        swapped = "replace(replace({v}, '.', ''), ',', '.')"
        layers["decimal_comma"] = f"CASE WHEN regexp_full_match({{v}}, {shape}) THEN {swapped} ELSE {{v}} END"
    if column.missing:
        tokens = ", ".join(_braced(literal(text)) for text in column.missing)
        layers["missing"] = f"CASE WHEN {{v}} IN ({tokens}) THEN NULL ELSE {{v}} END"
    layers[""] = "nullif({v}, '')"  # the empty text is no value: not a repair, so it is not counted
    if column.default is not None:
        layers["default"] = f"coalesce({{v}}, {_braced(literal(column.default))})"
    return layers


def _braced(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def typed(column: Column, text: str) -> tuple[str, str | None]:
    """Return the expression of a column's value, and one that says whether a declared format was needed."""
    if column.kind == "string":
        return text, None
    plain = _plain_cast(column.kind, text)
    if not column.formats:
        return plain, None
    kind = SQL_TYPES[column.kind]
    tried = ", ".join(f"try_strptime({text}, {literal(form)})" for form in column.formats)
    return f"coalesce({plain}, CAST(coalesce({tried}) AS {kind}))", f"{text} IS NOT NULL AND ({plain}) IS NULL"


def _plain_cast(kind: str, text: str) -> str:
    """Return the strict reading of a text: DuckDB's own casts round 1.5 to 2 and drop time zones."""
    if kind == "boolean":
        truth = f"lower({text}) IN ('true', 't', '1')"
        return f"CASE WHEN {truth} THEN TRUE WHEN lower({text}) IN ('false', 'f', '0') THEN FALSE END"
    if kind == "timestamp":
        return _moment(text)
    cast = f"TRY_CAST({text} AS {SQL_TYPES[kind]})"
    fits = f"regexp_full_match({text}, '{_SHAPES[kind]}')"
    if kind == "number":
        fits += f" AND isfinite({cast})"
    return f"CASE WHEN {fits} THEN {cast} END"


def _moment(text: str) -> str:
    moment = f"TRY_CAST(regexp_extract({text}, '^{_MOMENT}') AS TIMESTAMP)"
    minutes = (
        f"CASE WHEN regexp_matches({text}, '[+-][0-9]{{2}}:?[0-9]{{2}}$') AND length({text}) > 11 "
        f"THEN CAST(regexp_extract({text}, '([+-])[0-9]{{2}}:?[0-9]{{2}}$', 1) || '1' AS INTEGER) * "
        f"(60 * CAST(regexp_extract({text}, '[+-]([0-9]{{2}}):?[0-9]{{2}}$', 1) AS INTEGER) + "
        f"CAST(right({text}, 2) AS INTEGER)) ELSE 0 END"
    )
    return f"CASE WHEN regexp_full_match({text}, '{_MOMENT}{_OFFSET}') THEN {moment} - to_minutes({minutes}) END"


def rules(column: Column, index: int, *, must_have: bool) -> list[tuple[str, str]]:
    """Return the rules of a column: the expression that is true for a bad row, and the reason."""
    text, value, name = f"t{index}", f"y{index}", column.name
    found: list[tuple[str, str]] = []
    if column.required or must_have:
        found.append((f"{text} IS NULL", f"{name}: missing"))
    if column.kind != "string":
        found.append((f"{text} IS NOT NULL AND {value} IS NULL", f"{name}: not {_NAMES[column.kind]}"))
    if column.minimum is not None:
        sign, words = ("<=", "not above") if column.exclusive_minimum else ("<", "below")
        found.append((f"{value} {sign} {_bound(column, column.minimum)}", f"{name}: {words} {column.minimum}"))
    if column.maximum is not None:
        sign, words = (">=", "not below") if column.exclusive_maximum else (">", "above")
        found.append((f"{value} {sign} {_bound(column, column.maximum)}", f"{name}: {words} {column.maximum}"))
    if column.min_length is not None:
        found.append((f"length({text}) < {int(column.min_length)}", f"{name}: shorter than {column.min_length}"))
    if column.max_length is not None:
        found.append((f"length({text}) > {int(column.max_length)}", f"{name}: longer than {column.max_length}"))
    if column.pattern is not None:
        pattern = literal(column.pattern)
        found.append((f"NOT regexp_matches({text}, {pattern})", f"{name}: does not match {column.pattern}"))
    if column.allowed:
        allowed = ", ".join(literal(item) for item in column.allowed)
        found.append((f"{text} NOT IN ({allowed})", f"{name}: not an allowed value"))
    return found


def _bound(column: Column, text: str) -> str:
    return f"CAST({literal(text)} AS {SQL_TYPES[column.kind]})"
