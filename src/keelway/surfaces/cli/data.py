"""Commands that bring data in: ingest, check."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keelway.core import parse_duration, parse_time, plain, short, time_text
from keelway.errors import UsageError
from keelway.surfaces.cli.session import Session, command, table

if TYPE_CHECKING:
    from datetime import date, datetime

    from keelway.app.ingest_report import IngestPreview, IngestReport
    from keelway.app.ingest_watch import Turn
    from keelway.contract import IngestAlert

WARNED = 5
"""Warnings and reasons that are told to people; `--json` has all of them."""


@command(name="ingest")
@click.argument("dataset", required=False)
@click.option("--watch", "watching", is_flag=True, help="Go on until stopped: by the schedule, or --every.")
@click.option("--every", default="", metavar="TIME", help="With --watch: look so often, such as 60s or 5m.")
@click.option(
    "--backfill", default="", metavar="FROM..TO", help="Only files of these days; either end may be left out."
)
@click.option(
    "--dry-run", is_flag=True, help="Say what would be taken and what the contract would say; record nothing."
)
@click.option("--alerts", "listing", is_flag=True, help="List the alerts of the way in, newest first; ingest nothing.")
def ingest(
    session: Session, dataset: str | None, watching: bool, every: str, backfill: str, dry_run: bool, listing: bool
) -> None:
    """Pull the new files of DATASET (default: of every dataset) exactly once, check them and take a snapshot."""
    _one_way(watching=watching, every=every, backfill=backfill, dry_run=dry_run, listing=listing)
    data = session.app.data
    if listing:
        alerts = data.alerts(dataset)
        session.show(alerts, lambda: _tell_alerts(alerts))
    elif watching:
        _watch(session, dataset, every)
    elif dry_run:
        since, until = _span(backfill)
        previews = data.preview(dataset, since=since, until=until)
        session.show(previews, lambda: _tell_previews(previews))
    else:
        since, until = _span(backfill)
        reports = data.ingest(dataset, since=since, until=until)
        session.show(reports, lambda: _tell_reports(reports))


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
        for reason, count in sorted(report.warnings.items()):
            click.echo(f"  warning: {count} x {reason}")
        for column, repairs in sorted(report.repairs.items()):
            click.echo(f"  repairs of {column}: {', '.join(f'{n} x {kind}' for kind, n in sorted(repairs.items()))}")

    session.show(report, human)


def _one_way(*, watching: bool, every: str, backfill: str, dry_run: bool, listing: bool) -> None:
    """Refuse options that contradict each other."""
    if sum((watching, dry_run, listing)) > 1 or (backfill and (watching or listing)):
        raise UsageError(
            "These options do not go together",
            expected="one of --watch, --dry-run, --alerts; --backfill alone or with --dry-run",
            found="several of them",
        )
    if every and not watching:
        raise UsageError("--every needs --watch", expected="--watch --every TIME", found="--every alone")


def _span(text: str) -> tuple[date | datetime | None, date | datetime | None]:
    """Return both ends of `FROM..TO`; a day stands for the whole of it."""
    if not text:
        return None, None
    first, dots, last = text.partition("..")
    if not dots or not (first or last):
        raise UsageError("This is no span of time", expected="FROM..TO, such as 2026-03-01..2026-03-07", found=text)
    return _moment(first), _moment(last)


def _moment(text: str) -> date | datetime | None:
    if not text:
        return None
    moment = parse_time(text)
    return moment.date() if len(text) == len("2026-03-01") else moment


def _watch(session: Session, dataset: str | None, every: str) -> None:
    """Watch until SIGINT or SIGTERM; in JSON one line a turn."""
    every_s = parse_duration(every).total_seconds() if every else None
    if every_s == 0:
        raise UsageError("--every is too short", expected="1s or more", found=every)

    def told(turn: Turn) -> None:
        if session.as_json:
            click.echo(json.dumps(plain(turn), sort_keys=True, ensure_ascii=False))
        else:
            _tell_turn(turn)

    with _bell() as bell:
        session.app.data.watch(dataset, every_s=every_s, bell=bell, told=told)


@contextmanager
def _bell() -> Iterator[threading.Event]:
    """Give an event that SIGINT and SIGTERM set, and put their handlers back at the end."""
    bell = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, lambda *_: bell.set())
    try:
        yield bell
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell_turn(turn: Turn) -> None:
    click.echo(click.style(time_text(turn.at), dim=True))
    if turn.report is not None:
        _tell_reports([turn.report])
    else:
        click.echo(click.style(f"{turn.dataset}: {turn.error}", fg="red"), err=True)
        if turn.fix:
            click.echo(f"  fix:      {turn.fix}", err=True)
        click.echo(f"  tried again at {time_text(turn.next_at)}", err=True)


def _tell_reports(reports: list[IngestReport]) -> None:
    for report in reports:
        _tell_report(report)


def _tell_report(report: IngestReport) -> None:
    if not report.batches:
        stands = f"snapshot {report.snapshot_number} stands" if report.snapshot_number else "no snapshot yet"
        click.echo(f"{report.dataset}: nothing new; {stands}")
    else:
        released = f", {report.rows_released} of them released" if report.rows_released else ""
        click.echo(
            f"{report.dataset}: {report.files} files, {report.rows_in} rows in{released}, {report.rows_repaired} repaired, "
            f"{report.rows_quarantined} quarantined, {report.skipped} files skipped, {report.late} late"
            f" -> snapshot {report.snapshot_number} ({short(report.snapshot_id)}) of {report.rows} rows"
            f" in {report.seconds:.1f} s ({report.rows_per_s:,.0f} rows/s)"
        )
    for reason, count in _most(report.reasons):
        click.echo(f"  quarantined: {count} x {reason}")
    for reason, count in _most(report.warnings):
        click.echo(click.style(f"  warning: {count} x {reason}", fg="yellow"))
    for reason, count in sorted(report.waits.items()):
        click.echo(f"  waiting: {count} files, {reason}")
    _tell_age(report)
    for alert in report.alerts:
        click.echo(click.style(f"  alert {alert.kind}: {'; '.join(alert.reasons)}", fg="yellow"))


def _tell_age(report: IngestReport) -> None:
    fresh = report.freshness
    if report.batches and fresh.newest_event is not None and fresh.newest_file is not None:
        promised = f"; promised is {fresh.max_age_s / 3600:,.1f} h" if fresh.max_age_s is not None else ""
        age_h = (fresh.event_age_s or 0) / 3600
        click.echo(
            f"  youngest row {time_text(fresh.newest_event)} ({age_h:,.1f} h ago{promised}), "
            f"youngest file {time_text(fresh.newest_file)}"
        )


def _tell_previews(previews: list[IngestPreview]) -> None:
    for found in previews:
        if not found.batch:
            click.echo(f"{found.dataset}: nothing new")
        else:
            click.echo(
                f"{found.dataset}: batch {found.batch} would take {len(found.files)} files, {found.rows_in} rows in, "
                f"{found.rows_ok} fit the contract, {found.rows_quarantined} would be quarantined"
            )
        for reason, count in _most(found.reasons):
            click.echo(f"  {count} x {reason}")
        for line in found.skipped[:WARNED]:
            click.echo(f"  left out: {line}")
        for file in found.waiting[:WARNED]:
            click.echo(f"  waiting: {file.name}, {file.reason}")
        for reason in found.stops:
            click.echo(click.style(f"  would be stopped: {reason}", fg="yellow"))
        if found.later:
            click.echo(f"  {found.later} more files would come in the batches after it")


def _tell_alerts(alerts: list[IngestAlert]) -> None:
    table(
        ["raised", "dataset", "kind", "about", "what"],
        [[time_text(alert.at), alert.dataset, alert.kind, alert.about, "; ".join(alert.reasons)] for alert in alerts],
    )


def _most(counts: dict[str, int]) -> list[tuple[str, int]]:
    """Return the reasons with the most rows, a few of them."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:WARNED]
