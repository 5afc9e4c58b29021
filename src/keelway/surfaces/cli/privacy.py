"""Commands on personal data: erase."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from keelway.errors import UsageError
from keelway.surfaces.cli.session import Session, command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keelway.app.privacy import ErasureAnswer

SHOWN = 20


@command(name="erase")
@click.option("--subject", help="The value that names the person, as the contract's repairs leave it; - reads it.")
@click.option("--dataset", help="Look only in this dataset; keys that others need stay.")
@click.option("--expired", is_flag=True, help="Instead: destroy what is kept longer than it may be.")
@click.option("--dry-run", "dry", is_flag=True, help="Only say what would be destroyed.")
@click.option("--comment", default="", help="Why, such as the number of the request; who it is about is left out.")
def erase(session: Session, subject: str | None, dataset: str | None, expired: bool, dry: bool, comment: str) -> None:
    """Erase a person by destroying keys, and list everything that was made from their rows (needs the role admin)."""
    if (subject is None) is not expired:
        raise UsageError("What is to be erased?", expected="--subject VALUE, or --expired", found="neither, or both")
    privacy = session.app.privacy
    if subject is None:
        answer = privacy.expire(dry=dry, comment=comment)
    else:
        value = sys.stdin.readline().rstrip("\r\n") if subject == "-" else subject
        answer = privacy.erase(value, dataset=dataset, dry=dry, comment=comment)
    session.show(answer, lambda: _tell(answer))


def _tell(answer: ErasureAnswer) -> None:
    erasure, done, uses = answer.erasure, answer.done, answer.erasure.uses
    for number in answer.finished:
        click.echo(f"erasure {number} had been left half-done; it is finished")
    if done is not None:
        click.echo(f"erasure {erasure.number}: destroyed the keys of {done.values} values and {done.artifacts} files")
    elif erasure.values or erasure.artifacts:
        click.echo(f"would destroy the keys of {len(erasure.values)} values and {len(erasure.artifacts)} files")
    else:
        click.echo("nothing is found that could be destroyed")
    _list("used by the versions", [used.name for used in uses.snapshots])
    _list("feature tables", [used.name for used in uses.feature_tables])
    _list("runs", uses.runs)
    _list("model versions", [used.name for used in uses.versions])
    _list("deployments", [used.name for used in uses.deployments])
    _list("predictions", uses.predictions)
    _list("RETRAIN DECISION DUE", uses.retrain_due)
    _list("DELETE in the object store, by hand", erasure.objects)
    _list("DELETE by hand, they are not sealed", erasure.in_clear)
    _list("could not be searched", erasure.unsearched)


def _list(what: str, lines: Sequence[str]) -> None:
    if lines:
        click.echo(f"{what} ({len(lines)}):")
    for line in lines[:SHOWN]:
        click.echo(f"  {line}")
    if len(lines) > SHOWN:
        click.echo(f"  and {len(lines) - SHOWN} more: --json lists them all")
