"""What SQLite and PostgreSQL say differently; only the one that is spoken is loaded."""

from __future__ import annotations

from typing import Any


def insert_of(dialect: str) -> Any:
    """Return the function that makes an `INSERT` which may meet rows that are there.

    Args:
        dialect: `sqlite` or `postgresql`; loading the second takes its drivers along.
    """
    if dialect == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert
    from sqlalchemy.dialects import sqlite

    return sqlite.insert
