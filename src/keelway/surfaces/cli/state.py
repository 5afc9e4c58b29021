"""The commands on the state database: show, migrate, copy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from keelway.surfaces.cli.session import Session, command, table

if TYPE_CHECKING:
    from keelway.app.database import StateView


@click.group(name="state")
def state() -> None:
    """Show the database of records, pointers and ledger; migrate it, or copy it to another."""


@command(name="show")
def show_command(session: Session) -> None:
    """Show where the state is, the version of its tables, and how many rows they have."""
    from keelway.app.database import show_state

    _tell(session, show_state(session.app.workspace))


@command(name="migrate")
@click.option("--to", default="", help="The version to go to, also an older one (default: the newest).")
def migrate_command(session: Session, to: str) -> None:
    """Bring the tables to a version: up before replicas start, down before an older Keelway is installed."""
    from keelway.app.database import migrate_state

    _tell(session, migrate_state(session.app.workspace, to))


@command(name="copy")
@click.option("--to", required=True, help="An empty database: sqlite:PATH or postgresql://USER@HOST/NAME.")
@click.option("--password", default="", help="A secret reference to the password of its user.")
def copy_command(session: Session, to: str, password: str) -> None:
    """Copy the state into an empty database, such as a server's; the settings are yours to change afterwards."""
    from keelway.app.database import copy_to

    _tell(session, copy_to(session.app.workspace, to, password=password))


def _tell(session: Session, view: StateView) -> None:
    def human() -> None:
        way = f"version {view.version}" if view.found in (None, view.version) else f"{view.found} -> {view.version}"
        note = "" if view.version == view.newest else f" (any command of this Keelway brings it to {view.newest} again)"
        click.echo(f"{view.url}: {way}{note}")
        if view.rows:
            table(["table", "rows"], [[name, f"{count:,}"] for name, count in view.rows.items()])

    session.show(view, human)


for _command in (show_command, migrate_command, copy_command):
    state.add_command(_command)
