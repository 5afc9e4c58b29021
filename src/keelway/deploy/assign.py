"""Sends an entity to a version: always the same one, as long as the deployment does not take it elsewhere.

Each entity falls into one of 10,000 buckets by a salted hash, and the deployment's allocation says which arm holds it. A
canary holds the lowest ones, so one that grows keeps every entity it had. A trial in a layer splits only the entities of
its own buckets there, by a hash of its own.
"""

from __future__ import annotations

from keelway.core import VersionName
from keelway.deploy.record import Deployment


def assign(entity: str, deployment: Deployment) -> tuple[VersionName, str]:
    """Return the version that answers for an entity, and the name of its arm."""
    arm = deployment.arm_of(entity)
    return deployment.version_of(arm), arm
