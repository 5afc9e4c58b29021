"""The state database: one writer at a time, readers that never wait, and every commit on the disk.

state = SqlState("sqlite:////var/lib/keelway/state.db")
with state.transaction() as tx:
    tx.insert("transactions/1", batch, parent="transactions", at=now)
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from keelway.engines.sql.connect import BUSY_TIMEOUT_MS, Mode, connected, engine_of
from keelway.engines.sql.schema import bring_to, version_of
from keelway.engines.sql.tables import HEAD
from keelway.engines.sql.transaction import SqlTransaction
from keelway.errors import UsageError

if TYPE_CHECKING:
    from keelway.ledger.ports import StateStore


class SqlState:
    """A state store on SQLite or PostgreSQL.

    Args:
        url: `sqlite:///relative/path`, `sqlite:////absolute/path` or `postgresql://user@host/name`.
        password: Of the PostgreSQL user; empty leaves it to the URL and to libpq (PGPASSFILE, peer, certificates).
        busy_timeout_ms: How long a writer waits for another one before it gives up.

    Raises:
        StorageError: The database cannot be opened or written.
        IntegrityError: The file is damaged or no database.
    """

    def __init__(self, url: str, *, password: str = "", busy_timeout_ms: int = BUSY_TIMEOUT_MS) -> None:
        self._engine = engine_of(url, password=password, busy_timeout_ms=busy_timeout_ms)
        self._process = os.getpid()
        self._writing = threading.local()
        try:
            self._bring_up_to_date()
        except BaseException:
            self.close()
            raise

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

    def _bring_up_to_date(self) -> None:
        """Migrate an older database; one with the newest tables is only read, so that no writer is waited for."""
        with self._connection("read") as connection:
            found = version_of(connection)
        if found != HEAD:
            with self._connection("write") as connection:
                bring_to(connection, HEAD)

    def _connection(self, mode: Mode) -> AbstractContextManager[Connection]:
        if self._process != os.getpid():  # a connection is one conversation: a child begins its own
            self._engine.dispose(close=False)
            self._process = os.getpid()
        return connected(self._engine, mode)


def migrate(url: str, version: str = HEAD, *, password: str = "") -> tuple[str | None, str]:
    """Bring a database to a version of its tables, up or down; returns the version that it had and has.

    Raises:
        UsageError: There is no such version.
        StorageError: What the database holds does not fit into the older tables; nothing was changed.
    """
    engine = engine_of(url, password=password, busy_timeout_ms=BUSY_TIMEOUT_MS)
    try:
        with connected(engine, "write") as connection:
            found = version_of(connection)
            bring_to(connection, version)
    finally:
        engine.dispose()
    return found, version


if TYPE_CHECKING:
    _store: StateStore = SqlState("")
