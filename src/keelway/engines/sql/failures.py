"""What a database says when it fails, in Keelway's words.

Every error of the driver passes through `translated`, once, and leaves as a `KeelwayError` that says what to do.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import exc

from keelway.errors import ConflictError, EngineError, IntegrityError, KeelwayError, StorageError

_DISK = "Free some space or move the database, then run the command again: nothing was half-written."
_RIGHTS = "Check that the file and its folder exist and may be written by this user."
_BUSY = "Another process holds the database: wait for it to end, then run the command again."
_DAMAGED = "Restore the database from a backup; `keelway audit` says which entries are sound."

_SQLITE_FIXES = {
    sqlite3.SQLITE_FULL: ("The disk is full", _DISK),
    sqlite3.SQLITE_READONLY: ("The state database cannot be written", _RIGHTS),
    sqlite3.SQLITE_CANTOPEN: ("The state database cannot be opened", _RIGHTS),
    sqlite3.SQLITE_PERM: ("The state database cannot be opened", _RIGHTS),
    sqlite3.SQLITE_AUTH: ("The state database cannot be opened", _RIGHTS),
    sqlite3.SQLITE_IOERR: ("The disk under the state database failed", _DISK),
    sqlite3.SQLITE_BUSY: ("The state database is locked", _BUSY),
    sqlite3.SQLITE_LOCKED: ("The state database is locked", _BUSY),
}
_SQLITE_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

_POSTGRES_FIXES = {  # by the first two characters of the SQLSTATE
    "53": ("The database server is out of disk, memory or connections", _DISK),
    "25": ("The state database cannot be written", _RIGHTS),
    "28": ("The database refused the login", "Check the user and the secret in keelway.toml."),
    "55": ("The state database is locked", _BUSY),
    "40": ("The transaction met another one", _BUSY),
    "08": ("The database server cannot be reached", "Check that it runs and that the URL in keelway.toml is right."),
    "57": ("The database server is shutting down", _BUSY),
    "58": ("The disk under the database server failed", _DISK),
}


@contextmanager
def translated() -> Iterator[None]:
    """Turn the database's errors that leave this block into Keelway's."""
    try:
        yield
    except exc.SQLAlchemyError as error:
        raise translate(error) from error


def translate(error: exc.SQLAlchemyError) -> KeelwayError:
    """Return what an error of the database means, with what to do about it."""
    origin = error.orig if isinstance(error, exc.DBAPIError) else None
    found = str(origin or error)
    if isinstance(origin, sqlite3.DatabaseError) and "malformed" in found:
        return _damaged(found)
    if isinstance(error, exc.IntegrityError):
        return ConflictError(
            "The state changed meanwhile", expected="a free key", found=found, fix="Run the command again."
        )
    if isinstance(error, exc.TimeoutError):
        return StorageError("No connection to the state database is free", found=found, fix=_BUSY)
    if isinstance(origin, sqlite3.Error):
        return _translate_sqlite(getattr(origin, "sqlite_errorcode", 0), found)
    what, fix = _POSTGRES_FIXES.get(str(getattr(origin, "sqlstate", None) or "")[:2], ("", ""))
    if not what and isinstance(error, exc.OperationalError):
        what, fix = _POSTGRES_FIXES["08"]
    return StorageError(what, found=found, fix=fix) if what else EngineError("The state database failed", found=found)


def _translate_sqlite(code: int, found: str) -> KeelwayError:
    primary = code & 0xFF  # extended codes carry the primary one in their low byte
    if primary in _SQLITE_DAMAGE:
        return _damaged(found)
    if primary in _SQLITE_FIXES:
        what, fix = _SQLITE_FIXES[primary]
        return StorageError(what, found=found, fix=fix)
    return EngineError("The state database failed", found=found)


def _damaged(found: str) -> IntegrityError:
    return IntegrityError("The state database is damaged", expected="a sound database", found=found, fix=_DAMAGED)
