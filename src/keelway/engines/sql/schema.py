"""Brings a database to the newest tables. Alembic is loaded only when there is something to change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, inspect, text

from keelway.engines.sql.failures import translated
from keelway.engines.sql.tables import HEAD
from keelway.errors import StorageError

MIGRATIONS = Path(__file__).parent / "migrations"


def bring_up_to_date(connection: Connection) -> None:
    """Apply the migrations that a database lacks, inside the caller's write transaction.

    Raises:
        StorageError: A newer Keelway wrote this database.
    """
    with translated():
        known = inspect(connection).has_table("alembic_version")
        version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar() if known else None
    if version != HEAD:
        _upgrade(connection, version)


def _upgrade(connection: Connection, version: Any) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    try:
        with translated():
            command.upgrade(config, "head")
    except CommandError as error:
        raise StorageError(
            "The state database has tables this Keelway does not know",
            expected=f"version {HEAD} or older",
            found=f"version {version}",
            fix="Install the Keelway that wrote it, or a newer one.",
        ) from error
