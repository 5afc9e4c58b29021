"""The command gc: remove the bytes that nothing needs any more."""

from __future__ import annotations

import click

from keelway.core import short
from keelway.surfaces.cli.session import Session, command

_MEGABYTE = 1e6
_SHOWN = 10


@command(name="gc")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
def gc(session: Session, dry_run: bool) -> None:
    """Remove artifacts that nothing needs any more: leftovers, bytes of retired versions, old evidence.

    What any record, pointer or run names stays, and so does what is younger than `retention` allows. Records and the
    ledger stay whole; the decision lists what went, and an audit counts it as collected.
    """
    found = session.app.versions.collection.collect(dry_run=dry_run)

    def human() -> None:
        verb = "would remove" if dry_run else "removed"
        click.echo(
            f"{verb} {len(found.artifacts)} artifacts, {found.freed_bytes / _MEGABYTE:.1f} MB; {found.kept} stay"
        )
        told = {"that nothing names": found.unreferenced, "that only old decisions name": found.evidence}
        for what, count in told.items():
            if count:
                click.echo(f"  {count} {what}")
        if found.retired:
            click.echo(f"  bytes of the retired versions {', '.join(found.retired)}")
        for digest in found.artifacts[:_SHOWN]:
            click.echo(f"  {short(digest)}")
        if len(found.artifacts) > _SHOWN:
            click.echo(f"  and {len(found.artifacts) - _SHOWN} more (--json lists all)")

    session.show(found, human)
