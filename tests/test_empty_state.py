"""A state that is made in a test has the tables that the migrations make."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import create_engine

from keelway.engines.sql import HEAD, SqlState, schema, state


def tables(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


def test_tables_that_were_made_once_are_those_of_the_migrations(tmp_path: Path) -> None:
    assert state.bring_to is not schema.bring_to, "tests begin with tables that are there"
    SqlState(f"sqlite:///{tmp_path}/state.db").close()
    with create_engine(f"sqlite:///{tmp_path}/migrated.db").begin() as connection:
        schema.bring_to(connection, HEAD)
    assert tables(tmp_path / "state.db") == tables(tmp_path / "migrated.db") != []
