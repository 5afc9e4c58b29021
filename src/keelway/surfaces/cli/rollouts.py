"""Commands on rollouts: deploy, deploy plan, deploy apply, rollout, rollout status."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from keelway.core import parse_duration, short, time_text
from keelway.errors import UsageError
from keelway.surfaces.cli.groups import DefaultGroup
from keelway.surfaces.cli.observed import end_unless_effective, seconds_of, tell_target_view, wait_option
from keelway.surfaces.cli.session import Session, command

if TYPE_CHECKING:
    from keelway.app.rollout_plan import DeployPlan
    from keelway.app.rollouts import RolloutAnswer, RolloutStatus
    from keelway.deploy import Deployment

DIFFERENT_EXIT = 2
_environment = click.option("--env", "environment", default="prod", show_default=True, help="The environment.")
_comment = click.option("--comment", default="", help="Why; kept in the ledger.")
_try = click.option(
    "--try",
    "versions",
    multiple=True,
    metavar="VERSION",
    help="Try this version; repeat it for several (A/B/n, bandit).",
)


class _DeployGroup(DefaultGroup):
    """`keelway deploy churn:3` is `keelway deploy to churn:3`."""

    default = "to"


class _RolloutGroup(DefaultGroup):
    """`keelway rollout churn` is `keelway rollout look churn`."""

    default = "look"


@click.group(name="deploy", cls=_DeployGroup)
def deploy() -> None:
    """Send traffic to admitted versions, at once or as declared; show the difference first."""


@click.group(name="rollout", cls=_RolloutGroup)
def rollout() -> None:
    """Judge a rollout by its evidence and move it on, back or not; pause, resume or end it."""


@command(name="to")
@click.argument("version")
@_environment
@click.option(
    "--canary",
    type=click.IntRange(1, 99),
    help="Begin a rollout of one step: this percentage to VERSION, the rest stays where it is.",
)
@wait_option("30s")
@_comment
def deploy_to(session: Session, version: str, environment: str, canary: int | None, wait: str, comment: str) -> None:
    """Send traffic to VERSION (MODEL:NUMBER, or MODEL for what the door let in last), after a smoke test."""
    app, wait_s = session.app, seconds_of(wait)
    if canary is None:
        answer = app.traffic.deploy(version, environment, wait_s=wait_s, comment=comment)
    else:
        answer = app.rollouts.canary(version, environment, canary, wait_s=wait_s, comment=comment)

    def human() -> None:
        tell_traffic(answer.deployment)
        tell_target_view(answer.target)

    session.show(answer, human)
    end_unless_effective(session, answer.target, model=answer.model, environment=environment, waited=wait_s > 0)


@command(name="plan")
@click.argument("model")
@_environment
@_try
@click.option("--detailed-exitcode", "detailed", is_flag=True, help="Exit with 2 where something would change.")
def deploy_plan(session: Session, model: str, environment: str, versions: tuple[str, ...], *, detailed: bool) -> None:
    """Show what has to change so that MODEL answers as declared, stage by stage; changes nothing."""
    plan = session.app.rollouts.plan(model, environment, versions=versions)
    session.show(plan, lambda: _tell_plan(plan))
    if detailed and plan.change != "none":
        session.close()
        sys.exit(DIFFERENT_EXIT)


@command(name="apply")
@click.argument("model")
@_environment
@_try
@_comment
def deploy_apply(session: Session, model: str, environment: str, versions: tuple[str, ...], comment: str) -> None:
    """Do what `deploy plan` shows: deploy, or begin the declared rollout; a second time does nothing."""
    plan = session.app.rollouts.apply(model, environment, versions=versions, comment=comment)
    if plan.change == "blocked":
        raise UsageError(
            f"{model} is not deployed as declared",
            expected="no other rollout",
            found=plan.reason,
            fix=f"keelway rollout {model} --env {environment} --abort",
        )
    session.show(plan, lambda: _tell_plan(plan))
    end_unless_effective(session, plan.target, model=model, environment=environment, waited=False)


@command(name="look")
@click.argument("model")
@_environment
@click.option("--dry", is_flag=True, help="Only judge; move nothing, keep nothing.")
@click.option("--watch", is_flag=True, help="Look again and again until it is decided.")
@click.option("--every", default="10s", show_default=True, help="With --watch: how long to wait between looks.")
@click.option("--pause", "told", flag_value="pause", help="Keep it where it is; harm still takes it back.")
@click.option("--resume", "told", flag_value="resume", help="Let it go on, with patience anew.")
@click.option("--abort", "told", flag_value="stop", help="End it: all traffic to the version in use.")
@wait_option("5s")
@_comment
def rollout_look(
    session: Session,
    model: str,
    environment: str,
    every: str,
    told: str | None,
    wait: str,
    comment: str,
    *,
    dry: bool,
    watch: bool,
) -> None:
    """Judge MODEL's rollout once by everything that was kept of it, and make the move that follows."""
    if sum((dry, watch, told is not None)) > 1:
        raise UsageError(
            "These go one at a time", expected="one of --dry, --watch, --pause, --resume, --abort", found="several"
        )
    wait_s = seconds_of(wait)
    if told is not None:
        status = session.app.rollouts.turn(model, environment, told, wait_s=wait_s, comment=comment)  # type: ignore[arg-type]
        session.show(status, lambda: _tell_status(model, status))
        waited = told == "stop" and wait_s > 0
        end_unless_effective(session, status.target, model=model, environment=environment, waited=waited)
        return
    if not watch:
        answer = session.app.rollouts.look(model, environment, dry=dry, wait_s=wait_s, comment=comment)
        _show_look(session, model, environment, answer, wait_s)
        return
    last = None
    waits = parse_duration(every).total_seconds()
    for last in session.app.rollouts.watch(model, environment, every_s=waits, wait_s=wait_s, comment=comment):
        session.progress(
            f"{time_text(session.clock.now())} stage {last.stage} of {last.stages}: {last.move}; {last.reasons[0]}"
        )
    assert last is not None  # a watch yields at least once
    _show_look(session, model, environment, last, wait_s)


@command(name="status")
@click.argument("model")
@_environment
def rollout_status(session: Session, model: str, environment: str) -> None:
    """Show where MODEL's newest rollout stands, without looking at its figures."""
    status = session.app.rollouts.status(model, environment)
    session.show(status, lambda: _tell_status(model, status))


for _one in (deploy_to, deploy_plan, deploy_apply):
    deploy.add_command(_one)
for _one in (rollout_look, rollout_status):
    rollout.add_command(_one)


def tell_traffic(deployment: Deployment) -> None:
    """Print who answers, and who only listens."""
    shares = ", ".join(f"{name} {share} %" for name, share in sorted(deployment.traffic.items()))
    shadows = f"; shadows: {', '.join(deployment.shadows)}" if deployment.shadows else ""
    rollout_id = f"; {deployment.rollout}, stage {deployment.stage + 1}" if deployment.rollout else ""
    salt = short(deployment.salt)
    click.echo(f"{deployment.model} in {deployment.environment}: {shares}{shadows}{rollout_id} (salt {salt})")


def _tell_plan(plan: DeployPlan) -> None:
    deployed = ", ".join(f"{name} {share} %" for name, share in sorted(plan.deployed.items())) or "nothing"
    click.echo(f"{plan.model} in {plan.environment}: {deployed}")
    strategy = plan.declared.strategy if plan.declared else "none"
    click.echo(f"declared: {strategy}; wanted: {', '.join(plan.treatments)}")
    click.echo(f"change: {plan.change}, because {plan.reason}")
    for number, stage in enumerate(plan.stages, start=1):
        hold = f", at least {stage.hold}" if stage.hold != "0m" else ""
        click.echo(f"  {number}. {stage.what}{hold}")
        for need in stage.needs:
            click.echo(f"     - {need}")
    tell_target_view(plan.target)


def _show_look(session: Session, model: str, environment: str, answer: RolloutAnswer, wait_s: float) -> None:
    """Show what a look led to; a way back that is not effective ends the command so."""
    session.show(answer, lambda: _tell_answer(model, environment, answer))
    waited = answer.move == "back" and wait_s > 0
    end_unless_effective(session, answer.target, model=model, environment=environment, waited=waited)


def _tell_answer(model: str, environment: str, answer: RolloutAnswer) -> None:
    dry = " (dry: nothing moved)" if answer.dry else ""
    stage = f"stage {answer.stage} of {answer.stages}"
    click.echo(f"{model} in {environment}: {answer.rollout} ({answer.strategy}), {stage}: {answer.move}{dry}")
    for arm in answer.arms:
        control, tried = arm.verdict.requests
        click.echo(f"  {arm.version} ({arm.arm}): {arm.verdict.outcome}, {tried} requests against {control}")
    for reason in answer.reasons:
        click.echo(f"  - {reason}")
    tell_traffic(answer.deployment)
    tell_target_view(answer.target)


def _tell_status(model: str, status: RolloutStatus) -> None:
    tried = ", ".join(status.treatments)
    click.echo(f"{model}: {status.rollout} ({status.strategy}) of {tried} beside {status.control}: {status.state}")
    since = f" since {time_text(status.since)}" if status.since else ""
    click.echo(
        f"  stage {status.stage} of {status.stages}{since}; began {time_text(status.began)}; {status.looks} looks kept"
    )
    if status.last:
        click.echo(f"  newest look: {status.last[0]}; {'; '.join(status.last[1:])}")
    click.echo("  " + ", ".join(f"{name} {share} %" for name, share in sorted(status.traffic.items())))
    tell_target_view(status.target)
