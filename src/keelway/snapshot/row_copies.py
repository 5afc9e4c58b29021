"""Copies of rows in the artifact store: what a check wrote down, before a version took it over into its table.

A copy is spare when nothing can ask for it any more:

- the batch is done with: loaded, or passed over (a batch that waits is taken from its copy);
- no version that is kept lists the same bytes;
- no record refers to it, and no other dataset was given the same rows.

Quarantined rows, raw files and manifests are no such copies: the ledger rests on them, and they stay.

Why nothing can slip in between. Copies go inside a transaction that holds the state's only write lock, after a last
look. A check puts the rows first and records its outcome then, in a transaction that asks whether they are still
there; where they went meanwhile, it is refused and done again, and the rows are put anew. One of the two comes first:
if the outcome, the batch waits and its rows are not spare; if the deletion, the check sees it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from keelway.contract import CheckedBatch
from keelway.core import ArtifactStore, Digest, digest_of
from keelway.ingest import Batch, batch_key, loaded_pointer
from keelway.snapshot.referred import referred

if TYPE_CHECKING:
    from keelway.ledger.ports import Transaction


@dataclass(frozen=True, slots=True)
class RemovedCopy:
    """Says that a copy of rows is deleted, so that nobody looks for it again."""

    dataset: str
    rows: Digest
    removed_at: datetime


def spare_copies(
    dataset: str, listed: Collection[Digest], *, artifacts: ArtifactStore, tx: Transaction
) -> dict[Digest, int]:
    """Return the copies of a dataset's rows that nothing can ask for any more, with their sizes in bytes.

    Args:
        listed: The bytes that kept versions list.
    """
    waiting = {digest_of(batch) for batch in _waiting(dataset, tx)}
    needed = set(listed)
    found: set[Digest] = set()
    for item in tx.newest(CheckedBatch):
        theirs = item.dataset != dataset or item.batch in waiting
        (needed if theirs else found).add(item.rows)
    found -= needed
    found &= tx.missing(RemovedCopy, found)
    found -= referred(found, tx)
    sizes = {digest: artifacts.size_of(digest) for digest in sorted(found)}
    return {digest: size for digest, size in sizes.items() if size is not None}


def remove_copies(
    dataset: str, copies: Iterable[Digest], *, artifacts: ArtifactStore, now: datetime, tx: Transaction
) -> None:
    """Delete copies that are spare, inside the transaction that found them so, and write it down."""
    for digest in copies:
        artifacts.delete(digest)
        tx.insert(digest, RemovedCopy(dataset, digest, now), parent=dataset, at=now)


def _waiting(dataset: str, tx: Transaction) -> Iterable[Batch]:
    """Yield the batches that are not done with."""
    pointer = tx.pointer(loaded_pointer(dataset))
    number = tx.by_digest(Batch, pointer.target).number if pointer else 0
    while (batch := tx.find(Batch, batch_key(dataset, number := number + 1))) is not None:
        yield batch
