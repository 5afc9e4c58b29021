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

import msgspec

from keelway.errors import EngineError, FeatureError, IntegrityError, KeelwayError, StorageError
from keelway.features import OnlineCut, OnlineRow, OnlineValue

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
_PRAGMAS = (
    f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",  # a cut lost to a power cut is written again from its feature table
    "PRAGMA cache_size = -65536",
)
_encode = msgspec.msgpack.Encoder().encode
_decode_values = msgspec.msgpack.Decoder(list[float | str | list[float] | None]).decode
_decode_cut = msgspec.msgpack.Decoder(OnlineCut).decode


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
            if held is not None and not cut.replaces(_decode_cut(held[1])):
                return False
            connection.execute("UPDATE numbers SET last = last + 1")
            (number,) = connection.execute("SELECT last FROM numbers").fetchone()
            _insert(connection, number, cut, rows)
            connection.execute("INSERT OR REPLACE INTO cuts VALUES (?, ?, ?)", (cut.model, number, _encode(cut)))
            if held is not None:
                connection.execute("DELETE FROM features WHERE number = ?", (held[0],))
        return True

    def cut(self, model: str) -> OnlineCut | None:
        """Return what is held of a model, or None."""
        with self._connected() as connection:
            found = self._cut(connection, model)
        return None if found is None else found[1]

    def read(self, model: str, entities: Sequence[str]) -> dict[str, OnlineRow]:
        """Return the rows of those entities that have one, all of the same cut."""
        with self._connected() as connection, _transaction(connection, "BEGIN"):
            found = self._cut(connection, model)
            if found is None:
                return {}
            number, cut = found
            held: list[tuple[str, bytes]] = []
            for start in range(0, len(entities), CHUNK):
                part = entities[start : start + CHUNK]
                query = (
                    f"SELECT entity, vals FROM features WHERE number = ? AND entity IN ({','.join('?' * len(part))})"  # noqa: S608
                )
                held += connection.execute(query, (number, *part)).fetchall()
        names = [feature.name for feature in cut.features]
        return {
            entity: OnlineRow(entity, cut.as_of, cut.definition, dict(zip(names, _decode_values(values), strict=True)))
            for entity, values in held
        }

    def close(self) -> None:
        """Release files and connections; those of a parent process are left to it."""
        with self._lock:
            for owner, connection in self._opened:
                if owner == os.getpid():
                    connection.close()
            self._opened = []
            self._own = threading.local()

    def _cut(self, connection: sqlite3.Connection, model: str) -> tuple[int, OnlineCut] | None:
        row = connection.execute("SELECT number FROM cuts WHERE model = ?", (model,)).fetchone()
        if row is None:
            return None
        number = int(row[0])
        known = self._known.get(number)  # a number stands for one cut for ever
        if known is None:
            held = connection.execute("SELECT cut FROM cuts WHERE number = ?", (number,)).fetchone()
            if held is None:  # replaced between the two statements
                return self._cut(connection, model)
            known = _decode_cut(held[0])
            self._known[number] = known
        return number, known

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
        except (sqlite3.Error, msgspec.DecodeError) as error:
            raise _translated(error, self._path) from error


def _insert(
    connection: sqlite3.Connection, number: int, cut: OnlineCut, rows: Iterable[tuple[str, Sequence[OnlineValue]]]
) -> None:
    width = len(cut.features)

    def encoded() -> Iterator[tuple[int, str, bytes]]:
        for entity, values in rows:
            if len(values) != width:
                raise FeatureError(
                    f"A row of {cut.model!r} has another number of values than there are features",
                    expected=str(width),
                    found=f"{len(values)} for {entity!r}",
                )
            yield number, entity, _encode(values)

    try:
        written = connection.executemany("INSERT INTO features VALUES (?, ?, ?)", encoded()).rowcount
    except sqlite3.IntegrityError as error:
        raise FeatureError(f"An entity of {cut.model!r} comes twice", expected="each entity once") from error
    if max(written, 0) != cut.rows:
        raise FeatureError(
            f"The cut of {cut.model!r} has another number of rows", expected=str(cut.rows), found=str(max(written, 0))
        )


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
    if code in _DAMAGED or isinstance(error, msgspec.DecodeError):
        fix = (
            "Delete the file and run `keelway features materialise MODEL`: it holds nothing that cannot be built again."
        )
        return IntegrityError("The online store is damaged", expected=f"a sound {path}", found=str(error), fix=fix)
    if code in _STORAGE:
        return StorageError("The online store cannot be read or written", found=f"{path}: {error}", fix=_RIGHTS)
    return EngineError("The online store failed", found=str(error))


if TYPE_CHECKING:
    _store: OnlineStore = SqliteOnlineStore(Path())
