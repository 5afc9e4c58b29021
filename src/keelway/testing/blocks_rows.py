"""Rows for the conformance of the building blocks: nulls, ties, duplicates, odd numbers and nights when clocks change.

Amounts are multiples of 1/4, so that every sum of them is exact in whatever order an engine adds.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

Row = Mapping[str, Any]
"""`row` names the row, `entity` may be missing, `at` is a time in UTC; the rest are values."""
AS_OF = datetime(2026, 4, 6, 1, 30, tzinfo=UTC)
SPRING_NIGHT = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
"""Half an hour before clocks go forward in Europe, inside the last 30 days."""
AUTUMN_NIGHT = datetime(2025, 10, 26, 0, 30, tzinfo=UTC)
_INSTANT = timedelta(microseconds=1)
MOMENTS: tuple[datetime | None, ...] = (
    None,
    datetime(1969, 12, 31, 23, 59, 59, 600_000, tzinfo=UTC),
    datetime(2040, 1, 1, tzinfo=UTC),
    AUTUMN_NIGHT,
    AUTUMN_NIGHT + timedelta(hours=1),
    SPRING_NIGHT,
    SPRING_NIGHT + timedelta(hours=1),
    SPRING_NIGHT + timedelta(hours=1, microseconds=999_999),
    *(
        AS_OF - timedelta(days=days) + shift
        for days in (7, 30, 60, 90)
        for shift in (-_INSTANT, 0 * _INSTANT, _INSTANT)
    ),
    AS_OF - timedelta(minutes=30),
    AS_OF - timedelta(minutes=29, seconds=59, microseconds=500_000),
    AS_OF - _INSTANT,
    AS_OF,
    AS_OF + _INSTANT,
)
AMOUNTS = (None, float("nan"), 0.0, -0.0, 0.25, 2.5, -2.5, 12.75, -99.5, 1048576.25, 2.0**53, -(2.0**60))
UNITS = (None, 0, 1, 1, 2, -7, 7, 2**40 + 1)
KINDS = (None, "", "a", "B", "b", "aa", "Straße", "e\u0301", "\u00e9", "日本", "👩\u200d👩", "it's", " a")
FLAGS = (None, True, False)
ENTITIES = (None, "ana", "Ana", "bob", "cem", "Ömer", "")


def generated_rows(count: int, *, seed: int) -> list[Row]:
    """Return rows drawn from the odd values above, the same for the same seed.

    One entity has nothing but missing values, and every tenth row stands there twice.
    """
    draw = random.Random(seed)
    rows: list[dict[str, Any]] = []
    for _ in range(count):
        known = {"amount": draw.choice(AMOUNTS[:-2]), "units": draw.choice(UNITS), "kind": draw.choice(KINDS)}
        rows.append({"entity": draw.choice(ENTITIES), "at": draw.choice(MOMENTS), **known, "flag": draw.choice(FLAGS)})
    rows += [dict(each) for each in rows[::10]]
    rows += [{"entity": "nothing", "at": None, "amount": None, "units": None, "kind": None, "flag": None}] * 2
    rows += [{**rows[0], "entity": "huge", "amount": amount} for amount in AMOUNTS[-2:]]
    draw.shuffle(rows)
    return [{"row": number, **row} for number, row in enumerate(rows)]


def as_arrow(rows: Sequence[Row]) -> pa.Table:
    """Return rows as a table, times in UTC to the microsecond."""
    import pyarrow as pa

    schema = pa.schema(
        [
            ("row", pa.int64()),
            ("entity", pa.string()),
            ("at", pa.timestamp("us", tz="UTC")),
            ("amount", pa.float64()),
            ("units", pa.int64()),
            ("kind", pa.string()),
            ("flag", pa.bool_()),
        ]
    )
    return pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
