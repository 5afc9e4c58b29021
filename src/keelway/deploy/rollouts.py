"""What is kept of a rollout: how it began, every look that told something new, and what people did; all under its id.

A rollout is `running` until it is decided. It is `paused` while its newest look could not be believed or patience is over,
or while a person stopped it from moving; `finished` when its winner has the traffic; `back` when the version that was in
use has it again; `stopped` when a person ended it or moved the traffic past it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from keelway.core import Digest, Environment, PrincipalId, VersionName, revive
from keelway.deploy.analysis import RolloutVerdict
from keelway.deploy.record import Deployment, pointer_of
from keelway.ledger import Transaction

if TYPE_CHECKING:
    from keelway.project import Rollout

Move = Literal["hold", "advance", "finish", "back", "pause"]
"""What a look leads to: stay, go to the next stage, give all traffic to the winner, or to the control; wait for a person."""
RolloutState = Literal["running", "paused", "finished", "back", "stopped"]


@dataclass(frozen=True, slots=True)
class RolloutStart:
    """A rollout as it began.

    Attributes:
        rollout: Its id, unique for the model in the environment: `r1`, `r2`.
        declared: The `Rollout` that it follows to its end, as plain data.
        control: The version that was in use.
        treatments: The versions on trial.
    """

    rollout: str
    model: str
    environment: Environment
    declared: dict[str, Any]
    control: VersionName
    treatments: tuple[VersionName, ...]
    at: datetime
    principal: PrincipalId

    @property
    def place(self) -> str:
        """Under which its looks are listed."""
        return f"{self.environment}/{self.model}/{self.rollout}"

    @property
    def plan(self) -> Rollout:
        """The rollout that was declared when it began."""
        from keelway.project import Rollout

        return revive(self.declared, Rollout)


@dataclass(frozen=True, slots=True)
class ArmVerdict:
    """What a look says about one arm; a figure without a finite harm has None."""

    arm: str
    version: VersionName
    verdict: RolloutVerdict

    def __post_init__(self) -> None:
        figures = tuple(
            replace(each, harm=each.harm if each.harm is not None and math.isfinite(each.harm) else None)
            for each in self.verdict.figures
        )
        object.__setattr__(self, "verdict", replace(self.verdict, figures=figures))


@dataclass(frozen=True, slots=True)
class RolloutLook:
    """One look at a rollout, and what it led to.

    Attributes:
        stage: Which stage it looked at, from 0.
        number: Counts the looks of the rollout that are kept, from 1.
        deployment: The deployment that it looked at.
        arms: The verdict on each treatment; empty where the stage compares nothing.
        reasons: Why the move was made.
    """

    model: str
    environment: Environment
    rollout: str
    stage: int
    number: int
    deployment: Digest
    control: VersionName
    arms: tuple[ArmVerdict, ...]
    move: Move
    reasons: tuple[str, ...]
    at: datetime


@dataclass(frozen=True, slots=True)
class RolloutTurn:
    """What a person told a rollout to do.

    Attributes:
        number: Counts the turns of the rollout, from 1.
        to: `pause` keeps it from moving on, `resume` lets it again with patience anew, `stop` gave all traffic to the control.
    """

    model: str
    environment: Environment
    rollout: str
    number: int
    to: Literal["pause", "resume", "stop"]
    at: datetime
    principal: PrincipalId
    comment: str = ""


def rollouts_of(model: str, environment: str, tx: Transaction) -> list[RolloutStart]:
    """Return the rollouts of a model in an environment, newest first."""
    found = tx.newest(RolloutStart, parent=f"{environment}/{model}")
    return sorted(found, key=lambda start: int(start.rollout.removeprefix("r")), reverse=True)


def looks_of(start: RolloutStart, tx: Transaction) -> list[RolloutLook]:
    """Return the looks of a rollout that are kept, oldest first."""
    return sorted(tx.newest(RolloutLook, parent=start.place), key=lambda look: look.number)


def turns_of(start: RolloutStart, tx: Transaction) -> list[RolloutTurn]:
    """Return what people told a rollout to do, oldest first."""
    return sorted(tx.newest(RolloutTurn, parent=start.place), key=lambda turn: turn.number)


def deployments_of(start: RolloutStart, tx: Transaction) -> list[Deployment]:
    """Return the deployments that were steps of a rollout, in order."""
    found = tx.newest(Deployment, parent=f"{start.environment}/{start.model}")
    mine = [deployment for deployment in found if deployment.rollout == start.rollout]
    return sorted(mine, key=lambda deployment: deployment.number)


def rollout_state(start: RolloutStart, tx: Transaction) -> RolloutState:
    """Return where a rollout stands."""
    looks, turns = looks_of(start, tx), turns_of(start, tx)
    last = looks[-1].move if looks else "hold"
    if last == "finish":
        return "finished"
    if last == "back":
        return "back"
    pointer = tx.pointer(pointer_of(start.model, start.environment))
    if pointer is None or tx.by_digest(Deployment, pointer.target).rollout != start.rollout:
        return "stopped"
    told = turns[-1] if turns else None
    if told is not None and told.to == "pause":
        return "paused"
    resumed = told is not None and bool(looks) and told.at >= looks[-1].at
    return "paused" if last == "pause" and not resumed else "running"


def running_rollout(model: str, environment: str, tx: Transaction) -> RolloutStart | None:
    """Return the rollout whose step the traffic is now, or None."""
    pointer = tx.pointer(pointer_of(model, environment))
    rollout = tx.by_digest(Deployment, pointer.target).rollout if pointer else ""
    return tx.get(RolloutStart, f"{environment}/{model}/{rollout}") if rollout else None
