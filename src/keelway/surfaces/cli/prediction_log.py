"""Commands on the prediction log: log compact."""

from __future__ import annotations

import click

from keelway.core import parse_duration, parse_time, time_text
from keelway.surfaces.cli.session import Session, command


@click.group(name="log")
def log() -> None:
    """Keep the log of predictions small and quick to read."""


@command(name="compact")
@click.argument("model")
@click.option("--env", "environment", default="prod", show_default=True, help="The environment.")
@click.option("--before", help="Move what was sealed before this time (ISO 8601; default: the beginning of this hour).")
@click.option(
    "--every", help="Do nothing where somebody began to do so less than this ago, such as 1h, on any machine."
)
def compact(session: Session, model: str, environment: str, before: str | None, every: str | None) -> None:
    """Move the predictions of MODEL that servers sealed into columnar files of an hour; every proof stays as it is.

    `keelway serve` does it by itself, as serving.compact_every_h says. What was moved already is left alone; `keelway gc` removes
    the files that were replaced.
    """
    done = session.app.traffic.compact_log(
        model,
        environment,
        before=parse_time(before) if before else None,
        every=parse_duration(every) if every else None,
    )

    def human() -> None:
        if done.is_left:
            click.echo(f"{model} in {environment}: left to whoever began less than {every} ago")
            return
        if done.until is None:
            click.echo(f"{model} in {environment}: nothing to compact")
            return
        click.echo(
            f"{model} in {environment}: {done.predictions} predictions moved from {done.segments} segments into "
            f"{done.files} files, up to {time_text(done.until)}; {done.kept} segments stay as they are"
        )

    session.show(done, human)


log.add_command(compact)
