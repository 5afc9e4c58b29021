"""Finds the batch that waits because its contract stops it, in the ledger's own words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from keelway.core import Action, Decision, Digest, digest_of
from keelway.ingest import Batch, batch_key, loaded_pointer

if TYPE_CHECKING:
    from keelway.ledger.ports import Transaction

RECENT = 500
"""Decisions on a dataset in which the stops of its waiting batch are counted."""
STOPS = (Action.QUARANTINE, Action.CONTRACT)
"""What refuses a batch as a whole: its content, or a contract that breaks what was built on the one before."""


@dataclass(frozen=True, slots=True)
class StoppedBatch:
    """A batch that waits because its contract stops it.

    Attributes:
        stops: How often it was stopped so far.
        reasons: Why, the last time.
    """

    batch: int
    digest: Digest
    files: tuple[str, ...]
    stops: int
    reasons: tuple[str, ...]


def stopped_batch(dataset: str, tx: Transaction) -> StoppedBatch | None:
    """Return the batch that waits because its contract stops it, or None."""
    pointer = tx.pointer(loaded_pointer(dataset))
    number = tx.by_digest(Batch, pointer.target).number if pointer else 0
    waiting = tx.find(Batch, batch_key(dataset, number + 1))
    if waiting is None:
        return None
    digest = digest_of(waiting)
    stops = [
        decision
        for decision in tx.newest(Decision, parent=dataset, limit=RECENT)
        if decision.action in STOPS and not decision.allowed and decision.evidence.get("batch") == digest
    ]
    if not stops:
        return None
    names = tuple(file.name for file in waiting.files)
    return StoppedBatch(number + 1, digest, names, len(stops), stops[0].reasons)
