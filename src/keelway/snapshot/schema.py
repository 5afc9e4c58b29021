"""One set of columns over files of several ages: a column that came later is null, a widened one is cast.

A version's columns only ever grow: a column may come, and a type may take in more values (integer to number, date to
timestamp). Anything else is refused here, whatever a contract says: it would change what earlier versions mean.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keelway.core import memory_duckdb
from keelway.errors import ContractError, DataError

SQL_TYPES = {
    "string": "VARCHAR",
    "int64": "BIGINT",
    "double": "DOUBLE",
    "bool": "BOOLEAN",
    "date32[day]": "DATE",
    "timestamp[us, tz=UTC]": "TIMESTAMPTZ",
}
"""Parquet types as pyarrow writes them, and what DuckDB calls them."""
WIDER = frozenset({("int64", "double"), ("date32[day]", "timestamp[us, tz=UTC]")})
"""Types whose every value the second one holds with the same meaning."""
_GLOBS = re.compile(r"([*?\[])")
"""What DuckDB would expand in a path; in brackets it stands for itself."""
_TIMES = ("date32[day]", "timestamp[us, tz=UTC]")
PROVENANCE = ("_known_at", "_file", "_row")
"""Columns that say where a row came from; they are no part of what it says."""


@dataclass(frozen=True, slots=True)
class SnapshotRows:
    """The rows of a version: its files, and the columns that every reader sees.

    Attributes:
        paths: In the order of the manifest, their bytes checked.
        columns: Column to type.
    """

    paths: tuple[Path, ...]
    columns: dict[str, str]

    @property
    def sql(self) -> str:
        """A SELECT for DuckDB of all rows in the order of the files, columns by name; the session has to be in UTC."""
        return select_rows(self.paths, self.columns)


def select_rows(paths: Sequence[Path], columns: Mapping[str, str]) -> str:
    r"""Return a SELECT for DuckDB over Parquet files that has exactly these columns.

    >>> select_rows([Path("a.parquet")], {"n": "double"})
    'SELECT CAST("n" AS DOUBLE) AS "n" FROM (SELECT CAST(NULL AS DOUBLE) AS "n" WHERE FALSE
     UNION ALL BY NAME SELECT * FROM read_parquet([\'a.parquet\'], union_by_name=true))'
    """
    typed = {identifier(name): sql_type(kind) for name, kind in ordered(columns).items()}
    nothing = f"SELECT {', '.join(f'CAST(NULL AS {kind}) AS {name}' for name, kind in typed.items())} WHERE FALSE"
    if not paths:
        return nothing
    listed = ", ".join(literal(_GLOBS.sub(r"[\1]", str(path))) for path in paths)
    cast = ", ".join(f"CAST({name} AS {kind}) AS {name}" for name, kind in typed.items())
    return (
        f"SELECT {cast} FROM ({nothing} UNION ALL BY NAME "  # noqa: S608 - names and paths are quoted
        f"SELECT * FROM read_parquet([{listed}], union_by_name=true))"
    )


def ordered(columns: Mapping[str, str]) -> dict[str, str]:
    """Return columns by name, those of provenance last: the one order that every machine and every process agrees on.

    A record does not keep the order of a mapping, and bytes and sums must not depend on whether it was read back.

    >>> ordered({"_row": "int64", "b": "string", "a": "string"})
    {'a': 'string', 'b': 'string', '_row': 'int64'}
    """
    return {name: columns[name] for name in sorted(columns, key=lambda name: (name in PROVENANCE, name))}


def first_rows(paths: Sequence[Path], columns: Mapping[str, str], limit: int) -> list[dict[str, Any]]:
    """Return the first rows of Parquet files, in their order, as values that JSON can hold; times as text."""
    texts = ", ".join(
        f"CAST({identifier(name)} AS VARCHAR) AS {identifier(name)}" if kind in _TIMES else identifier(name)
        for name, kind in ordered(columns).items()
    )
    with memory_duckdb() as connection:
        found = connection.sql(f"SELECT {texts} FROM ({select_rows(paths, columns)}) LIMIT {int(limit)}")  # noqa: S608
        return [dict(zip(ordered(columns), row, strict=True)) for row in found.fetchall()]


def widened(before: Mapping[str, str], now: Mapping[str, str], *, dataset: str) -> tuple[str, ...]:
    """Return the columns whose type takes in more values now.

    Raises:
        ContractError: A column is gone, or its type holds other values.
    """
    gone = [name for name in before if name not in now]
    changed = {name: (kind, now[name]) for name, kind in before.items() if name in now and now[name] != kind}
    wrong = [f"{name} is gone" for name in gone]
    wrong += [f"{name} was {old}, is {new}" for name, (old, new) in changed.items() if (old, new) not in WIDER]
    if wrong:
        raise ContractError(
            f"The new rows do not fit the earlier versions of {dataset}",
            expected="every earlier column, of the same or a wider type",
            found="; ".join(wrong),
            fix="Keep the column in the contract (it may stay empty), or load the new shape as a dataset of its own.",
        )
    return tuple(changed)


def sql_type(kind: str) -> str:
    """Return what DuckDB calls a type.

    Raises:
        DataError: Snapshots do not have that type.
    """
    try:
        return SQL_TYPES[kind]
    except KeyError:
        raise DataError(
            "A column has a type that versions do not have", expected=f"one of {', '.join(SQL_TYPES)}", found=kind
        ) from None


def identifier(name: str) -> str:
    """Return a column's name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"
