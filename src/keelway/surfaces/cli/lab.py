"""Commands on models: run, step, show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from keelway.core import short
from keelway.surfaces.cli.session import Session, command

if TYPE_CHECKING:
    from keelway.app.competitors import Competitor


@command(name="run")
@click.argument("model", required=False)
@click.option("--seed", default=0, show_default=True, help="For everything random.")
@click.option("--resume", metavar="RUN", help="Carry on with an interrupted or failed run.")
@click.option("--refresh", is_flag=True, help="Execute every step, also where the cache holds its output.")
def run(session: Session, model: str | None, seed: int, resume: str | None, refresh: bool) -> None:
    """Run the training plan of MODEL: snapshots, features, training, evaluation, comparison, registration."""
    view = session.app.lab.run(model, seed=seed, resume=resume, refresh=refresh)
    version = session.app.lab.version_made_by(view)
    candidates = session.app.lab.candidates(view)

    def human() -> None:
        for name, step in view.steps.items():
            origin = f"from run {step.cached_from[:8]}" if step and step.cached_from else ""
            click.echo(f"  {name:<28} {step.status if step else 'open'} {origin}")
        because = session.app.lab.because(version)
        click.echo(f"run {view.started.run_id}: {version.name} ({version.semver}), ONNX {short(version.onnx)}")
        click.echo(f"  {version.semver} because: {because}")
        if version.no_plan:
            click.echo(f"  answers as {version.served_form}, not by a compiled plan: {version.no_plan}")
        _show_candidates(candidates)
        for metric, value in sorted((view.run.metrics if view.run else {}).items()):
            click.echo(f"  {metric:<40} {value:.4f}")
        for warning in session.app.runs.show(view.started.run_id).warnings:
            click.echo(click.style(f"  warning: {warning}", fg="yellow"))

    session.show({"run": view.run, "version": version, "candidates": candidates}, human)


def _show_candidates(candidates: tuple[Competitor, ...]) -> None:
    """Show what competed, the one that went on marked, and why."""
    if candidates:
        first = candidates[0]
        click.echo(f"  chosen by {first.metric} ({first.level:.0%} intervals):")
        width = max(len(each.estimator) for each in candidates)
        for each in candidates:
            mark = "*" if each.chosen else " "
            figure = f"{each.value:.4f} ({each.low:.4f} to {each.high:.4f})"
            click.echo(f"  {mark} {each.estimator:<{width}}  {figure}  {each.in_words}")


@command(name="step")
@click.argument("run_id", metavar="RUN")
@click.argument("step")
def step(session: Session, run_id: str, step: str) -> None:
    """Execute one STEP of a stored RUN; a step that succeeded is not executed again."""
    finished = session.app.lab.step(run_id, step)
    session.show(
        finished, lambda: click.echo(f"{step}: {finished.status} -> {finished.output_kind} {short(finished.output)}")
    )


@command(name="show")
@click.argument("name")
def show(session: Session, name: str) -> None:
    """Show the record called NAME: a model version, a run, a dataset, or any digest."""
    from keelway.core import canonical_json

    shown = session.app.lab.show(name)

    def human() -> None:
        import json

        click.echo(f"{shown.kind} {shown.digest}")
        click.echo(json.dumps(json.loads(canonical_json(shown.record)), indent=2, ensure_ascii=False))

    session.show(shown, human)
