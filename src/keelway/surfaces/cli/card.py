"""The command `card`: what is known of a model version, and what nobody said."""

from __future__ import annotations

from pathlib import Path

import click

from keelway.core import plain
from keelway.surfaces.cli.session import Session, command


@command(name="card")
@click.argument("version", metavar="MODEL:NUMBER")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the card here, as .md or .html.")
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write it as a page that loads nothing.")
def card(session: Session, version: str, out: Path | None, html: Path | None) -> None:
    """Make the model card of MODEL:NUMBER (or MODEL, MODEL@ENVIRONMENT, champion) from its evidence.

    It is Markdown with the metadata that Hugging Face reads. What neither records nor people answer stands in it as a
    gap, with how to close it; --json lists the gaps.
    """
    from keelway.register import card_markdown

    room = session.app.versions.cards
    found = room.card(version)
    files = [room.write(found, path) for path in (out, html) if path is not None]

    def human() -> None:
        for path in files:
            click.echo(f"wrote {path}")
        if not files:
            click.echo(card_markdown(found), nl=False)
        missing = [gap for gap in found.gaps if not gap.optional]
        click.echo(f"{len(missing)} questions without an answer" + (":" if missing else ""), err=True)
        for gap in missing:
            click.echo(f"  {gap.section}: {gap.what}. Say it by {gap.say}", err=True)

    session.show({**plain(found), "complete": found.complete, "files": [str(path) for path in files]}, human)
