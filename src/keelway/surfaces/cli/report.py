"""Commands on reports: report compliance, report attach, report packet."""

from __future__ import annotations

from pathlib import Path

import click

from keelway.core import parse_time, time_text
from keelway.surfaces.cli.session import Session, command

FRAMEWORKS = ("eu-ai-act", "gdpr", "hipaa", "iso-42001", "nist-ai-rmf", "soc2")
_COLOURS = {"met": "green", "partly": "yellow", "gap": "red", "not applicable": None}
_framework = click.option("--framework", type=click.Choice(FRAMEWORKS), required=True, help="The law or standard.")


@click.group(name="report")
def report() -> None:
    """Report from the ledger: which controls of a law or standard are answered, by which evidence, at any past date."""


@command(name="compliance")
@_framework
@click.option("--at", "moment", default="", help="As of this time (ISO 8601, UTC) instead of now.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Write the report into this folder.")
@click.option(
    "--format",
    "formats",
    type=click.Choice(["html", "pdf", "json"]),
    multiple=True,
    default=("html", "pdf", "json"),
    show_default=True,
    help="What to write.",
)
def compliance(session: Session, framework: str, moment: str, out: Path | None, formats: tuple[str, ...]) -> None:
    """Say of each control of a framework whether the ledger answers it, by which entries, and what is missing.

    Only entries up to --at are read, so the report of a past date has the same bytes whenever it is made.
    """
    room = session.app.governance.reports
    found = room.compliance(framework, at=parse_time(moment) if moment else None)
    files = room.write(found, out, formats=formats).files if out else ()

    def human() -> None:
        click.echo(f"{found.title}: {found.project} as of {time_text(found.at)}, {found.ledger_size} ledger entries")
        for one in found.answers:
            status = click.style(f"{one.status:<14}", fg=_COLOURS[one.status])
            entries = " ".join(f"#{link.entry}" for link in one.links[:6])
            click.echo(f"{status} {one.control.control_id:<16} {one.control.title} {entries}")
            if one.status in ("gap", "partly"):
                click.echo(f"{'':<14} {one.reason}")
        click.echo(", ".join(f"{number} {status}" for status, number in found.counts.items()))
        for path in files:
            click.echo(f"wrote {path}")

    session.show({"report": found, "files": files}, human)


@command(name="attach")
@click.argument("control")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@_framework
@click.option("--note", default="", help="What it shows.")
@click.option("--valid-until", default="", help="From when on it shows nothing any more (ISO 8601).")
def attach(session: Session, control: str, file: Path, framework: str, note: str, valid_until: str) -> None:
    """Attach FILE to a CONTROL that software cannot answer, such as art-4 of eu-ai-act.

    Takes the role risk-owner, approver, auditor or admin.
    """
    until = parse_time(valid_until) if valid_until else None
    made = session.app.governance.reports.attach(framework, control, file, note=note, valid_until=until)
    session.show(made, lambda: click.echo(f"{made.name} is attached to {framework} {control} ({made.file})"))


@command(name="packet")
@click.argument("model")
@click.option("--to", "environment", required=True, help="The environment, such as prod.")
@click.option("--framework", "frameworks", type=click.Choice(FRAMEWORKS), multiple=True, help="For the checklist.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write it here, as .md, .html or .pdf.")
def packet(session: Session, model: str, environment: str, frameworks: tuple[str, ...], out: Path | None) -> None:
    """Make the governance packet of MODEL for an environment from the project's real state.

    It holds the approval workflow, incident response plan, compliance checklist, rollback procedure and a template for
    the retrospective; what the project does not say stands in it as a gap.
    """
    from keelway.report import report_markdown

    room = session.app.governance.reports
    made = room.packet(model, environment, frameworks=frameworks)
    if out is not None:
        room.write_packet(made, out)
    text = report_markdown(made)
    file = str(out) if out else ""
    session.show(
        {"title": made.title, "markdown": text, "file": file},
        lambda: click.echo(f"wrote {file}" if out else text, nl=bool(out)),
    )


for _command in (compliance, attach, packet):
    report.add_command(_command)
