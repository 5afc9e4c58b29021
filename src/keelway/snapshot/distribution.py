"""How the values of each column are spread in two versions, and whether they moved farther than chance reaches.

A number is counted into the deciles of the first version, a text into its fifty most frequent values and one bin for
all others; missing values are a bin of their own. PSI is compared with a declared effect and with what it reaches
without any change at these numbers of rows. Times count as seconds since 1970. Quantiles are near, not exact: they
are found in bounded memory. Counts and PSI are exact.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from keelway.core import filled_bins, psi, psi_null_quantile
from keelway.snapshot.schema import identifier, literal

if TYPE_CHECKING:
    import duckdb

EFFECT = 0.1
"""PSI below this is no shift, however sure it is."""
LEVEL = 0.99
"""Without any change, no column of a diff crosses the reach of chance in so many of the diffs."""
MAX_LEVELS = 50
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_DECILES = tuple(tenth / 10 for tenth in range(1, 10))
_TEXTS = ("string", "bool")


@dataclass(frozen=True, slots=True)
class Spread:
    """How the values of a column are spread in one version.

    Attributes:
        mean: None where there is no number.
        quantiles: At 5, 25, 50, 75 and 95 percent; empty where there is no number.
    """

    rows: int
    nulls: int
    mean: float | None = None
    quantiles: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class ColumnShift:
    """One column in two versions.

    Attributes:
        psi: Population stability index over the bins of the first version; None where one version has no row.
        chance: What PSI reaches when nothing changed.
        shifted: Whether PSI is above the effect and above chance.
    """

    name: str
    before: Spread
    after: Spread
    psi: float | None
    chance: float | None
    shifted: bool


def column_shifts(
    connection: duckdb.DuckDBPyConnection, before: str, after: str, columns: Mapping[str, str]
) -> tuple[ColumnShift, ...]:
    """Return how each column moved between two versions, given as SELECTs that have these columns."""
    connection.execute(f"CREATE TEMP VIEW before AS {before}")
    connection.execute(f"CREATE TEMP VIEW after AS {after}")
    texts = [name for name, kind in columns.items() if kind in _TEXTS]
    numbers = {name: _as_number(name, kind) for name, kind in columns.items() if kind not in _TEXTS}
    spreads = {
        side: _text_spreads(connection, side, texts) | _number_spreads(connection, side, numbers)
        for side in ("before", "after")
    }
    histograms = {name: _levels(connection, name) for name in texts} | _deciles(connection, numbers)
    level = 1 - (1 - LEVEL) / max(len(columns), 1)  # many columns are many chances
    return tuple(
        _shift(name, spreads["before"][name], spreads["after"][name], histograms[name], level)
        for name in sorted(columns)
    )


def _shift(name: str, before: Spread, after: Spread, counts: tuple[list[int], list[int]], level: float) -> ColumnShift:
    if not before.rows or not after.rows:
        return ColumnShift(name, before, after, None, None, shifted=before.rows != after.rows)
    one, other = [*counts[0], before.nulls], [*counts[1], after.nulls]
    value = psi(one, other)
    chance = psi_null_quantile(before.rows, after.rows, filled_bins(one, other), level=level)
    return ColumnShift(name, before, after, value, chance, shifted=not value <= max(EFFECT, chance))


def _as_number(name: str, kind: str) -> str:
    """Return a column as a number that is null where it says nothing."""
    column = identifier(name)
    if kind == "double":
        return f"CASE WHEN isfinite({column}) THEN {column} END"
    if kind == "int64":
        return f"CAST({column} AS DOUBLE)"
    return f"epoch({column})"


def _text_spreads(connection: duckdb.DuckDBPyConnection, side: str, names: Sequence[str]) -> dict[str, Spread]:
    counts = "".join(f", count({identifier(name)})" for name in names)
    rows, *present = connection.execute(f"SELECT count(*){counts} FROM {side}").fetchall()[0]  # noqa: S608
    return {name: Spread(rows, rows - found) for name, found in zip(names, present, strict=True)}


def _number_spreads(connection: duckdb.DuckDBPyConnection, side: str, numbers: Mapping[str, str]) -> dict[str, Spread]:
    asked = "".join(
        f", count({value}), avg({value}), approx_quantile({value}, {list(QUANTILES)})" for value in numbers.values()
    )
    rows, *found = connection.execute(f"SELECT count(*){asked} FROM {side}").fetchall()[0]  # noqa: S608
    return {
        name: Spread(rows, rows - present, mean, tuple(quantiles or ()))
        for name, present, mean, quantiles in zip(numbers, found[::3], found[1::3], found[2::3], strict=True)
    }


def _levels(connection: duckdb.DuckDBPyConnection, name: str) -> tuple[list[int], list[int]]:
    """Return how often the most frequent texts of the first version come in both, and all others together."""
    column = f"CAST({identifier(name)} AS VARCHAR)"
    counted = f"SELECT {column} AS value, count(*) AS times FROM {{side}} WHERE {column} IS NOT NULL {{only}}GROUP BY 1"  # noqa: S608
    first = connection.execute(
        f"{counted.format(side='before', only='')} ORDER BY times DESC, value LIMIT {MAX_LEVELS}"
    ).fetchall()
    named = [value for value, _ in first]
    only = f"AND {column} IN ({', '.join(literal(value) for value in named)}) " if named else "AND FALSE "
    later = dict(connection.execute(counted.format(side="after", only=only)).fetchall())
    totals = [
        connection.execute(f"SELECT count({identifier(name)}) FROM {side}").fetchall()[0][0]  # noqa: S608
        for side in ("before", "after")
    ]
    counts = [count for _, count in first], [later.get(value, 0) for value in named]
    one, other = ([*each, total - sum(each)] for each, total in zip(counts, totals, strict=True))
    return one, other


def _deciles(
    connection: duckdb.DuckDBPyConnection, numbers: Mapping[str, str]
) -> dict[str, tuple[list[int], list[int]]]:
    """Return the histograms of both versions over the deciles of the first, by column."""
    if not numbers:
        return {}
    asked = ", ".join(f"approx_quantile({value}, {list(_DECILES)})" for value in numbers.values())
    found = connection.execute(f"SELECT {asked} FROM before").fetchall()[0]  # noqa: S608
    edges = {name: _edges(values or []) for name, values in zip(numbers, found, strict=True)}
    one, other = (_histograms(connection, side, numbers, edges) for side in ("before", "after"))
    return {name: (one[name], other[name]) for name in numbers}


def _edges(values: Sequence[float]) -> list[float]:
    edges = sorted(set(values))
    if len(edges) == 1:  # almost everything is one number: it gets a bin of its own, so that a move either way shows
        edges = [math.nextafter(edges[0], -math.inf), edges[0]]
    return edges


def _histograms(
    connection: duckdb.DuckDBPyConnection, side: str, numbers: Mapping[str, str], edges: Mapping[str, Sequence[float]]
) -> dict[str, list[int]]:
    """Count the values up to each edge, all columns in one pass, and return the counts between edges."""
    asked = ", ".join(
        part
        for name, value in numbers.items()
        for part in (*(f"count_if({value} <= {edge!r}::DOUBLE)" for edge in edges[name]), f"count({value})")
    )
    found = iter(connection.execute(f"SELECT {asked} FROM {side}").fetchall()[0])  # noqa: S608
    histograms = {}
    for name in numbers:
        upto = [0, *(int(next(found) or 0) for _ in range(len(edges[name]) + 1))]
        histograms[name] = [high - low for low, high in pairwise(upto)]
    return histograms
