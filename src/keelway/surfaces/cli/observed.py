"""How a target is shown: what is wanted of it, and what each replica answers by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from keelway.core import time_text

if TYPE_CHECKING:
    from keelway.app.targets import TargetView
    from keelway.deploy import ObservedReplica


def tell_target_view(view: TargetView | None) -> None:
    """Print what is wanted of a target beside what is there; nothing where nothing is deployed."""
    if view is None:
        return
    count, lagging = len(view.replicas), len(view.lagging)
    if not count:
        seen = "nothing is known to answer"
    elif lagging:
        seen = f"{lagging} of {count} {_replicas(count)} lag{'s' if lagging == 1 else ''}"
    else:
        seen = f"effective on {count} {_replicas(count)}"
    click.echo(f"  target {view.target}: deployment {view.wanted} is wanted; {seen}")
    if view.problem:
        click.echo(f"    - {view.problem}")
    for replica in view.replicas:
        if replica.problem or replica.name in view.lagging:
            click.echo(f"    - {_line(replica)}")


def _line(replica: ObservedReplica) -> str:
    since = f" since {time_text(replica.since)}" if replica.since else ""
    by = (
        f"answers by deployment {replica.deployment}{since}"
        if replica.deployment is not None
        else "does not answer yet"
    )
    return f"{replica.name} {by}" + (f": {replica.problem}" if replica.problem else "")


def _replicas(count: int) -> str:
    return "replica" if count == 1 else "replicas"
