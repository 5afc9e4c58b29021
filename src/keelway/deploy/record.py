"""Deployment: which versions of a model answer in an environment, and with what share of the traffic."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from keelway.core import Digest, Environment, PrincipalId, VersionName

Strategy = Literal["all", "canary"]


@dataclass(frozen=True, slots=True)
class Deployment:
    """The desired traffic of a model in an environment.

    Attributes:
        number: Counts the deployments of the model in the environment, from 1.
        stable: The version that gets what no canary takes.
        traffic: Percent of the entities by version; sums to 100.
        versions: Digest of each version's record.
        salt: Makes the assignment of entities differ between canaries.
        previous: The deployment that a rollback goes back to; None for the first.
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

    @property
    def canary(self) -> VersionName | None:
        """The version that is tried beside the stable one, or None."""
        return next((version for version in self.traffic if version != self.stable), None)


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
