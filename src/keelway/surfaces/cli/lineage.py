"""Commands on lineage: lineage export, send."""

from __future__ import annotations

from pathlib import Path

import click

from keelway.core import parse_time
from keelway.surfaces.cli.session import Session, command

_since = click.option("--since", default="", help="Only events of this time or later (ISO 8601, UTC).")


@click.group(name="lineage")
def lineage() -> None:
    """Tell lineage catalogues of runs and steps, what they read and what they made (OpenLineage)."""


@command(name="export")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="Write here, one event a line."
)
@_since
def export(session: Session, out: Path, since: str) -> None:
    """Write the events of all runs as lines of JSON."""
    found = session.app.runs.lineage.export(out, since=parse_time(since) if since else None)
    session.show(found, lambda: click.echo(f"wrote {found.events} events to {found.to}"))


@command(name="send")
@_since
def send(session: Session, since: str) -> None:
    """Send the events of all runs to the server of `lineage.url`; to send them again does no harm."""
    found = session.app.runs.lineage.send(since=parse_time(since) if since else None)
    session.show(found, lambda: click.echo(f"sent {found.events} events to {found.to}"))


for each in (export, send):
    lineage.add_command(each)
