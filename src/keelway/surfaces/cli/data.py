"""Commands on data: ingest, check, quarantine, snapshots."""

from __future__ import annotations

from pathlib import Path

import click

from keelway.core import short, time_text
from keelway.surfaces.cli.session import Session, command, table


@command(name="ingest")
@click.argument("dataset", required=False)
def ingest(session: Session, dataset: str | None) -> None:
    """Pull the new files of DATASET (default: of every dataset) exactly once, check them and take a snapshot."""
    reports = session.app.data.ingest(dataset)

    def human() -> None:
        for report in reports:
            if not report.files:
                click.echo(f"{report.dataset}: nothing new; snapshot {report.snapshot_number} stands")
                continue
            click.echo(
                f"{report.dataset}: {report.files} files, {report.rows_in} rows in, {report.rows_repaired} repaired, "
                f"{report.rows_quarantined} quarantined, {report.skipped} files skipped, {report.late} late"
                f" -> snapshot {report.snapshot_number} ({short(report.snapshot_id)}) of {report.rows} rows"
            )

    session.show(reports, human)


@command(name="check")
@click.argument("dataset")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, exists=True, dir_okay=False))
def check(session: Session, dataset: str, files: tuple[Path, ...]) -> None:
    """Check FILES against DATASET's contract without loading them; with none, check all that its source matches."""
    report = session.app.data.check(dataset, files)

    def human() -> None:
        click.echo(
            f"{report.dataset}: {report.rows_in} rows, {report.rows_ok} fit the contract, "
            f"{report.rows_quarantined} would be quarantined"
        )
        for reason, count in sorted(report.reasons.items()):
            click.echo(f"  {count} x {reason}")
        for column, repairs in sorted(report.repairs.items()):
            click.echo(f"  repairs of {column}: {', '.join(f'{n} x {kind}' for kind, n in sorted(repairs.items()))}")

    session.show(report, human)


@command(name="quarantine")
@click.argument("dataset")
@click.option("--limit", default=20, show_default=True, help="Show so many rows.")
def quarantine(session: Session, dataset: str, limit: int) -> None:
    """List the rows and files of DATASET that were quarantined, with every reason and the original text."""
    report = session.app.data.quarantine(dataset, limit=limit)

    def human() -> None:
        table(
            ["file", "line", "reasons", "original"],
            [[row.file, str(row.row), "; ".join(row.reasons), row.raw[:60]] for row in report.rows],
        )
        table(["file", "why the whole file"], [[item.name, item.reason] for item in report.files])
        click.echo(f"{report.total_rows} rows and {len(report.files)} files in all")

    session.show(report, human)


@command(name="snapshots")
@click.argument("dataset", required=False)
def snapshots(session: Session, dataset: str | None) -> None:
    """List the immutable versions of DATASET (default: of every dataset), newest first."""
    found = session.app.data.snapshots(dataset)
    session.show(
        found,
        lambda: table(
            ["dataset", "number", "id", "rows", "added", "known until", "taken"],
            [
                [
                    item.dataset,
                    str(item.number),
                    short(item.snapshot_id),
                    str(item.rows),
                    str(item.rows_added),
                    time_text(item.watermark),
                    time_text(item.taken_at),
                ]
                for item in found
            ],
        ),
    )
