"""The command that shows how features are spread: features profile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from keelway.core import parse_time, short, time_text
from keelway.surfaces.cli.session import Session, command, table

if TYPE_CHECKING:
    from keelway.app.profiles import TableProfile
    from keelway.features import ColumnProfile

SHARES = (0.1, 0.5, 0.9)
MOST_LEVELS = 5


@command(name="profile")
@click.argument("model", required=False)
@click.option(
    "--purpose", type=click.Choice(["training", "scoring"]), help="Of the newest table for this (default: of either)."
)
@click.option("--as-of", "as_ofs", multiple=True, metavar="TIME", help="Only this cut date; may be repeated.")
@click.option("--by-cut", is_flag=True, help="Show each cut date, and how far it moved from the earlier ones (PSI).")
def profile(session: Session, model: str | None, purpose: str | None, as_ofs: tuple[str, ...], by_cut: bool) -> None:
    """Show how the features of MODEL are spread in the newest feature table; no row is read."""
    cuts = [parse_time(as_of) for as_of in as_ofs]
    found = session.app.online.profile(model, purpose=purpose or "", as_ofs=cuts)

    def human() -> None:
        until = f" to {time_text(found.as_ofs[-1])}" if len(found.as_ofs) > 1 else ""
        click.echo(
            f"{found.model}, {found.purpose}: {found.profile.rows} rows as of {time_text(found.as_ofs[0])}{until},"
            f" table {short(found.table)}"
        )
        _show_cuts(found) if by_cut else _show_columns(found)

    session.show(found, human)


def _show_columns(found: TableProfile) -> None:
    columns, rows = found.profile.columns, max(found.profile.rows, 1)
    numbers = {name: each for name, each in columns.items() if each.kind != "categorical"}
    names = {name: each for name, each in columns.items() if each.kind == "categorical"}
    if numbers:
        table(
            ["feature", "kind", "missing", "zero", "least", *(f"{share:.0%}" for share in SHARES), "greatest", "mean", "std"],
            [
                [name, each.kind, f"{each.nulls / rows:.2%}", f"{each.zeros / rows:.2%}", *_places(each)]
                for name, each in numbers.items()
            ],
        )  # fmt: skip
    if names:
        table(
            ["feature", "missing", "most frequent"],
            [[name, f"{each.nulls / rows:.2%}", _levels(each, rows)] for name, each in names.items()],
        )


def _places(column: ColumnProfile) -> list[str]:
    from keelway.features import quantile_of

    shown = [None if column.sketch is None else quantile_of(column.sketch, share) for share in SHARES]
    return [_number(each) for each in (column.minimum, *shown, column.maximum, column.mean, column.std)]


def _levels(column: ColumnProfile, rows: int) -> str:
    first = sorted(column.levels.items(), key=lambda each: (-each[1], each[0]))[:MOST_LEVELS]
    return ", ".join(f"{level or '(empty)'} {count / rows:.1%}" for level, count in first)


def _show_cuts(found: TableProfile) -> None:
    table(
        ["feature", "cut date", "rows", "missing", "zero", "median", "PSI"],
        [
            [
                each.feature,
                time_text(each.as_of),
                str(each.rows),
                f"{each.missing:.2%}",
                "-" if each.zeros is None else f"{each.zeros:.2%}",
                _number(each.median),
                "-" if each.psi is None else f"{each.psi:.3f}",
            ]
            for each in found.cuts
        ],
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
