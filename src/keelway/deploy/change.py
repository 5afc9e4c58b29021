"""Writes one change of traffic: a new record, a compare-and-swap of the pointer and a decision, in one transaction.

Whoever changes traffic comes through here, so that a trial gives back its part of a layer whenever its traffic ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from keelway.core import Action, Decision, Digest, Environment, PointerMove, PrincipalId, VersionName
from keelway.deploy.places import give_back
from keelway.deploy.record import Deployment, SmokeResult, pointer_of
from keelway.deploy.stages import DesiredTraffic
from keelway.errors import RefusedError
from keelway.ledger import record_decision
from keelway.ledger.ports import StateStore, Transaction

if TYPE_CHECKING:
    from keelway.register import ModelVersion

Smoke = Callable[["ModelVersion"], SmokeResult]


@dataclass(frozen=True, slots=True)
class StandingTraffic:
    """The deployment that the pointer holds."""

    digest: Digest
    deployment: Deployment


@dataclass(frozen=True, slots=True)
class TrafficChange:
    """A change of traffic, and who makes it when and why."""

    action: Action
    model: str
    environment: Environment
    principal: PrincipalId
    at: datetime
    comment: str = ""

    @property
    def place(self) -> str:
        """Under which the deployments of the model in the environment are listed."""
        return f"{self.environment}/{self.model}"

    def decision(
        self,
        evidence: Mapping[str, Digest],
        *,
        reasons: tuple[str, ...] = (),
        moves: tuple[PointerMove, ...] = (),
        comment: str = "",
    ) -> Decision:
        """Return the ledger's entry: a refusal where there are reasons."""
        return Decision(
            self.action,
            subject=self.model,
            allowed=not reasons,
            principal=self.principal,
            at=self.at,
            evidence=dict(evidence),
            reasons=reasons,
            environment=self.environment,
            moves=moves,
            comment=self.comment or comment,
        )


def standing(model: str, environment: str, tx: Transaction) -> StandingTraffic | None:
    """Return the deployment of a model in an environment with its digest, or None."""
    pointer = tx.pointer(pointer_of(model, environment))
    return StandingTraffic(pointer.target, tx.by_digest(Deployment, pointer.target)) if pointer else None


def put(
    change: TrafficChange,
    desired: DesiredTraffic,
    *,
    before: StandingTraffic | None,
    versions: Mapping[VersionName, Digest],
    previous: Digest | None,
    tx: Transaction,
    smokes: Iterable[SmokeResult] = (),
    evidence: Mapping[str, Digest] | None = None,
    moves: tuple[PointerMove, ...] = (),
) -> Deployment:
    """Store the new deployment, move the pointer and record the decision.

    Args:
        before: What the pointer has to hold still.
        versions: Digests of the versions' records.
        previous: The deployment that a rollback goes back to.
        evidence: What else the decision rests on.
        moves: Pointers that moved already in this transaction.

    Raises:
        PointerMovedError: Somebody else changed the traffic meanwhile.
    """
    number = tx.count(Deployment, parent=change.place) + 1
    policies = _policies(desired.versions, versions, change.environment, tx)
    deployment = _made(change, desired, number, versions, previous, policies)
    found = dict(evidence or {})
    for result in smokes:
        key = f"{change.place}/{number}/{result.version}"
        found[f"smoke {result.version}"] = tx.insert(key, result, at=change.at)
    old = before.digest if before else None
    new = tx.insert(f"{change.place}/{number:06d}", deployment, parent=change.place, at=change.at)
    pointer = pointer_of(change.model, change.environment)
    tx.move(pointer, before=old, after=new, at=change.at)
    if before is not None and before.deployment.layer and before.deployment.rollout != desired.rollout:
        moves = (*moves, *give_back(before.deployment, tx=tx, at=change.at))
    told = change.decision({"deployment": new, **found}, moves=(PointerMove(pointer, old, new), *moves))
    record_decision(told, tx=tx)
    return deployment


def admitted_versions(
    names: Iterable[VersionName], environment: str, now: datetime, tx: Transaction
) -> tuple[list[str], list[ModelVersion]]:
    """Return why versions may not get traffic, and those that may."""
    from keelway.promote import may_serve
    from keelway.register import retired_reasons, version_named

    reasons: list[str] = []
    versions: list[ModelVersion] = []
    for name in names:
        version = version_named(name, tx=tx)
        if not may_serve(version, environment, tx=tx, now=now):
            reasons += retired_reasons(version, tx=tx) or [f"{name} is not admitted to {environment}"]
        else:
            versions.append(version)
    return reasons, versions


def smoke_failures(smokes: Sequence[SmokeResult]) -> list[str]:
    """Return what smoke tests found, in words."""
    return [
        f"{result.version} failed its smoke test" + (f": {reason}" if reason else "")
        for result in smokes
        for reason in result.reasons or (() if result.passed else ("",))
    ]


def refused(
    change: TrafficChange,
    desired: DesiredTraffic,
    versions: Mapping[VersionName, Digest],
    reasons: tuple[str, ...],
    state: StateStore,
) -> RefusedError:
    """Record the refusal, and return the error that tells of it."""
    wanted = ", ".join(f"{name} {share} %" for name, share in desired.traffic.items())
    shadows = "".join(f", {name} as a shadow" for name in desired.shadows)
    evidence = {str(name): digest for name, digest in versions.items()}
    with state.transaction() as tx:
        record_decision(change.decision(evidence, reasons=reasons, comment=f"wanted {wanted}{shadows}"), tx=tx)
    return RefusedError(
        f"{change.model} is not deployed to {change.environment}",
        reasons=reasons,
        expected="versions that are admitted and pass their smoke test",
        fix=f"Promote the version to {change.environment} first, and mend what the smoke test found.",
    )


def _policies(
    names: Iterable[VersionName], versions: Mapping[VersionName, Digest], environment: str, tx: Transaction
) -> dict[VersionName, Digest]:
    """Return the digest of the policy that let each version in; a version that was never let in is left out."""
    from keelway.promote import newest_admission
    from keelway.register import ModelVersion

    found = {name: newest_admission(tx.by_digest(ModelVersion, versions[name]), environment, tx=tx) for name in names}
    return {name: admission.verdict.policy_digest for name, admission in found.items() if admission is not None}


def _made(
    change: TrafficChange,
    desired: DesiredTraffic,
    number: int,
    versions: Mapping[VersionName, Digest],
    previous: Digest | None,
    policies: dict[VersionName, Digest],
) -> Deployment:
    return Deployment(
        model=change.model,
        environment=change.environment,
        number=number,
        strategy=desired.strategy,
        stable=desired.stable,
        traffic=desired.traffic,
        versions={name: versions[name] for name in desired.versions},
        salt=desired.salt,
        previous=previous,
        at=change.at,
        principal=change.principal,
        comment=change.comment,
        shadows=desired.shadows,
        allocation=desired.allocation,
        rollout=desired.rollout,
        stage=desired.stage,
        layer=desired.layer,
        members=desired.members,
        policies=policies,
    )
