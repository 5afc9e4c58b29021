"""Commands on evidence: prove, verify, audit, status, doctor."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keelway.core import parse_time, short, time_text
from keelway.surfaces.cli.session import FAILURE_EXIT, Session, command, table

if TYPE_CHECKING:
    from keelway.app.status import LiveLine


@command(name="prove")
@click.argument("subject")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write here (default: proof-SUBJECT.json)."
)
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Prove it by this published checkpoint, such as a witnessed one, instead of a fresh one.",
)
def prove(session: Session, subject: str, out: Path | None, checkpoint: Path | None) -> None:
    """Write one bundle that proves SUBJECT.

    SUBJECT is prediction:ID, MODEL:NUMBER, MODEL@ENVIRONMENT, deployment:MODEL@ENVIRONMENT, run:ID,
    snapshot:DATASET/VERSION, a dataset (its newest snapshot) or a digest.
    """
    proof = session.app.evidence.prove(subject, out=out, checkpoint=checkpoint)

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
@click.option("--explain", is_flag=True, help="Tell the whole chain as a tree, and why each part is believed.")
@click.option(
    "--witness",
    "witnesses",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A witness's public key (PEM).",
)
@click.option(
    "--witnesses",
    "needed",
    type=click.IntRange(min=0),
    help="How many witnesses must have signed the checkpoint (default: all named).",
)
def verify(
    session: Session,
    bundle: Path,
    key: Path,
    files: Path | None,
    explain: bool,
    witnesses: tuple[Path, ...],
    needed: int | None,
) -> None:
    """Check BUNDLE with the public key alone: no project, no store, no network."""
    from keelway.app.evidence import verify_file

    verification = verify_file(bundle, key=key, files=files, witnesses=witnesses, needed=needed)

    def human() -> None:
        for line in verification.explanation if explain else verification.tree:
            click.echo(line)
        click.echo(click.style(f"verified: {verification.subject}", fg="green"))

    session.show(verification, human)


@command(name="status")
@click.option("--at", "moment", help="At this time (ISO 8601, UTC) instead of now.")
def status(session: Session, moment: str | None) -> None:
    """Say what is live where, since when, and who let it in."""
    report = session.app.evidence.status(at=parse_time(moment) if moment else None)

    def human() -> None:
        click.echo(f"{report.project} at {time_text(report.at)}")
        table(
            ["environment", "model", "version", "since", "by", "approved by", "entry", "traffic"],
            [
                [
                    line.environment,
                    line.model,
                    line.version,
                    time_text(line.since),
                    line.by + (f" ({line.action})" if line.action != "promote" else ""),
                    ", ".join(answer.by for answer in line.approvals) or "-",
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
        for place in report.live:
            _tell_evidence(place)
        for line in report.open:
            click.echo(f"  open: {line}")

    session.show(report, human)


def _tell_evidence(line: LiveLine) -> None:
    """Print on what evidence a version was let in."""
    click.echo(f"{line.version} in {line.environment}: entry {line.entry}, {line.action} by {line.by}")
    if line.requested_by:
        click.echo(f"  asked for by {line.requested_by}")
    for answer in line.approvals:
        lent = f" for {answer.on_behalf_of}" if answer.on_behalf_of else ""
        said = f": {answer.comment}" if answer.comment else ""
        click.echo(f"  approved by {answer.by}{lent} at {time_text(answer.at)}{said}")
    if line.policy:
        click.echo(f"  policy {short(line.policy)}, {len(line.rules)} rules: {', '.join(line.rules)}")
    named = ", ".join(f"{role} {short(digest)}" for role, digest in sorted(line.evidence.items()))
    click.echo(f"  evidence: {named}")


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
