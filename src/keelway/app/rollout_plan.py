"""The difference between what is declared and what is deployed, stage by stage, and what traffic each stage takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from keelway.app.candidate import chosen_version
from keelway.app.targets import TargetView, target_view
from keelway.app.wire import Workspace
from keelway.core import VersionName
from keelway.errors import KeelwayError

if TYPE_CHECKING:
    from keelway.deploy import Deployment, RolloutStart
    from keelway.ledger import Transaction
    from keelway.project import Guardrail, Metric, Model, Rollout, Stage

MEASURED_OVER = timedelta(days=28)
Change = Literal["none", "deploy", "begin", "blocked"]


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """One stage of a rollout, before it begins.

    Attributes:
        what: What happens, in words.
        hold: How long it lasts at least.
        needs: What traffic it takes to be decided, in words.
    """

    what: str
    hold: str
    needs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeployPlan:
    """What is declared against what is deployed.

    Attributes:
        change: `none`: it is as declared, or on the way there. `deploy`: all traffic at once. `begin`: a rollout begins.
            `blocked`: another rollout goes on, which has to end first.
        reason: Why, in words.
        declared: The rollout that is declared; None where there is none, so that everything goes at once.
        treatments: The versions that come to answer.
        deployed: Percent of the entities by version, as it is.
        stages: What will happen; empty where nothing changes.
        target: What is wanted of the environment's target now, beside what it says; None where nothing is deployed.
    """

    model: str
    environment: str
    change: Change
    reason: str
    declared: Rollout | None
    treatments: tuple[VersionName, ...]
    deployed: dict[VersionName, int]
    stages: tuple[PlannedStage, ...] = ()
    target: TargetView | None = None


def deploy_plan(model: str, environment: str, *, versions: Sequence[str], at: Workspace) -> DeployPlan:
    """Return what has to change so that the declared way brings the wanted versions to answer; changes nothing.

    Raises:
        MissingRecordError: No version was let in, or there is none of that name.
        UsageError: The target cannot do what the declared rollout needs.
    """
    from keelway.deploy import current, must_fit

    at.environment(environment)
    declared = at.project.model(model)
    rollout = declared.rollout_for(environment)
    wanted = tuple(chosen_version(name, environment, at=at).name for name in versions or (model,))
    with at.state.snapshot() as tx:
        held = current(model, environment, tx)
        change, reason = _change(rollout, wanted, held, environment, tx)
    stages: tuple[PlannedStage, ...] = ()
    if change == "deploy":
        stages = (PlannedStage(f"all traffic to {wanted[0]}, after its smoke test", "0m", ()),)
    elif change == "begin" and rollout is not None:
        must_fit(rollout, wanted, target=at.target(environment))
        traffic = _measured_traffic(declared, environment, at)
        stages = tuple(_stages(rollout, wanted, traffic))
    shown = held.traffic if held else {}
    seen = target_view(model, environment, at=at)
    return DeployPlan(model, environment, change, reason, rollout, wanted, shown, stages, seen)


@dataclass(frozen=True, slots=True)
class _Traffic:
    """What was measured; None where nothing was."""

    per_day: float | None = None
    error_rate: float | None = None


def _change(
    rollout: Rollout | None,
    wanted: tuple[VersionName, ...],
    held: Deployment | None,
    environment: str,
    tx: Transaction,
) -> tuple[Change, str]:
    from keelway.deploy import running_rollout

    if held is None:
        return "deploy", "nothing answers yet, so there is nothing to stand beside"
    running = running_rollout(held.model, environment, tx)
    if running is None:
        return _from_rest(rollout, wanted, held, tx)
    if set(running.treatments) == set(wanted):
        return _going_on(running, rollout, held)
    return "blocked", f"{running.rollout} of {', '.join(running.treatments)} goes on beside {held.stable}; end it first"


def _from_rest(
    rollout: Rollout | None, wanted: tuple[VersionName, ...], held: Deployment, tx: Transaction
) -> tuple[Change, str]:
    """Return what has to change where no rollout goes on."""
    from keelway.deploy import rollouts_of

    if wanted == (held.stable,):
        return "none", f"{held.stable} answers everything"
    if rollout is None or rollout.strategy == "all_at_once":
        return "deploy", "no rollout is declared" if rollout is None else "it is declared to go all at once"
    last = next(iter(rollouts_of(held.model, held.environment, tx)), None)
    if last is not None and not last.plan.takes_over and _is_over(last, rollout, wanted, tx):
        return "none", f"{last.rollout} shadowed {', '.join(wanted)} to its end; deploy it, or declare what follows"
    return "begin", f"{', '.join(wanted)} {'was' if len(wanted) == 1 else 'were'} let in, {held.stable} answers"


def _going_on(running: RolloutStart, rollout: Rollout | None, held: Deployment) -> tuple[Change, str]:
    """Return what a rollout of the same versions means: what it began with holds to its end."""
    from dataclasses import replace

    told = f"{running.rollout} goes on, stage {held.stage + 1} of {len(running.plan.stages)}"
    comparable = replace(running.plan, analysis=rollout.analysis) if rollout else None
    if rollout is not None and comparable != rollout:
        return "none", f"{told}, by what was declared when it began"
    return "none", told


def _is_over(last: RolloutStart, rollout: Rollout, wanted: tuple[VersionName, ...], tx: Transaction) -> bool:
    from keelway.deploy import rollout_state

    same = last.treatments == wanted and last.plan.strategy == rollout.strategy
    return same and rollout_state(last, tx) == "finished"


def _stages(rollout: Rollout, wanted: tuple[VersionName, ...], traffic: _Traffic) -> Iterator[PlannedStage]:
    names = ", ".join(wanted)
    for number, stage in enumerate(rollout.stages):
        needs = tuple(_needs(rollout, number, len(wanted), traffic)) if rollout.is_judged(number) else ()
        yield PlannedStage(_what(rollout, stage, names), stage.hold, needs)
    end = f"all traffic to {'the winner' if rollout.several else names}" if rollout.takes_over else "the traffic stays"
    yield PlannedStage(f"then {end}; all of it back when harm is shown", "0m", ())


def _what(rollout: Rollout, stage: Stage, names: str) -> str:
    if stage.mirror:
        return f"{names} scores copies of the requests"
    if rollout.strategy == "blue_green":
        return f"all traffic to {names}, the old version stays loaded" if stage.percent else f"{names} is loaded"
    if rollout.several:
        return f"{stage.percent} % take part, in {'drawn' if rollout.strategy == 'bandit' else 'equal'} shares: control, {names}"
    return f"{stage.percent} % of the entities to {names}"


def _needs(rollout: Rollout, number: int, treatments: int, traffic: _Traffic) -> Iterator[str]:
    """Say what traffic a stage takes: the least, and what the plan of its rates says."""
    stage, analysis = rollout.stages[number], rollout.analysis
    part = stage.percent / 100
    smallest = 0.5 if stage.mirror else part / (treatments + 1) if rollout.several else min(part, 1 - part)
    whole = analysis.minimum / (1.0 if stage.mirror else smallest)
    told = _days(whole, traffic.per_day)
    yield f"nothing is decided before {analysis.minimum} requests in each arm, {whole:,.0f} in all{told}"
    if stage.mirror:
        return
    share = treatments / (treatments + 1) if rollout.several else part
    per_day = (traffic.per_day or 0.0) * (part if rollout.several else 1.0)
    for figure in analysis.figures:
        if text := _planned(figure, analysis.alpha, share, treatments, per_day, traffic.error_rate):
            yield text


def _planned(
    figure: Guardrail | Metric,
    alpha: float,
    share: float,
    treatments: int,
    per_day: float,
    error_rate: float | None,
) -> str:
    """Return how many rows a rate takes to show its margin; empty where nothing is known of it."""
    from keelway.deploy.analysis import ExperimentQuestion, experiment_plan

    if figure.name != "error_rate" or figure.kind != "rate" or not figure.margin or not error_rate or not per_day:
        return ""
    question = ExperimentQuestion(
        effect=figure.margin, baseline=error_rate, per_day=per_day, share=share, treatments=treatments, alpha=alpha
    )
    try:
        plan = experiment_plan(question)
    except KeelwayError:
        return ""
    rows = f"about {plan.rows[1]:,} requests of the new version"
    return f"{figure.name} within {figure.margin:g}: {rows}, {plan.days} days"


def _days(requests: float, per_day: float | None) -> str:
    return (
        f", about {requests / per_day:.2g} days at {per_day:,.0f} a day" if per_day else "; no traffic was measured yet"
    )


def _measured_traffic(model: Model, environment: str, at: Workspace) -> _Traffic:
    from keelway.serve import request_figures

    with at.state.snapshot() as tx:
        figures = request_figures(model.name, environment, since=at.now() - MEASURED_OVER, tx=tx)
    requests, failed = sum(each.requests for each in figures), sum(each.failed for each in figures)
    if not requests:
        return _Traffic()
    seconds = max((at.now() - min(each.since for each in figures)).total_seconds(), 3600.0)
    return _Traffic(requests / seconds * 86_400, failed / requests)
