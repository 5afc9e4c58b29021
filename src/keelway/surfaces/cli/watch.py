"""Commands that close the loop: outcomes, monitor, retrain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from keelway.core import parse_time, time_text
from keelway.errors import UsageError
from keelway.surfaces.cli.session import Session, command, table

if TYPE_CHECKING:
    from keelway.evaluate import Interval
    from keelway.project import Task

_environment = click.option("--env", "environment", default="prod", show_default=True, help="The environment.")


QUALITY: dict[Task, dict[str, str]] = {
    "binary": {"ROC AUC": "roc_auc"},
    "multiclass": {"accuracy": "accuracy", "log loss": "log_loss"},
    "regression": {"MAE": "mae", "RMSE": "rmse"},
}
"""Figures of a quality report that are shown, by task and heading."""


@command(name="outcomes")
@click.argument("model")
@click.argument("file", required=False, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--from-label", is_flag=True, help="Compute them from the newest snapshot by the model's label.")
@click.option("--as-of", "as_of", help="With --from-label: for predictions as of this moment.")
@click.option("--stream", default="", help="Record business events of this stream instead, with amounts.")
@click.option(
    "--until", help="With --stream: everything before this moment is recorded now (else up to the newest event)."
)
def outcomes(
    session: Session, model: str, file: Path | None, from_label: bool, as_of: str | None, stream: str, until: str | None
) -> None:
    """Record what really happened: a CSV FILE with entity, as_of, value (and known_at), or the label itself.

    A value is 0 or 1, the name of a class that a version knows, or a number, by the task of MODEL.

    With --stream FILE holds business events, as CSV or JSON lines: entity, event_time (and amount, event_id, known_at).
    """
    if stream:
        if file is None or from_label:
            raise UsageError("Business events come from a file", expected="keelway outcomes MODEL FILE --stream NAME")
        _events(session, model, file, stream, until)
        return
    moment = parse_time(as_of) if as_of else None
    report = session.app.watch.outcomes(model, file=file, from_label=from_label, as_of=moment)
    session.show(
        report, lambda: click.echo(f"{report.label}: {report.recorded} new outcomes, {report.known} known before")
    )


def _events(session: Session, model: str, file: Path, stream: str, until: str | None) -> None:
    """Record business events and tell how many were new."""
    told = session.app.watch.events(model, file, stream, until=parse_time(until) if until else None)

    def human() -> None:
        reached = (
            f"complete until {time_text(told.complete_until)}" if told.complete_until else "nothing is known of it"
        )
        click.echo(f"{told.stream}: {told.recorded} new events, {told.known} known before; {reached}")

    session.show(told, human)


@command(name="monitor")
@click.argument("model")
@_environment
def monitor(session: Session, model: str, environment: str) -> None:
    """Measure drift against the training profile and quality on matured labels; raise alerts."""
    report = session.app.watch.monitor(model, environment)

    def human() -> None:
        table(
            ["feature", "PSI", "chance reaches", "drifted"],
            [
                [
                    item.feature,
                    "-" if item.psi is None else f"{item.psi:.4f}",
                    "-" if item.chance is None else f"{item.chance:.4f}",
                    item.reason or "no",
                ]
                for item in report.drift.columns
            ],
        )
        click.echo(f"drift: {report.drift.verdict}; quality: {report.quality.verdict}")
        table(
            ["version", "arm", *QUALITY[report.quality.task], "matured", "pending", "verdict"],
            [
                [
                    item.version,
                    item.arm,
                    *(_figure(getattr(item, name)) for name in QUALITY[report.quality.task].values()),
                    str(item.matured),
                    str(item.pending),
                    item.verdict,
                ]
                for item in report.quality.slices
            ],
        )
        for alert in report.alerts:
            click.echo(click.style(f"  alert {alert.kind}: {'; '.join(alert.reasons)}", fg="yellow"))
        if report.request is not None:
            click.echo(f"  the contingency plan asks for a new model: keelway retrain {model}")

    session.show(report, human)


def _figure(found: Interval | None) -> str:
    """Return a figure with its interval, with four digits behind the point or six that count."""
    if found is None:
        return "-"
    shown = ".4f" if abs(found.value) < 1 else ".6g"
    return f"{found.value:{shown}} ({found.low:{shown}}-{found.high:{shown}})"


@command(name="retrain")
@click.argument("model")
@_environment
@click.option("--anyway", is_flag=True, help="Also when no contingency plan asks for it.")
@click.option("--seed", default=0, show_default=True, help="For everything random.")
def retrain(session: Session, model: str, environment: str, anyway: bool, seed: int) -> None:
    """Train a challenger of MODEL when a contingency plan asks for one; it passes the same gates, or does not."""
    answer = session.app.watch.retrain(model, environment, anyway=anyway, seed=seed)

    def human() -> None:
        if answer.version is None:
            click.echo("nothing asks for a new model")
            return
        click.echo(f"{answer.version}: trained because {'; '.join(answer.because)}")
        click.echo(f"  next: keelway promote {answer.version} --to staging")

    session.show(answer, human)
