"""Commands on registries: compare their aliases with the ledger, and heal them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from keelway.core import time_text
from keelway.surfaces.cli.groups import DefaultGroup
from keelway.surfaces.cli.session import FAILURE_EXIT, Session, command

if TYPE_CHECKING:
    from keelway.promote import AliasDrift, UnsafeSkipGate


class _Aliases(DefaultGroup):
    default = "check"


@click.group(name="aliases", cls=_Aliases)
def aliases() -> None:
    """Compare the registries' aliases with the environments' pointers, or heal them."""


@command(name="check")
def check(session: Session) -> None:
    """Find aliases edited past the door and gates skipped too long; raise alerts, and exit with 1 where there are any."""
    found = session.app.versions.registries.check()

    def human() -> None:
        for line in found.drifted:
            click.echo(_drift(line))
        for skip in found.expired:
            click.echo(_skip(skip))
        if found.ok:
            click.echo(click.style("every alias shows its pointer, and no skipped gate is overdue", fg="green"))
        elif found.raised:
            click.echo(f"alerts recorded: {len(found.raised)}")

    session.show(found, human)
    if not found.ok:
        sys.exit(FAILURE_EXIT)


@command(name="sync")
def sync(session: Session) -> None:
    """Let every alias show its environment's pointer again, or nothing where that is empty; edits raise an alert first."""
    left = session.app.versions.registries.sync()

    def human() -> None:
        for line in left:
            click.echo(f"not moved: {_drift(line)}")
        if not left:
            click.echo("every alias shows its pointer")

    session.show(left, human)
    if left:
        sys.exit(FAILURE_EXIT)


def _drift(line: AliasDrift) -> str:
    shown = "nothing" if line.found is None else f"version {line.found}" if line.found else "a version that is not ours"
    expected = f"version {line.expected}" if line.expected else "nothing"
    if line.reason:
        return f"{line.model}@{line.environment} could not be read: {line.reason}; the ledger says {expected}"
    what = "was edited past the door" if line.edited else "was left behind"
    told = f"{line.model}@{line.environment} {what}: it shows {shown}, and the ledger says {expected}"
    if line.edited and line.writers:
        told += f"; who could have done it: {', '.join(line.writers)}"
    if line.edited and line.changed_at:
        told += f"; the registry's last change of the model: {time_text(line.changed_at)}"
    return told


def _skip(skip: UnsafeSkipGate) -> str:
    return (
        f"{skip.version} stands in {skip.environment} past the gate since {time_text(skip.at)}, and should not since "
        f"{time_text(skip.expires_at)}: {skip.reason}"
    )


aliases.add_command(check)
aliases.add_command(sync)
