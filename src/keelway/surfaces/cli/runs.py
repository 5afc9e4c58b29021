"""Commands on runs: list, show, compare, sync; and reproduce."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from keelway.core import Scalar, parse_time, short, time_text
from keelway.errors import ProjectError
from keelway.surfaces.cli.groups import DefaultGroup
from keelway.surfaces.cli.session import FAILURE_EXIT, Session, command, table

if TYPE_CHECKING:
    from keelway.app.reproduce import Reproduction
    from keelway.app.runs import ComparedValue, RunRoom
    from keelway.core import RunEntry

MOST_FIGURES = 4
FIRST_FIGURES = ("roc_auc", "roc_auc_ovr", "log_loss", "rmse", "mae", "r2", "accuracy", "auc", "loss")
"""What a list shows first of many figures, by the last part of their names; others follow in the order of names."""
KINDS = ("plan", "training", "trial", "notebook", "script", "autolog")
SHORT_ID = 16


@click.group(name="runs", cls=DefaultGroup)
def runs() -> None:
    """List, show and compare runs, whatever made them: plans, trainings, trials, scripts and fits."""


@command(name="list")
@click.option("--model", default="", help="Only runs of this model.")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(KINDS), help="Only this kind; may be repeated.")
@click.option("--metric", default="", help="The best by this figure first; runs without it are left out.")
@click.option("--lowest/--highest", default=None, help="Which value is best (default: the figure's name decides).")
@click.option("--top", "--limit", "limit", default=20, show_default=True, type=click.IntRange(1), help="Show so many.")
@click.option("--where", default="", help="A condition, such as: auc > 0.8 and estimator = 'boosting'")
@click.option("--since", default="", help="Only runs that started then or later (ISO 8601, UTC).")
def list_runs(session: Session, since: str, metric: str, **asked: Any) -> None:
    """List runs, newest first, or the best by a figure; `open` plans were interrupted or are running now."""
    found = _room(session).list(since=parse_time(since) if since else None, metric=metric, **asked)

    def human() -> None:
        if not found and (metric or asked["where"]):
            click.echo(f"no run has the figure {metric!r}" if metric and not asked["where"] else "no run is like that")
            return
        table(
            ["run", "kind", "name", "estimator", "status", "by", "started", "figures"],
            [_listed(entry, _figures(entry, metric, str(asked["where"]))) for entry in found],
        )

    session.show(found, human)


@command(name="show")
@click.argument("run")
def show_run(session: Session, run: str) -> None:
    """Show RUN: what it was given, what it measured, what it left, and what it was made of."""
    detail = _room(session).show(run)
    entry, record = detail.entry, detail.record

    def human() -> None:
        click.echo(f"{entry.kind} {entry.run_id}: {entry.name}, {entry.status}")
        code, machine = record.get("code", {}), record.get("machine", {})
        facts = {
            "by": entry.principal,
            "started": time_text(entry.started_at),
            "took": f"{entry.seconds:.3f} s" if entry.seconds is not None else "",
            "seed": str(entry.seed),
            "commit": entry.commit + _changes(code) if entry.dirty else entry.commit,
            "environment": short(code.get("environment_digest", "")),
            "machine": f"{machine['system']} {machine['processor']}, {machine['cpus']} cpus" if machine else "",
            "data": short(record.get("feature_table") or record.get("dataset") or ""),
            "error": record.get("error", ""),
            "belongs to": entry.parent,
            "mirrored as": entry.mirror,
        }
        _lines({name: text for name, text in facts.items() if text})
        _section("parameters", {name: _told(value) for name, value in entry.parameters.items()})
        _section("metrics", {name: f"{value:.6g}" for name, value in entry.metrics.items()})
        _section("artifacts", {name: short(digest) for name, digest in record.get("artifacts", {}).items()})
        for warning in detail.warnings:
            click.echo(f"  warning: {warning}")

    session.show(detail, human)


@command(name="compare")
@click.argument("names", metavar="RUN RUN...", nargs=-1, required=True)
def compare_runs(session: Session, names: tuple[str, ...]) -> None:
    """Show runs side by side: what they were made of, given and measured; `*` marks what differs."""
    compared = _room(session).compare(names)

    def human() -> None:
        heads = ["", *(f"{short_id(entry)} {entry.name}" for entry in compared.runs), ""]
        parts = (compared.facts, compared.parameters, compared.metrics)
        table(heads, [_compared(line) for part in parts for line in part])

    session.show(compared, human)


@command(name="sync")
def sync_runs(session: Session) -> None:
    """Record runs whose process died, and show in MLflow the runs that are not shown there yet."""
    done = _room(session).sync()

    def human() -> None:
        click.echo(f"{done.recorded} interrupted runs recorded")
        click.echo(f"{done.mirrored} runs mirrored" if done.tracker else "no tracker: engines.tracking is empty")

    session.show(done, human)


for _command in (list_runs, show_run, compare_runs, sync_runs):
    runs.add_command(_command)


@command(name="reproduce")
@click.argument("run")
@click.option("--tolerance", default=1e-9, show_default=True, help="How far a figure may be off and count as equal.")
def reproduce(session: Session, run: str, tolerance: float) -> None:
    """Train again what RUN trained, beside what is kept; exits with 1 unless the figures come out equal."""
    answer = session.app.runs.reproduce(run, tolerance=tolerance)
    session.show(answer, lambda: _show_reproduction(answer))
    if answer.alike == "different":
        sys.exit(FAILURE_EXIT)


def short_id(entry: RunEntry) -> str:
    """Return as much of a run's id as tells it from others."""
    return entry.run_id[:SHORT_ID] if entry.kind == "training" else entry.run_id


def _show_reproduction(answer: Reproduction) -> None:
    if answer.dirty:
        click.echo("The files of this run differed from their commit: the commit alone cannot tell what ran.")
    for training in answer.trainings:
        gap = "" if training.largest is None else f", figures off by at most {training.largest:.3g}"
        first = f"; first difference: {training.first_difference}" if training.first_difference else ""
        click.echo(f"{training.estimator}: {training.alike}{gap}{first}")
        for check in training.stages:
            recorded, found = short(check.recorded), short(check.found)
            click.echo(f"  {check.stage:<12} {recorded}" + ("" if check.same else f" -> {found} *"))


def _changes(code: dict[str, str]) -> str:
    digest = code.get("diff_digest", "")
    return f" and changes {short(digest)}" if digest else " and changes"


def _room(session: Session) -> RunRoom:
    """Return the project's runs, or those of a folder that holds runs without a project."""
    try:
        return session.app.runs
    except ProjectError:
        from keelway.app.runs import RunRoom
        from keelway.app.tracking import holds_runs, workspace_for

        if not holds_runs(session.folder):
            raise
        return RunRoom(workspace_for(session.folder, clock=session.clock, actor=session.actor))


def _listed(entry: RunEntry, figures: str) -> list[str]:
    return [
        short_id(entry),
        entry.kind,
        entry.name + (" (dirty)" if entry.dirty else ""),
        entry.estimator,
        entry.status,
        entry.principal or "-",
        time_text(entry.started_at),
        figures,
    ]


def _figures(entry: RunEntry, metric: str, where: str) -> str:
    """Return the figure that was asked for, or a few: those that the condition names, and what models are judged by."""

    def place(name: str) -> tuple[bool, int, str]:
        last = name.rpartition(".")[2]
        known = FIRST_FIGURES.index(last) if last in FIRST_FIGURES else len(FIRST_FIGURES)
        return not (where and last in where), known, name

    chosen = [metric] if metric else sorted((name for name in entry.metrics if "/" not in name), key=place)
    told = [name for name in chosen if name in entry.metrics][:MOST_FIGURES]
    return " ".join(f"{name}={entry.metrics[name]:.4g}" for name in told)


def _section(heading: str, values: dict[str, str]) -> None:
    if values:
        click.echo(heading)
        _lines(values)


def _lines(values: dict[str, str]) -> None:
    width = max(len(name) for name in values)
    for name, text in values.items():
        click.echo(f"  {name:<{width}}  {text}")


def _compared(line: ComparedValue) -> list[str]:
    return [line.name, *(_told(value) for value in line.values), "" if line.same else "*"]


def _told(value: Scalar) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
