"""Commands of people who approve: requests, checklist, withdraw, revoke, delegate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from keelway.core import parse_time, time_text
from keelway.errors import UsageError
from keelway.surfaces.cli.session import Session, command, table

if TYPE_CHECKING:
    from keelway.promote import Checklist, CountedAnswer

_version = click.argument("version")
_environment = click.option("--to", "environment", required=True, help="The environment, such as staging or prod.")
_break_glass = click.option("--break-glass", is_flag=True, help="Of the request for a way past the gate.")


@command(name="requests")
@click.option("--to", "environment", default="", help="Only requests for this environment.")
@click.option("--all", "every", is_flag=True, help="Closed requests too: admitted, withdrawn, void.")
def requests(session: Session, environment: str, every: bool) -> None:
    """List the open requests, newest first, with who answered and what is missing still."""
    lines = session.app.gate.requests(environment, every=every)

    def human() -> None:
        if not lines:
            click.echo("no request is open")
        for line in lines:
            glass = click.style(" BREAK-GLASS", fg="red") if line.break_glass else ""
            click.echo(f"{line.version} to {line.environment}: {line.state}{glass} (request {line.request_id})")
            told = f": {line.comment}" if line.comment else ""
            click.echo(f"  asked by {line.requested_by} at {time_text(line.at)}{told}")
            for answer in line.answers:
                click.echo(f"  {_answer(answer)}")
            for missing in line.missing:
                click.echo(f"  - {missing}")

    session.show(lines, human)


@command(name="withdraw")
@_version
@_environment
@click.option("--reason", default="", help="Why; kept in the ledger.")
@_break_glass
def withdraw(session: Session, version: str, environment: str, reason: str, break_glass: bool) -> None:
    """Take your request for VERSION back, and with it every answer to it; an admin may too."""
    gate = session.app.gate
    withdrawal = gate.withdraw(version, environment, reason=reason, break_glass=break_glass)
    session.show(withdrawal, lambda: click.echo(f"withdrawn: {gate.version(version).name} to {environment}"))


@command(name="revoke")
@click.argument("subject")
@click.option("--to", "environment", default="", help="The environment, where SUBJECT is a version.")
@click.option("--of", "given_by", default="", help="Whose answer; only an admin revokes that of somebody else.")
@click.option("--reason", default="", help="Why; needed, and kept in the ledger.")
@_break_glass
def revoke(session: Session, subject: str, environment: str, given_by: str, reason: str, break_glass: bool) -> None:
    """Take an answer to the request for SUBJECT (a version) back, or the right lent by it (delegation/NUMBER)."""
    gate = session.app.gate
    if subject.startswith("delegation/"):
        ended = gate.end_delegation(subject, reason=reason)
        session.show(ended, lambda: click.echo(f"{subject} is ended, and what was approved by it counts no more"))
        return
    if not environment:
        raise UsageError(
            "An answer is for an environment", expected="--to ENVIRONMENT, or delegation/NUMBER", found=subject
        )
    revoked = gate.revoke(subject, environment, reason=reason, given_by=given_by, break_glass=break_glass)
    whose = given_by or revoked.principal
    session.show(revoked, lambda: click.echo(f"the answer of {whose} on {subject} counts no more"))


@command(name="delegate")
@click.argument("to", default="")
@click.option("--until", default="", help="When it ends (ISO 8601, UTC).")
@click.option("--reason", default="", help="Why; kept in the ledger.")
@click.option("--list", "listed", is_flag=True, help="List the rights that are lent now.")
def delegate(session: Session, to: str, until: str, reason: str, listed: bool) -> None:
    """Lend your right to approve to another person (user:NAME) until a date; `revoke` takes it back."""
    gate = session.app.gate
    if listed:
        lent = gate.delegations()
        rows = [[one.delegation_id, one.lender, one.delegate, time_text(one.until), one.reason] for one in lent]
        session.show(lent, lambda: table(["id", "of", "lent to", "until", "reason"], rows))
        return
    if not to or not until:
        raise UsageError(
            "Lending a right needs a person and a date",
            expected="keelway delegate user:NAME --until 2026-12-31",
            found=" ".join(part for part in (to, until) if part) or "neither",
        )
    made = gate.delegate(to, until=parse_time(until), reason=reason)
    told = f"{made.delegate} may approve for {made.lender} until {time_text(made.until)} ({made.delegation_id})"
    session.show(made, lambda: click.echo(told))


@command(name="checklist")
@_version
@_environment
@click.option("--done", multiple=True, metavar="ITEM", help="Say that an item is done; can be repeated.")
@click.option("--not-done", "undone", multiple=True, metavar="ITEM", help="Say that an item is not done.")
@click.option("--comment", default="", help="Where it can be seen; kept in the ledger.")
def checklist(
    session: Session, version: str, environment: str, done: tuple[str, ...], undone: tuple[str, ...], comment: str
) -> None:
    """Show what has to be done before VERSION may enter, by the tier of its model's risk; or answer items."""
    gate = session.app.gate
    for item in (*done, *undone):
        gate.answer_checklist(version, environment, item, done=item in done, comment=comment)
    listed = gate.checklist(version, environment)
    session.show(listed, lambda: _tell(listed))


def _tell(listed: Checklist) -> None:
    tier = listed.tier or "not assessed: the items of every tier"
    click.echo(f"{listed.version} to {listed.environment}, risk {tier}")
    answered = {answer.item: answer for answer in listed.answers}
    for item in listed.required:
        answer = answered.get(item)
        mark = click.style("done", fg="green") if item not in listed.missing else click.style("open", fg="red")
        by = f" ({answer.principal}, {time_text(answer.at)})" if answer else ""
        click.echo(f"  {mark}  {item}{by}")
    if not listed.required:
        click.echo("  nothing is required")


def _answer(counted: CountedAnswer) -> str:
    answer = counted.answer
    word = "approved" if answer.approved else "rejected"
    whose = f" for {answer.on_behalf_of}" if answer.on_behalf_of else ""
    comment = f": {answer.comment}" if answer.comment else ""
    void = click.style(f" (counts no more: {counted.void})", fg="yellow") if counted.void else ""
    return f"{answer.principal} {word} it{whose} at {time_text(answer.at)}{comment}{void}"
