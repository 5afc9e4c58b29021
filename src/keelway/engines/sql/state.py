"""The state database: one writer at a time, readers that never wait, and every commit on the disk.

SQLite runs in write-ahead mode and takes the write lock when a transaction opens, so that a transaction never
fails half-way because another one was faster. PostgreSQL takes one advisory lock for the same promise.

    state = SqlState("sqlite:////var/lib/keelway/state.db")
    with state.transaction() as tx:
        tx.insert("transactions/1", batch, parent="transactions", at=now)
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import Connection, Engine, create_engine, event, exc, make_url, text

from keelway.engines.sql.failures import translated
from keelway.engines.sql.schema import bring_up_to_date
from keelway.engines.sql.transaction import SqlTransaction
from keelway.errors import MissingExtraError, SettingsError, StorageError, UsageError

if TYPE_CHECKING:
    from keelway.ledger.ports import StateStore

BUSY_TIMEOUT_MS = 30_000
WRITER_LOCK = 0x6B65656C  # "keel": the advisory lock that PostgreSQL writers queue on

Mode = Literal["write", "read"]


class SqlState:
    """A state store on SQLite or PostgreSQL.

    Args:
        url: `sqlite:///relative/path`, `sqlite:////absolute/path` or `postgresql+psycopg://user@host/name`.
        busy_timeout_ms: How long a writer waits for another one before it gives up.

    Raises:
        StorageError: The database cannot be opened or written.
        IntegrityError: The file is damaged or no database.
    """

    def __init__(self, url: str, *, busy_timeout_ms: int = BUSY_TIMEOUT_MS) -> None:
        self._engine = _engine(url, busy_timeout_ms)
        self._writing = threading.local()
        with self._connection("write") as connection:
            bring_up_to_date(connection)

    @contextmanager
    def transaction(self) -> Iterator[SqlTransaction]:
        """Open a transaction that may write; it commits when the block ends and rolls back when it raises."""
        if getattr(self._writing, "now", False):
            raise UsageError(
                "A transaction is already open in this thread",
                expected="one transaction at a time",
                found="a second one, which would wait for the first for ever",
                fix="Pass the open transaction on as `tx`.",
            )
        with self._connection("write") as connection:
            self._writing.now = True
            try:
                yield SqlTransaction(connection, writable=True)
            finally:
                self._writing.now = False

    @contextmanager
    def snapshot(self) -> Iterator[SqlTransaction]:
        """Open a transaction that reads one consistent state and refuses writes."""
        with self._connection("read") as connection:
            yield SqlTransaction(connection, writable=False)

    def close(self) -> None:
        """Release files and connections."""
        self._engine.dispose()

    @contextmanager
    def _connection(self, mode: Mode) -> Iterator[Connection]:
        with translated():
            connection = self._engine.connect()
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
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE" if mode == "write" else "BEGIN")
        if mode == "read":
            # SQLite fixes what a reader sees at its first read, not at BEGIN.
            connection.exec_driver_sql("SELECT 1 FROM sqlite_master LIMIT 1").first()
    elif mode == "write":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": WRITER_LOCK})
    else:
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))


def _engine(url: str, busy_timeout_ms: int) -> Engine:
    try:
        place = make_url(url)
    except exc.ArgumentError as error:
        raise SettingsError("This is no database URL", expected="sqlite:///PATH", found=repr(url)) from error
    if place.get_backend_name() == "sqlite":
        return _sqlite_engine(url, place.database, busy_timeout_ms)
    if place.get_backend_name() != "postgresql":
        raise SettingsError("No such state database", expected="sqlite or postgresql", found=place.drivername)
    try:
        return create_engine(place, pool_size=10, pool_pre_ping=True)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "The PostgreSQL state needs one more package",
            expected="psycopg",
            found="not installed",
            fix="Run: pip install 'keelway[postgres]'",
        ) from error


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
    engine = create_engine(url, pool_size=10, max_overflow=30, connect_args={"timeout": busy_timeout_ms / 1000})

    @event.listens_for(engine, "connect")
    def _prepare(driver: Any, _record: object) -> None:
        driver.isolation_level = None  # the driver must not open transactions of its own
        cursor = driver.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {busy_timeout_ms}")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")  # an acknowledged decision survives a power cut
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    return engine


if TYPE_CHECKING:
    _store: StateStore = SqlState("")
