"""What a server keeps beside it of what it serves, so that it starts and goes back while everything else is down.

Kept are the deployment that answers, those before it that a rollback would go to, and every byte of their versions. A pin
is a rollback that was asked for on this machine while the state could not be written: it holds as long as the deployment
it leaves is the one in charge, and is recorded in the ledger when the state can be written again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from keelway.core import Digest, Environment, PrincipalId, VersionName, digest_of
from keelway.deploy import EVERYBODY, Deployment, way_back
from keelway.errors import MissingRecordError

if TYPE_CHECKING:
    from keelway.ledger import Transaction

KEPT = 3
"""So many deployments are kept: the one that answers, and two ways back."""


@dataclass(frozen=True, slots=True)
class Pin:
    """A rollback on this machine that the ledger does not know yet.

    Attributes:
        version: What gets all traffic.
        instead_of: The deployment that it leaves; where another one is in charge, the pin is void.
        principal: Who asked for it.
    """

    model: str
    environment: Environment
    version: VersionName
    instead_of: Digest
    principal: PrincipalId
    at: datetime
    comment: str = ""


class LastGood(Protocol):
    """The kept deployments and the pin of one model in one environment.

    Promises: what is written is there whole or not at all; what is read was checked and is refused with IntegrityError
    when a byte changed; a disk that takes nothing raises StorageError. Several processes may use one at once.
    """

    def deployments(self) -> tuple[Deployment, ...]:
        """Return the kept deployments, the one that answers first."""
        ...

    def keep(self, deployments: Sequence[Deployment]) -> None:
        """Keep these deployments and their versions' bytes, and nothing else."""
        ...

    def pin(self) -> Pin | None:
        """Return the pin, if there is one."""
        ...

    def set_pin(self, pin: Pin) -> None:
        """Put a pin in the place of any other."""
        ...

    def remove_pin(self) -> None:
        """Take the pin away; where there is none, nothing happens."""
        ...


def with_ways_back(deployment: Deployment, tx: Transaction) -> tuple[Deployment, ...]:
    """Return a deployment and those that rollbacks from it would go to, as many as are kept."""
    found = [deployment]
    while len(found) < KEPT and (earlier := way_back(found[-1], tx)) is not None:
        found.append(earlier)
    return tuple(found)


def pinned(deployment: Deployment, pin: Pin | None, kept: Sequence[Deployment]) -> Deployment:
    """Return the deployment that a pin asks for in the place of another; that one where the pin is void.

    Raises:
        MissingRecordError: The version it names is not kept.
    """
    if pin is None or digest_of(deployment) != pin.instead_of:
        return deployment
    found = kept_with(pin.version, kept)
    if found.traffic == {pin.version: 100} and not found.shadows:
        return found
    return replace(
        found,
        strategy="all",
        stable=pin.version,
        traffic={pin.version: 100},
        versions={pin.version: found.versions[pin.version]},
        shadows=(),
        allocation=EVERYBODY,
        rollout="",
        stage=0,
        layer="",
        members=EVERYBODY,
    )


def kept_with(version: VersionName, kept: Sequence[Deployment]) -> Deployment:
    """Return the kept deployment in which a version was stable, or else had traffic.

    Raises:
        MissingRecordError: None had it.
    """
    held = [each for each in kept if version in each.versions]
    if not held:
        raise MissingRecordError(
            f"{version} is not kept on this machine",
            expected=", ".join(sorted({name for each in kept for name in each.versions})) or "a version served before",
            found="no bytes of it",
            fix="Go back to one of these, or wait until the state can be read.",
        )
    return next((each for each in held if each.stable == version), held[0])


def pin_back(
    kept: Sequence[Deployment],
    *,
    to: VersionName | None,
    principal: PrincipalId,
    now: datetime,
    comment: str = "",
) -> Pin:
    """Return the pin for a rollback from the first of the kept deployments.

    Args:
        to: The version to go back to; None for the one before.

    Raises:
        MissingRecordError: Nothing to go back to is kept.
    """
    if not kept:
        raise MissingRecordError(
            "Nothing is kept on this machine", expected="a deployment that was served here", found="none"
        )
    standing, *earlier = kept
    if to is None:
        before = next((each for each in earlier if each.stable != standing.stable), None)
        on_trial = standing.canary is not None or bool(standing.shadows)
        if before is None and not on_trial:
            raise MissingRecordError(
                f"Nothing to go back to from {standing.stable} is kept on this machine",
                expected="an earlier deployment",
                found=f"only {standing.stable}",
            )
        to = standing.stable if on_trial or before is None else before.stable
    kept_with(to, kept)
    return Pin(standing.model, standing.environment, to, digest_of(standing), principal, now, comment)
