"""How a target is shown: what is wanted of it, and what each replica answers by; and how a command ends that it does not follow."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from keelway.core import parse_duration, time_text
from keelway.surfaces.cli.session import NOT_EFFECTIVE_EXIT, Session

if TYPE_CHECKING:
    from keelway.app.targets import TargetView
    from keelway.deploy import ObservedReplica


def wait_option(default: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return the option `--wait` of a command that moves traffic."""
    told = (
        "How long to wait at most until every server answers so; exit 4 where one does not by then. 0s does not wait."
    )
    return click.option("--wait", default=default, show_default=True, help=told)


def seconds_of(wait: str) -> float:
    """Return what `--wait` says, in seconds."""
    return parse_duration(wait).total_seconds()


def end_unless_effective(
    session: Session, view: TargetView | None, *, model: str, environment: str, waited: bool
) -> None:
    """End the command with `NOT_EFFECTIVE_EXIT` where the target does not do what was decided, and warn a person.

    Args:
        waited: Whether it was waited for; if not, who answers otherwise may only not have heard of it yet.
    """
    if view is None or view.is_effective or not (view.problem or waited):
        return
    if not session.as_json:
        from keelway.privacy import scrub

        late = [_line(replica) for replica in view.replicas if replica.name in view.lagging]
        click.echo(click.style("Decided and recorded, but not effective everywhere yet", fg="yellow"), err=True)
        click.echo(f"  expected: every server of target {view.target} to answer by deployment {view.wanted}", err=True)
        click.echo(f"  found:    {scrub('; '.join([*([view.problem] if view.problem else []), *late]))}", err=True)
        click.echo(f"  fix:      Look again: keelway deploy plan {model} --env {environment}", err=True)
    sys.exit(NOT_EFFECTIVE_EXIT)


def tell_target_view(view: TargetView | None) -> None:
    """Print what is wanted of a target beside what is there; nothing where nothing is deployed."""
    if view is None:
        return
    click.echo(f"  target {view.target}: deployment {view.wanted} is wanted; {_summary(view)}")
    if view.problem:
        click.echo(f"    - {view.problem}")
    for replica in view.replicas:
        if replica.problem or replica.name in view.lagging:
            click.echo(f"    - {_line(replica)}")


def _summary(view: TargetView) -> str:
    silent, lagging = len(view.silent), len(view.lagging)
    heard = len(view.replicas) - silent
    parts = [f"{silent} {'is' if silent == 1 else 'are'} silent"] if silent else []
    if lagging:
        parts.insert(0, f"{lagging} of {heard} {_replicas(heard)} lag{'s' if lagging == 1 else ''}")
    elif heard:
        parts.insert(0, f"effective on {heard} {_replicas(heard)}")
    return "; ".join(parts) or "nothing is known to answer"


def _line(replica: ObservedReplica) -> str:
    since = f" since {time_text(replica.since)}" if replica.since else ""
    answers = "answers" if replica.silent_since is None else "answered"
    by = "does not answer yet" if replica.deployment is None else f"{answers} by deployment {replica.deployment}{since}"
    return f"{replica.name} {by}" + (f": {replica.problem}" if replica.problem else "")


def _replicas(count: int) -> str:
    return "replica" if count == 1 else "replicas"
