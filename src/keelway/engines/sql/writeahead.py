"""Switching an SQLite database to its write-ahead log while others open it, too."""

from __future__ import annotations

import sqlite3
import time
from typing import Protocol

PAUSE_S = 0.01


class Executes(Protocol):
    """A connection or a cursor."""

    def execute(self, sql: str, /) -> object:
        """Carry out a statement."""
        ...


def use_writeahead(connection: Executes, *, wait_ms: int) -> None:
    """Switch to the write-ahead log, unless that was done before; whoever does the same just now is waited for.

    SQLite's own `busy_timeout` does not wait here: two that both hold a shared lock would wait for each other.

    Raises:
        sqlite3.Error: It cannot be done, or not in time.
    """
    ends = time.monotonic() + wait_ms / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= ends:
                raise
            time.sleep(PAUSE_S)
        else:
            return
