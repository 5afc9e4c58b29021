"""Copies of snapshots in which everything that was not visible at a cut date is other than it was."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from keelway.core import memory_duckdb
from keelway.features.compute import KNOWN_AT
from keelway.project import Dataset, Model
from keelway.snapshot import SnapshotRows

if TYPE_CHECKING:
    import duckdb

World = Literal["changed", "added", "removed"]
WORLDS: tuple[World, ...] = ("changed", "added", "removed")
ODD = 77


def poisoned(
    model: Model, rows: Mapping[str, SnapshotRows], how: World, *, as_of: datetime, work: Path
) -> tuple[dict[str, int], dict[str, SnapshotRows]]:
    """Write poisoned copies of datasets; what was visible at the cut date is in them as it was.

    Returns:
        Dataset to the number of rows that were changed, added or removed; and dataset to the rows of the copy.
    """
    counted, copies = {}, {}
    connection = memory_duckdb()
    try:
        for dataset in model.datasets:
            held = rows[dataset.name]
            path = work / f"{dataset.name}-{how}.parquet"
            connection.execute(f"CREATE OR REPLACE TEMP VIEW held AS {held.sql}")
            query, counted[dataset.name] = _query(connection, dataset, model.entity, how, as_of)
            connection.execute(f"COPY ({query}) TO '{_quoted(str(path))}' (FORMAT parquet)")
            copies[dataset.name] = SnapshotRows((path,), held.columns)
    finally:
        connection.close()
    return counted, copies


def _query(
    connection: duckdb.DuckDBPyConnection, dataset: Dataset, entity: str, how: World, as_of: datetime
) -> tuple[str, int]:
    """Return a SELECT of the poisoned rows, and how many are changed, added or removed."""
    moment = f"TIMESTAMPTZ '{as_of.isoformat()}'"
    times = [KNOWN_AT] if dataset.is_static else [dataset.event_time, KNOWN_AT]
    seen = " AND ".join(f"{_name(each)}::TIMESTAMPTZ < {moment}" for each in times)
    seen = f"coalesce({seen}, false)"
    kinds = {str(row[0]): str(row[1]) for row in connection.execute("DESCRIBE held").fetchall()}
    late = {
        name: _late(name, kind, moment) if name in times else _other(name, kind, moment) for name, kind in kinds.items()
    }
    late[entity] = _name(entity) if entity in kinds else ""
    columns = ", ".join(f"{late[name]} AS {_name(name)}" for name in kinds)
    visible = f"SELECT * FROM held WHERE {seen}"  # noqa: S608 - names are quoted
    if how == "removed":
        return visible, _count(connection, f"NOT {seen}")
    if how == "changed":
        changed = f"SELECT {columns} FROM held WHERE NOT {seen}"  # noqa: S608
        return f"{visible} UNION ALL {changed}", _count(connection, f"NOT {seen}")
    added, count = f"SELECT {columns} FROM held", _count(connection, "true")  # noqa: S608
    if kinds.get(entity) == "VARCHAR":  # and entities that nobody had heard of
        late[entity] = f"{_name(entity)} || '~'"
        strangers = ", ".join(f"{late[name]} AS {_name(name)}" for name in kinds)
        added, count = f"{added} UNION ALL SELECT {strangers} FROM held", 2 * count  # noqa: S608
    return f"SELECT * FROM held UNION ALL {added}", count  # noqa: S608


def _count(connection: duckdb.DuckDBPyConnection, condition: str) -> int:
    [(count,)] = connection.execute(f"SELECT count(*) FROM held WHERE {condition}").fetchall()  # noqa: S608
    return int(count)


def _late(name: str, kind: str, moment: str) -> str:
    """Return a moment that is surely after the cut date, whatever the column held."""
    later = f"greatest(coalesce({_name(name)}::TIMESTAMPTZ, {moment}), {moment}) + INTERVAL 1 DAY"
    return f"CAST({later} AS {kind})"


def _other(name: str, kind: str, moment: str) -> str:
    """Return another value of the same type than the column holds; null for types without one."""
    column = _name(name)
    if kind == "VARCHAR":
        return f"coalesce({column}, '') || '~'"
    if kind == "BOOLEAN":
        return f"NOT coalesce({column}, true)"
    if kind in ("DOUBLE", "FLOAT"):
        return f"-coalesce({column}, 0) - {ODD}"
    if kind.startswith(("TIMESTAMP", "DATE")):
        return f"CAST(coalesce({column}::TIMESTAMPTZ, {moment}) + INTERVAL 1 DAY AS {kind})"
    if kind.endswith("INT") or kind.startswith(("INTEGER", "UINTEGER", "DECIMAL")):
        return f"CASE WHEN coalesce({column}, 0) = 0 THEN TRY_CAST({ODD} AS {kind}) ELSE CAST(0 AS {kind}) END"
    return f"CAST(NULL AS {kind})"


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _quoted(text: str) -> str:
    return text.replace("'", "''")
