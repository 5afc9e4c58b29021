r"""Patterns mean the same wherever a contract runs: RE2 is the reference, each engine gets its own spelling of it.

Java's engine (Spark, Databricks) lets `$` match before a last line break, and its `.` and `\s` differ from RE2's in
control characters; Snowflake matches the whole text. What has no equal everywhere (word boundaries, flags,
look-around, references back) is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from keelway.errors import ContractError

JAVA = ("pyspark", "databricks")
RE2 = ("duckdb",)
WHOLE = ("snowflake",)
SHORTHANDS = {"d": "0-9", "w": "0-9A-Za-z_", "s": "\t\n\f\r "}
CONTROLS = {"t": "\t", "n": "\n", "f": "\f", "r": "\r"}
ANYTHING = "[^\uffff]*"
"""Any text, line breaks included; U+FFFF is no character."""
_TOKEN = re.compile(
    r"""(?P<category>\\[pP]\{[A-Z][a-z]?\})
      | (?P<escape>\\.)
      | (?P<class>\[\^?(?:\\.|[^\]\\])+\])
      | (?P<group>\(\?:|\((?!\?)|\))
      | (?P<quantifier>(?:[*+?]|\{[0-9]+(?:,[0-9]*)?\})\??)
      | (?P<mark>[.^$|])
      | (?P<plain>[^\\\[\](){}*+?.^$|])""",
    re.VERBOSE | re.DOTALL,
)
_INSIDE = re.compile(r"(?P<category>\\[pP]\{[A-Z][a-z]?\})|(?P<escape>\\.)|(?P<plain>[^\\])", re.DOTALL)


def spelled(pattern: str, engine: str) -> str:
    r"""Return a pattern in the spelling of an engine, so that it matches what RE2 finds.

    >>> spelled("^[0-9]+$", "duckdb"), spelled("^[0-9]+$", "pyspark")
    ('^[0-9]+$', '^[0-9]+\\z')

    Raises:
        ContractError: The pattern is wrong, or something in it means another thing elsewhere.
    """
    parts = list(_tokens(pattern))
    if engine in RE2:
        return pattern
    ends = {"$": r"\z", ".": "[^\n]"} if engine in JAVA else {".": "[^\n]"}
    if engine not in JAVA + WHOLE:
        raise ContractError("Patterns have no spelling there yet", expected=", ".join(RE2 + JAVA + WHOLE), found=engine)
    text = "".join(ends.get(part, part) for part in parts)
    return text if engine in JAVA or _is_whole(parts) else f"^{ANYTHING}({text}){ANYTHING}$"


def _is_whole(parts: list[str]) -> bool:
    """Whether a pattern speaks of the whole text, whatever it matches."""
    return parts[:1] == ["^"] and parts[-1:] == ["$"] and "|" not in parts


def _tokens(pattern: str) -> Iterator[str]:
    """Yield the parts of a pattern, with what is short for a class written out."""
    position, before = 0, ""
    _must_compile(pattern)
    while position < len(pattern):
        found = _TOKEN.match(pattern, position)
        if found is None or (found.lastgroup == "quantifier" and before == "quantifier"):
            raise _unknown(pattern, pattern[position : position + 4])
        position, before = found.end(), found.lastgroup or ""
        yield _written_out(found, pattern)


def _written_out(found: re.Match[str], pattern: str) -> str:
    part, kind = found[0], found.lastgroup
    if kind == "class":
        return _class(part, pattern)
    if kind != "escape":
        return part
    letter = part[1]
    if letter.lower() in SHORTHANDS:
        return f"[{'^' if letter.isupper() else ''}{SHORTHANDS[letter.lower()]}]"
    return _escaped(letter, pattern)


def _class(part: str, pattern: str) -> str:
    body = part[1:-1].removeprefix("^")
    if "[" in re.sub(r"\\.", "", body) or "&&" in body:
        raise _unknown(pattern, part)
    texts = [_in_class(inner, pattern) for inner in _INSIDE.finditer(body)]
    return ("[^" if part.startswith("[^") else "[") + "".join(texts) + "]"


def _in_class(inner: re.Match[str], pattern: str) -> str:
    part = inner[0]
    if inner.lastgroup != "escape":
        return part
    return SHORTHANDS.get(part[1]) or _escaped(part[1], pattern)


def _escaped(letter: str, pattern: str) -> str:
    if letter in CONTROLS:
        return CONTROLS[letter]
    if letter.isalnum():
        raise _unknown(pattern, f"\\{letter}")
    return f"\\{letter}"


def _must_compile(pattern: str) -> None:
    import pyarrow as pa
    import pyarrow.compute

    try:
        pyarrow.compute.match_substring_regex(pa.array([""]), pattern)
    except pa.ArrowInvalid as error:
        raise ContractError(
            "A pattern cannot be used", expected="an RE2 expression", found=f"{pattern} ({str(error).strip()})"
        ) from error


def _unknown(pattern: str, part: str) -> ContractError:
    return ContractError(
        "A pattern has something that engines read differently",
        expected="classes, groups, repetition, ^ and $",
        found=f"{part} in {pattern}",
        fix="Write it out: classes such as [A-Z] or [^0-9], groups such as (?:a|b), ends as ^ and $.",
    )
