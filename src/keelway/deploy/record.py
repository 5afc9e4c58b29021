"""Deployment: which versions of a model answer in an environment, which entities each of them answers for, and who only listens."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from keelway.core import Digest, Environment, PrincipalId, VersionName
from keelway.deploy.layers import NOBODY, Allocation

Strategy = Literal["all", "shadow", "canary", "blue_green", "ab", "champion_challenger", "bandit"]
STABLE = "stable"
"""The arm of all entities that are in no experiment."""
CONTROL = "control"
"""The arm inside an experiment that keeps the stable version."""
CANARY = "canary"
"""The arm of the one version that is tried beside the stable one."""
SHADOW = "shadow"
"""The arm of versions that score copies of requests and answer nobody."""
ASKED = "asked"
"""The arm of requests that name the version that shall answer them; no rollout counts it."""
EVERYBODY = Allocation("", (), ())
"""No allocation: whoever makes a deployment without one leaves the lowest buckets to a canary."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """The desired traffic of a model in an environment.

    Attributes:
        number: Counts the deployments of the model in the environment, from 1.
        stable: The version that gets what no trial takes, and that a trial is compared with.
        traffic: Percent of the entities by version, to the nearest; sums to 100. A version with 0 is loaded and waits.
        versions: Digest of each version's record, of those with traffic and of shadows.
        salt: Makes the assignment of entities differ between trials.
        previous: The deployment that a rollback goes back to; None for the first.
        shadows: Versions that score copies of requests and answer nobody.
        allocation: Which arm holds which buckets: `stable`, `control`, `canary`, or a version's name in a trial of several.
        rollout: The rollout that this is a step of; empty where it is none.
        stage: Which stage of it, from 0.
        layer: The layer whose experiments exclude this one; empty where there is none.
        members: Which buckets of the layer the experiment holds; the other entities are in the arm `stable`.
        policies: Digest of the policy by which each version was let into the environment, of those that a policy judged.
    """

    model: str
    environment: Environment
    number: int
    strategy: Strategy
    stable: VersionName
    traffic: dict[VersionName, int]
    versions: dict[VersionName, Digest]
    salt: str
    previous: Digest | None
    at: datetime
    principal: PrincipalId
    comment: str = ""
    shadows: tuple[VersionName, ...] = ()
    allocation: Allocation = EVERYBODY
    rollout: str = ""
    stage: int = 0
    layer: str = ""
    members: Allocation = EVERYBODY
    policies: dict[VersionName, Digest] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.allocation.starts:
            canary = self.canary
            share = self.traffic[canary] if canary else 0
            shares = {CANARY: share, STABLE: 100 - share}
            object.__setattr__(self, "allocation", Allocation.of(shares, salt=self.salt))

    @property
    def canary(self) -> VersionName | None:
        """The first version that is tried beside the stable one, or None."""
        return next((version for version in self.traffic if version != self.stable), None)

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms that entities are in, in the order of their buckets."""
        outside = (STABLE,) if NOBODY in self.members.holders else ()
        return tuple(dict.fromkeys((*self.allocation.holders, *outside)))

    @property
    def control_arm(self) -> str:
        """The arm that treatments are compared with."""
        return CONTROL if CONTROL in self.allocation.holders else STABLE

    def arm_of(self, entity: str) -> str:
        """Return the arm of an entity."""
        if self.members.starts and self.members.holder_of(entity) == NOBODY:
            return STABLE
        return self.allocation.holder_of(entity)

    def version_of(self, arm: str) -> VersionName:
        """Return the version that answers in an arm."""
        if arm in (STABLE, CONTROL):
            return self.stable
        return (self.canary or self.stable) if arm == CANARY else VersionName(arm)


@dataclass(frozen=True, slots=True)
class SmokeResult:
    """What a version did when it was asked for a few answers, before it gets traffic.

    Attributes:
        answers: How many answers it gave.
        reasons: What is wrong with it; empty exactly when it passed.
    """

    version: VersionName
    version_digest: Digest
    passed: bool
    answers: int
    reasons: tuple[str, ...] = ()


def pointer_of(model: str, environment: str) -> str:
    """Return the name of the pointer to a model's deployment in an environment."""
    return f"deployment/{environment}/{model}"
