"""The vault of keys as one SQLite file of its own, readable by its owner alone.

It is driven without SQLAlchemy: half a million keys are looked up in 1.5 s this way. What is deleted is overwritten
with zeros (`secure_delete`), and the write-ahead log, in which old pages lie until then, is cut to nothing before a
destroying call returns.

    vault = SqliteKeyVault(Path(".keelway/keys/vault.db"))
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.core import Digest
from keelway.engines.sql.writeahead import use_writeahead
from keelway.errors import EngineError, IntegrityError, KeelwayError, SettingsError, StorageError
from keelway.privacy import ArtifactKey, FileTurns, Loss, ValueKey

if TYPE_CHECKING:
    from keelway.privacy import KeyVault

CHUNK = 10_000
"""Keys asked for in one query; SQLite takes up to 32,766 values."""
BUSY_TIMEOUT_MS = 30_000

_TABLES = """
CREATE TABLE IF NOT EXISTS vault (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS value_keys (
    lookup BLOB PRIMARY KEY, key BLOB NOT NULL, mark BLOB NOT NULL, scarce INTEGER NOT NULL) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS value_keys_scarce ON value_keys (mark) WHERE scarce;
CREATE TABLE IF NOT EXISTS spent (mark BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS artifact_keys (
    digest TEXT PRIMARY KEY, sealed TEXT NOT NULL, key BLOB, loss TEXT) WITHOUT ROWID;
"""
_PRAGMAS = (
    f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}",
    "PRAGMA synchronous = FULL",
    "PRAGMA secure_delete = ON",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -65536",
)
_ADD_VALUE = """
INSERT OR IGNORE INTO value_keys (lookup, key, mark, scarce)
SELECT ?1, ?2, ?3, ?4 WHERE NOT ?4 OR NOT EXISTS (SELECT 1 FROM spent WHERE mark = ?3)
"""
_ADD_ARTIFACT = f"""
INSERT INTO artifact_keys (digest, sealed, key) VALUES (?, ?, ?)
ON CONFLICT (digest) DO UPDATE SET sealed = excluded.sealed, key = excluded.key, loss = NULL
WHERE key IS NULL AND loss = '{Loss.EXPIRED}'
"""  # noqa: S608 - a constant of ours


class SqliteKeyVault:
    """A key vault in one SQLite file.

    Args:
        path: The file; made when the first key is asked for.
    """

    def __init__(self, path: Path) -> None:
        self._path = Path(path)
        self._turns = FileTurns(self._path.parent)
        self._lock = threading.RLock()
        self._held: tuple[int, sqlite3.Connection] | None = None
        self._inherited: list[tuple[int, sqlite3.Connection]] = []  # a parent's: never used, never closed here

    def claim(self, fingerprint: bytes) -> None:
        """Bind the vault to the key of a tenant."""
        held = self._tenant()
        if held is None:
            with self._writing() as cursor:
                cursor.execute("INSERT OR IGNORE INTO vault VALUES ('tenant', ?)", (fingerprint,))
            held = self._tenant()
        if held != fingerprint:
            raise SettingsError(
                "The key vault belongs to another tenant's key",
                expected=f"the key that {self._path} was made with",
                found="another one",
                fix="Restore the right key from where you keep secrets; with another one every token would change.",
            )

    def value_keys(self, lookups: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the keys of those lookups that have one."""
        found: dict[bytes, bytes] = {}
        with self._connected() as connection:
            for chunk in _chunks(lookups):
                query = f"SELECT lookup, key FROM value_keys WHERE lookup IN ({_marks(chunk)})"  # noqa: S608
                found.update(connection.execute(query, chunk).fetchall())
        return found

    def add_value_keys(self, fresh: Iterable[ValueKey]) -> None:
        """Add keys, all or none."""
        with self._writing() as cursor:
            cursor.executemany(_ADD_VALUE, sorted(fresh))

    def destroy_values(self, marks: Iterable[bytes]) -> int:
        """Destroy the keys with these marks."""
        with self._writing() as cursor:
            cursor.execute("CREATE TEMP TABLE doomed (mark BLOB PRIMARY KEY) WITHOUT ROWID")
            cursor.executemany("INSERT OR IGNORE INTO doomed VALUES (?)", ((mark,) for mark in marks))
            doomed = "FROM value_keys WHERE mark IN (SELECT mark FROM doomed)"
            cursor.execute(f"INSERT OR IGNORE INTO spent SELECT mark {doomed} AND scarce")
            count = cursor.execute(f"DELETE {doomed}").rowcount
            cursor.execute("DROP TABLE doomed")
        self._wipe()
        return count

    def artifact_key(self, digest: Digest) -> ArtifactKey | None:
        """Return the key of a sealed artifact, or None where it was never sealed."""
        with self._connected() as connection:
            query = "SELECT digest, sealed, key, loss FROM artifact_keys WHERE digest = ?"
            row = connection.execute(query, (digest,)).fetchone()
        return None if row is None else _artifact_key(row)

    def add_artifact_key(self, fresh: ArtifactKey) -> ArtifactKey:
        """Add the key of an artifact that has none, and return the one that stands."""
        with self._writing() as cursor:
            cursor.execute(_ADD_ARTIFACT, (fresh.digest, fresh.sealed, fresh.key))
        standing = self.artifact_key(fresh.digest)
        assert standing is not None
        return standing

    def destroy_artifacts(self, digests: Iterable[Digest], *, loss: Loss) -> int:
        """Destroy the keys of these artifacts."""
        count = 0
        with self._writing() as cursor:
            for digest in digests:
                change = "UPDATE artifact_keys SET key = NULL, loss = ? WHERE digest = ? AND key IS NOT NULL"
                count += cursor.execute(change, (loss, digest)).rowcount
                if loss is Loss.ERASED:  # what had only expired must not come in again either
                    cursor.execute("UPDATE artifact_keys SET loss = ? WHERE digest = ?", (loss, digest))
        self._wipe()
        return count

    def live_artifacts(self) -> set[Digest]:
        """Return the artifacts whose keys are there."""
        with self._connected() as connection:
            rows = connection.execute("SELECT digest FROM artifact_keys WHERE key IS NOT NULL").fetchall()
        return {Digest(digest) for (digest,) in rows}

    def using(self) -> AbstractContextManager[None]:
        """Keep erasures out for the length of a block."""
        return self._turns.using()

    def alone(self) -> AbstractContextManager[None]:
        """Keep everybody else out for the length of a block."""
        return self._turns.alone()

    def close(self) -> None:
        """Release the file."""
        with self._lock:
            if self._held is not None and self._held[0] == os.getpid():
                self._held[1].close()
            self._held = None

    def _tenant(self) -> bytes | None:
        with self._connected() as connection:
            row = connection.execute("SELECT value FROM vault WHERE name = 'tenant'").fetchone()
        return None if row is None else bytes(row[0])

    def _wipe(self) -> None:
        """Write everything into the file and cut the log, where old pages with the keys still lie."""
        with self._connected() as connection:
            [busy, *_] = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise StorageError(
                "The destroyed keys still lie in the vault's log",
                expected="no other process reading the vault",
                found="one that does not end",
                fix="Run the command again: what is left to do is done then.",
            )

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Cursor]:
        """Open a transaction that holds the write lock; it commits when the block ends, rolls back when it raises."""
        with self._connected() as connection:
            cursor = connection.cursor()
            cursor.execute("BEGIN IMMEDIATE")
            try:
                yield cursor
                cursor.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    cursor.execute("ROLLBACK")
                raise
            finally:
                cursor.close()

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """Hold the connection for one thread; a child process opens its own."""
        with self._lock:
            try:
                if self._held is not None and self._held[0] != os.getpid():
                    self._inherited.append(self._held)
                    self._held = None
                self._held = self._held or (os.getpid(), self._opened())
                yield self._held[1]
            except sqlite3.Error as error:
                raise _translated(error, self._path) from error

    def _opened(self) -> sqlite3.Connection:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise StorageError("The key vault cannot be opened", found=str(error), fix=_RIGHTS) from error
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            for pragma in _PRAGMAS:
                connection.execute(pragma)
            use_writeahead(connection, wait_ms=BUSY_TIMEOUT_MS)
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'artifact_keys'").fetchone():
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


def _translated(error: sqlite3.Error, path: Path) -> KeelwayError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # extended codes carry the primary one in their low byte
    if code in _DAMAGED:
        fix = "Restore the vault from a backup; destroy again what was destroyed since (see the ledger's erasures)."
        return IntegrityError("The key vault is damaged", expected=f"a sound {path}", found=str(error), fix=fix)
    if code in _STORAGE:
        return StorageError("The key vault cannot be read or written", found=f"{path}: {error}", fix=_RIGHTS)
    return EngineError("The key vault failed", found=str(error))


def _artifact_key(row: tuple[str, str, bytes | None, str | None]) -> ArtifactKey:
    digest, sealed, key, loss = row
    return ArtifactKey(Digest(digest), Digest(sealed), key, Loss(loss) if loss else None)


def _chunks(lookups: Iterable[bytes]) -> Iterator[list[bytes]]:
    ordered = iter(sorted(set(lookups)))
    while chunk := list(islice(ordered, CHUNK)):
        yield chunk


def _marks(chunk: Sequence[bytes]) -> str:
    return ",".join("?" * len(chunk))


if TYPE_CHECKING:
    _vault: KeyVault = SqliteKeyVault(Path())
