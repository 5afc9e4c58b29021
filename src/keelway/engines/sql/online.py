"""The online store as one SQLite file: a row of values is one small blob, read by primary key.

A cut is written under a number of its own, and one row says which number is the model's cut. Both change in one
transaction, so that readers (which SQLite's write-ahead log lets go on meanwhile) see the cut before it or all of it.

    store = SqliteOnlineStore(Path(".keelway/online.db"))
    store.read("churn", ["00017"])["00017"].values["recency_d"]
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keelway.engines.sql.writeahead import use_writeahead
from keelway.errors import EngineError, IntegrityError, KeelwayError, StorageError
from keelway.features import (
    UNREADABLE,
    OnlineCut,
    OnlineRow,
    OnlineValue,
    check_rows,
    cut_bytes,
    cut_of_bytes,
    entity_twice,
    row_bytes,
    row_of_bytes,
)

if TYPE_CHECKING:
    from keelway.features import OnlineStore

CHUNK = 10_000
"""Entities asked for in one query; SQLite takes up to 32,766 values."""
BUSY_TIMEOUT_MS = 30_000

_TABLES = """
CREATE TABLE IF NOT EXISTS cuts (model TEXT PRIMARY KEY, number INTEGER NOT NULL UNIQUE, cut BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS numbers (last INTEGER NOT NULL);
INSERT INTO numbers SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM numbers);
CREATE TABLE IF NOT EXISTS features (
    number INTEGER NOT NULL, entity TEXT NOT NULL, vals BLOB NOT NULL, PRIMARY KEY (number, entity)) WITHOUT ROWID;
"""
_ROWS = (
    "SELECT number, entity, vals FROM features "
    "WHERE number = (SELECT number FROM cuts WHERE model = ?) AND entity IN ({})"
)
_PRAGMAS = (
    f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}",
    "PRAGMA synchronous = NORMAL",  # a cut lost to a power cut is written again from its feature table
    "PRAGMA cache_size = -65536",
)


class SqliteOnlineStore:
    """An online store in one SQLite file.

    Args:
        path: The file; made when the store is first used.
    """

    def __init__(self, path: Path) -> None:
        self._path = Path(path)
        self._own = threading.local()
        self._opened: list[tuple[int, sqlite3.Connection]] = []
        self._lock = threading.Lock()
        self._known: dict[int, OnlineCut] = {}

    def write(self, cut: OnlineCut, rows: Iterable[tuple[str, Sequence[OnlineValue]]]) -> bool:
        """Put a cut in the place of the model's older one, and return whether it was."""
        with self._connected() as connection, _transaction(connection, "BEGIN IMMEDIATE"):
            held = connection.execute("SELECT number, cut FROM cuts WHERE model = ?", (cut.model,)).fetchone()
            if held is not None and not cut.replaces(cut_of_bytes(held[1])):
                return False
            connection.execute("UPDATE numbers SET last = last + 1")
            (number,) = connection.execute("SELECT last FROM numbers").fetchone()
            _insert(connection, number, cut, rows)
            connection.execute("INSERT OR REPLACE INTO cuts VALUES (?, ?, ?)", (cut.model, number, cut_bytes(cut)))
            if held is not None:
                connection.execute("DELETE FROM features WHERE number = ?", (held[0],))
        return True

    def cut(self, model: str) -> OnlineCut | None:
        """Return what is held of a model, or None."""
        with self._connected() as connection:
            return self._cut(connection, model)

    def read(self, model: str, entities: Sequence[str]) -> dict[str, OnlineRow]:
        """Return the rows of those entities that have one, all of the same cut."""
        with self._connected() as connection:
            while held := self._rows(connection, model, entities):
                cut = self._numbered(connection, held[0][0])
                if cut is not None:
                    return {entity: row_of_bytes(cut, entity, values) for _, entity, values in held}
        return {}

    def close(self) -> None:
        """Release files and connections; those of a parent process are left to it."""
        with self._lock:
            for owner, connection in self._opened:
                if owner == os.getpid():
                    connection.close()
            self._opened = []
            self._own = threading.local()

    def _rows(
        self, connection: sqlite3.Connection, model: str, entities: Sequence[str]
    ) -> list[tuple[int, str, bytes]]:
        """Return the number of the standing cut with each row of it; one statement sees one cut."""
        if len(entities) <= CHUNK:
            marks = ",".join("?" * len(entities))
            return connection.execute(_ROWS.format(marks), (model, *entities)).fetchall()
        with _transaction(connection, "BEGIN"):
            parts = [entities[start : start + CHUNK] for start in range(0, len(entities), CHUNK)]
            return [row for part in parts for row in self._rows(connection, model, part)]

    def _cut(self, connection: sqlite3.Connection, model: str) -> OnlineCut | None:
        held = connection.execute("SELECT cut FROM cuts WHERE model = ?", (model,)).fetchone()
        return None if held is None else cut_of_bytes(held[0])

    def _numbered(self, connection: sqlite3.Connection, number: int) -> OnlineCut | None:
        """Return the cut with a number; None where it was replaced since its rows were read."""
        if number not in self._known:  # a number stands for one cut for ever
            held = connection.execute("SELECT cut FROM cuts WHERE number = ?", (number,)).fetchone()
            if held is None:
                return None
            self._known[number] = cut_of_bytes(held[0])
        return self._known[number]

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            held = getattr(self._own, "held", None)
            if held is None or held[0] != os.getpid():  # SQLite's connections must not cross a fork
                held = (os.getpid(), _open(self._path))
                self._own.held = held
                with self._lock:
                    self._opened.append(held)
            yield held[1]
        except (sqlite3.Error, UNREADABLE) as error:
            raise _translated(error, self._path) from error


def _insert(
    connection: sqlite3.Connection, number: int, cut: OnlineCut, rows: Iterable[tuple[str, Sequence[OnlineValue]]]
) -> None:
    encoded = ((number, entity, row_bytes(cut, values)) for entity, values in rows)
    try:
        written = connection.executemany("INSERT INTO features VALUES (?, ?, ?)", encoded).rowcount
    except sqlite3.IntegrityError as error:
        raise entity_twice(cut) from error
    check_rows(cut, max(written, 0))


@contextmanager
def _transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    connection.execute(begin)
    try:
        yield
    except BaseException:
        if connection.in_transaction:  # a full disk has undone it already
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _open(path: Path) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise StorageError("The online store cannot be opened", found=str(error), fix=_RIGHTS) from error
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        for pragma in _PRAGMAS:
            connection.execute(pragma)
        use_writeahead(connection, wait_ms=BUSY_TIMEOUT_MS)
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'features'").fetchone():
            connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


_RIGHTS = "Check that the file and its folder exist and may be written by this user, and that the disk is not full."
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_STORAGE = (
    *(sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM),
    *(sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED),
)


def _translated(error: Any, path: Path) -> KeelwayError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # extended codes carry the primary one in their low byte
    if code in _DAMAGED or isinstance(error, UNREADABLE):
        fix = (
            "Delete the file and run `keelway features materialise MODEL`: it holds nothing that cannot be built again."
        )
        return IntegrityError("The online store is damaged", expected=f"a sound {path}", found=str(error), fix=fix)
    if code in _STORAGE:
        return StorageError("The online store cannot be read or written", found=f"{path}: {error}", fix=_RIGHTS)
    return EngineError("The online store failed", found=str(error))


if TYPE_CHECKING:
    _store: OnlineStore = SqliteOnlineStore(Path())
