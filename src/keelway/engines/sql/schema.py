"""Brings a database to a version of the tables. Alembic is loaded only when there is something to change."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from keelway.core import migration_turn
from keelway.engines.sql.failures import translated
from keelway.engines.sql.tables import HEAD
from keelway.errors import SettingsError, StorageError, UsageError

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parent / "migrations"
VERSIONS = tuple(sorted(path.name[1:5] for path in (MIGRATIONS / "versions").glob("v????_*.py")))
"""The versions that the tables had, from the first to the newest."""


def version_of(connection: Connection) -> str | None:
    """Return the version of a database's tables, or None where there are none yet."""
    with translated():
        known = inspect(connection).has_table("alembic_version")
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar() if known else None
    return None if found is None else str(found)


def bring_to(connection: Connection, version: str) -> None:
    """Apply the migrations that lead to a version, up or down, inside the caller's write transaction.

    Raises:
        UsageError: There is no such version.
        StorageError: A newer Keelway wrote this database, or what it holds does not fit into the older tables.
    """
    from alembic import command
    from alembic.util import CommandError

    if version not in VERSIONS:
        raise UsageError("There is no such version of the tables", expected=", ".join(VERSIONS), found=repr(version))
    found = version_of(connection)  # again: another process may have been faster, and this one waited for it
    if found == version:
        return
    _must_hold_every_text(connection)
    change = command.upgrade if found is None or found < version else command.downgrade
    try:
        with migration_turn, translated():
            change(alembic_config(connection), version)
    except CommandError as error:
        raise StorageError(
            "The state database has tables this Keelway does not know",
            expected=f"version {HEAD} or older",
            found=f"version {found}",
            fix="Install the Keelway that wrote it, or a newer one.",
        ) from error
    except UsageError as error:
        raise StorageError(
            f"What the database holds does not fit into the tables of version {version}",
            expected="keys of up to 400 characters",
            found=error.found,
            fix="Stay with the newer tables: nothing was changed.",
        ) from error


def alembic_config(connection: Connection) -> Config:
    """Return what Alembic's commands need to work on an open connection."""
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _must_hold_every_text(connection: Connection) -> None:
    if connection.dialect.name != "postgresql":
        return
    with translated():
        encoding = connection.execute(text("SHOW server_encoding")).scalar()
    if encoding != "UTF8":
        raise SettingsError(
            "The database cannot hold every text",
            expected="the encoding UTF8",
            found=str(encoding),
            fix="Make another: createdb --encoding UTF8 --template template0 NAME",
        )
