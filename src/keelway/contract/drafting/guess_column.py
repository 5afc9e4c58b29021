"""Guesses one column of a contract from the values of a sample, and says what it was guessed from."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from keelway.contract.contract import Column, PiiClass
from keelway.contract.drafting.guess_pii import guess_pii, may_name_subject, words_of
from keelway.contract.drafting.guess_reading import LARGEST, SPACE, Reading, guess_reading, read_as_dates
from keelway.contract.drafting.guess_rules import allowed_values, first_of_year, length_bounds, outer_bounds, shape
from keelway.contract.drafting.sample import SampledColumn

PII_VALUES = 500
"""Different values that are looked at for personal data."""
TIME_WORDS = frozenset({"date", "day", "dt", "time", "timestamp", "ts", "at", "created", "occurred", "when", "dateday"})


@dataclass(frozen=True, slots=True)
class GuessedColumn:
    """One column as it would stand in a contract.

    Attributes:
        notes: What a person should look at, each in a few words.
        missing: Rows without a value.
        distinct: Different values.
        key_values: The values row by row, for finding a key; empty where a value is missing or the type is no key's.
    """

    column: Column
    notes: tuple[str, ...]
    missing: int
    distinct: int
    key_values: list[Any]

    @property
    def is_time(self) -> bool:
        """Whether it is a date or a timestamp that every row has."""
        return self.column.kind in ("date", "timestamp") and not self.missing

    @property
    def leads(self) -> bool:
        """Whether it is likely part of a key: an identifier or a time."""
        words = words_of(self.column.name)
        return self.is_time or bool({"id", "key", "nr", "no", "number", "code", "uuid"} & set(words))


def guess_column(sampled: SampledColumn, *, rows: int, texts: bool) -> GuessedColumn:
    """Return what a contract would say of a column; `texts` says that its values are texts of a CSV file."""
    present = Counter({value: count for value, count in sampled.values.items() if value not in (None, "")})
    reading = _reading_of_texts(sampled.name, present) if texts else _reading_of_values(present)
    repaired = _counted(present, reading) if reading.kind == "string" else Counter[str]()
    held = {text for text in present if _repaired(text, reading) in reading.values}
    missing = rows - sum(present[text] for text in held)
    column = Column(
        name=sampled.name.lstrip("_") or "column",
        kind=reading.kind,
        required=not missing,
        formats=reading.formats,
        trim=reading.trim,
        strip=reading.strip,
        decimal_comma=reading.decimal_comma,
        missing=reading.missing,
        aliases=(sampled.name,) if sampled.name.startswith("_") else (),
    )
    notes = [reading.note] if reading.note else []
    what = guess_pii(sampled.name, [str(value) for value in list(present)[:PII_VALUES]])
    if what:
        column = replace(column, pii=PiiClass.DIRECT, classification="restricted")
        notes.append(f"looks like {what}: kept as a token")
    elif may_name_subject(sampled.name):
        notes.append("may name a person: add `pii: subject` if erasure is asked for by it")
    column = _with_rules(column, reading, repaired)
    keyed = [] if missing or reading.kind in ("number", "boolean") else sampled.ordered
    return GuessedColumn(column, tuple(notes), missing, len(set(reading.values.values())), keyed)


def _repaired(text: Any, reading: Reading) -> Any:
    return text.strip(SPACE) if isinstance(text, str) and reading.trim else text


def _counted(present: Counter[Any], reading: Reading) -> Counter[str]:
    """Return the texts after trimming, with how often each came."""
    found: Counter[str] = Counter()
    for text, count in present.items():
        if _repaired(text, reading) in reading.values:
            found[reading.values[_repaired(text, reading)]] += count
    return found


def _reading_of_texts(name: str, present: Counter[str]) -> Reading:
    reading = guess_reading(present)
    if reading.kind == "integer" and TIME_WORDS & set(words_of(name)):
        reading = read_as_dates(reading) or reading
    if reading.kind != "string" and guess_pii(name, [str(value) for value in list(present)[:PII_VALUES]]):
        return Reading("string", {_repaired(text, reading): text for text in present}, trim=reading.trim)
    return reading


def _reading_of_values(present: Counter[Any]) -> Reading:
    """Return the reading of values that have a type of their own."""
    values = list(present)
    if not values:
        return Reading("string", {})
    if all(isinstance(value, str) for value in values):
        reading = guess_reading(values)
        if reading.kind in ("date", "timestamp"):
            return reading
        return Reading("string", {value: value for value in values})
    for kind, types in _TYPES:
        if all(isinstance(value, types) for value in values) and (kind == "boolean" or not _any_truth(values)):
            return Reading(kind, {value: _plain(value) for value in values})
    note = f"values of several types: {', '.join(sorted({type(value).__name__ for value in values}))}"
    return Reading("string", {value: str(value) for value in values}, note=note)


_TYPES: tuple[tuple[str, tuple[type, ...]], ...] = (
    ("boolean", (bool,)),
    ("integer", (int,)),
    ("number", (int, float, Decimal)),
    ("timestamp", (datetime,)),
    ("date", (date,)),
)


def _any_truth(values: Iterable[Any]) -> bool:
    return any(isinstance(value, bool) for value in values)


def _plain(value: Any) -> Any:
    """Return a typed value as bounds are reckoned with it."""
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    return float(value) if isinstance(value, Decimal) else value


def _with_rules(column: Column, reading: Reading, repaired: Counter[str]) -> Column:
    values = list(reading.values.values())
    if not values or column.kind == "boolean":
        return column
    if column.kind in ("date", "timestamp"):
        return replace(column, minimum=first_of_year(min(values)))
    if column.kind == "string":
        return _with_text_rules(column, repaired)
    finite = [value for value in values if math.isfinite(value)]
    low, high = outer_bounds(min(finite), max(finite)) if finite else ("nan", "nan")
    return replace(column, minimum=_held(low, column.kind), maximum=_held(high, column.kind))


def _held(bound: str, kind: str) -> str | None:
    """Return a bound that the type can hold, or None."""
    fits = abs(int(bound)) <= LARGEST if kind == "integer" else math.isfinite(float(bound))
    return bound if fits else None


def _with_text_rules(column: Column, texts: Counter[str]) -> Column:
    """Return a column of texts with a set, a shape or lengths; of what may name a person with nothing that quotes it."""
    shortest, longest = length_bounds(texts)
    if column.pii:
        return replace(column, max_length=longest)
    if not may_name_subject(column.name) and (allowed := allowed_values(texts)):
        return replace(column, allowed=allowed)
    if pattern := shape(texts):
        return replace(column, pattern=pattern)
    return replace(column, min_length=shortest, max_length=longest)
