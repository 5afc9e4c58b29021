"""Commands on the ledger: verify it, list its decisions, publish its checkpoints, and witness those of others."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keelway.core import parse_time, time_text
from keelway.errors import StorageError
from keelway.surfaces.cli.groups import DefaultGroup
from keelway.surfaces.cli.session import FAILURE_EXIT, Session, command, shortened, table

if TYPE_CHECKING:
    from keelway.app.ledger_log import LedgerLine
    from keelway.ledger import AuditReport

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_HEADINGS = ["entry", "at", "action", "subject", "to", "by", "verdict"]


class AuditGroup(DefaultGroup):
    """`keelway audit` is `keelway audit verify`."""

    default = "verify"


@click.group(name="audit", cls=AuditGroup)
def audit() -> None:
    """Check the ledger, list its decisions, publish and witness its checkpoints."""


@command(name="verify")
@click.option(
    "--checkpoint",
    "kept",
    multiple=True,
    help="Also compare with a checkpoint that you kept: a file, a folder, a URL, or git:REPOSITORY.",
)
@click.option("--witness", "keys", multiple=True, type=_FILE, help="A witness's public key (PEM).")
@click.option(
    "--witnesses",
    "needed",
    type=click.IntRange(min=0),
    help="How many witnesses must have signed a checkpoint (default: all named).",
)
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=30,
    show_default=True,
    help="Then show so many decisions, newest last (0: all).",
)
@click.option("--action", help="Show only decisions of this kind, such as promote.")
@click.option("--subject", help="Show only decisions about this, such as churn:2.")
def verify(
    session: Session,
    kept: tuple[str, ...],
    keys: tuple[Path, ...],
    needed: int | None,
    limit: int,
    action: str | None,
    subject: str | None,
) -> None:
    """Check the whole ledger against what was published of it, naming the first bad entry; then list decisions."""
    from keelway.app.publishing import quorum_of

    at = session.app.workspace
    quorum = quorum_of(at.settings.signing, at.root, keys=keys, needed=needed)
    report = session.app.evidence.audit(kept=kept, quorum=quorum)
    lines = session.app.evidence.log(limit=limit, action=action, subject=subject)

    def human() -> None:
        table(_HEADINGS, [_cells(line) for line in lines])
        _tell(report)

    session.show({"report": report, "decisions": lines}, human)
    if not report.ok:
        sys.exit(FAILURE_EXIT)


@command(name="log")
@click.option("--action", default="", help="Only decisions of this kind, such as promote.")
@click.option("--subject", default="", help="Only decisions about this: churn:2, or churn for all its versions.")
@click.option("--principal", default="", help="Only what user:NAME or sp:NAME did.")
@click.option("--environment", default="", help="Only decisions on this environment.")
@click.option("--since", help="Not before this time (ISO 8601, UTC).")
@click.option("--until", help="Before this time (ISO 8601, UTC).")
@click.option("--refused", is_flag=True, help="Only refusals.")
@click.option("--limit", type=click.IntRange(min=0), default=0, help="Only the newest so many (0: all).")
@click.option("--csv", "as_csv", is_flag=True, help="Answer in CSV.")
def log(session: Session, since: str | None, until: str | None, as_csv: bool, **wanted: str | int | bool) -> None:
    """List decisions, oldest first, chosen by what they are about."""
    from keelway.app.ledger_log import LogQuery
    from keelway.app.ledger_log import as_csv as csv_lines

    moments = {"since": parse_time(since) if since else None, "until": parse_time(until) if until else None}
    lines = session.app.evidence.decisions(LogQuery(**wanted, **moments))  # type: ignore[arg-type]  # click has checked

    def human() -> None:
        if not as_csv and not lines:
            click.echo("no decision is like that")
        elif not as_csv:
            table(_HEADINGS, [_cells(line) for line in lines])
        else:
            for line in csv_lines(lines):
                click.echo(line)

    session.show(lines, human)


@command(name="publish")
def publish(session: Session) -> None:
    """Publish a signed checkpoint of the ledger to every target of `signing.checkpoints` and `signing.publish`."""
    done = session.app.evidence.publish()

    def human() -> None:
        click.echo(f"checkpoint of {done.checkpoint.size} entries, root {done.checkpoint.root[:16]}")
        for place in done.places:
            told = place.failed or ("written" if place.written else "held it already")
            click.echo(click.style(f"  {place.where}: {told}", fg="red" if place.failed else None))

    session.show(done, human)
    if not done.ok:
        sys.exit(FAILURE_EXIT)


@command(name="proof")
@click.argument("old", type=click.IntRange(min=0))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write here instead of to the terminal.")
def proof(session: Session, old: int, out: Path | None) -> None:
    """Prove that the ledger extends its first OLD entries: a consistency proof and a checkpoint, for a witness."""
    from keelway.ledger import write_atomically

    text = session.app.evidence.extension(old)
    if out is not None:
        write_atomically(out, text.encode())
    session.show(
        {"old": old, "request": text, "path": str(out or "")}, lambda: click.echo(str(out or text), nl=bool(out))
    )


@command(name="witness")
@click.argument("checkpoint", type=_FILE)
@click.option("--key", "key", required=True, type=_FILE, help="The witness's own private key (PEM).")
@click.option("--log", "log_key", required=True, type=_FILE, help="The public key of the ledger's signer (PEM).")
@click.option(
    "--memory",
    type=click.Path(path_type=Path, file_okay=False),
    help="The witness's folder of what it signed last (default: KEY.seen).",
)
@click.option("--out", type=click.Path(path_type=Path), help="Write the signed checkpoint here: a file, or a folder.")
def witness(
    session: Session, checkpoint: Path, key: Path, log_key: Path, memory: Path | None, out: Path | None
) -> None:
    """Sign CHECKPOINT as a witness, if it extends the last one this witness signed; needs no project.

    CHECKPOINT is what `keelway audit proof` writes, or a bare checkpoint where the witness sees the ledger for the first
    time.
    """
    from keelway.app.publishing import keep_witnessed
    from keelway.ledger import PublicKey, SigningKey, read_request
    from keelway.ledger import witness as sign

    try:
        steps, note = read_request(checkpoint.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError("The checkpoint cannot be read", expected=str(checkpoint), found=str(error)) from error
    seen = memory or key.with_name(f"{key.name}.seen")
    signer, log = SigningKey.load(key), PublicKey.load(log_key)
    done = sign(note, steps, log_key=log, key=signer, memory=seen, at=session.clock.now())
    path = keep_witnessed(done.checkpoint.text, out) if out is not None else None

    def human() -> None:
        before = "never before" if done.before is None else f"before at {done.before} entries"
        click.echo(
            f"{signer.name} signed {done.checkpoint.origin} at {done.checkpoint.size} entries; seen {before}", err=True
        )
        click.echo(str(path) if path else done.checkpoint.text, nl=bool(path))

    session.show({"witnessed": done, "path": str(path or "")}, human)


for _each in (verify, log, publish, proof, witness):
    audit.add_command(_each)


def _tell(report: AuditReport) -> None:
    """Print what an audit found."""
    unproven = all(finding.harm == "checkpoint" for finding in report.findings)
    broken = "IS NOT SHOWN TO HOLD" if unproven else "IS BROKEN"
    state = click.style("holds", fg="green") if report.ok else click.style(broken, fg="red")
    click.echo(f"the ledger of {report.size} entries {state}; root {report.root[:16]}")
    if report.ok and not report.checkpoints:
        click.echo("  no checkpoint was compared: nothing shows that the whole of it was not rewritten")
    if report.witnessed is not None:
        click.echo(f"  witnesses signed the first {report.witnessed} entries")
    if report.first_bad is not None:
        where = f"entry {report.first_bad}"
        if report.last_bad != report.first_bad:
            where = f"between entry {report.first_bad} and entry {report.last_bad}"
        click.echo(f"  the first bad entry: {where}")
    for finding in report.findings:
        click.echo(f"  - {finding.harm}: {finding.what}")


def _cells(line: LedgerLine) -> list[str]:
    told = line.decision
    return [
        str(line.index),
        time_text(told.at),
        told.action,
        shortened(told.subject, 44),
        told.environment,
        told.principal,
        "yes" if told.allowed else "no: " + shortened("; ".join(told.reasons), 60),
    ]
