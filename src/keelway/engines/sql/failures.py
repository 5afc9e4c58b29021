"""What a database says when it fails, in Keelway's words.

Every error of the driver passes through `translated`, once, and leaves as a `KeelwayError` that says what to do.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import exc

from keelway.errors import ConflictError, EngineError, IntegrityError, KeelwayError, StorageError, UsageError

_DISK = "Free some space or move the database, then run the command again: nothing was half-written."
_RIGHTS = "Check that the file and its folder exist and may be written by this user."
_BUSY = "Another process holds the database: wait for it to end, then run the command again."
_UNREACHED = (
    "Check that it runs and that the URL in keelway.toml is right, then run the command again: what was committed is "
    "there, and nothing is half-written."
)
_GONE = "Wait until it is back, then run the command again: what was committed is there, and nothing is half-written."
_DAMAGED = "Restore the database from a backup; `keelway audit` says which entries are sound."

_POOL_FIXES: dict[type[exc.SQLAlchemyError], tuple[str, str]] = {
    exc.TimeoutError: ("No connection to the state database is free", _BUSY),
    exc.PendingRollbackError: ("The database server went away", _UNREACHED),  # before, and somebody went on
}
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

_POSTGRES_DAMAGE = ("XX001", "XX002")
_POSTGRES_FIXES = {  # by the SQLSTATE, or by its first two characters
    "42501": ("The database refused it", "Check that its user owns the tables and may make some."),
    "53": ("The database server is out of disk, memory or connections", _DISK),
    "25": ("The state database cannot be written", _RIGHTS),
    "28": ("The database refused the login", "Check the user and the secret in keelway.toml."),
    "55": ("The state database is locked", _BUSY),
    "40": ("The transaction met another one", _BUSY),
    "08": ("The database server cannot be reached", _UNREACHED),
    "57": ("The database server is going down or ended the query", _GONE),
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
    if isinstance(error, exc.DataError):
        return UsageError(
            "The state cannot hold this value",
            expected="a text without NUL, and numbers of 64 bits",
            found=found,
            fix="Leave out what no database can hold.",
        )
    if type(error) in _POOL_FIXES:
        what, fix = _POOL_FIXES[type(error)]
        return StorageError(what, found=found, fix=fix)
    if isinstance(origin, sqlite3.Error):
        return _translate_sqlite(getattr(origin, "sqlite_errorcode", 0), found)
    return _translate_postgres(error, str(getattr(origin, "sqlstate", None) or ""), found)


def _translate_sqlite(code: int, found: str) -> KeelwayError:
    primary = code & 0xFF  # extended codes carry the primary one in their low byte
    if primary in _SQLITE_DAMAGE:
        return _damaged(found)
    if primary in _SQLITE_FIXES:
        what, fix = _SQLITE_FIXES[primary]
        return StorageError(what, found=found, fix=fix)
    return EngineError("The state database failed", found=found)


def _translate_postgres(error: exc.SQLAlchemyError, code: str, found: str) -> KeelwayError:
    if code in _POSTGRES_DAMAGE:
        return _damaged(found)
    known = _POSTGRES_FIXES.get(code) or _POSTGRES_FIXES.get(code[:2])
    if known is None and isinstance(error, exc.OperationalError):  # a connection that broke has no code
        known = _POSTGRES_FIXES["08"]
    if known is None:
        return EngineError("The state database failed", found=found)
    what, fix = known
    return StorageError(what, found=found, fix=fix)


def _damaged(found: str) -> IntegrityError:
    return IntegrityError("The state database is damaged", expected="a sound database", found=found, fix=_DAMAGED)
