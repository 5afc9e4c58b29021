"""Moves the traffic of a model in an environment: to all entities, to a canary, on from there, or back.

Only a version that the environment admitted gets traffic, and only after it passed a smoke test. Every change is a
new record, one compare-and-swap of the pointer and one decision, in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING

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
from keelway.promote import admitted

if TYPE_CHECKING:
    from keelway.register import ModelVersion

Smoke = Callable[["ModelVersion"], SmokeResult]


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

    The state that is already there is returned as it is.

    Args:
        percent: The canary's share of the entities, from 1 to 99.
        smoke: Tries a version before it gets traffic; asked for versions that have none yet.

    Raises:
        RefusedError: A version is not admitted or fails the smoke test; the refusal is in the ledger.
        PointerMovedError: Somebody else deployed meanwhile.
    """
    traffic = _traffic(model, stable, canary, percent)
    with state.snapshot() as tx:
        before = current(model, environment, tx)
        if before is not None and _same(before, stable, traffic):
            return before
        reasons, versions, loaded = _admitted(traffic, environment, tx)
    known = before.versions if before else {}
    loaded = [version for version in loaded if version.name not in known]
    smokes = [smoke(version) for version in loaded] if not reasons else []
    reasons += [f"{result.version} failed its smoke test: {reason}" for result in smokes for reason in result.reasons]
    reasons += [f"{r.version} failed its smoke test" for r in smokes if not r.passed and not r.reasons]
    with state.transaction() as tx:
        if reasons:
            record_decision(_refusal(model, environment, traffic, versions, reasons, principal, now, comment), tx=tx)
        else:
            return _put(
                before, Action.DEPLOY, model, environment, stable, traffic, versions, principal, now, comment,
                previous=digest_of(before) if before else None, smokes=smokes, tx=tx,
            )  # fmt: skip
    raise RefusedError(
        f"{model} is not deployed to {environment}",
        reasons=tuple(reasons),
        expected="versions that are admitted and pass their smoke test",
        fix=f"Promote the version to {environment} first, and mend what the smoke test found.",
    )


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
    canary = before.canary if before else None
    if before is None or canary is None:
        raise UsageError(
            f"{model} has no canary in {environment}",
            expected="a canary to advance",
            found=", ".join(before.traffic) if before else "no deployment",
            fix="Start one with `keelway deploy MODEL:NUMBER --canary PERCENT`.",
        )
    if not before.traffic[canary] < percent <= 100:
        raise UsageError(
            "A canary only grows", expected=f"above {before.traffic[canary]} and up to 100 %", found=f"{percent} %"
        )
    whole = percent == 100
    return deploy(
        model,
        environment=environment,
        stable=canary if whole else before.stable,
        canary=None if whole else canary,
        percent=0 if whole else percent,
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
) -> Deployment:
    """Give all traffic back to the version that was stable before; needs nothing but the state.

    A second rollback goes back further: never to the version that was just left.

    Raises:
        UsageError: There is nothing to go back to.
    """
    with state.transaction() as tx:
        before = current(model, environment, tx)
        target = before and _earlier(before, tx)
        if before is None or target is None:
            raise UsageError(
                f"{model} has nothing to roll back to in {environment}",
                expected="an earlier deployment",
                found="the first one" if before else "no deployment",
            )
        version = target.stable
        versions = {version: target.versions[version]}
        return _put(
            before, Action.ROLLBACK, model, environment, version, {version: 100}, versions, principal, now, comment,
            previous=target.previous, smokes=(), tx=tx,
        )  # fmt: skip


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


def _same(deployment: Deployment, stable: VersionName, traffic: dict[VersionName, int]) -> bool:
    return deployment.stable == stable and deployment.traffic == traffic


def _admitted(
    names: Iterable[VersionName], environment: Environment, tx: Transaction
) -> tuple[list[str], dict[VersionName, Digest], list[ModelVersion]]:
    """Return why versions may not get traffic, and those that may: their digests and records."""
    from keelway.register import version_named

    reasons: list[str] = []
    versions: dict[VersionName, Digest] = {}
    loaded: list[ModelVersion] = []
    for name in names:
        version = version_named(name, tx=tx)
        if admitted(version, environment, tx) is None:
            reasons.append(f"{name} is not admitted to {environment}")
        else:
            versions[name] = digest_of(version)
            loaded.append(version)
    return reasons, versions, loaded


def _refusal(
    model: str,
    environment: Environment,
    traffic: dict[VersionName, int],
    versions: dict[VersionName, Digest],
    reasons: list[str],
    principal: PrincipalId,
    now: datetime,
    comment: str,
) -> Decision:
    return Decision(
        Action.DEPLOY,
        subject=model,
        allowed=False,
        principal=principal,
        at=now,
        evidence={str(name): digest for name, digest in versions.items()},
        reasons=tuple(reasons),
        environment=environment,
        comment=comment or "wanted " + ", ".join(f"{name} {share} %" for name, share in traffic.items()),
    )


def _put(
    before: Deployment | None,
    action: Action,
    model: str,
    environment: Environment,
    stable: VersionName,
    traffic: dict[VersionName, int],
    versions: dict[VersionName, Digest],
    principal: PrincipalId,
    now: datetime,
    comment: str,
    *,
    previous: Digest | None,
    smokes: Iterable[SmokeResult],
    tx: Transaction,
) -> Deployment:
    """Store the new deployment, move the pointer and record the decision."""
    parent = f"{environment}/{model}"
    number = tx.count(Deployment, parent=parent) + 1
    canary = next((name for name in traffic if name != stable), None)
    deployment = Deployment(
        model=model,
        environment=environment,
        number=number,
        strategy="canary" if canary else "all",
        stable=stable,
        traffic=traffic,
        versions=versions,
        salt=f"{environment}/{canary or stable}",
        previous=previous,
        at=now,
        principal=principal,
        comment=comment,
    )
    evidence: dict[str, Digest] = {}
    for result in smokes:
        evidence[f"smoke {result.version}"] = tx.insert(f"{parent}/{number}/{result.version}", result, at=now)
    old = digest_of(before) if before else None
    new = tx.insert(f"{parent}/{number:06d}", deployment, parent=parent, at=now)
    name = pointer_of(model, environment)
    tx.move(name, before=old, after=new, at=now)
    decision = Decision(
        action,
        subject=model,
        allowed=True,
        principal=principal,
        at=now,
        evidence={"deployment": new, **evidence},
        environment=environment,
        moves=(PointerMove(name, old, new),),
        comment=comment,
    )
    record_decision(decision, tx=tx)
    return deployment


def _earlier(deployment: Deployment, tx: Transaction) -> Deployment | None:
    """Return the nearest earlier deployment whose stable version does not already have all the traffic."""
    digest = deployment.previous
    while digest is not None:
        found = tx.by_digest(Deployment, digest)
        if deployment.traffic != {found.stable: 100}:
            return found
        digest = found.previous
    return None
