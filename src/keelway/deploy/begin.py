"""Begins a rollout beside the version in use: every version on trial was let in by the door and passed its smoke test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from keelway.core import Action, Digest, Environment, PointerMove, PrincipalId, VersionName, digest_of, plain
from keelway.deploy.change import (
    Smoke,
    StandingTraffic,
    TrafficChange,
    admitted_versions,
    put,
    refused,
    smoke_failures,
    standing,
)
from keelway.deploy.deploy import must_be_of_model
from keelway.deploy.places import experiment_name, take_place
from keelway.deploy.record import EVERYBODY, Deployment, SmokeResult
from keelway.deploy.rollouts import RolloutStart, running_rollout
from keelway.deploy.stages import part_of_layer, stage_traffic
from keelway.errors import UsageError
from keelway.ledger.ports import StateStore, Transaction
from keelway.project import Rollout


@dataclass(frozen=True, slots=True)
class BegunRollout:
    """A rollout and its first step."""

    start: RolloutStart
    deployment: Deployment


def begin_rollout(
    model: str,
    treatments: Sequence[VersionName],
    *,
    rollout: Rollout,
    smoke: Smoke,
    state: StateStore,
    principal: PrincipalId,
    now: datetime,
    comment: str = "",
) -> BegunRollout:
    """Begin a rollout of one version, or of several, beside the one that has the traffic.

    One that goes on already, of the same versions and declaration, is returned as it is. One of the same versions that is
    declared differently takes its place, and keeps the entities that it can.

    Raises:
        UsageError: There is nothing to stand beside, another rollout goes on, or its layer has no room.
        RefusedError: A version is not admitted or fails the smoke test; the refusal is in the ledger.
        PointerMovedError: Somebody else changed the traffic meanwhile.
    """
    must_be_of_model(model, *treatments)
    environment = Environment(rollout.environment)
    with state.snapshot() as tx:
        before = _standing(model, environment, tx)
        running = running_rollout(model, environment, tx)
        start = _start(model, treatments, rollout, before, principal, now, tx)
        if running is not None and _is_same(running, start):
            return BegunRollout(running, before.deployment)
        _must_be_free(running, start)
        reasons, versions = admitted_versions(treatments, environment, now, tx)
    change = TrafficChange(Action.DEPLOY, model, environment, principal, now, comment)
    known = before.deployment.versions
    smokes = [smoke(each) for each in versions if each.name not in known] if not reasons else []
    reasons += smoke_failures(smokes)
    digests = known | {each.name: digest_of(each) for each in versions}
    if reasons:
        desired = stage_traffic(start, 0, before=before.deployment)
        tried = {each.name: digests[each.name] for each in versions}
        raise refused(change, desired, tried, tuple(reasons), state)
    with state.transaction() as tx:
        return BegunRollout(start, _put_first(change, start, before, digests, smokes, tx))


def _standing(model: str, environment: str, tx: Transaction) -> StandingTraffic:
    before = standing(model, environment, tx)
    if before is None:
        raise UsageError(
            "A rollout needs a version to stand beside",
            expected=f"a deployment of {model} in {environment}",
            found="none",
            fix=f"keelway deploy {model} --env {environment}",
        )
    return before


def _start(
    model: str,
    treatments: Sequence[VersionName],
    rollout: Rollout,
    before: StandingTraffic,
    principal: PrincipalId,
    now: datetime,
    tx: Transaction,
) -> RolloutStart:
    """Return the record of a rollout that begins now, judged for as many versions as it tries."""
    control = before.deployment.stable
    if not treatments or len(set(treatments)) < len(treatments) or control in treatments:
        raise UsageError(
            "A rollout tries versions that differ",
            expected=f"versions besides {control}, each once",
            found=", ".join(treatments) or "none",
        )
    if (len(treatments) > 1 and not rollout.several) or rollout.strategy == "all_at_once":
        raise UsageError(
            f"{rollout.strategy!r} does not try {len(treatments)} versions beside another",
            expected="one version, several for 'ab' and 'bandit'; 'all_at_once' is a plain deployment",
            found=", ".join(treatments),
        )
    analysis = replace(rollout.analysis, comparisons=max(rollout.analysis.comparisons, len(treatments)))
    declared = plain(replace(rollout, analysis=analysis))
    environment = Environment(rollout.environment)
    number = tx.count(RolloutStart, parent=f"{environment}/{model}") + 1
    return RolloutStart(f"r{number}", model, environment, declared, control, tuple(treatments), now, principal)


def _put_first(
    change: TrafficChange,
    start: RolloutStart,
    before: StandingTraffic,
    digests: dict[VersionName, Digest],
    smokes: Sequence[SmokeResult],
    tx: Transaction,
) -> Deployment:
    """Store the rollout and its first step, with a place in its layer."""
    stored = tx.insert(start.place, start, parent=change.place, at=change.at)
    layer, members = start.plan.layer, EVERYBODY
    moves: tuple[PointerMove, ...] = ()
    if layer:
        name, part = experiment_name(start.model, start.rollout), part_of_layer(start.plan)
        left = experiment_name(start.model, before.deployment.rollout) if before.deployment.layer == layer else ""
        members, moves = take_place(start.environment, layer, name, part, tx=tx, at=change.at, instead_of=left)
    desired = stage_traffic(start, 0, before=before.deployment, members=members)
    return put(
        change,
        desired,
        before=before,
        versions=digests,
        previous=before.digest,
        smokes=smokes,
        evidence={"rollout": stored},
        moves=moves,
        tx=tx,
    )


def _is_same(running: RolloutStart, start: RolloutStart) -> bool:
    return (running.treatments, running.plan) == (start.treatments, start.plan)


def _must_be_free(running: RolloutStart | None, start: RolloutStart) -> None:
    """Refuse to end a rollout of other versions as a side effect."""
    if running is not None and set(running.treatments) != set(start.treatments):
        raise UsageError(
            f"Another rollout of {running.model} goes on in {running.environment}",
            expected="one rollout at a time",
            found=f"{running.rollout} of {', '.join(running.treatments)}",
            fix=f"End it first: keelway rollout {running.model} --env {running.environment} --abort",
        )
