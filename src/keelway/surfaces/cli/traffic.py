"""Commands on traffic: rollback, serve, score."""

from __future__ import annotations

import click

from keelway.core import parse_time, time_text
from keelway.surfaces.cli.observed import end_unless_effective, seconds_of, tell_target_view, wait_option
from keelway.surfaces.cli.rollouts import tell_traffic
from keelway.surfaces.cli.session import Session, command, table

_environment = click.option("--env", "environment", default="prod", show_default=True, help="The environment.")
_comment = click.option("--comment", default="", help="Why; kept in the ledger.")


@command(name="rollback")
@click.argument("model")
@click.option("--in", "--env", "environment", default="prod", show_default=True, help="The environment.")
@click.option("--to", default="", help="The version to go back to (MODEL:NUMBER); by default the one before.")
@click.option(
    "--offline",
    is_flag=True,
    help="While the state is down: ask the servers of this machine, which record it when the state is back.",
)
@wait_option("5s")
@_comment
def rollback(
    session: Session, model: str, environment: str, to: str, wait: str, comment: str, *, offline: bool
) -> None:
    """Return MODEL to the version that stood before: its traffic at once, and the environment's pointer with it."""
    if offline:
        pin = session.app.traffic.pin_rollback(model, environment, to=to, comment=comment)
        session.show(pin, lambda: click.echo(f"This machine serves {pin.version} in {environment}; not recorded yet"))
        return
    wait_s = seconds_of(wait)
    answer = session.app.traffic.rollback(model, environment, to=to, wait_s=wait_s, comment=comment)

    def human() -> None:
        click.echo(f"{answer.version} stands in {environment} again")
        if answer.deployment is not None:
            tell_traffic(answer.deployment)
        tell_target_view(answer.target)

    session.show(answer, human)
    end_unless_effective(session, answer.target, model=model, environment=environment, waited=wait_s > 0)


@command(name="serve")
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@_environment
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option(
    "--workers", default=0, type=click.IntRange(0, 256), help="Processes on the port (default: serving.workers)."
)
def serve_command(
    session: Session, models: tuple[str, ...], environment: str, host: str, port: int, workers: int
) -> None:
    """Answer predictions of MODELs over HTTP: POST /predict, GET /healthz, /readyz, /metrics. Ends with Ctrl-C.

    Their logs are compacted beside that, by a process of its own, as serving.compact_every_h says.
    """

    def ready(address: str, pids: tuple[int, ...]) -> None:
        told = {"ready": address} | ({"workers": pids} if pids else {})
        session.show(told, lambda: click.echo(f"ready: {address}/predict (Ctrl-C ends it)"))

    from keelway.surfaces.cli.housework import Housework
    from keelway.surfaces.scoring.house import run_house
    from keelway.surfaces.scoring.workers import inherited

    app = session.app
    every_s = 0.0 if inherited() else app.workspace.settings.serving.compact_every_h * 3600  # one for all workers
    with Housework(models, environment=environment, every_s=every_s, options=session.options()):
        run_house(app, models, environment, host=host, port=port, workers=workers, clock=session.clock, ready=ready)


@command(name="score")
@click.argument("model")
@_environment
@click.option("--as-of", "as_of", help="The moment the features speak of (default: now).")
@click.option("--limit", type=click.IntRange(min=0), default=0, help="Score only so many entities (0: all).")
def score(session: Session, model: str, environment: str, as_of: str | None, limit: int) -> None:
    """Score every entity of MODEL at one moment; each prediction is logged and can be proven.

    A run that was stopped goes on where it was when it is started again with the --as-of that it told: nothing is logged twice.
    """
    report = session.app.traffic.score(
        model, environment, as_of=parse_time(as_of) if as_of else session.clock.now(), limit=limit
    )

    each = report.mean_value if isinstance(report.mean_value, tuple) else (report.mean_value,)
    mean = ", ".join(f"{value:.4f}" for value in each)

    def human() -> None:
        click.echo(
            f"{report.rows} predictions of {model} in {environment} as of {time_text(report.as_of)}; mean answer {mean}"
        )
        if report.kept:
            click.echo(f"  {report.kept} of them were scored and logged by an earlier run")
        table(["version", "predictions"], [[name, str(count)] for name, count in sorted(report.by_version.items())])

    session.show(report, human)
