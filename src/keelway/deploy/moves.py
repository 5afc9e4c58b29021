"""Moves a rollout on: by what a look found, or by what a person told it. The look, the traffic and the decision are one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from keelway.core import Action, Digest, PrincipalId, VersionName
from keelway.deploy.change import StandingTraffic, TrafficChange, admitted_versions, put, refused, standing
from keelway.deploy.deploy import Follow
from keelway.deploy.next_move import NextMove, next_move
from keelway.deploy.record import SHADOW, STABLE, Deployment
from keelway.deploy.rollouts import (
    ArmVerdict,
    RolloutLook,
    RolloutStart,
    RolloutTurn,
    deployments_of,
    looks_of,
    rollout_state,
    running_rollout,
    turns_of,
)
from keelway.deploy.stages import DesiredTraffic, all_traffic, stage_traffic, trial_shares
from keelway.errors import PointerMovedError, UsageError
from keelway.ledger import record_decision
from keelway.ledger.ports import StateStore, Transaction


@dataclass(frozen=True, slots=True)
class RolloutScene:
    """A rollout at one moment, as a look finds it.

    Attributes:
        standing: The deployment that is in charge, a step of the rollout.
        steps: The deployments of the rollout until now, in order.
        since: When its stage began.
        waits_since: From when patience counts.
        paused: Whether a person paused it.
        last: The newest look that is kept.
    """

    start: RolloutStart
    standing: StandingTraffic
    steps: tuple[Deployment, ...]
    since: datetime
    waits_since: datetime
    paused: bool
    last: RolloutLook | None

    @property
    def arms(self) -> tuple[tuple[str, VersionName], ...]:
        """The treatments that are still tried: arm and version."""
        deployment = self.standing.deployment
        if deployment.shadows:
            return tuple((SHADOW, version) for version in deployment.shadows)
        tried = [arm for arm in deployment.arms if arm not in (STABLE, deployment.control_arm)]
        return tuple((arm, deployment.version_of(arm)) for arm in tried)

    @property
    def draws(self) -> int:
        """How many deployments its stage had until now."""
        return sum(step.stage == self.standing.deployment.stage for step in self.steps)

    @property
    def is_judged(self) -> bool:
        """Whether there is anything to compare at its stage."""
        return self.start.plan.is_judged(self.standing.deployment.stage)


def rollout_scene(model: str, environment: str, tx: Transaction) -> RolloutScene:
    """Return the rollout that goes on, as it stands.

    Raises:
        UsageError: None goes on.
    """
    start = running_rollout(model, environment, tx)
    held = standing(model, environment, tx)
    if start is None or held is None:
        raise UsageError(
            f"No rollout of {model} goes on in {environment}",
            expected="a rollout",
            found=f"all traffic at {held.deployment.stable}" if held else "no deployment",
            fix=f"keelway deploy apply {model} --env {environment}, or keelway deploy VERSION --env {environment} --canary 10",
        )
    steps = tuple(deployments_of(start, tx))
    since = next(step.at for step in steps if step.stage == held.deployment.stage)
    turns, looks = turns_of(start, tx), looks_of(start, tx)
    resumed = [turn.at for turn in turns if turn.to == "resume"]
    paused = bool(turns) and turns[-1].to == "pause"
    return RolloutScene(
        start, held, steps, since, max([since, *resumed]), paused, looks[-1] if looks else None
    )  # fmt: skip


def seen(scene: RolloutScene, verdicts: Sequence[ArmVerdict], now: datetime) -> NextMove:
    """Return what verdicts on a rollout lead to; see `next_move`."""
    return next_move(
        scene.start.plan, scene.standing.deployment.stage, scene.since, verdicts, now,
        waits_since=scene.waits_since, paused=scene.paused,
    )  # fmt: skip


def carry_out(
    scene: RolloutScene,
    verdicts: Sequence[ArmVerdict],
    move: NextMove,
    *,
    follow: Follow,
    state: StateStore,
    principal: PrincipalId,
    now: datetime,
    comment: str = "",
    shares: Mapping[str, float] | None = None,
) -> Deployment:
    """Keep a look, and make the move it led to; return the deployment that holds then.

    A look that saw nothing new is not kept. A version that is not admitted any more gets no further; going back asks nobody.

    Args:
        follow: Takes the environment's pointer to the version that wins, or back to the control.
        shares: What a bandit's arms are to have from here on; None where they stay.

    Raises:
        PointerMovedError: Somebody else changed the traffic meanwhile; nothing is kept.
        RefusedError: A version on trial is not admitted any more; the refusal is in the ledger.
    """
    start, held = scene.start, scene.standing
    desired = _desired(scene, move, shares)
    action = Action.ROLLBACK if move.move == "back" else Action.DEPLOY
    told = comment or f"{start.rollout}: {move.move}"
    change = TrafficChange(action, start.model, start.environment, principal, now, told)
    if move.move in ("advance", "finish") and desired is not None:
        _must_be_admitted(change, desired, held.deployment, state)
    with state.transaction() as tx:
        _must_stand(held, tx)
        evidence = _kept_look(scene, verdicts, move, now, tx)
        if desired is None:
            if evidence and move.move == "pause":
                record_decision(change.decision(evidence, comment=told), tx=tx)
            return held.deployment
        if move.move == "back" or (move.move == "finish" and start.plan.takes_over):
            _take_pointer(held.deployment, desired.stable, follow, tx)
        return put(
            change, desired, before=held, versions=held.deployment.versions, previous=held.digest,
            evidence=evidence, tx=tx,
        )  # fmt: skip


def turn(
    model: str,
    environment: str,
    to: Literal["pause", "resume", "stop"],
    *,
    follow: Follow,
    state: StateStore,
    principal: PrincipalId,
    now: datetime,
    comment: str = "",
) -> Deployment:
    """Do what a person tells a rollout: pause it, let it go on, or give all traffic back to the version in use.

    Raises:
        UsageError: None goes on, or it is paused or running already.
    """
    with state.transaction() as tx:
        scene = rollout_scene(model, environment, tx)
        start, held = scene.start, scene.standing
        _must_change(to, scene, rollout_state(start, tx))
        number = tx.count(RolloutTurn, parent=start.place) + 1
        record = RolloutTurn(model, start.environment, start.rollout, number, to, now, principal, comment)
        evidence = {"turn": tx.insert(f"{start.place}/{number:06d}", record, parent=start.place, at=now)}
        told = comment or f"{start.rollout}: {to}"
        action = Action.ROLLBACK if to == "stop" else Action.DEPLOY
        change = TrafficChange(action, model, start.environment, principal, now, told)
        if to != "stop":
            record_decision(change.decision({"deployment": held.digest, **evidence}), tx=tx)
            return held.deployment
        _take_pointer(held.deployment, start.control, follow, tx)
        desired = all_traffic(start.control, environment)
        return put(
            change, desired, before=held, versions=held.deployment.versions, previous=held.digest,
            evidence=evidence, tx=tx,
        )  # fmt: skip


def _desired(scene: RolloutScene, move: NextMove, shares: Mapping[str, float] | None) -> DesiredTraffic | None:
    """Return the traffic that a move asks for; None where it stays as it is."""
    start, held = scene.start, scene.standing.deployment
    if move.move == "back":
        return all_traffic(start.control, start.environment)
    if move.move == "finish":
        winner = (move.winner or start.treatments[0]) if start.plan.takes_over else start.control
        return all_traffic(winner, start.environment)
    if move.move == "advance":
        return stage_traffic(start, held.stage + 1, before=held, members=held.members)
    if move.dropped or shares is not None:
        parts = shares or trial_shares(held, start.plan.stages[held.stage].percent)
        left = {arm: part for arm, part in parts.items() if arm not in move.dropped}
        return stage_traffic(start, held.stage, before=held, members=held.members, shares=left)
    return None


def _kept_look(
    scene: RolloutScene, verdicts: Sequence[ArmVerdict], move: NextMove, now: datetime, tx: Transaction
) -> dict[str, Digest]:
    """Keep a look that saw something new; return it as evidence."""
    start, held, last = scene.start, scene.standing, scene.last
    look = RolloutLook(
        start.model, start.environment, start.rollout, held.deployment.stage, last.number + 1 if last else 1,
        held.digest, start.control, tuple(verdicts), move.move, move.reasons, now,
    )  # fmt: skip
    if last is not None and replace(look, number=last.number, at=last.at) == last:
        return {}
    return {"look": tx.insert(f"{start.place}/{look.number:06d}", look, parent=start.place, at=now)}


def _take_pointer(deployment: Deployment, version: VersionName, follow: Follow, tx: Transaction) -> None:
    """Take the environment's pointer along; traffic goes back even where the pointer may not, which is recorded there."""
    from keelway.register import ModelVersion

    follow(tx.by_digest(ModelVersion, deployment.versions[version]), tx=tx)


def _must_be_admitted(change: TrafficChange, desired: DesiredTraffic, held: Deployment, state: StateStore) -> None:
    """Refuse to give more traffic to a version that may have none any more."""
    tried = [version for version in desired.versions if version != held.stable]
    with state.snapshot() as tx:
        reasons, _ = admitted_versions(tried, change.environment, change.at, tx)
    if reasons:
        raise refused(change, desired, {each: held.versions[each] for each in tried}, tuple(reasons), state)


def _must_stand(held: StandingTraffic, tx: Transaction) -> None:
    """Refuse to keep a look at traffic that is there no more."""
    found = standing(held.deployment.model, held.deployment.environment, tx)
    if found is None or found.digest != held.digest:
        raise PointerMovedError(
            f"The traffic of {held.deployment.model} changed while its rollout was looked at",
            expected=held.digest,
            found=found.digest if found else "nothing",
            fix="Look again.",
        )


def _must_change(to: str, scene: RolloutScene, state: str) -> None:
    if (to == "pause" and scene.paused) or (to == "resume" and state == "running"):
        raise UsageError(
            f"The rollout {scene.start.rollout} is {state} already", expected=f"one to {to}", found=state
        )  # fmt: skip
