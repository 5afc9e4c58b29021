"""Commands on what goes wrong and what is tried out: incidents open, update, close, list, show; drill record, list."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from keelway.core import parse_time, time_text
from keelway.surfaces.cli.groups import DefaultGroup
from keelway.surfaces.cli.session import Session, command, table

if TYPE_CHECKING:
    from keelway.promote import DutyState, IncidentNews, IncidentView

_SEVERITIES = ("minor", "major", "critical")
_KINDS = ("rollback", "by_hand", "restore", "call")
_model = click.option("--model", required=True, help="The model it bears on.")
_environment = click.option("--env", "environment", required=True, help="The environment, such as prod.")


@click.group(name="incidents", cls=DefaultGroup)
def incidents() -> None:
    """Open, follow and close incidents: what went wrong, on which decisions it bears, who has to be told by when."""


@command(name="open")
@click.argument("title")
@_model
@_environment
@click.option("--severity", type=click.Choice(_SEVERITIES), required=True)
@click.option("--decision", "decisions", type=int, multiple=True, help="The number of a ledger entry it bears on.")
@click.option("--prediction", "predictions", multiple=True, help="The id of an answer it bears on.")
@click.option(
    "--aware-at", default="", help="When somebody became aware (ISO 8601; default: now). Deadlines run from it."
)
@click.option("--happened-at", default="", help="When it began (ISO 8601).")
@click.option("--serious", type=click.Choice(["serious", "infrastructure", "death"]), help="EU AI Act, Article 3(49).")
@click.option("--personal-data", is_flag=True, help="Personal data was breached (GDPR, Article 33).")
@click.option("--high-risk-to-persons", is_flag=True, help="... with a high risk to the persons (GDPR, Article 34).")
@click.option("--health-data", is_flag=True, help="Protected health information was breached (HIPAA).")
@click.option("--description", default="", help="What is known so far.")
def open_one(session: Session, title: str, aware_at: str, happened_at: str, **facts: Any) -> None:
    """Open an incident called TITLE; doing it again while it is open returns it."""
    from keelway.promote import IncidentReport

    predictions = facts.pop("predictions")
    serious: Any = facts.pop("serious") or ""
    report = IncidentReport(
        title=title,
        serious=serious,
        aware_at=parse_time(aware_at) if aware_at else session.clock.now(),
        happened_at=parse_time(happened_at) if happened_at else None,
        **facts,
    )
    view = session.app.governance.incidents.open(report, predictions=predictions)
    session.show(view, lambda: _tell(view))


def _news(function: Any) -> Any:
    """Add what an update can say."""
    options = [
        click.argument("number", type=int),
        click.option("--note", default="", help="What was learned or done."),
        click.option("--severity", type=click.Choice(_SEVERITIES), help="What it is now."),
        click.option("--root-cause", default="", help="Why it happened."),
        click.option("--corrective-action", default="", help="What keeps it from happening again."),
        click.option("--notified", multiple=True, metavar="DUTY[=TIME]", help="A duty that was done (default: now)."),
        click.option("--waive", "waived", multiple=True, metavar="DUTY=REASON", help="A duty that does not apply."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


@command(name="update")
@_news
def update(session: Session, number: int, **said: Any) -> None:
    """Add to incident NUMBER what was learned, done, or told to an authority."""
    view = session.app.governance.incidents.update(number, _as_news(said, session.clock.now()))
    session.show(view, lambda: _tell(view))


@command(name="close")
@_news
def close(session: Session, number: int, **said: Any) -> None:
    """Close incident NUMBER; its root cause, corrective action and every notification have to be told.

    Takes the role risk-owner, approver, auditor or admin.
    """
    view = session.app.governance.incidents.close(number, _as_news(said, session.clock.now()))
    session.show(view, lambda: _tell(view))


@command(name="list")
@click.option("--model", help="Only incidents of this model.")
@click.option("--all", "everything", is_flag=True, help="Closed ones too.")
def list_all(session: Session, model: str | None, *, everything: bool) -> None:
    """List the open incidents, the newest first, with the next notification that is due."""
    found = session.app.governance.incidents.listed(model=model, everything=everything)

    def human() -> None:
        table(
            ["number", "severity", "model", "environment", "title", "aware", "state", "next notification"],
            [
                [
                    str(one.incident.number),
                    one.severity,
                    one.incident.model,
                    one.incident.environment,
                    one.incident.title[:50],
                    time_text(one.incident.aware_at),
                    f"closed {time_text(one.closed_at)}" if one.closed_at else "open",
                    next((_duty(state) for state in one.duties if state.open), "-"),
                ]
                for one in found
            ],
        )

    session.show(found, human)


@command(name="show")
@click.argument("number", type=int)
def show(session: Session, number: int) -> None:
    """Show incident NUMBER: what it bears on, its timeline, and who has to be told by when."""
    view = session.app.governance.incidents.show(number)
    session.show(view, lambda: _tell(view))


@click.group(name="drill", cls=DefaultGroup)
def drill() -> None:
    """Record that a fallback plan was tried out, and list which plans are due."""


@command(name="record")
@click.argument("model")
@_environment
@click.option("--kind", type=click.Choice(_KINDS), required=True, help="What was tried out.")
@click.option("--passed/--failed", required=True, default=None, help="Whether it worked as planned.")
@click.option("--held-at", default="", help="When (ISO 8601; default: now).")
@click.option("--seconds", type=float, help="How long it took until the plan was in force.")
@click.option("--with", "participants", multiple=True, help="Who took part.")
@click.option("--findings", default="", help="What was found; a drill that failed needs it.")
def record(session: Session, model: str, environment: str, held_at: str, **facts: Any) -> None:
    """Record a drill of MODEL's fallback plan. Takes the role deployer, risk-owner, approver, auditor or admin."""
    from keelway.promote import DrillReport

    report = DrillReport(held_at=parse_time(held_at) if held_at else session.clock.now(), **facts)
    made = session.app.governance.incidents.record_drill(model, environment, report)
    word = "passed" if made.passed else "failed"
    session.show(made, lambda: click.echo(f"{made.kind} drill {made.number} of {model} in {environment}: {word}"))


@command(name="list")
def drills(session: Session) -> None:
    """List the fallback plans, who is called, and when each was last tried out."""
    lines = session.app.governance.incidents.drills()

    def human() -> None:
        table(
            ["model", "environment", "call", "instead", "last drill", "next due"],
            [
                [
                    line.model,
                    line.environment,
                    " ".join(line.plan.call) if line.plan else "no plan",
                    line.plan.version if line.plan else "",
                    f"{time_text(line.last.held_at)} {'passed' if line.last.passed else 'failed'}"
                    if line.last
                    else "never",
                    ("overdue" if line.overdue else "") or (time_text(line.due_at) if line.due_at else ""),
                ]
                for line in lines
            ],
        )

    session.show(lines, human)


for _command in (open_one, update, close, list_all, show):
    incidents.add_command(_command)
for _command in (record, drills):
    drill.add_command(_command)


def _as_news(said: dict[str, Any], now: datetime) -> IncidentNews:
    from keelway.promote import IncidentNews

    waived = {}
    for entry in said.pop("waived"):
        duty, separator, reason = entry.partition("=")
        if not separator:
            raise click.UsageError(f"--waive takes DUTY=REASON, not {entry!r}.")
        waived[duty] = reason
    notified = {}
    for entry in said.pop("notified"):
        duty, _, moment = entry.partition("=")
        notified[duty] = parse_time(moment) if moment else now
    return IncidentNews(**said, notified=notified, waived=waived)


def _tell(view: IncidentView) -> None:
    found = view.incident
    state = f"closed at {time_text(view.closed_at)}" if view.closed_at else "open"
    click.echo(f"incident {found.number} ({view.severity}, {state}): {found.title}")
    click.echo(f"  {found.model} in {found.environment}, known since {time_text(found.aware_at)}")
    if found.decisions:
        click.echo(f"  bears on ledger entries {', '.join(found.decisions)}")
    if found.predictions:
        click.echo(f"  bears on predictions {', '.join(found.predictions)}")
    click.echo(f"  {time_text(found.opened_at)} {found.opened_by} opened it {found.description}".rstrip())
    for update_ in view.updates:
        told = (
            update_.note
            or update_.root_cause
            or update_.corrective_action
            or ("closed it" if update_.closes else "told of notifications")
        )
        click.echo(f"  {time_text(update_.at)} {update_.by}: {told}")
    for name, text in (("root cause", view.root_cause), ("corrective action", view.corrective_action)):
        click.echo(f"  {name}: {text or 'not known yet'}")
    for state_ in view.duties:
        click.echo(f"  notify {_duty(state_)}")


def _duty(state: DutyState) -> str:
    duty = state.duty
    due = f"by {time_text(duty.due_at)}" if duty.due_at else "without undue delay"
    if state.waived:
        told = f"waived: {state.waived}"
    elif state.done_at:
        told = f"done {time_text(state.done_at)}" + (", late" if state.late else "")
    else:
        told = "LATE" if state.late else "open"
    return f"{duty.duty}: {duty.whom} {due} ({told}; {duty.reference})"
