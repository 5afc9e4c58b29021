"""Several processes may open a new database at once: SQLite's own waiting does not cover its switch to the write-ahead log."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from keelway.engines.sql.writeahead import use_writeahead


def opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, timeout=0, check_same_thread=False)


def mode_of(connection: sqlite3.Connection) -> str:
    return str(connection.execute("PRAGMA journal_mode").fetchone()[0])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with closing(opened(tmp_path / "a.db")) as connection:
        connection.execute("CREATE TABLE t (a)")
    return tmp_path / "a.db"


def test_who_holds_the_database_is_waited_for(path: Path) -> None:
    with closing(opened(path)) as holder, closing(opened(path)) as late:
        holder.execute("BEGIN IMMEDIATE")
        holder.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            late.execute("PRAGMA journal_mode = WAL")
        ending = threading.Timer(0.2, lambda: holder.execute("COMMIT"))
        ending.start()
        use_writeahead(late, wait_ms=30_000)
        ending.join()
        assert mode_of(late) == "wal"


def test_it_is_not_waited_for_ever(path: Path) -> None:
    with closing(opened(path)) as holder, closing(opened(path)) as late:
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            use_writeahead(late, wait_ms=50)
        holder.execute("ROLLBACK")
        assert mode_of(late) == "delete"


def test_what_waiting_does_not_mend_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "b.db").write_bytes(b"no database at all" * 100)
    with closing(opened(tmp_path / "b.db")) as connection, pytest.raises(sqlite3.DatabaseError, match="not a database"):
        use_writeahead(connection, wait_ms=30_000)


def test_a_second_time_changes_nothing(path: Path) -> None:
    with closing(opened(path)) as connection:
        for _ in range(2):
            use_writeahead(connection, wait_ms=0)
        assert mode_of(connection) == "wal"
