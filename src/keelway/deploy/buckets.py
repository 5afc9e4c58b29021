"""The bucket of an entity: one of 10,000, by a salted hash, so always the same one."""

from __future__ import annotations

from hashlib import blake2b

BUCKETS = 10_000


def bucket_of(entity: str, salt: str) -> int:
    """Return the bucket of an entity, from 0 to 9,999."""
    hashed = blake2b(f"{salt}\0{entity}".encode(), digest_size=8)
    return int.from_bytes(hashed.digest()) % BUCKETS
