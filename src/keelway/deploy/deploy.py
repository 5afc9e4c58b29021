"""Moves all traffic of a model in an environment to one version, or back; what goes step by step is a rollout.

Only a version that the environment admitted gets traffic, and only after it passed a smoke test. Every change is a
new record, one compare-and-swap of the pointer and one decision, in one transaction.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from keelway.core import Action, Environment, PrincipalId, VersionName, digest_of, split_version
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
from keelway.deploy.record import Deployment
from keelway.deploy.stages import all_traffic
from keelway.errors import UsageError
from keelway.ledger import record_decision
from keelway.ledger.ports import StateStore, Transaction

if TYPE_CHECKING:
    from keelway.register import ModelVersion


class Follow(Protocol):
    """What else goes with the traffic, in the same transaction; reasons against stop both."""

    def __call__(self, version: ModelVersion, *, tx: Transaction) -> tuple[str, ...]:
        """Take the environment's pointer to a version, and return why not; what is refused is recorded."""
        ...


def deploy(
    model: str,
    *,
    environment: Environment,
    stable: VersionName,
    smoke: Smoke,
    state: StateStore,
    principal: PrincipalId,
    now: datetime,
    comment: str = "",
) -> Deployment:
    """Give all of a model's traffic in an environment to one version; a rollout that goes on there ends.

    `smoke` tries a version before it gets traffic, and is not asked for one that has some. The state that is already there
    is returned as it is.

    Raises:
        RefusedError: The version is not admitted or fails the smoke test; the refusal is in the ledger.
        PointerMovedError: Somebody else deployed meanwhile.
    """
    must_be_of_model(model, stable)
    desired = all_traffic(stable, environment)
    change = TrafficChange(Action.DEPLOY, model, environment, principal, now, comment)
    with state.snapshot() as tx:
        before = standing(model, environment, tx)
        if before is not None and desired.is_that_of(before.deployment):
            return before.deployment
        reasons, versions = admitted_versions([stable], environment, now, tx)
    known = before.deployment.versions if before else {}
    smokes = [smoke(each) for each in versions if each.name not in known] if not reasons else []
    reasons += smoke_failures(smokes)
    digests = {each.name: digest_of(each) for each in versions}
    if reasons:
        raise refused(change, desired, digests, tuple(reasons), state)
    previous = before.digest if before else None
    with state.transaction() as tx:
        return put(change, desired, before=before, versions=digests, previous=previous, smokes=smokes, tx=tx)


def rollback(
    model: str,
    *,
    environment: Environment,
    state: StateStore,
    principal: PrincipalId,
    now: datetime,
    comment: str = "",
    to: VersionName | None = None,
    follow: Follow | None = None,
) -> Deployment:
    """Give all traffic back to the version that was stable before; needs nothing but the state.

    Out of a rollout, whatever its strategy and stage, that is the version it began beside. A second rollback goes back
    further: never to the version that was just left.

    Args:
        to: The version to go back to, which was stable here at some time; None for the one before.
        follow: What goes back with it, such as the environment's pointer.

    Raises:
        UsageError: There is nothing to go back to.
        RefusedError: What has to follow cannot, or the version is retired; nothing moves.
    """
    from keelway.register import ModelVersion, retired_reasons

    with state.transaction() as tx:
        before = standing(model, environment, tx)
        target = way_back(before.deployment, tx, to=to) if before is not None else None
        if before is None or target is None:
            raise _nothing_before(model, environment, before, to)
        version, digests = target.stable, {target.stable: target.versions[target.stable]}
        wanted = tx.by_digest(ModelVersion, digests[version])
        reasons = follow(wanted, tx=tx) if follow else retired_reasons(wanted, tx=tx)
        change = TrafficChange(Action.ROLLBACK, model, environment, principal, now, comment)
        if not reasons:
            desired = all_traffic(version, environment)
            return put(change, desired, before=before, versions=digests, previous=target.previous, tx=tx)
        if follow is None:  # else it was recorded there
            record_decision(change.decision({str(version): digests[version]}, reasons=reasons), tx=tx)
    from keelway.promote import refused_way_back

    raise refused_way_back(version, environment, reasons)


def way_back(deployment: Deployment, tx: Transaction, *, to: VersionName | None = None) -> Deployment | None:
    """Return the earlier deployment that a rollback goes to: the nearest with other traffic, or with that version."""
    if to is not None:
        earlier = history(deployment.model, deployment.environment, tx)
        return next((one for one in earlier if one.stable == to), None)
    digest = deployment.previous
    while digest is not None:
        found = tx.by_digest(Deployment, digest)
        if deployment.rollout or deployment.traffic != {found.stable: 100}:
            return found
        digest = found.previous
    return None


def current(model: str, environment: str, tx: Transaction) -> Deployment | None:
    """Return the deployment of a model in an environment, or None."""
    found = standing(model, environment, tx)
    return found.deployment if found else None


def history(model: str, environment: str, tx: Transaction) -> list[Deployment]:
    """Return the deployments of a model in an environment, newest first."""
    found = tx.newest(Deployment, parent=f"{environment}/{model}")
    return sorted(found, key=lambda deployment: deployment.number, reverse=True)


def must_be_of_model(model: str, *versions: VersionName) -> None:
    """Return when versions are of a model.

    Raises:
        UsageError: One is not.
    """
    for name in versions:
        if split_version(name)[0] != model:
            raise UsageError("A deployment holds versions of one model", expected=f"{model}:NUMBER", found=name)


def _nothing_before(
    model: str, environment: Environment, before: StandingTraffic | None, to: VersionName | None
) -> UsageError:
    found = "the first one" if before else "no deployment"
    return UsageError(
        f"{model} has nothing to roll back to in {environment}",
        expected=f"a deployment of {to}" if to else "an earlier deployment",
        found=f"none of {to}" if to and before else found,
        fix="Name a version that had the traffic before: --to MODEL:NUMBER",
    )
