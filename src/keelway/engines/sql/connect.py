"""How each of the two databases is reached, and how a transaction begins on it.

SQLite runs in write-ahead mode and takes the write lock when a transaction opens, so that a transaction never fails
half-way because another one was faster. PostgreSQL keeps the same promise with one advisory lock, taken before the
first read; without it a transaction would decide on a state that another writer is about to change.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import URL, Connection, Engine, create_engine, event, exc, make_url

from keelway.engines.sql.failures import translated
from keelway.engines.sql.writeahead import use_writeahead
from keelway.errors import MissingExtraError, SettingsError, StorageError

BUSY_TIMEOUT_MS = 30_000
WRITER_LOCK = 0x6B65656C  # "keel": the advisory lock that PostgreSQL writers queue on
POOL = 10
"""Connections that stay open."""
MORE = 30
"""Connections that are opened besides when all of those are in use."""
CONNECT_TIMEOUT_S = 10

_PREPARED = "keelway.busy_timeout_ms"
_SESSION = """
SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3;
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
"""
"""A client whose machine vanished gives the lock back within a minute, and a commit is on the disk before it is told."""

Mode = Literal["write", "read"]


def engine_of(url: str, *, password: str, busy_timeout_ms: int) -> Engine:
    """Return the engine of a database, not connected yet.

    Raises:
        SettingsError: The URL names no database that can hold the state.
        MissingExtraError: The driver of PostgreSQL is not installed.
    """
    try:
        place = make_url(url)
    except exc.ArgumentError as error:
        raise SettingsError("This is no database URL", expected=_EXPECTED, found=repr(url)) from error
    if place.get_backend_name() == "sqlite":
        return _sqlite_engine(url, place.database, busy_timeout_ms)
    if place.drivername not in ("postgresql", "postgresql+psycopg"):
        raise SettingsError("No such state database", expected=_EXPECTED, found=place.drivername)
    return _postgres_engine(place, password, busy_timeout_ms)


@contextmanager
def connected(engine: Engine, mode: Mode) -> Iterator[Connection]:
    """Open a transaction; it commits when the block ends and rolls back when it raises."""
    with translated():
        connection = engine.connect()
    try:
        with translated():
            _begin(connection, mode)
        yield connection
        with translated():
            connection.commit()
    finally:
        # Closing rolls back what was not committed. After a full disk SQLite has done so already.
        with translated():
            connection.close()


def _begin(connection: Connection, mode: Mode) -> None:
    """Let a writer hold the write lock from here on, and a reader see the state of this moment."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE" if mode == "write" else "BEGIN")
        if mode == "read":
            # SQLite fixes what a reader sees at its first read, not at BEGIN.
            connection.exec_driver_sql("SELECT 1 FROM sqlite_master LIMIT 1").first()
        return
    if mode == "read":
        # As above: the first query takes the snapshot.
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT 1")
        return
    # READ COMMITTED whatever the server's default is: a stricter level would read as of before the lock was free.
    timeout_ms = connection.info[_PREPARED]
    connection.exec_driver_sql(
        "SET TRANSACTION ISOLATION LEVEL READ COMMITTED READ WRITE; "
        f"SET LOCAL lock_timeout = {timeout_ms}; SELECT pg_advisory_xact_lock({WRITER_LOCK})"
    )


def _sqlite_engine(url: str, database: str | None, busy_timeout_ms: int) -> Engine:
    if not database or database == ":memory:":
        raise SettingsError(
            "The state must outlive the process", expected="a file, as in sqlite:///state.db", found=repr(url)
        )
    folder = Path(database).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            "The folder of the state database cannot be made", found=str(error), fix=f"Make {folder} writable."
        ) from error
    timeout_s = busy_timeout_ms / 1000
    engine = create_engine(url, pool_size=POOL, max_overflow=MORE, connect_args={"timeout": timeout_s})

    @event.listens_for(engine, "connect")
    def _prepare(driver: Any, _record: object) -> None:
        driver.isolation_level = None  # the driver must not open transactions of its own
        cursor = driver.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {busy_timeout_ms}")
        use_writeahead(cursor, wait_ms=busy_timeout_ms)
        cursor.execute("PRAGMA synchronous = FULL")  # an acknowledged decision survives a power cut
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    return engine


def _postgres_engine(place: URL, password: str, busy_timeout_ms: int) -> Engine:
    place = place.set(drivername="postgresql+psycopg", password=password or place.password)
    given = {"client_encoding": "utf8", "connect_timeout": place.query.get("connect_timeout", CONNECT_TIMEOUT_S)}
    try:
        engine = create_engine(place, pool_size=POOL, max_overflow=MORE, pool_pre_ping=True, connect_args=given)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "The PostgreSQL state needs one more package",
            expected="psycopg",
            found="not installed",
            fix="Run: pip install 'keelway[postgres]'",
        ) from error

    @event.listens_for(engine, "connect")
    def _prepare(driver: Any, record: Any) -> None:
        record.info[_PREPARED] = busy_timeout_ms
        with driver.cursor() as cursor:
            cursor.execute(_SESSION)
        driver.commit()

    return engine


_EXPECTED = "sqlite:///PATH or postgresql://USER@HOST/NAME"
