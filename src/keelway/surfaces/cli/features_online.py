"""Commands on served features and on whether features can be believed."""

from __future__ import annotations

import math
import sys

import click

from keelway.core import parse_duration, parse_time, short, time_text
from keelway.surfaces.cli.features_profile import profile
from keelway.surfaces.cli.session import FAILURE_EXIT, Session, command, counted, table

HOUR_S = 3600


@command(name="materialise")
@click.argument("model", required=False)
@click.option("--as-of", default="", help="Compute the features of this moment (ISO 8601, UTC; default: now).")
def materialise(session: Session, model: str | None, as_of: str) -> None:
    """Let the online store hold the features of every entity of MODEL; what is there already is not computed again."""
    done = session.app.online.materialise(model, as_of=parse_time(as_of) if as_of else None)

    def human() -> None:
        how = "computed and written" if done.computed else "written from a table that was there"
        told = how if done.written else "there already; nothing to do"
        click.echo(f"{done.cut.model}: {done.cut.rows} rows as of {time_text(done.cut.as_of)}, {told}")

    session.show(done, human)


@command(name="get")
@click.argument("model")
@click.argument("entities", metavar="ENTITY...", nargs=-1, required=True)
def get(session: Session, model: str, entities: tuple[str, ...]) -> None:
    """Show the features of each ENTITY as the online store serves them."""
    rows = session.app.online.get(model, entities)
    names = list(rows[0].values)
    session.show(
        rows,
        lambda: table(
            ["", *(row.entity for row in rows)],
            [
                [name, *("-" if row.values[name] in (None, "") else str(row.values[name]) for row in rows)]
                for name in names
            ],
        ),
    )


@command(name="online")
@click.argument("model", required=False)
@click.option("--max-age", default="", metavar="TIME", help="Exit with 1 where the cut is older, such as 36h or 2d.")
def online(session: Session, model: str | None, max_age: str) -> None:
    """Show how fresh the online store is, and how often a value is missing or 0 there against the newest training."""
    allowed = parse_duration(max_age).total_seconds() if max_age else math.inf
    found = session.app.online.status(model)

    def human() -> None:
        cut = found.cut
        click.echo(
            f"{cut.model}: {cut.rows} rows as of {time_text(cut.as_of)}, {found.age_s / HOUR_S:.1f} h old, table {short(cut.table)}"
        )
        if not found.current:
            click.echo("The model was declared otherwise then: materialise it again.")
        if found.outdated:
            click.echo(f"There is newer data of {', '.join(found.outdated)}: materialise it again.")
        table(
            ["feature", "missing online", "in training", "skew", "zero online", "in training", "skew"],
            [
                [
                    each.feature,
                    *(_share(share) for share in (each.online, each.trained)),
                    _share(each.skew, sign="+"),
                    *(_share(share) for share in (each.zeros_online, each.zeros_trained)),
                    _share(each.zeros_skew, sign="+"),
                ]
                for each in found.missing
            ],
        )

    session.show(found, human)
    if found.age_s > allowed:
        sys.exit(FAILURE_EXIT)


def _share(share: float | None, *, sign: str = "") -> str:
    return "-" if share is None else f"{share:{sign}.2%}"


@command(name="parity")
@click.argument("model", required=False)
@click.option("--entities", default=10_000, show_default=True, type=click.IntRange(1), help="Compare so many.")
@click.option("--seed", default=0, show_default=True, help="Decides which.")
def parity(session: Session, model: str | None, entities: int, seed: int) -> None:
    """Compare features offline, online and computed for one entity alone; exits with 1 where a value differs."""
    found = session.app.online.parity(model, entities=entities, seed=seed)

    def human() -> None:
        click.echo(
            f"{found.entities} entities as of {time_text(found.as_of)}: {found.values} values, {found.bit_equal} bit-equal"
        )
        if found.mismatches:
            table(
                ["entity", "feature", "offline", "online", "alone"],
                [
                    [each.entity, each.feature, str(each.offline), str(each.online), str(each.alone)]
                    for each in found.mismatches
                ],
            )

    session.show(found, human)
    if found.mismatches:
        sys.exit(FAILURE_EXIT)


@command(name="poison")
@click.argument("model", required=False)
@click.option(
    "--as-of", default="", help="The cut date to test (ISO 8601, UTC; default: the newest that is trained on)."
)
def poison(session: Session, model: str | None, as_of: str) -> None:
    """Change, add and remove all that becomes known after a cut date; exits with 1 where a feature moves."""
    found = session.app.online.poison(model, as_of=parse_time(as_of) if as_of else None)

    def human() -> None:
        for world in found.worlds:
            counts = ", ".join(f"{count} of {name}" for name, count in world.rows.items())
            click.echo(f"rows {world.how} after {time_text(found.as_of)}: {counts}")
        for finding in found.findings:
            click.echo(f"{finding.feature_set}: {finding.text}")
        if not found.findings:
            click.echo(f"{found.model}: no feature moved")

    session.show(found, human)
    if found.findings:
        sys.exit(FAILURE_EXIT)


@command(name="leakage")
@click.argument("model", required=False)
@click.option("--accept", multiple=True, metavar="FEATURE", help="A feature that was looked into: only note it.")
def leakage(session: Session, model: str | None, accept: tuple[str, ...]) -> None:
    """Look for features and rows that know what they must not; exits with 1 where something stops."""
    found = session.app.online.leakage(model, accept=accept)

    def human() -> None:
        for finding in found.findings:
            click.echo(f"{finding.severity}: {finding.text}")
        best = ", ".join(f"{each.column} {each.score:.3f}" for each in found.scores[:3])
        click.echo(
            f"{found.rows} rows, {counted(len(found.findings), 'finding')}, {len(found.stops)} stop; best alone: {best or '-'}"
        )

    session.show(found, human)
    if found.stops:
        sys.exit(FAILURE_EXIT)


ONLINE_COMMANDS = (materialise, get, online, profile, parity, poison, leakage)
"""What joins the group `features`."""
