"""Rollouts as users run them: what is declared is compared with what is deployed, begun, looked at, and moved on."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from keelway.app.candidate import chosen_version, smoke_test
from keelway.app.rollout_looks import rollout_view
from keelway.app.rollout_plan import DeployPlan, deploy_plan
from keelway.app.targets import (
    EFFECTIVE_WITHIN_S,
    DeployAnswer,
    TargetView,
    deployed,
    target_view,
    tell_target,
    until_effective,
)
from keelway.app.way_back import must_be_mover, pointer_follows, show_moved
from keelway.app.wire import Workspace
from keelway.core import Environment, VersionName, time_text

if TYPE_CHECKING:
    from keelway.deploy import ArmVerdict, Deployment, Move, RolloutScene, RolloutState
    from keelway.monitor.rollout import SegmentCache
    from keelway.project import Rollout

SECOND_LOOK = 3
"""So often a look is taken again that somebody's change of the traffic came between."""


@dataclass(frozen=True, slots=True)
class RolloutAnswer:
    """A look at a rollout, and where it stands after the move that it led to.

    Attributes:
        stage: Which stage was looked at, from 1.
        stages: How many there are.
        state: After the move.
        arms: The verdict on each version that is tried.
        move: What the look leads to; made unless `dry`.
        reasons: Why.
        deployment: The traffic that holds now.
        target: What is wanted of the environment's target, beside what it says; None for a look that is dry.
    """

    rollout: str
    strategy: str
    stage: int
    stages: int
    state: RolloutState
    arms: tuple[ArmVerdict, ...]
    move: Move
    reasons: tuple[str, ...]
    deployment: Deployment
    dry: bool = False
    target: TargetView | None = None

    @property
    def is_decided(self) -> bool:
        """Whether there is nothing more to look at."""
        return self.state in ("finished", "back", "stopped")


@dataclass(frozen=True, slots=True)
class RolloutStatus:
    """A rollout without a new look.

    Attributes:
        since: When its stage began; None once it is over.
        last: What the newest look led to, and why; empty where nobody looked yet.
        target: What is wanted of the environment's target, beside what it says.
    """

    rollout: str
    strategy: str
    state: RolloutState
    control: VersionName
    treatments: tuple[VersionName, ...]
    began: datetime
    stage: int
    stages: int
    looks: int
    since: datetime | None
    last: tuple[str, ...]
    traffic: dict[VersionName, int]
    target: TargetView | None = None


class RolloutRoom:
    """Use cases of those who let new versions come to answer."""

    def __init__(self, workspace: Workspace) -> None:
        self._at = workspace

    def plan(self, model: str, environment: str, *, versions: Sequence[str] = ()) -> DeployPlan:
        """Return what `apply` would change, stage by stage; changes nothing.

        Args:
            versions: The versions to try; by default the one that the door let in last.
        """
        return deploy_plan(model, environment, versions=versions, at=self._at)

    def apply(self, model: str, environment: str, *, versions: Sequence[str] = (), comment: str = "") -> DeployPlan:
        """Do what `plan` shows: deploy, or begin the rollout that is declared; what is done already is not done again.

        The environment's target is told in any case, so that it hears of what it missed.

        Raises:
            RefusedError: A version is not admitted, fails its smoke test, or the principal may not deploy; recorded.
            UsageError: Another rollout goes on, or its layer has no room.
        """
        at = self._at
        must_be_mover(environment, at=at, subject=model)
        plan = self.plan(model, environment, versions=versions)
        if plan.change == "deploy":
            self._deploy(plan, comment)
        elif plan.change == "begin":
            assert plan.declared is not None  # what begins is declared
            self._begin(plan.declared, model, plan.treatments, comment)
        told = tell_target(model, environment, at=at)
        after = self.plan(model, environment, versions=versions)
        return replace(after, target=target_view(model, environment, at=at, problem=told)) if told else after

    def canary(
        self, version: str, environment: str, percent: int, *, wait_s: float = 0.0, comment: str = ""
    ) -> DeployAnswer:
        """Begin a rollout of one step with the standard analysis, whatever is declared.

        Args:
            wait_s: So long it is waited for until everything answers so; servers load and warm a version first.

        Raises:
            RefusedError: The version is not admitted, fails its smoke test, or the principal may not deploy; recorded.
            UsageError: There is nothing to stand beside, a rollout of another version goes on, or the target cannot split traffic.
        """
        from keelway.project import Rollout

        at = self._at
        must_be_mover(environment, at=at, subject=version)
        chosen = chosen_version(version, environment, at=at)
        rollout = Rollout.canary(environment, steps=(percent,))
        return deployed(self._begin(rollout, chosen.model, [chosen.name], comment), at=at, wait_s=wait_s)

    def look(
        self,
        model: str,
        environment: str,
        *,
        dry: bool = False,
        wait_s: float = EFFECTIVE_WITHIN_S,
        comment: str = "",
    ) -> RolloutAnswer:
        """Judge the rollout that goes on by everything that was kept of it, and make the move that follows.

        Args:
            dry: Only judge: nothing moves, and the look is not kept.
            wait_s: So long it is waited for until a way back is effective.

        Raises:
            UsageError: No rollout goes on.
            RefusedError: A version that should get more traffic is not admitted any more; recorded.
        """
        from keelway.errors import PointerMovedError

        self._at.environment(environment)
        if not dry:
            must_be_mover(environment, at=self._at, subject=model)
        for again in range(SECOND_LOOK):
            try:
                return self._looked(model, environment, dry=dry, wait_s=wait_s, comment=comment)
            except PointerMovedError:
                if again == SECOND_LOOK - 1:
                    raise
        raise AssertionError("every pass returns or raises")

    def watch(
        self,
        model: str,
        environment: str,
        *,
        every_s: float,
        wait_s: float = EFFECTIVE_WITHIN_S,
        comment: str = "",
    ) -> Iterator[RolloutAnswer]:
        """Yield look after look until the rollout is decided; whoever stops listening stops the watch."""
        while True:
            answer = self.look(model, environment, wait_s=wait_s, comment=comment)
            yield answer
            if answer.is_decided:
                return
            time.sleep(every_s)

    def turn(
        self,
        model: str,
        environment: str,
        to: Literal["pause", "resume", "stop"],
        *,
        wait_s: float = EFFECTIVE_WITHIN_S,
        comment: str = "",
    ) -> RolloutStatus:
        """Pause the rollout that goes on, let it go on, or give all traffic back to the version in use.

        Args:
            wait_s: So long it is waited for until a way back is effective.

        Raises:
            UsageError: None goes on, or it is paused or running already.
        """
        from keelway.deploy import turn

        at = self._at
        must_be_mover(environment, at=at, subject=model)
        turn(
            model, environment, to, follow=pointer_follows(environment, comment, at=at), state=at.state,
            principal=at.principal.id, now=at.now(), comment=comment,
        )  # fmt: skip
        seen = self._follow_through(model, environment, "back" if to == "stop" else "hold", wait_s)
        return replace(self.status(model, environment), target=seen)

    def status(self, model: str, environment: str) -> RolloutStatus:
        """Return where the newest rollout stands, without looking at its figures.

        Raises:
            MissingRecordError: None ever began.
        """
        from keelway.deploy import current, deployments_of, looks_of, rollout_state, rollouts_of
        from keelway.errors import MissingRecordError

        self._at.environment(environment)
        with self._at.state.snapshot() as tx:
            start = next(iter(rollouts_of(model, environment, tx)), None)
            if start is None:
                raise MissingRecordError(
                    f"No rollout of {model} ever began in {environment}", expected="a rollout", found="none",
                    fix=f"keelway deploy apply {model} --env {environment}",
                )  # fmt: skip
            state, looks, steps = rollout_state(start, tx), looks_of(start, tx), deployments_of(start, tx)
            held = current(model, environment, tx)
        goes_on = state in ("running", "paused")
        since = next(step.at for step in steps if step.stage == steps[-1].stage)
        return RolloutStatus(
            start.rollout, start.plan.strategy, state, start.control, start.treatments, start.at, steps[-1].stage + 1,
            len(start.plan.stages), len(looks), since if goes_on else None,
            (looks[-1].move, *looks[-1].reasons) if looks else (), held.traffic if held else {},
            target_view(model, environment, at=self._at),
        )  # fmt: skip

    def _looked(self, model: str, environment: str, *, dry: bool, wait_s: float, comment: str) -> RolloutAnswer:
        from keelway.deploy import carry_out, rollout_scene, rollout_state

        at, now = self._at, self._at.now()
        with at.state.snapshot() as tx:
            scene = rollout_scene(model, environment, tx)
            view = rollout_view(scene, tx=tx, at=at, now=now, cache=self._log)
            verdicts = view.verdicts()
            move = view.move(verdicts)
            shares = view.shares(verdicts, move)
            deployment, state = scene.standing.deployment, rollout_state(scene.start, tx)
        seen = None
        if not dry:
            told = comment or _told(scene, move.move)
            follow = pointer_follows(environment, told, at=at)
            deployment = carry_out(
                scene, verdicts, move, follow=follow, state=at.state, principal=at.principal.id, now=now,
                comment=comment, shares=shares,
            )  # fmt: skip
            seen = self._follow_through(model, environment, move.move, wait_s)
            with at.state.snapshot() as tx:
                state = rollout_state(scene.start, tx)
        plan, stage = scene.start.plan, scene.standing.deployment.stage
        return RolloutAnswer(
            scene.start.rollout, plan.strategy, stage + 1, len(plan.stages), state, tuple(verdicts), move.move,
            move.reasons, deployment, dry, seen,
        )  # fmt: skip

    def _follow_through(self, model: str, environment: str, move: Move, wait_s: float) -> TargetView | None:
        """Tell the target what was decided, before anything else; show what moved; and wait for a way back to be effective."""
        at = self._at
        untold = tell_target(model, environment, at=at)
        if move in ("finish", "back"):
            show_moved(model, environment, at=at)
        if move == "back":
            return until_effective(model, environment, at=at, wait_s=wait_s)
        return target_view(model, environment, at=at, problem=untold)

    @cached_property
    def _log(self) -> SegmentCache:
        """What looks read of the prediction log, for the next one."""
        from keelway.monitor.rollout import SegmentCache

        return SegmentCache()

    def _begin(self, rollout: Rollout, model: str, versions: Sequence[str], comment: str) -> Deployment:
        from keelway.deploy import begin_rollout, must_fit

        at = self._at
        must_fit(rollout, [VersionName(each) for each in versions], target=at.target(rollout.environment))
        begun = begin_rollout(
            model, [VersionName(each) for each in versions], rollout=rollout, smoke=smoke_test(at), state=at.state,
            principal=at.principal.id, now=at.now(), comment=comment,
        )  # fmt: skip
        at.progress(f"{begun.start.rollout} of {', '.join(versions)} began {time_text(begun.start.at)}")
        return begun.deployment

    def _deploy(self, plan: DeployPlan, comment: str) -> Deployment:
        from keelway.deploy import deploy

        at = self._at
        return deploy(
            plan.model, environment=Environment(plan.environment), stable=VersionName(plan.treatments[0]),
            smoke=smoke_test(at), state=at.state, principal=at.principal.id, now=at.now(), comment=comment,
        )  # fmt: skip


def _told(scene: RolloutScene, move: str) -> str:
    return f"{scene.start.rollout}, stage {scene.standing.deployment.stage + 1}: {move}"
