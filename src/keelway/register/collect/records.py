"""The record of a collection, and the rules that say when bytes may go."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from keelway.core import Digest, PrincipalId, VersionName
from keelway.errors import UsageError
from keelway.ledger import Transaction
from keelway.register.records import ModelVersion

LEAST_AGE = timedelta(days=1)
"""A writer puts bytes first and records them afterwards; it is given so long."""


@dataclass(frozen=True, slots=True)
class RetentionRules:
    """When bytes may go.

    Attributes:
        unreferenced: How old bytes have to be at least, whatever else is true of them.
        retired: How long the bytes of a retired version are kept; None for ever.
        evidence: How long what only decisions name is kept after the newest of them; None for ever.

    Raises:
        UsageError: Bytes younger than a day could go.
    """

    unreferenced: timedelta = timedelta(days=7)
    retired: timedelta | None = None
    evidence: timedelta | None = None

    def __post_init__(self) -> None:
        if self.unreferenced < LEAST_AGE:
            raise UsageError(
                "These bytes are too young to be collected", expected=str(LEAST_AGE), found=str(self.unreferenced)
            )


@dataclass(frozen=True, slots=True)
class Collection:
    """What one collection removes.

    Attributes:
        number: Counts collections from 1; 0 for one that is only planned.
        artifacts: Digests of everything that goes, sorted.
        unreferenced: How many of them nothing names.
        retired: The versions whose exported model or pipeline goes.
        evidence: How many of them only old decisions name.
        kept: How many artifacts stay.
    """

    number: int
    artifacts: tuple[Digest, ...]
    unreferenced: int
    retired: tuple[VersionName, ...]
    evidence: int
    freed_bytes: int
    kept: int
    principal: PrincipalId
    at: datetime


def was_collected(version: ModelVersion, *, tx: Transaction) -> bool:
    """Say whether a decision let a version's bytes go."""
    return any({version.onnx, version.pipeline, version.served} & set(each.artifacts) for each in tx.newest(Collection))
