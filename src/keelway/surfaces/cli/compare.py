"""The command `compare`: models on the same rows, with a verdict in words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from keelway.core import parse_time, plain
from keelway.surfaces.cli.session import Session, command, table

if TYPE_CHECKING:
    from keelway.app.compare import ModelsCompared


@command(name="compare")
@click.argument("names", metavar="MODEL MODEL...", nargs=-1, required=True)
@click.option("--metric", "metrics", multiple=True, help="Measure this; may be given several times, the first decides.")
@click.option(
    "--margin",
    "margins",
    multiple=True,
    metavar="[METRIC=]NUMBER",
    help="The smallest difference worth having (default: as declared).",
)
@click.option(
    "--correction",
    type=click.Choice(["holm", "bh", "none"]),
    default="holm",
    show_default=True,
    help="How p-values are corrected for the number of comparisons.",
)
@click.option("--as-of", default="", help="On all rows of this cut, whose labels have matured (ISO 8601, UTC).")
@click.option(
    "--snapshot",
    "snapshots",
    multiple=True,
    metavar="[DATASET=]VERSION",
    help="On rows of this version of a dataset: a number, time, tag or id.",
)
@click.option("--seed", default=0, show_default=True, help="For the bootstrap.")
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write a page that loads nothing.")
@click.option("--svg", type=click.Path(path_type=Path, file_okay=False), help="Write the plots into this folder.")
def compare(
    session: Session, names: tuple[str, ...], as_of: str, html: Path | None, svg: Path | None, **asked: Any
) -> None:
    """Compare each MODEL with the first, on rows that none of them learned from.

    A MODEL is MODEL:NUMBER, MODEL (its newest version), MODEL@ENVIRONMENT, the word champion, a run that trained, or
    RUN/ESTIMATOR. Without --as-of or --snapshot the rows are the newest test rows among the models.
    """
    comparing = session.app.compare.models(names, as_of=parse_time(as_of) if as_of else None, **asked)
    page = comparing.write_page(html) if html else None
    plots = comparing.write_plots(svg) if svg else []

    def human() -> None:
        _show(comparing.found)
        for path in (*([page] if page else []), *plots):
            click.echo(f"wrote {path}")

    answer = {**plain(comparing.found), "page": str(page) if page else "", "plots": [str(path) for path in plots]}
    session.show(answer, human)


def _show(found: ModelsCompared) -> None:
    contest = found.contest
    click.echo(f"{contest.rows:,} rows: {found.source}")
    for warning in found.warnings:
        click.echo(click.style(f"  {warning}", fg="yellow"))
    table(
        ["model", *contest.metrics],
        [
            [
                each.name,
                *(
                    f"{each.figures[name].value:.4g} ({each.figures[name].low:.4g} to {each.figures[name].high:.4g})"
                    for name in contest.metrics
                ),
            ]
            for each in contest.models
        ],
    )
    for duel in contest.duels:
        click.echo(f"  {duel.sentence}")
    worse = [
        f"{part.column} = {part.level}: {duel.sentence}"
        for part in contest.slices
        for duel in part.duels
        if duel.word == "worse"
    ]
    for line in worse:
        click.echo(click.style(f"  where {line}", fg="yellow"))
    click.echo(click.style(f"by {contest.metrics[0]}: {contest.leader}", bold=True))
