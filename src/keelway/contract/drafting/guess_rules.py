"""Guesses the rules of a column from its values: bounds rounded outwards, sets, lengths and shapes.

A bound is rounded to the leading digit of the spread, so that the next file does not break it by a hair; the sample
itself always keeps every rule.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Collection
from datetime import date
from decimal import Decimal

MAX_VALUES = 20
"""A column of texts with more values than this has no set of allowed ones."""
ROWS_A_VALUE = 10
"""Rows for each value, on average, below which a set is not guessed."""
SHAPED_VALUES = 20
"""Different values below which no shape is guessed."""
MAX_SEGMENTS = 9
FIRST_ROWS = 5_000
"""Rows in which most columns repeat already, so that they need not be looked at whole."""
LENGTHS = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 100_000, 1_000_000)
_SEGMENT = re.compile(r"[0-9]+|[A-Z]+|[a-z]+|.", re.DOTALL)
_META = frozenset(r"\.^$*+?()[]{}|")


def outer_bounds(lowest: float, highest: float) -> tuple[str, str]:
    """Return a range around numbers, rounded outwards to the leading digit of their spread.

    >>> outer_bounds(17, 98), outer_bounds(0.02, 1.0), outer_bounds(18.25, 118.75), outer_bounds(5, 5)
    (('10', '100'), ('0', '1'), ('0', '200'), ('0', '10'))
    """
    low, high = Decimal(repr(lowest)), Decimal(repr(highest))
    if low == high:  # one value says nothing of the spread
        low, high = min(Decimal(0), 2 * low), max(Decimal(0), 2 * high) or Decimal(1)
    step = Decimal(1).scaleb((high - low).adjusted())
    return _written(math.floor(low / step) * step), _written(math.ceil(high / step) * step)


def _written(value: Decimal) -> str:
    return format(value.normalize() + 0, "f")


def first_of_year(earliest: date) -> str:
    """Return the first day of a date's year, as the contract writes it."""
    return f"{earliest.year:04d}-01-01"


def allowed_values(values: Counter[str]) -> tuple[str, ...]:
    """Return the values of a column that has few, each of which comes often; empty for other columns."""
    few = 1 < len(values) <= MAX_VALUES and values.total() >= ROWS_A_VALUE * len(values)
    return tuple(sorted(values)) if few else ()


def length_bounds(values: Collection[str]) -> tuple[int | None, int | None]:
    """Return the shortest length where all are as long, and the longest, rounded up; None for no bound.

    >>> length_bounds(["abc", "xyz"]), length_bounds(["a", "abcdefghijkl"])
    ((3, 3), (None, 20))
    """
    lengths = {len(value) for value in values}
    if len(lengths) == 1 and len(values) > 1:
        (length,) = lengths
        return length, length
    longest = max(lengths, default=0)
    return None, next((length for length in LENGTHS if length >= longest), None)


def shape(values: Collection[str]) -> str | None:
    """Return the RE2 expression of texts that are all built alike, or None.

    >>> shape([f"{number:04d}-AB" for number in range(30)])
    '^[0-9]{4}-[A-Z]{2}$'
    """
    if len(values) < SHAPED_VALUES or not all(value.isascii() and value.isprintable() for value in values):
        return None
    built: list[list[tuple[str, int]]] = []
    for value in values:
        built.append([_segment(match) for match in _SEGMENT.findall(value)])
        if len(built[-1]) > MAX_SEGMENTS or [kind for kind, _ in built[-1]] != [kind for kind, _ in built[0]]:
            return None
    parts = [_counted(kinds[0][0], {length for _, length in kinds}) for kinds in zip(*built, strict=True)]
    if len(parts) == 1 and parts[0].endswith("+"):
        return None  # any word, any number: that says nothing
    return f"^{''.join(parts)}$"


def _segment(text: str) -> tuple[str, int]:
    """Return a run of characters as its class and length; a sign stands for itself."""
    for kind, holds in (("[0-9]", str.isdigit), ("[A-Z]", str.isupper), ("[a-z]", str.islower)):
        if holds(text):
            return kind, len(text)
    return f"\\{text}" if text in _META else text, 1


def _counted(kind: str, lengths: set[int]) -> str:
    if len(lengths) > 1:
        return f"{kind}+"
    (length,) = lengths
    return kind if length == 1 else f"{kind}{{{length}}}"


def likely_key(columns: dict[str, list[object]], *, leading: Collection[str]) -> tuple[str, ...]:
    """Return the fewest columns, at most three, that together never repeat; empty for none.

    Args:
        columns: The candidates without a missing value, by name, row by row.
        leading: The names of identifiers and times: a key of several columns holds at least one.
    """
    names = list(columns)[:10]
    rows = len(next(iter(columns.values()), []))
    for size in (1, 2, 3):
        for chosen in itertools.combinations(names, size):
            if size > 1 and not set(chosen) & set(leading):
                continue
            values = [columns[name] for name in chosen]
            if _never_repeat([each[:FIRST_ROWS] for each in values]) and _never_repeat(values) and rows > 1:
                return chosen
    return ()


def _never_repeat(columns: list[list[object]]) -> bool:
    """Return whether the rows of some columns all differ."""
    return len(set(zip(*columns, strict=True))) == len(columns[0])
