"""Commands on what was kept out of a dataset: quarantine list, show, release, discard."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from keelway.errors import UsageError
from keelway.surfaces.cli.groups import DefaultGroup
from keelway.surfaces.cli.session import Session, command, table

if TYPE_CHECKING:
    from keelway.app.quarantine import QuarantineReport
    from keelway.contract import Discarded, HeldFile, Released, Selection

WIDTH = 80
"""Characters of a row's text that a list shows; `--json` has all of it."""
_STATUSES = ("open", "released", "discarded", "any")
_comment = click.option("--comment", default="", help="Why; kept in the ledger.")
_limit = click.option(
    "--limit", type=click.IntRange(min=0), default=20, show_default=True, help="Show at most so many."
)


def _chosen(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say which rows and files are meant."""
    options = [
        click.argument("dataset"),
        click.argument("items", nargs=-1, metavar="[FILE|FILE:LINE]..."),
        click.option("--reason", default="", help="Only what has this reason, as it is told."),
        click.option("--file", "file", default="", metavar="GLOB", help="Only files with such a name."),
        click.option("--batch", default=0, metavar="N", help="Only what came in this batch."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


_status = click.option(
    "--status", type=click.Choice(_STATUSES), default="open", show_default=True, help="Only what became this of it."
)


@click.group(name="quarantine", cls=DefaultGroup)
def quarantine() -> None:
    """List, show, release and discard rows and files that their contract kept out.

    A row is FILE:LINE, a file is FILE, as they are listed.
    """


@command(name="list")
@_chosen
@_status
@_limit
def list_files(session: Session, dataset: str, status: str, limit: int, **chosen: Any) -> None:
    """List what of DATASET is quarantined: by batch and file, with the counts by reason."""
    report = session.app.data.quarantine(dataset, _selection(chosen, status))

    def human() -> None:
        table(
            ["batch", "file", "rows", "status", "reasons"],
            [
                [str(file.batch), file.name, str(sum(file.rows.values())), _told_status(file), _told_reasons(file)]
                for file in report.files[:limit]
            ],
        )
        if len(report.files) > limit:
            click.echo(f"and {len(report.files) - limit} more files")
        click.echo(f"{report.total_rows} rows in {len(report.files)} files")
        _tell_stopped(report)

    session.show(report, human)


@command(name="show")
@_chosen
@_status
@_limit
@click.option("--clear", is_flag=True, help="Show the text of rows that may name a person, too.")
def show(session: Session, dataset: str, status: str, limit: int, clear: bool, **chosen: Any) -> None:
    """Show the rows of DATASET that were quarantined, with every reason and their text; of files where their bytes are."""
    report = session.app.data.quarantine(dataset, _selection(chosen, status), limit=limit, clear=clear)

    def human() -> None:
        table(
            ["batch", "row", "status", "reasons", "text"],
            [
                [str(row.batch), f"{row.file}:{row.row}", row.status, "; ".join(row.reasons), row.raw[:WIDTH]]
                for row in report.rows
            ],
        )
        for file in report.files:
            if file.why:
                click.echo(f"{file.name} (batch {file.batch}), whole: {'; '.join(file.why)}; {file.status}")
                click.echo(f"  its bytes: {file.digest}")
        click.echo(f"{len(report.rows)} of {report.total_rows} rows")

    session.show(report, human)


@command(name="release")
@_chosen
@click.option("--all", "everything", is_flag=True, help="Everything that is open.")
@click.option(
    "--waive",
    multiple=True,
    metavar="REASON",
    help="Do not hold this against them; `all` for every rule. Approvers only.",
)
@_comment
def release(
    session: Session, dataset: str, everything: bool, waive: tuple[str, ...], comment: str, **chosen: Any
) -> None:
    """Let rows and files of DATASET in that keep the contract as it is now; the next ingest loads them."""
    selection = _named(chosen, everything=everything)
    done = session.app.data.release(dataset, selection, comment=comment, waive=waive)
    session.show(done, lambda: _tell_released(done))


@command(name="discard")
@_chosen
@click.option("--all", "everything", is_flag=True, help="Everything that is open.")
@_comment
def discard(session: Session, dataset: str, everything: bool, comment: str, **chosen: Any) -> None:
    """Give up rows and files of DATASET; with --batch alone, also the batch that its contract stops."""
    done = _discarded(session, dataset, chosen, comment, everything=everything)

    def human() -> None:
        if done.batch:
            click.echo(f"{done.dataset}: batch {done.batch} is passed over; the next ingest goes on after it")
        else:
            click.echo(f"{done.dataset}: {done.rows} rows and {len(done.files)} files discarded")

    session.show(done, human)


for _one in (list_files, show, release, discard):
    quarantine.add_command(_one)


def _selection(chosen: dict[str, Any], status: str = "open") -> Selection:
    from keelway.contract import ItemStatus, Selection

    wanted = None if status == "any" else ItemStatus(status)
    return Selection(chosen["items"], chosen["reason"], chosen["file"], chosen["batch"], wanted)


def _named(chosen: dict[str, Any], *, everything: bool) -> Selection:
    """Return what is meant; nobody settles everything by leaving something out."""
    if everything == any(chosen.values()):
        raise UsageError(
            "Which rows and files are meant?",
            expected="FILE, FILE:LINE, --reason, --file or --batch; or --all",
            found="--all and a choice" if everything else "nothing",
            fix="Name them, or say --all.",
        )
    return _selection(chosen)


def _discarded(session: Session, dataset: str, chosen: dict[str, Any], comment: str, *, everything: bool) -> Discarded:
    """Discard the batch that is stopped where it is the one named, else rows and files."""
    rooms = session.app.data
    selection = _named(chosen, everything=everything)
    alone = chosen["batch"] and not (chosen["items"] or chosen["reason"] or chosen["file"])
    if alone and rooms.is_stopped(dataset, chosen["batch"]):
        return rooms.discard_batch(dataset, chosen["batch"], comment=comment)
    return rooms.discard(dataset, selection, comment=comment)


def _tell_stopped(report: QuarantineReport) -> None:
    stopped = report.stopped
    if stopped is not None:
        click.echo(f"batch {stopped.batch} waits: its contract stops it ({stopped.stops} times so far)")
        for reason in stopped.reasons:
            click.echo(f"  {reason}")
        click.echo(f"  pass over it: keelway quarantine discard {report.dataset} --batch {stopped.batch}")


def _told_status(file: HeldFile) -> str:
    if file.rows:
        return ", ".join(f"{count} {status}" for status, count in sorted(file.rows.items()))
    return file.status


def _told_reasons(file: HeldFile) -> str:
    if file.why:
        return f"the whole file: {'; '.join(file.why)}"
    return "; ".join(f"{count} x {reason}" for reason, count in file.reasons.items())


def _tell_released(done: Released) -> None:
    if done.batch:
        click.echo(
            f"{done.dataset}: {done.rows} rows and {len(done.files)} files are batch {done.batch}; "
            f"load it with keelway ingest {done.dataset}"
        )
    else:
        click.echo(f"{done.dataset}: nothing of that is open any more")
    for reason, count in sorted(done.kept_back.items()):
        click.echo(f"  kept back: {count} x {reason}")
    for name, reasons in sorted(done.files_kept_back.items()):
        click.echo(f"  kept back: {name}: {'; '.join(reasons)}")
