"""Batches of what people tell: kept together as lines of canonical JSON, and read again in the order they were told.

A batch is an artifact with its lines, a record that names it, and the decision to take it in. What belongs together (the
outcomes of a label, the events of a stream) is its subject; the batches of a subject count from 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeVar

from keelway.core import Action, ArtifactKind, BusinessEvent, Decision, Digest, Outcome, canonical_json, digest_of
from keelway.ledger import record_decision
from keelway.monitor.record import EventBatch, OutcomeBatch

if TYPE_CHECKING:
    from keelway.core import ArtifactStore
    from keelway.ledger import Transaction

Batch = TypeVar("Batch", EventBatch, OutcomeBatch)
Told = TypeVar("Told", BusinessEvent, Outcome)
EXAMPLES = 5
"""So many of the records that cannot be taken are shown."""


def put_lines(records: Iterable[BusinessEvent | Outcome], name: str, artifacts: ArtifactStore) -> Digest:
    """Store records, one a line, under a name for people; return the artifact's digest."""
    lines = b"".join(canonical_json(one) + b"\n" for one in records)
    return artifacts.put(lines, kind=ArtifactKind.OUTCOMES, name=name).digest


def keep_batch(batch: EventBatch | OutcomeBatch, subject: str, *, what: str, comment: str, tx: Transaction) -> None:
    """Keep the record of a batch, and the decision to take it in.

    Args:
        what: What its records are; the decision's evidence is called so.
    """
    tx.insert(f"{subject}/{batch.number}", batch, parent=subject, at=batch.recorded_at)
    decision = Decision(
        action=Action.LOG_OUTCOMES,
        subject=subject,
        allowed=True,
        principal=batch.recorded_by,
        at=batch.recorded_at,
        evidence={what: digest_of(batch)},
        comment=comment,
    )
    record_decision(decision, tx=tx)


def batches_of(kind: type[Batch], subject: str, tx: Transaction) -> list[Batch]:
    """Return the batches of a subject, in the order they were told."""
    return sorted(tx.newest(kind, parent=subject), key=lambda batch: batch.number)


def read_lines(kind: type[Told], batches: Iterable[EventBatch | OutcomeBatch], artifacts: ArtifactStore) -> list[Told]:
    """Return the records of batches, one after the other."""
    import msgspec

    decoder = msgspec.json.Decoder(kind)
    return [decoder.decode(line) for batch in batches for line in artifacts.get(batch.data).splitlines()]
