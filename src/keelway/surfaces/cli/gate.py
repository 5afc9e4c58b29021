"""Commands at the one door: promote, approve, reject, and what leads there."""

from __future__ import annotations

import sys

import click

from keelway.core import short, time_text
from keelway.errors import UsageError
from keelway.surfaces.cli.session import REFUSED_EXIT, Session, command

_version = click.argument("version")
_environment = click.option("--to", "environment", required=True, help="The environment, such as staging or prod.")
_comment = click.option("--comment", default="", help="Why; kept in the ledger.")
_behalf = click.option("--for", "behalf", default="", help="Use the right that this approver lent you.")
_break_glass = click.option("--break-glass", is_flag=True, help="Of the request for a way past the gate.")


@command(name="promote")
@click.argument("versions", nargs=-1, required=True, metavar="VERSION...")
@_environment
@_comment
@click.option("--request", "ask", is_flag=True, help="Only ask: open a request that people can approve.")
@click.option("--check", "dry", is_flag=True, help="Only judge, change nothing: exits with 3 where the gate says no.")
@click.option(
    "--break-glass", is_flag=True, help="Go past the gate, with two approvals of such a request and a reason."
)
@click.option("--reason", default="", help="Why it cannot wait (with --break-glass).")
def promote(
    session: Session,
    versions: tuple[str, ...],
    environment: str,
    comment: str,
    ask: bool,
    dry: bool,
    break_glass: bool,
    reason: str,
) -> None:
    """Let versions (MODEL:NUMBER, or MODEL for its newest) into an environment, all or none; or ask for one."""
    if reason and not break_glass:
        raise UsageError("A reason belongs to --break-glass", expected="--comment", found="--reason")
    if ask or dry or break_glass:
        version = _single(versions)
        if dry:
            _judge(session, version, environment)
        elif ask:
            _ask(session, version, environment, reason or comment, break_glass)
        else:
            _skip(session, version, environment, reason or comment)
        return
    admissions = session.app.gate.promote_together(versions, environment, comment=comment)

    def human() -> None:
        for admission in admissions:
            click.echo(f"{admission.version} is admitted to {environment} by {admission.principal}")
            click.echo(f"  evidence {short(admission.evidence)}, {len(admission.verdict.rules)} rules said yes")

    session.show(admissions[0] if len(admissions) == 1 else admissions, human)


@command(name="approve")
@_version
@_environment
@_comment
@_behalf
@_break_glass
def approve(session: Session, version: str, environment: str, comment: str, behalf: str, break_glass: bool) -> None:
    """Approve VERSION for an environment; its author, trainer and requester cannot."""
    gate = session.app.gate
    approval = gate.approve(version, environment, comment=comment, behalf=behalf, break_glass=break_glass)
    whose = f" for {approval.on_behalf_of}" if approval.on_behalf_of else ""
    session.show(approval, lambda: click.echo(f"{approval.principal} approved {gate.version(version).name}{whose}"))


@command(name="reject")
@_version
@_environment
@click.option("--reason", "--comment", "comment", default="", help="Why; needed, and kept in the ledger.")
@_behalf
@_break_glass
def reject(session: Session, version: str, environment: str, comment: str, behalf: str, break_glass: bool) -> None:
    """Reject VERSION for an environment; the reason stays in the ledger."""
    gate = session.app.gate
    approval = gate.reject(version, environment, comment=comment, behalf=behalf, break_glass=break_glass)
    session.show(approval, lambda: click.echo(f"{approval.principal} rejected {gate.version(version).name}"))


def _single(versions: tuple[str, ...]) -> str:
    if len(versions) != 1:
        raise UsageError(
            "Asking, judging and going past the gate is for one version at a time",
            expected="one version",
            found=", ".join(versions),
        )
    return versions[0]


def _judge(session: Session, version: str, environment: str) -> None:
    verdict = session.app.gate.check(version, environment)

    def human() -> None:
        click.echo("the gate says yes" if verdict.allowed else "the gate says no")
        for reason in verdict.reasons:
            click.echo(f"  - {reason}")
        click.echo(f"  rules asked: {', '.join(verdict.rules) or 'none'}")

    session.show(verdict, human)
    if not verdict.allowed:
        sys.exit(REFUSED_EXIT)


def _ask(session: Session, version: str, environment: str, comment: str, break_glass: bool) -> None:
    request = session.app.gate.request(version, environment, comment=comment, break_glass=break_glass)
    what = f"a way past the gate of {environment} for {request.version}" if break_glass else ""
    told = what or f"{request.version} to {environment}"
    session.show(request, lambda: click.echo(f"asked: {told} (request {request.request_id})"))


def _skip(session: Session, version: str, environment: str, reason: str) -> None:
    admission = session.app.gate.unsafe_skip_gate(version, environment, reason=reason)

    def human() -> None:
        if admission.unsafe is None:
            click.echo(f"{admission.version} is admitted to {environment} already")
            return
        told = f"UnsafeSkipGate: {admission.version} went past the gate of {environment} by {admission.principal}"
        click.echo(click.style(told, fg="red"))
        click.echo(f"  at {time_text(admission.at)}; promote it regularly, or roll back: keelway doctor reminds you")

    session.show(admission, human)
