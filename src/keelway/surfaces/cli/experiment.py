"""Commands on experiments: experiment plan, experiment report, experiment list."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keelway.core import parse_duration, time_text
from keelway.errors import UsageError
from keelway.surfaces.cli.groups import DefaultGroup
from keelway.surfaces.cli.session import Session, command, table

if TYPE_CHECKING:
    from keelway.report import PlannedExperiment

_environment = click.option("--env", "environment", default="prod", show_default=True, help="The environment.")
GIVEN = ("baseline", "deviation", "per_day", "share", "treatments", "correlation", "alpha", "power")


@click.group(name="experiment", cls=DefaultGroup)
def experiment() -> None:
    """Plan experiments, list them, and report what they showed in words that a product owner reads."""


@command(name="plan")
@click.argument("model", required=False)
@_environment
@click.option("--effect", required=True, help="The smallest difference worth knowing: 0.02, or 10% of the baseline.")
@click.option("--metric", default="", help="Of which figure (default: the model's label); error_rate is measured too.")
@click.option("--metric-kind", "kind", type=click.Choice(["rate", "mean"]), help="A share of entities, or an average.")
@click.option("--baseline", type=float, help="The figure as it is now.")
@click.option("--deviation", type=float, help="Standard deviation of one entity's value; for a mean.")
@click.option("--traffic-per-day", "per_day", type=float, help="New entities a day, in all arms together.")
@click.option("--share", type=float, help="Part of them that gets any treatment, 0 to 1 (default: 0.5).")
@click.option("--treatments", type=click.IntRange(1), help="How many versions are tried against one (default: 1).")
@click.option("--cuped-correlation", "correlation", type=float, help="Of the figure with what is known before.")
@click.option("--alpha", type=float, help="The chance of any false alarm (default: 0.05).")
@click.option("--power", type=float, help="The chance that the effect shows (default: 0.8).")
@click.option("--over", default="28d", show_default=True, help="How far back requests and outcomes are read.")
def plan(session: Session, model: str | None, environment: str, effect: str, over: str, **asked: object) -> None:
    """Say how long an experiment takes to show an effect, and what smaller and larger effects would take.

    With MODEL, traffic and baseline are measured where they are known; what is given stands before what was measured.
    Without MODEL everything is given, and no project is needed.
    """
    from keelway.report import PlanWish, planned_experiment

    given = {name: float(str(asked[name])) for name in GIVEN if asked[name] is not None}
    wish = PlanWish(str(asked["metric"]), effect, asked["kind"], given)  # type: ignore[arg-type]
    if model is None:
        from dataclasses import replace

        found = planned_experiment(replace(wish, metric=wish.metric or "the figure"), {})
    else:
        found = session.app.governance.experiments.plan(wish, model, environment, over=_duration(over))
    session.show(found, lambda: _show_plan(found))


@command(name="list")
@click.argument("model")
@_environment
def list_command(session: Session, model: str, environment: str) -> None:
    """List the rollouts of MODEL in an environment, newest first, with what the newest look said."""
    found = session.app.governance.experiments.listed(model, environment)

    def human() -> None:
        table(
            ["rollout", "strategy", "tried", "against", "state", "verdict", "looks", "since", "by"],
            [
                [
                    line.rollout,
                    line.strategy,
                    ", ".join(line.treatments),
                    line.control,
                    line.state,
                    ", ".join(sorted(set(line.outcome.values()))) or "-",
                    str(line.looks),
                    time_text(line.began),
                    line.principal,
                ]
                for line in found
            ],
        )

    session.show(found, human)


@command(name="report")
@click.argument("model")
@_environment
@click.option("--rollout", default="", help="Which one, such as r2 (default: the newest).")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write it here, as .html or .json.")
def report(session: Session, model: str, environment: str, rollout: str, out: Path | None) -> None:
    """Report what a rollout of MODEL shows: verdict, meaning, how sure it is, every figure over time.

    The page holds everything it needs and loads nothing; the same records and --now give the same bytes.
    """
    from keelway.report import experiment_lines

    room = session.app.governance.experiments
    found = room.report(model, environment, rollout=rollout)
    path = room.write(found, out) if out else None

    def human() -> None:
        for place, line in enumerate(experiment_lines(found)):
            click.echo(line if place else click.style(line, bold=True))
        if path:
            click.echo(f"wrote {path}")

    session.show({"report": found, "file": str(path) if path else ""}, human)


for _command in (plan, list_command, report):
    experiment.add_command(_command)


def _duration(text: str) -> timedelta:
    found = parse_duration(text)
    if not found > timedelta(0):
        raise UsageError("Nothing can be measured over no time", expected="a duration above 0, such as 28d", found=text)
    return found


def _show_plan(found: PlannedExperiment) -> None:
    from keelway.report import EFFECT_HEADS, assumption_rows, effect_rows, plan_sentences

    for line in plan_sentences(found):
        click.echo(line)
    click.echo()
    table(["it rests on", "number", "from"], assumption_rows(found))
    click.echo()
    table(list(EFFECT_HEADS), effect_rows(found))
    for warning in found.warnings:
        click.echo(click.style(warning, fg="yellow"))
