"""Commands at the one door: promote, approve, reject."""

from __future__ import annotations

import click

from keelway.core import short
from keelway.surfaces.cli.session import Session, command

_version = click.argument("version")
_environment = click.option("--to", "environment", required=True, help="The environment, such as staging or prod.")
_comment = click.option("--comment", default="", help="Why; kept in the ledger.")


@command(name="promote")
@_version
@_environment
@_comment
@click.option("--request", "ask", is_flag=True, help="Only ask: open a request that people can approve.")
@click.option("--check", "dry", is_flag=True, help="Only judge: say what the gate would answer, change nothing.")
def promote(session: Session, version: str, environment: str, comment: str, ask: bool, dry: bool) -> None:
    """Let VERSION (MODEL:NUMBER, or MODEL for its newest) into an environment, or ask for it."""
    if dry:
        verdict = session.app.gate.check(version, environment)
        session.show(verdict, lambda: _tell_verdict(verdict.allowed, verdict.reasons, verdict.rules))
        return
    if ask:
        request = session.app.gate.request(version, environment, comment=comment)
        session.show(
            request, lambda: click.echo(f"asked: {request.version} to {environment} (request {request.request_id})")
        )
        return
    admission = session.app.gate.promote(version, environment, comment=comment)

    def human() -> None:
        click.echo(f"{admission.version} is admitted to {environment} by {admission.principal}")
        click.echo(f"  evidence {short(admission.evidence)}, {len(admission.verdict.rules)} rules said yes")

    session.show(admission, human)


@command(name="approve")
@_version
@_environment
@_comment
def approve(session: Session, version: str, environment: str, comment: str) -> None:
    """Approve VERSION for an environment; its author, trainer and requester cannot."""
    approval = session.app.gate.approve(version, environment, comment=comment)
    session.show(
        approval, lambda: click.echo(f"{approval.principal} approved {session.app.gate.version(version).name}")
    )


@command(name="reject")
@_version
@_environment
@_comment
def reject(session: Session, version: str, environment: str, comment: str) -> None:
    """Reject VERSION for an environment; the reason stays in the ledger."""
    approval = session.app.gate.reject(version, environment, comment=comment)
    session.show(
        approval, lambda: click.echo(f"{approval.principal} rejected {session.app.gate.version(version).name}")
    )


def _tell_verdict(allowed: bool, reasons: tuple[str, ...], rules: tuple[str, ...]) -> None:
    click.echo("the gate says yes" if allowed else "the gate says no")
    for reason in reasons:
        click.echo(f"  - {reason}")
    click.echo(f"  rules asked: {', '.join(rules) or 'none'}")
