"""Commands on searches for parameters: tune (search), show."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keelway.core import Scalar, parse_duration
from keelway.errors import UsageError
from keelway.surfaces.cli.groups import DefaultGroup
from keelway.surfaces.cli.session import Session, command, table

if TYPE_CHECKING:
    from keelway.app.tune import TuningView

INTERRUPTED_EXIT = 130


class TuneGroup(DefaultGroup):
    """`keelway tune MODEL` searches."""

    default = "search"


@click.group(name="tune", cls=TuneGroup)
def tune() -> None:
    """Search for the best parameters of a model's estimators, and look at what was tried."""


@command(name="search")
@click.argument("model", required=False)
@click.option("--estimator", "estimators", multiple=True, help="Only this one; may be given several times.")
@click.option("--trials", type=click.IntRange(min=1), default=None, help="How many trials (default: as declared).")
@click.option("--timeout", default="", help="For how long, such as 10m (default: as declared).")
@click.option("--seed", default=0, show_default=True, help="For everything random.")
def search(
    session: Session, model: str | None, estimators: tuple[str, ...], trials: int | None, timeout: str, seed: int
) -> None:
    """Search for the best parameters of MODEL over the folds of its training rows; an interrupted search is carried on."""
    timeout_s = parse_duration(timeout).total_seconds() if timeout else 0.0
    if timeout and not timeout_s > 0:
        raise UsageError("A search needs time", expected="a duration above 0, such as 10m", found=repr(timeout))
    try:
        found = session.app.tune.run(model, estimators=estimators, trials=trials or 0, timeout_s=timeout_s, seed=seed)
    except KeyboardInterrupt:
        click.echo("interrupted: what was tried is kept, and the same command carries on with it", err=True)
        sys.stderr.flush()
        os._exit(INTERRUPTED_EXIT)  # a trial that runs in a thread would go on for as long as it likes

    def human() -> None:
        table(
            ["estimator", "metric", "best", "trial", "parameters", "trials", "pruned", "failed", "ended by", "study"],
            [
                [
                    each.estimator,
                    each.metric,
                    f"{each.value:.5g}",
                    str(each.best_trial),
                    _told(each.parameters),
                    str(each.trials),
                    str(each.pruned),
                    str(each.failed),
                    each.ended,
                    each.study,
                ]
                for each in found
            ],
        )
        click.echo(
            "`keelway run` trains with the parameters that its own search finds, of as many trials as are declared."
        )

    session.show(found, human)


@command(name="show")
@click.argument("model", required=False)
@click.option("--estimator", default="", help="Only this one.")
@click.option("--top", default=10, show_default=True, type=click.IntRange(1), help="Show so many trials, best first.")
@click.option("--svg", type=click.Path(path_type=Path, file_okay=False), help="Write the plots into this folder.")
def show(session: Session, model: str | None, estimator: str, top: int, svg: Path | None) -> None:
    """Show the newest search of each estimator of MODEL: its best trials, and what the parameters are worth."""
    views = session.app.tune.show(model, estimator=estimator)
    written = [path for view in views for path in session.app.tune.plots(view, svg)] if svg else []

    def human() -> None:
        for view in views:
            _show_view(view, top)
        for path in written:
            click.echo(f"wrote {path}")

    session.show({"searches": views, "plots": [str(path) for path in written]}, human)


for _command in (search, show):
    tune.add_command(_command)


def _show_view(view: TuningView, top: int) -> None:
    best = "no trial is complete" if view.value is None else f"best {view.metric} {view.value:.5g}"
    state = f"ended by {view.finished}" if view.finished else f"not finished: keelway tune {view.model} carries on"
    click.echo(f"{view.study}: {len(view.trials)} trials, {best}, {state}")
    sign = -1.0 if view.larger_is_better else 1.0
    ranked = sorted(view.trials, key=lambda each: (each.value is None, sign * (each.value or 0.0), each.number))
    table(
        ["trial", view.metric or "value", "status", "folds", "seconds", "parameters"],
        [
            [
                str(trial.number),
                "-" if trial.value is None else f"{trial.value:.5g}",
                trial.status + (f": {trial.error}" if trial.error else ""),
                str(len(trial.means)),
                f"{trial.seconds:.2f}",
                _told(trial.parameters),
            ]
            for trial in ranked[:top]
        ],
    )
    if view.importances:
        click.echo("importance: " + ", ".join(f"{name} {share:.3f}" for name, share in view.importances.items()))


def _told(parameters: dict[str, Scalar]) -> str:
    return " ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in sorted(parameters.items())
    )
