"""Commands on evidence: prove, verify, audit, status, doctor."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from keelway.core import parse_time, short, time_text
from keelway.surfaces.cli.session import FAILURE_EXIT, Session, command, table


@command(name="prove")
@click.argument("subject")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write here (default: proof-SUBJECT.json)."
)
def prove(session: Session, subject: str, out: Path | None) -> None:
    """Write one bundle that proves SUBJECT: prediction:ID, MODEL:NUMBER, MODEL@ENVIRONMENT, a run id or a digest."""
    proof = session.app.evidence.prove(subject, out=out)

    def human() -> None:
        click.echo(f"wrote {proof.path} ({proof.size_bytes} bytes)")
        click.echo(f"  {proof.records} records, {proof.entries} ledger entries, {proof.raw_files} raw files")
        click.echo(f"  check it anywhere: keelway verify {proof.path} --key {session.app.evidence.public_key_path()}")

    session.show(proof, human)


@command(name="verify")
@click.argument("bundle", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--key",
    "key",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The signer's public key (PEM).",
)
@click.option(
    "--files",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Also hash the raw files under this folder and compare.",
)
def verify(session: Session, bundle: Path, key: Path, files: Path | None) -> None:
    """Check BUNDLE with the public key alone: no project, no store, no network."""
    from keelway.app.evidence import verify_file

    verification = verify_file(bundle, key=key, files=files)

    def human() -> None:
        for line in verification.tree:
            click.echo(line)
        click.echo(click.style(f"verified: {verification.subject}", fg="green"))

    session.show(verification, human)


@command(name="audit")
@click.option("--limit", default=30, show_default=True, help="Show so many decisions, newest last (0: all).")
@click.option("--action", help="Only decisions of this kind, such as promote.")
@click.option("--subject", help="Only decisions about this, such as churn:2.")
def audit(session: Session, limit: int, action: str | None, subject: str | None) -> None:
    """Check the whole ledger against its published checkpoints, then list its decisions."""
    report = session.app.evidence.audit()
    lines = session.app.evidence.log(limit=limit, action=action, subject=subject)

    def human() -> None:
        table(
            ["entry", "at", "action", "subject", "to", "by", "verdict"],
            [
                [
                    str(line.index),
                    time_text(line.decision.at),
                    line.decision.action,
                    line.decision.subject[:44],
                    line.decision.environment,
                    line.decision.principal,
                    "yes" if line.decision.allowed else "no: " + "; ".join(line.decision.reasons)[:60],
                ]
                for line in lines
            ],
        )
        state = click.style("holds", fg="green") if report.ok else click.style("IS BROKEN", fg="red")
        click.echo(f"the ledger of {report.size} entries {state}; root {report.root[:16]}")
        for problem in report.problems:
            click.echo(f"  - {problem}")

    session.show({"report": report, "decisions": lines}, human)
    if not report.ok:
        sys.exit(FAILURE_EXIT)


@command(name="status")
@click.option("--at", "moment", help="At this time (ISO 8601, UTC) instead of now.")
def status(session: Session, moment: str | None) -> None:
    """Say what is live where, since when, and who let it in."""
    report = session.app.evidence.status(at=parse_time(moment) if moment else None)

    def human() -> None:
        click.echo(f"{report.project} at {time_text(report.at)}")
        table(
            ["environment", "model", "version", "since", "by", "entry", "traffic"],
            [
                [
                    line.environment,
                    line.model,
                    line.version,
                    time_text(line.since),
                    line.by,
                    str(line.entry),
                    " ".join(f"{name}={share}%" for name, share in sorted(line.traffic.items())) or "-",
                ]
                for line in report.live
            ],
        )
        table(
            ["dataset", "snapshot", "rows", "known until"],
            [
                [item.dataset, f"{item.number} ({short(item.snapshot_id)})", str(item.rows), time_text(item.watermark)]
                for item in report.datasets
            ],
        )
        for line in report.open:
            click.echo(f"  open: {line}")

    session.show(report, human)


@command(name="doctor")
def doctor(session: Session) -> None:
    """Check this project: ledger, pointers, stored bytes, snapshots, registry aliases, unfinished runs."""
    checkup = session.app.evidence.doctor()

    def human() -> None:
        for line in checkup.lines:
            mark = click.style("ok  ", fg="green") if line.ok else click.style("FAIL", fg="red")
            click.echo(f"{mark} {line.what}: {line.found}")
            if line.fix:
                click.echo(f"     fix: {line.fix}")

    session.show(checkup, human)
    if not checkup.ok:
        sys.exit(FAILURE_EXIT)
