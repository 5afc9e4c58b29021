"""Guesses how the texts of a column are read: their type, and the repairs that must be allowed for it.

The strictest type that reads every text wins. Texts that mean "no value" (`?`, `n/a`) are set aside first; of a
column of texts only the plainest of them are.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

SPACE = " \t\xa0\u202f"
"""What the repair `trim` cuts."""
TOKENS = frozenset(
    {"?", "-", "--", "na", "n/a", "#n/a", "null", "none", "nil", "nan", "\\n", "missing", "unknown", "."}
)
"""Texts, in lower case, that mean "no value" beside numbers and dates."""
PLAIN_TOKENS = frozenset({"?", "N/A", "#N/A", "NULL", "null", "NaN", "nan", "\\N"})
"""Texts that mean "no value" even beside other texts."""
SIGNS = ("$", "€", "£", "%", "EUR", "USD")
"""Signs of units that are cut from numbers."""
DATE_FORMATS = (
    "%d.%m.%Y", "%d-%m-%Y", "%d/%m/%Y", "%m/%d/%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%y", "%d/%m/%y",
    "%m/%d/%y", "%d-%b-%Y", "%d %b %Y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y", "%Y%m%d",
)  # fmt: skip
TIMES = ("%H:%M:%S", "%H:%M", "%H:%M:%S.%f", "%I:%M:%S %p", "%I:%M %p")
LARGEST = 2**63 - 1
WIDER = {"integer": "number", "date": "timestamp"}
"""The type that values of another one also have."""
_INTEGER = re.compile(r"[+-]?[0-9]+")
_PADDED = re.compile(r"[+-]?0[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_COMMA = re.compile(r"[+-]?([0-9]+|[0-9]{1,3}(\.[0-9]{3})+),[0-9]+")
_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}(,[0-9]{3})+(\.[0-9]+)?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?)?(Z|[+-][0-9]{2}:?[0-9]{2})?"
)


@dataclass(frozen=True, slots=True)
class Reading:
    """How a column's texts become values.

    Attributes:
        values: Each text that is a value, after the repairs before typing, to its value.
        note: What a person should look at, or empty.
    """

    kind: str
    values: dict[str, Any]
    trim: bool = False
    strip: tuple[str, ...] = ()
    decimal_comma: bool = False
    formats: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    note: str = ""


def guess_reading(texts: Collection[str]) -> Reading:
    """Return how texts, each given once, are read.

    >>> guess_reading({"1,5", "1.200,75", "n/a"}).values
    {'1,5': 1.5, '1.200,75': 1200.75}
    """
    trimmed = {text.strip(SPACE) for text in texts}
    trim = any(text != text.strip(SPACE) for text in texts)
    trimmed.discard("")
    bare = sorted(text for text in trimmed if text.lower() not in TOKENS)
    for guess in (_boolean, _integer, _number, _signed, _thousands, _comma, _iso, _by_format):
        found = guess(bare) if bare else None
        if found is not None:
            return replace(found, trim=trim, missing=tuple(sorted(trimmed - set(bare))))
    plain = sorted(trimmed - PLAIN_TOKENS)
    return Reading("string", dict(zip(plain, plain, strict=True)), trim, missing=tuple(sorted(trimmed & PLAIN_TOKENS)))


def is_value_of(text: str, texts: Collection[str]) -> bool:
    """Return whether a text is read like other texts of a column; of a column of texts any text is.

    >>> is_value_of("2.5", {"1", "2"}), is_value_of("amount", {"1", "2"}), is_value_of("n/a", {"1", "2"})
    (True, False, False)
    """
    bare = text.strip(SPACE)
    if any(other.strip(SPACE) == bare for other in texts):
        return True
    before, after = guess_reading(texts), guess_reading({*texts, text})
    if before.kind == "string":
        return bool(bare)
    return bare in after.values and after.kind in (before.kind, WIDER.get(before.kind))


def is_padded(text: str) -> bool:
    """Return whether a text is a number with leading zeros, which an integer would lose."""
    return _PADDED.fullmatch(text) is not None


def _boolean(texts: list[str]) -> Reading | None:
    words = {text.lower() for text in texts}
    if words <= {"true", "false"} or words == {"t", "f"}:
        return Reading("boolean", {text: text.lower().startswith("t") for text in texts})
    return None


def _integer(texts: list[str]) -> Reading | None:
    if not all(_INTEGER.fullmatch(text) and not is_padded(text) for text in texts):
        return None
    values = {text: int(text) for text in texts}
    return Reading("integer", values) if all(abs(value) <= LARGEST for value in values.values()) else None


def _number(texts: list[str]) -> Reading | None:
    if any(is_padded(text) for text in texts) or all(_INTEGER.fullmatch(text) for text in texts):
        return None  # leading zeros or too many digits: an identifier
    values = _floats(texts, lambda text: text)
    return Reading("number", values) if values else None


def _floats(texts: list[str], repaired: Callable[[str], str]) -> dict[str, Any] | None:
    """Return texts as numbers after a repair, or None where one is none."""
    values = {}
    for text in texts:
        plain = repaired(text)
        if not _NUMBER.fullmatch(plain) or not math.isfinite(float(plain)):
            return None
        values[text] = float(plain)
    return values


def _signed(texts: list[str]) -> Reading | None:
    """Read numbers with the sign of a unit, such as `$1,200.50` or `5 %`."""
    signs = tuple(sign for sign in SIGNS if any(sign in text for text in texts))
    if not signs:
        return None
    bare = {text: _without(text, signs) for text in texts}
    for guess in (_integer, _number, _thousands, _comma):
        found = guess(list(dict.fromkeys(bare.values())))
        if found is not None:
            values = {text: found.values[cut] for text, cut in bare.items()}
            note = f"{' '.join(signs)} is cut off; the unit stays what it was"
            return replace(found, values=values, strip=(*signs, *found.strip), note=note)
    return None


def _without(text: str, cut: tuple[str, ...]) -> str:
    for each in cut:
        text = text.replace(each, "")
    return text.strip(SPACE)


def _thousands(texts: list[str]) -> Reading | None:
    if not any(_THOUSANDS.fullmatch(text) for text in texts):
        return None
    if not all(_THOUSANDS.fullmatch(text) or _NUMBER.fullmatch(text) for text in texts):
        return None
    plain = {text: text.replace(",", "") for text in texts}
    found = _integer(list(plain.values())) or _number(list(plain.values()))
    if found is None:
        return None
    note = "commas are read as thousands, because three digits follow each"
    return replace(found, values={text: found.values[bare] for text, bare in plain.items()}, strip=(",",), note=note)


def _comma(texts: list[str]) -> Reading | None:
    if not any(_COMMA.fullmatch(text) for text in texts):
        return None
    values = _floats(texts, lambda text: text.replace(".", "").replace(",", ".") if _COMMA.fullmatch(text) else text)
    return Reading("number", values, decimal_comma=True) if values else None


def _iso(texts: list[str]) -> Reading | None:
    if not all(_MOMENT.fullmatch(text) for text in texts):
        return None
    try:
        if all(_DATE.fullmatch(text) for text in texts):
            return Reading("date", {text: date.fromisoformat(text) for text in texts})
        return Reading("timestamp", {text: _in_utc(datetime.fromisoformat(text)) for text in texts})
    except ValueError:
        return None


def _in_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _by_format(texts: list[str]) -> Reading | None:
    """Read dates by the first format that fits all; say so where another would fit as well."""
    if not any(character.isdigit() for character in texts[0]):
        return None
    formats = [(form, "date") for form in DATE_FORMATS]
    formats += [(f"{day}{gap}{time}", "timestamp") for day in DATE_FORMATS for time in TIMES for gap in " T"]
    fitting = [(form, kind) for form, kind in formats if _parses(texts[0], form)]
    fitting = [(form, kind) for form, kind in fitting if all(_parses(text, form) for text in texts)]
    if not fitting:
        return None
    form, kind = fitting[0]
    moments = {text: datetime.strptime(text, form).replace(tzinfo=UTC) for text in texts}
    values: dict[str, Any] = dict(moments) if kind == "timestamp" else {t: m.date() for t, m in moments.items()}
    note = f"{' and '.join(form for form, _ in fitting[1:3])} would fit as well" if len(fitting) > 1 else ""
    return Reading(kind, values, formats=(form,), note=note)


def _parses(text: str, form: str) -> bool:
    try:
        year = datetime.strptime(text, form).year  # noqa: DTZ007 - only whether it parses is asked
    except ValueError:
        return False
    return 1900 <= year <= 2100 and (form != "%Y%m%d" or len(text) == 8)


def read_as_dates(reading: Reading) -> Reading | None:
    """Return a reading of whole numbers such as 20260131 as dates, or None where they are none."""
    found = _by_format(sorted(reading.values))
    if found is None:
        return None
    return replace(found, trim=reading.trim, missing=reading.missing)
