"""Moves the traffic of a model in an environment: to all entities, to a canary, on from there, or back.

Only a version that the environment admitted gets traffic, and only after it passed a smoke test. Every change is a
new record, one compare-and-swap of the pointer and one decision, in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from keelway.core import (
    Action,
    Decision,
    Digest,
    Environment,
    PointerMove,
    PrincipalId,
    VersionName,
    digest_of,
    split_version,
)
from keelway.deploy.record import Deployment, SmokeResult, pointer_of
from keelway.errors import RefusedError, UsageError
from keelway.ledger import record_decision
from keelway.ledger.ports import StateStore, Transaction
from keelway.promote import may_serve

if TYPE_CHECKING:
    from keelway.register import ModelVersion

Smoke = Callable[["ModelVersion"], SmokeResult]


class Follow(Protocol):
    """What else goes back with the traffic, in the same transaction; reasons against stop both."""

    def __call__(self, version: ModelVersion, *, tx: Transaction) -> tuple[str, ...]:
        """Take a version back, and return why not; what is refused is recorded."""
        ...


@dataclass(frozen=True, slots=True)
class _Change:
    """The traffic that somebody wants, and who that is."""

    action: Action
    model: str
    environment: Environment
    stable: VersionName
    traffic: dict[VersionName, int]
    principal: PrincipalId
    at: datetime
    comment: str

    @property
    def place(self) -> str:
        """Under which the deployments of the model in the environment are listed."""
        return f"{self.environment}/{self.model}"

    def decision(
        self,
        evidence: dict[str, Digest],
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
            evidence=evidence,
            reasons=reasons,
            environment=self.environment,
            moves=moves,
            comment=self.comment or comment,
        )


def deploy(
    model: str,
    *,
    environment: Environment,
    stable: VersionName,
    canary: VersionName | None = None,
    percent: int = 0,
    smoke: Smoke,
    state: StateStore,
    principal: PrincipalId,
    now: datetime,
    comment: str = "",
) -> Deployment:
    """Give a model's traffic in an environment to one version, or to one and a canary.

    A canary gets 1 to 99 percent of the entities. `smoke` tries a version before it gets traffic, and is asked for
    versions that have none yet. The state that is already there is returned as it is.

    Raises:
        RefusedError: A version is not admitted or fails the smoke test; the refusal is in the ledger.
        PointerMovedError: Somebody else deployed meanwhile.
    """
    traffic = _traffic(model, stable, canary, percent)
    change = _Change(Action.DEPLOY, model, environment, stable, traffic, principal, now, comment)
    with state.snapshot() as tx:
        before = current(model, environment, tx)
        if before is not None and (before.stable, before.traffic) == (stable, traffic):
            return before
        reasons, versions = _admitted(traffic, environment, now, tx)
    known = before.versions if before else {}
    smokes = [smoke(version) for version in versions if version.name not in known] if not reasons else []
    reasons += _failures(smokes)
    digests = {version.name: digest_of(version) for version in versions}
    if reasons:
        raise _refused(change, digests, tuple(reasons), state)
    previous = digest_of(before) if before else None
    with state.transaction() as tx:
        return _put(change, before, digests, previous=previous, smokes=smokes, tx=tx)


def advance(
    model: str,
    *,
    environment: Environment,
    percent: int = 100,
    smoke: Smoke,
    state: StateStore,
    principal: PrincipalId,
    now: datetime,
    comment: str = "",
) -> Deployment:
    """Give the canary a larger share, by default all of it.

    Raises:
        UsageError: There is no canary, or its share would not grow.
    """
    with state.snapshot() as tx:
        before = current(model, environment, tx)
    stable, canary = _grown(model, environment, before, percent)
    return deploy(
        model,
        environment=environment,
        stable=stable,
        canary=canary,
        percent=percent if canary else 0,
        smoke=smoke,
        state=state,
        principal=principal,
        now=now,
        comment=comment,
    )


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

    A second rollback goes back further: never to the version that was just left.

    Args:
        to: The version to go back to, which was stable here at some time; None for the one before.
        follow: What goes back with it, such as the environment's pointer.

    Raises:
        UsageError: There is nothing to go back to.
        RefusedError: What has to follow cannot, or the version is retired; nothing moves.
    """
    from keelway.promote import refused_way_back
    from keelway.register import ModelVersion, retired_reasons

    with state.transaction() as tx:
        before = current(model, environment, tx)
        target = before and way_back(before, tx, to=to)
        if before is None or target is None:
            raise _nothing_before(model, environment, before, to)
        version, digests = target.stable, {target.stable: target.versions[target.stable]}
        wanted = tx.by_digest(ModelVersion, digests[version])
        reasons = follow(wanted, tx=tx) if follow else retired_reasons(wanted, tx=tx)
        change = _Change(Action.ROLLBACK, model, environment, version, {version: 100}, principal, now, comment)
        if not reasons:
            return _put(change, before, digests, previous=target.previous, smokes=(), tx=tx)
        if follow is None:  # else it was recorded there
            record_decision(change.decision({str(version): digests[version]}, reasons=reasons), tx=tx)
    raise refused_way_back(version, environment, reasons)


def way_back(deployment: Deployment, tx: Transaction, *, to: VersionName | None = None) -> Deployment | None:
    """Return the earlier deployment that a rollback goes to: the nearest with other traffic, or with that version."""
    if to is not None:
        earlier = history(deployment.model, deployment.environment, tx)
        return next((one for one in earlier if one.stable == to), None)
    digest = deployment.previous
    while digest is not None:
        found = tx.by_digest(Deployment, digest)
        if deployment.traffic != {found.stable: 100}:
            return found
        digest = found.previous
    return None


def current(model: str, environment: str, tx: Transaction) -> Deployment | None:
    """Return the deployment of a model in an environment, or None."""
    pointer = tx.pointer(pointer_of(model, environment))
    return tx.by_digest(Deployment, pointer.target) if pointer else None


def history(model: str, environment: str, tx: Transaction) -> list[Deployment]:
    """Return the deployments of a model in an environment, newest first."""
    found = tx.newest(Deployment, parent=f"{environment}/{model}")
    return sorted(found, key=lambda deployment: deployment.number, reverse=True)


def _traffic(model: str, stable: VersionName, canary: VersionName | None, percent: int) -> dict[VersionName, int]:
    for name in (stable, canary):
        if name is not None and split_version(name)[0] != model:
            raise UsageError("A deployment holds versions of one model", expected=f"{model}:NUMBER", found=name)
    if canary is None:
        if percent:
            raise UsageError("A share needs a canary", expected="a canary version", found=f"{percent} % of nothing")
        return {stable: 100}
    if canary == stable:
        raise UsageError("A canary is another version", expected=f"a version that is not {stable}", found=canary)
    if not 1 <= percent <= 99:
        raise UsageError("This is not a share for a canary", expected="1 to 99 percent", found=str(percent))
    return {stable: 100 - percent, canary: percent}


def _nothing_before(
    model: str, environment: Environment, before: Deployment | None, to: VersionName | None
) -> UsageError:
    found = "the first one" if before else "no deployment"
    return UsageError(
        f"{model} has nothing to roll back to in {environment}",
        expected=f"a deployment of {to}" if to else "an earlier deployment",
        found=f"none of {to}" if to and before else found,
        fix="Name a version that had the traffic before: --to MODEL:NUMBER",
    )


def _grown(
    model: str, environment: Environment, before: Deployment | None, percent: int
) -> tuple[VersionName, VersionName | None]:
    """Return the stable version and the canary, if one is left, once the canary has that share."""
    canary = before.canary if before else None
    if before is None or canary is None:
        raise UsageError(
            f"{model} has no canary in {environment}",
            expected="a canary to advance",
            found=", ".join(before.traffic) if before else "no deployment",
            fix="Start one with `keelway deploy MODEL:NUMBER --canary PERCENT`.",
        )
    share = before.traffic[canary]
    if not share < percent <= 100:
        raise UsageError("A canary only grows", expected=f"above {share} and up to 100 %", found=f"{percent} %")
    return (canary, None) if percent == 100 else (before.stable, canary)


def _admitted(
    names: Iterable[VersionName], environment: Environment, now: datetime, tx: Transaction
) -> tuple[list[str], list[ModelVersion]]:
    """Return why versions may not get traffic, and those that may."""
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


def _failures(smokes: Sequence[SmokeResult]) -> list[str]:
    return [
        f"{result.version} failed its smoke test" + (f": {reason}" if reason else "")
        for result in smokes
        for reason in result.reasons or (() if result.passed else ("",))
    ]


def _refused(
    change: _Change, versions: dict[VersionName, Digest], reasons: tuple[str, ...], state: StateStore
) -> RefusedError:
    """Record the refusal, and return the error that tells of it."""
    wanted = "wanted " + ", ".join(f"{name} {share} %" for name, share in change.traffic.items())
    evidence = {str(name): digest for name, digest in versions.items()}
    with state.transaction() as tx:
        record_decision(change.decision(evidence, reasons=reasons, comment=wanted), tx=tx)
    return RefusedError(
        f"{change.model} is not deployed to {change.environment}",
        reasons=reasons,
        expected="versions that are admitted and pass their smoke test",
        fix=f"Promote the version to {change.environment} first, and mend what the smoke test found.",
    )


def _put(
    change: _Change,
    before: Deployment | None,
    versions: dict[VersionName, Digest],
    *,
    previous: Digest | None,
    smokes: Iterable[SmokeResult],
    tx: Transaction,
) -> Deployment:
    """Store the new deployment, move the pointer and record the decision."""
    number = tx.count(Deployment, parent=change.place) + 1
    deployment = _made(change, number, versions, previous)
    evidence: dict[str, Digest] = {}
    for result in smokes:
        key = f"{change.place}/{number}/{result.version}"
        evidence[f"smoke {result.version}"] = tx.insert(key, result, at=change.at)
    old = digest_of(before) if before else None
    new = tx.insert(f"{change.place}/{number:06d}", deployment, parent=change.place, at=change.at)
    pointer = pointer_of(change.model, change.environment)
    tx.move(pointer, before=old, after=new, at=change.at)
    moves = (PointerMove(pointer, old, new),)
    record_decision(change.decision({"deployment": new, **evidence}, moves=moves), tx=tx)
    return deployment


def _made(change: _Change, number: int, versions: dict[VersionName, Digest], previous: Digest | None) -> Deployment:
    canary = next((name for name in change.traffic if name != change.stable), None)
    return Deployment(
        model=change.model,
        environment=change.environment,
        number=number,
        strategy="canary" if canary else "all",
        stable=change.stable,
        traffic=change.traffic,
        versions=versions,
        salt=f"{change.environment}/{canary or change.stable}",
        previous=previous,
        at=change.at,
        principal=change.principal,
        comment=change.comment,
    )
