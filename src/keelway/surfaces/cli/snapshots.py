"""Commands on the versions of datasets: snapshots list, show, diff, tag, compact, vacuum."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from keelway.core import short, time_text
from keelway.surfaces.cli.groups import DefaultGroup
from keelway.surfaces.cli.session import Session, command, table

if TYPE_CHECKING:
    from keelway.app.snapshots import SnapshotView
    from keelway.snapshot import SnapshotDiff, Spread

_MEGABYTE = 1e6
_at = click.option("--at", "at", default="", help="The newest version taken at or before this time (ISO 8601).")


@click.group(name="snapshots", cls=DefaultGroup)
def snapshots() -> None:
    """List, compare, tag, compact and vacuum the immutable versions of the datasets.

    A VERSION is a number (7), a time (2026-01-01), a tag, the start of an id, or `newest`.
    """


@command(name="list")
@click.argument("dataset", required=False)
def list_versions(session: Session, dataset: str | None) -> None:
    """List the immutable versions of DATASET (default: of every dataset), newest first."""
    found = session.app.snapshots.versions(dataset)
    session.show(
        found,
        lambda: table(
            ["dataset", "number", "id", "rows", "added", "known until", "taken", "tags", ""],
            [
                [
                    item.dataset,
                    str(item.number),
                    short(item.snapshot_id),
                    str(item.rows),
                    "compacted" if item.compacted else str(item.rows_added),
                    time_text(item.watermark),
                    time_text(item.taken_at),
                    ", ".join(item.tags),
                    "" if item.kept else "expired",
                ]
                for item in found
            ],
        ),
    )


@command(name="show")
@click.argument("dataset")
@click.argument("version", default="")
@_at
@click.option("--head", default=0, metavar="N", help="Read the first N rows too, all bytes checked.")
def show(session: Session, dataset: str, version: str, at: str, head: int) -> None:
    """Show one VERSION of DATASET (default: the newest): what it is made of, its tags, its rows."""
    view = session.app.snapshots.show(dataset, _wanted(version, at), head=head)
    session.show(view, lambda: _tell_version(view))


@command(name="diff")
@click.argument("dataset")
@click.argument("before")
@click.argument("after", default="")
def diff(session: Session, dataset: str, before: str, after: str) -> None:
    """Compare two versions of DATASET (AFTER: by default the newest): columns, rows, and how values are spread."""
    found = session.app.snapshots.diff(dataset, before, after)
    session.show(found, lambda: _tell_diff(found))


@command(name="tag")
@click.argument("dataset")
@click.argument("version")
@click.argument("name")
@click.option("--move", is_flag=True, help="Take the tag from the version that has it.")
@click.option("--comment", default="", help="Why; kept in the ledger.")
def tag(session: Session, dataset: str, version: str, name: str, *, move: bool, comment: str) -> None:
    """Give a VERSION of DATASET the tag NAME, which also keeps it for good."""
    made = session.app.snapshots.tag(dataset, version, name, move=move, comment=comment)
    session.show(made, lambda: click.echo(f"{made.name}: version {made.number} of {made.dataset}"))


@command(name="compact")
@click.argument("dataset")
def compact(session: Session, dataset: str) -> None:
    """Make a version of DATASET with the same rows in few files; no earlier version changes."""
    made = session.app.snapshots.compact(dataset)
    told = f"version {made.number} of {made.dataset} ({short(made.snapshot_id)}), {made.rows} rows"
    session.show(made, lambda: click.echo(told))


@command(name="vacuum")
@click.argument("dataset")
@click.option("--keep-days", default=30.0, show_default=True, help="Keep what was the newest so many days ago.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
def vacuum(session: Session, dataset: str, keep_days: float, *, dry_run: bool) -> None:
    """Delete the files of versions of DATASET that nothing refers to, and of writers that were killed.

    What a run, a model, a tag, a feature table or a decision refers to stays, and the newest version.
    """
    done = session.app.snapshots.vacuum(dataset, keep_days=keep_days, dry_run=dry_run)

    def human() -> None:
        verb = "would be" if dry_run else "are"
        versions = ", ".join(str(number) for number in done.expired) or "none"
        click.echo(f"versions that {verb} expired: {versions}")
        click.echo(f"files that {verb} deleted: {len(done.files)}, and {len(done.orphans)} that no version lists")
        click.echo(f"copies of rows that {verb} deleted: {len(done.copies)}")
        click.echo(f"space: {done.freed_bytes / _MEGABYTE:.1f} MB")
        if done.referred:
            click.echo(f"kept because something refers to them: {', '.join(str(each) for each in done.referred)}")

    session.show(done, human)


for _command in (list_versions, show, diff, tag, compact, vacuum):
    snapshots.add_command(_command)


def _wanted(version: str, at: str) -> str:
    if version and at:
        raise click.UsageError("Name a VERSION or a time (--at), not both.")
    return version or at


def _tell_version(view: SnapshotView) -> None:
    found = view.snapshot
    facts = {
        "version": f"{found.number} of {found.dataset}",
        "id": found.snapshot_id,
        "record": view.digest,
        "rows": f"{found.rows}, {found.rows_added} new",
        "known until": time_text(found.watermark),
        "taken": time_text(found.taken_at),
        "table version": str(found.table_version),
        "tags": ", ".join(view.tags) or "none",
        "kept": "yes" if view.kept else "no, its files were vacuumed",
    }
    for name, text in facts.items():
        click.echo(f"{name + ':':<15}{text}")
    table(["column", "type"], [[name, kind] for name, kind in found.columns.items()])
    table(["file", "rows", "bytes"], [[path, str(rows), str(size)] for path, rows, size in view.files])
    if view.head:
        table(
            list(view.head[0]), [["" if value is None else str(value) for value in row.values()] for row in view.head]
        )


def _tell_diff(found: SnapshotDiff) -> None:
    click.echo(
        f"{found.dataset}: version {found.before} ({short(found.before_id)}, {found.rows_before} rows) "
        f"-> {found.after} ({short(found.after_id)}, {found.rows_after} rows)"
    )
    for name in found.columns_added:
        click.echo(f"  new column {name}")
    for name in found.columns_removed:
        click.echo(f"  column {name} is gone")
    for name, (before, after) in found.columns_retyped.items():
        click.echo(f"  column {name} was {before}, is {after}")
    rows = found.rows
    by = f" (by {', '.join(rows.key)})" if rows.key else ""
    click.echo(f"rows{by}: {rows.added} added, {rows.removed} removed, {rows.changed} changed, {rows.same} the same")
    for name, count in rows.columns_changed.items():
        click.echo(f"  {name} differs in {count} changed rows")
    table(
        ["column", "missing", "mean", "median", "PSI", "chance reaches", "shifted"],
        [
            [
                item.name,
                f"{_share(item.before)} -> {_share(item.after)}",
                f"{_figure(item.before.mean)} -> {_figure(item.after.mean)}",
                f"{_median(item.before)} -> {_median(item.after)}",
                _figure(item.psi),
                _figure(item.chance),
                "yes" if item.shifted else "no",
            ]
            for item in found.columns
        ],
    )


def _share(spread: Spread) -> str:
    return f"{spread.nulls / spread.rows:.1%}" if spread.rows else "-"


def _median(spread: Spread) -> str:
    return _figure(spread.quantiles[2] if spread.quantiles else None)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
