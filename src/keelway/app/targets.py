"""Targets told and asked: what the ledger wants of the place where versions answer, beside what that place says.

A target is told after the pointer moved and outside of the transaction. It is always told what the ledger wants by then, so
a call that was lost is made good by the next one, whoever makes it: a look, `deploy apply`, a rollback that waits.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keelway.app.wire import Workspace
from keelway.errors import EngineError

if TYPE_CHECKING:
    from keelway.core import VersionName
    from keelway.deploy import Deployment, ObservedReplica

EFFECTIVE_WITHIN_S = 5.0
"""So long a way back waits for the replicas, where nobody says otherwise; then it says which of them lag."""
ASKED_EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class TargetView:
    """What is wanted of a target, and what it says.

    Attributes:
        target: What people call it.
        wanted: The number of the deployment that the ledger wants.
        held: The number of the newest one that the target took; None where it took none, or cannot be asked.
        replicas: What answers, as the target says.
        lagging: The names of those that answer by another deployment than the wanted one.
        problem: Why the target could not be told or asked; empty where nothing is wrong.
        silent: The names of those that are not heard of any more; nobody waits for them.
    """

    target: str
    wanted: int
    held: int | None
    replicas: tuple[ObservedReplica, ...]
    lagging: tuple[str, ...]
    problem: str = ""
    silent: tuple[str, ...] = ()

    @property
    def is_effective(self) -> bool:
        """Whether everything that is heard of answers as it is wanted."""
        return not self.problem and not self.lagging


@dataclass(frozen=True, slots=True)
class DeployAnswer:
    """Where traffic went.

    Attributes:
        traffic: Percent of the entities by version.
        deployment: What was decided.
        target: What is wanted of the environment's target, beside what it says.
    """

    model: str
    environment: str
    traffic: dict[VersionName, int]
    deployment: Deployment
    target: TargetView | None


def deployed(deployment: Deployment, *, at: Workspace, wait_s: float) -> DeployAnswer:
    """Tell the target of a deployment that was just decided, and return what came of it.

    Args:
        wait_s: So long it is waited for until everything answers so; 0 only looks.
    """
    model, environment = deployment.model, deployment.environment
    untold = tell_target(model, environment, at=at)
    if wait_s:
        view = until_effective(model, environment, at=at, wait_s=wait_s)
    else:
        view = target_view(model, environment, at=at, problem=untold)
    return DeployAnswer(model, environment, deployment.traffic, deployment, view)


def tell_target(model: str, environment: str, *, at: Workspace) -> str:
    """Tell the target what the ledger wants now; return why it could not be told, or nothing.

    A decision stands whether its target hears of it or not, so this raises nothing; the person is told at once.
    """
    problem = _told(model, environment, at)
    if problem:
        at.progress(f"The target of {environment} does not know of the newest decision yet: {problem}")
    return problem


def target_view(model: str, environment: str, *, at: Workspace, problem: str = "") -> TargetView | None:
    """Return what is wanted beside what is there; None where nothing is deployed.

    Args:
        problem: Why the target could not be told just now.
    """
    deployment = _wanted(model, environment, at)
    if deployment is None:
        return None
    wanted, target = deployment.number, at.target(environment)
    try:
        seen = target.observed(model, environment)
    except EngineError as error:
        return TargetView(target.name, wanted, None, (), (), problem or f"it cannot be asked: {error}")
    if not problem and (seen.held is None or seen.held < wanted):
        problem = (
            f"it was not told of deployment {wanted} yet; keelway deploy apply {model} --env {environment} tells it"
        )
    lagging = tuple(replica.name for replica in seen.lagging(wanted))
    silent = tuple(replica.name for replica in seen.silent())
    return TargetView(target.name, wanted, seen.held, seen.replicas, lagging, problem, silent)


def until_effective(
    model: str, environment: str, *, at: Workspace, wait_s: float = EFFECTIVE_WITHIN_S
) -> TargetView | None:
    """Wait until everything that is heard of answers as the ledger wants; return what is there then, or after the wait.

    A target that was not told is told again. Whoever moves the traffic meanwhile is waited for instead.

    Args:
        wait_s: At most so many seconds; 0 only looks.
    """
    deadline = time.monotonic() + wait_s
    while True:
        view = target_view(model, environment, at=at)
        if view is not None and view.problem:
            view = target_view(model, environment, at=at, problem=_told(model, environment, at))
        if view is None or view.is_effective or time.monotonic() >= deadline:
            return view
        time.sleep(ASKED_EVERY_S)


def _told(model: str, environment: str, at: Workspace) -> str:
    try:
        deployment = _wanted(model, environment, at)
        if deployment is not None:
            at.target(environment).apply(deployment)
    except EngineError as error:
        return str(error)
    return ""


def _wanted(model: str, environment: str, at: Workspace) -> Deployment | None:
    from keelway.core import Environment
    from keelway.deploy import current

    with at.state.snapshot() as tx:
        return current(model, Environment(environment), tx)
