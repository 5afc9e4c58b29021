"""The way back of a model: its traffic and its environment's pointer, together; and who may move them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from keelway.app.publishing import publish
from keelway.app.registries import registry_of
from keelway.app.targets import TargetView, tell_target
from keelway.app.wire import LOCAL, Workspace
from keelway.core import Action, Environment, VersionName

if TYPE_CHECKING:
    from keelway.deploy import Deployment, Follow
    from keelway.ledger import Transaction
    from keelway.promote import WayBack
    from keelway.register import ModelVersion


@dataclass(frozen=True, slots=True)
class RollbackAnswer:
    """Where a model went back to.

    Attributes:
        version: What stands in the environment now.
        traffic: Percent of the entities by version; empty where none is served.
        deployment: The deployment that holds now, or None.
        target: What is wanted of the environment's target beside what it says; None where nothing is served, or nobody asked.
    """

    model: str
    environment: str
    version: VersionName
    traffic: dict[VersionName, int]
    deployment: Deployment | None
    target: TargetView | None = None


def gone_back(model: str, environment: str, *, to: str, comment: str, at: Workspace) -> RollbackAnswer:
    """Return to the version that served before, or to one that is named; without traffic, to what was let in before.

    Raises:
        UsageError: There is nothing to go back to.
        RefusedError: The version may not come back; recorded.
    """
    before = _deployment(model, environment, at)
    if before is not None and _moves_traffic(before, to, at):
        deployment = traffic_back(model, environment, comment=comment, at=at, to=to)
        return RollbackAnswer(model, environment, deployment.stable, deployment.traffic, deployment)
    from keelway.promote import roll_back

    admission = roll_back(
        model,
        way=_way_back(environment, comment, at),
        state=at.state,
        tracker=registry_of(environment, at=at),
        to=to or (before.stable if before is not None else ""),
    )
    publish(at)
    return RollbackAnswer(model, environment, admission.version, before.traffic if before else {}, before)


def traffic_back(model: str, environment: str, *, comment: str, at: Workspace, to: str = "") -> Deployment:
    """Return all traffic to an earlier version, and the environment's pointer with it; tell the target, then show it.

    Out of a trial, the pointer stands already where the traffic goes: no door is passed, so nothing has to be judged, and the
    way back depends on neither the project's code nor the evidence behind a version that never stopped answering.
    """
    from keelway.deploy import rollback

    stays = _pointer_stays(model, environment, to, at)
    follow = pointer_follows(environment, comment, at=at) if stays else _way_back(environment, comment, at).follow
    deployment = rollback(
        model,
        environment=Environment(environment),
        state=at.state,
        principal=at.principal.id,
        now=at.now(),
        comment=comment,
        to=VersionName(to) if to else None,
        follow=follow,
    )
    tell_target(model, environment, at=at)
    show_moved(model, environment, at=at)
    return deployment


def must_be_mover(environment: str, *, at: Workspace, action: Action = Action.DEPLOY, subject: str = "traffic") -> None:
    """Return when the principal may move pointers and traffic of an environment; a refusal stands in the ledger.

    Raises:
        IdentityError: They may not deploy, or only a service principal may.
    """
    from keelway.identity import on_record

    at.environment(environment)
    with on_record(action, subject, principal=at.principal, state=at.state, now=at.now(), environment=environment):
        check_mover(environment, at=at)


def check_mover(environment: str, *, at: Workspace) -> None:
    """Return when the settings let the principal move an environment; a refusal is not recorded.

    Raises:
        IdentityError: They may not deploy, or only a service principal may.
    """
    from keelway.identity import require_role, require_service

    rules = at.environment(environment)
    require_role(at.principal, "deployer")
    if rules.service_principal and environment != LOCAL:
        require_service(at.principal, what=f"move {environment}")


def pointer_follows(environment: str, comment: str, *, at: Workspace) -> Follow:
    """Return what takes the environment's pointer to a version that traffic goes to; where it stands there, nothing happens."""
    from keelway.promote import held_version

    def follow(version: ModelVersion, *, tx: Transaction) -> tuple[str, ...]:
        held = held_version(version.model, environment, tx=tx)
        if held is not None and held.name == version.name:
            return ()
        return _way_back(environment, comment, at).follow(version, tx=tx)

    return follow


def show_moved(model: str, environment: str, *, at: Workspace) -> None:
    """Show the registry where the environment's pointer stands, and publish what was decided."""
    from keelway.promote import show_pointer

    show_pointer(model, environment, registry=registry_of(environment, at=at), state=at.state)
    publish(at)


def _way_back(environment: str, comment: str, at: Workspace) -> WayBack:
    from keelway.app.gate import environment_rules
    from keelway.promote import WayBack

    rules = environment_rules(environment, at=at, back=True)
    engine = at.policy_engine if rules.rollback_policy else None
    return WayBack(rules, at.principal, at.artifacts, engine, at.signing.public_key, at.now(), comment)


def _pointer_stays(model: str, environment: str, to: str, at: Workspace) -> bool:
    """Say whether the environment's pointer stands where a rollback of the traffic leads."""
    from keelway.deploy import current, way_back
    from keelway.promote import held_version

    with at.state.snapshot() as tx:
        before = current(model, Environment(environment), tx)
        target = way_back(before, tx, to=VersionName(to) if to else None) if before else None
        held = held_version(model, environment, tx=tx)
        return target is not None and held is not None and held.name == target.stable


def _moves_traffic(before: Deployment, to: str, at: Workspace) -> bool:
    """Say whether a rollback changes who answers; a version that was only let in is taken back without that."""
    from keelway.deploy import way_back
    from keelway.promote import held_version

    if to:
        return bool(before.rollout) or before.traffic != {VersionName(to): 100}
    with at.state.snapshot() as tx:
        held = held_version(before.model, before.environment, tx=tx)
        unserved = held is not None and held.name not in before.traffic
        return way_back(before, tx) is not None or not unserved


def _deployment(model: str, environment: str, at: Workspace) -> Deployment | None:
    from keelway.deploy import current

    with at.state.snapshot() as tx:
        return current(model, Environment(environment), tx)
