"""Sends an entity to a version: always the same one, as long as the deployment does not take it elsewhere.

Each entity falls into one of 10,000 buckets by a salted hash; a canary takes the lowest ones. So a canary that grows
keeps every entity it had.
"""

from __future__ import annotations

from hashlib import blake2b

from keelway.core import VersionName
from keelway.deploy.record import Deployment

BUCKETS = 10_000
STABLE = "stable"
CANARY = "canary"


def assign(entity: str, deployment: Deployment) -> tuple[VersionName, str]:
    """Return the version that answers for an entity, and the name of its arm."""
    canary = deployment.canary
    if canary is None:
        return deployment.stable, STABLE
    if bucket_of(entity, deployment.salt) < deployment.traffic[canary] * BUCKETS // 100:
        return canary, CANARY
    return deployment.stable, STABLE


def bucket_of(entity: str, salt: str) -> int:
    """Return the bucket of an entity, from 0 to 9,999."""
    hashed = blake2b(f"{salt}\0{entity}".encode(), digest_size=8)
    return int.from_bytes(hashed.digest()) % BUCKETS
