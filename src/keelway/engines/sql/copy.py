"""Copies a state from one database to another: from a file to a server when a project grows, or back.

Everything that was committed when the copy began is copied, in one transaction of the target: its rows, their order
and the log. Nothing is written into a database that already holds a state.
"""

from __future__ import annotations

from sqlalchemy import Connection, Table, func, select, text

from keelway.engines.sql.connect import BUSY_TIMEOUT_MS, connected, engine_of
from keelway.engines.sql.failures import translated
from keelway.engines.sql.schema import bring_to, version_of
from keelway.engines.sql.tables import HEAD, metadata
from keelway.errors import ConflictError, StorageError

CHUNK = 1000
"""Rows held in memory at a time."""


def copy_state(source: str, target: str, *, source_password: str = "", target_password: str = "") -> dict[str, int]:
    """Copy all tables of one database into another without a state; returns how many rows each table got.

    Raises:
        StorageError: The source has not the newest tables, or a database cannot be reached.
        ConflictError: The target holds a state already.
    """
    old = engine_of(source, password=source_password, busy_timeout_ms=BUSY_TIMEOUT_MS)
    new = engine_of(target, password=target_password, busy_timeout_ms=BUSY_TIMEOUT_MS)
    try:
        with connected(old, "read") as reading, connected(new, "write") as writing:
            _must_be_newest(reading)
            bring_to(writing, HEAD)
            _must_be_empty(writing)
            counts = {table.name: _copy(table, reading, writing) for table in metadata.sorted_tables}
            _count_on(writing)
    finally:
        old.dispose()
        new.dispose()
    return counts


def row_counts(url: str, *, password: str = "") -> dict[str, int]:
    """Return how many rows each table of a database has."""
    engine = engine_of(url, password=password, busy_timeout_ms=BUSY_TIMEOUT_MS)
    try:
        with connected(engine, "read") as connection:
            return {table.name: _rows(table, connection) for table in metadata.sorted_tables}
    finally:
        engine.dispose()


def _rows(table: Table, connection: Connection) -> int:
    with translated():
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def _must_be_newest(connection: Connection) -> None:
    found = version_of(connection)
    if found != HEAD:
        raise StorageError(
            "Only a state with the newest tables can be copied",
            expected=f"version {HEAD}",
            found=f"version {found}" if found else "no state",
            fix="Open it with this Keelway once: `keelway status`.",
        )


def _must_be_empty(connection: Connection) -> None:
    for table in metadata.sorted_tables:
        if rows := _rows(table, connection):
            raise ConflictError(
                "The target already holds a state",
                expected="a database without one",
                found=f"{rows} rows in {table.name}",
                fix="Make a new database and copy there: two states cannot be joined.",
            )


def _copy(table: Table, source: Connection, target: Connection) -> int:
    count = 0
    with translated():
        rows = source.execution_options(yield_per=CHUNK).execute(select(table).order_by(*table.primary_key))
        for part in rows.mappings().partitions(CHUNK):
            target.execute(table.insert().inline(), [dict(row) for row in part])
            count += len(part)
    return count


def _count_on(connection: Connection) -> None:
    """Let the numbers that PostgreSQL gives go on after those that were copied."""
    if connection.dialect.name != "postgresql":
        return
    for table in metadata.sorted_tables:
        if "seq" in table.c:
            go_on = text(f"SELECT setval(pg_get_serial_sequence('{table.name}', 'seq'), max(seq)) FROM {table.name}")  # noqa: S608
            with translated():
                connection.execute(go_on)
