"""Gives up what was kept out: quarantined rows and files, or a batch that its contract stops.

A batch that brings no rows is passed over as well, by nobody's choice: the pointer `loaded/DATASET` moves on without
a new version, and the ledger says why.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from keelway.contract.checked import CheckedBatch
from keelway.contract.quarantine.kept_out import Selection, held
from keelway.contract.quarantine.release import must_be_known, must_say_why
from keelway.contract.quarantine.settle import Discard, PickedFile, PickedRows, must_be_open, settled, settlement_key
from keelway.contract.quarantine.stopped import stopped_batch
from keelway.core import Action, ArtifactStore, Decision, Digest, PointerMove, PrincipalId, digest_of
from keelway.errors import ConflictError, MissingRecordError
from keelway.identity import Principal, on_record, require_role
from keelway.ingest import Batch, batch_key, loaded_pointer
from keelway.ledger import record_decision

if TYPE_CHECKING:
    from keelway.ledger.ports import StateStore, Transaction

ROLES = ("data-scientist", "approver")
"""Who may give data up."""


@dataclass(frozen=True, slots=True)
class Discarded:
    """What a discard did; all counts are 0 where everything was settled before.

    Attributes:
        files: The files given up whole.
        batch: The number of the batch that is passed over; 0 where rows and files were named.
    """

    dataset: str
    rows: int
    files: tuple[str, ...]
    batch: int


def discard(
    dataset: str,
    selection: Selection,
    *,
    comment: str,
    artifacts: ArtifactStore,
    state: StateStore,
    now: datetime,
    actor: Principal,
) -> Discarded:
    """Give up the chosen rows and files that are open; their bytes stay, and so do the records.

    Raises:
        IdentityError: The actor is no data-scientist or approver.
        MissingRecordError: Nothing of that kind was ever quarantined.
        ConflictError: Somebody else settled some of it meanwhile.
    """
    with on_record(Action.DISCARD, dataset, principal=actor, state=state, now=now):
        require_role(actor, *ROLES)
    must_say_why(comment)
    with state.snapshot() as tx:
        chosen = list(held(dataset, selection, tx=tx, artifacts=artifacts))
        if not chosen:
            must_be_known(dataset, selection, tx=tx, artifacts=artifacts)
            return Discarded(dataset, 0, (), 0)
    rows = tuple(picked for item in chosen if (picked := item.picked()) is not None)
    files = tuple(file for item in chosen for file, _, _ in item.files)
    with state.transaction() as tx:
        must_be_open(rows, files, dataset=dataset, tx=tx)
        digest = _insert(dataset, rows, files, None, comment, tx=tx, now=now, actor=actor.id)
        count = sum(picked.rows for picked in rows)
        told = f"{count} rows and {len(files)} files discarded: {comment}"
        record_decision(_decision(dataset, {"discard": digest}, told, (), now, actor.id), tx=tx)
    return Discarded(dataset, count, tuple(file.name for file in files), 0)


def discard_batch(
    dataset: str, number: int, *, comment: str, state: StateStore, now: datetime, actor: Principal
) -> Discarded:
    """Pass over a batch that its contract stops: nothing of it is ever loaded, the next ingest goes on after it.

    Raises:
        IdentityError: The actor is no data-scientist or approver.
        MissingRecordError: No batch with that number is stopped.
    """
    with on_record(Action.DISCARD, dataset, principal=actor, state=state, now=now):
        require_role(actor, *ROLES)
    must_say_why(comment)
    with state.transaction() as tx:
        batch = tx.find(Batch, batch_key(dataset, number))
        if batch is not None and digest_of(batch) in settled(dataset, tx).batches:
            return Discarded(dataset, 0, (), number)
        _must_be_stopped(dataset, number, tx)
        assert batch is not None
        digest = _insert(dataset, (), (), digest_of(batch), comment, tx=tx, now=now, actor=actor.id)
        moves = _move_on(batch, tx, now)
        evidence = {"discard": digest, "batch": digest_of(batch)}
        told = f"batch {number} of {len(batch.files)} files discarded: {comment}"
        record_decision(_decision(dataset, evidence, told, moves, now, actor.id), tx=tx)
    return Discarded(dataset, 0, tuple(file.name for file in batch.files), number)


def is_stopped(dataset: str, number: int, tx: Transaction) -> bool:
    """Say whether a batch waits because its contract stops it, or was discarded for that before."""
    stopped = stopped_batch(dataset, tx)
    batch = tx.find(Batch, batch_key(dataset, number))
    waits = stopped is not None and stopped.batch == number
    return waits or (batch is not None and digest_of(batch) in settled(dataset, tx).batches)


def pass_over(
    batch: Batch, *, checked: CheckedBatch | None = None, state: StateStore, now: datetime, actor: PrincipalId
) -> None:
    """Move on past a batch that brings no rows, without a new version; doing so again does nothing.

    Raises:
        ConflictError: Another process loaded something else meanwhile.
    """
    with state.transaction() as tx:
        pointer = tx.pointer(loaded_pointer(batch.dataset))
        if pointer is not None and pointer.target == digest_of(batch):
            return
        evidence = {"batch": digest_of(batch)}
        if checked is not None:
            evidence["checked"] = digest_of(checked)
        why = f"batch {batch.number} brings no rows: no new version"
        decision = Decision(
            action=Action.INGEST,
            subject=batch.dataset,
            allowed=True,
            principal=actor,
            at=now,
            evidence=evidence,
            moves=_move_on(batch, tx, now),
            comment=why,
        )
        record_decision(decision, tx=tx)


def _move_on(batch: Batch, tx: Transaction, now: datetime) -> tuple[PointerMove, ...]:
    """Move the pointer at the last batch that is done with to this one, which must be the next."""
    name = loaded_pointer(batch.dataset)
    pointer = tx.pointer(name)
    done = tx.by_digest(Batch, pointer.target).number if pointer else 0
    if batch.number != done + 1:
        raise ConflictError(
            f"Batch {batch.number} of {batch.dataset} is not the next one",
            expected=f"batch {done + 1}",
            found=f"batch {batch.number}",
            fix="Run the ingest again.",
        )
    move = PointerMove(name, pointer.target if pointer else None, digest_of(batch))
    tx.move(move.name, before=move.before, after=move.after, at=now)
    return (move,)


def _must_be_stopped(dataset: str, number: int, tx: Transaction) -> None:
    stopped = stopped_batch(dataset, tx)
    if stopped is None or stopped.batch != number:
        raise MissingRecordError(
            f"Batch {number} of {dataset} is not stopped",
            expected=f"batch {stopped.batch}" if stopped else "a batch that its contract stops",
            found=f"batch {number}",
            fix=f"Look at what waits: keelway quarantine list {dataset}",
        )


def _insert(
    dataset: str,
    rows: tuple[PickedRows, ...],
    files: tuple[PickedFile, ...],
    batch: Digest | None,
    comment: str,
    *,
    tx: Transaction,
    now: datetime,
    actor: PrincipalId,
) -> Digest:
    number = tx.count(Discard, parent=dataset) + 1
    record = Discard(dataset, number, rows, files, batch, comment, actor, now)
    return tx.insert(settlement_key(dataset, number), record, parent=dataset, at=now)


def _decision(
    dataset: str,
    evidence: dict[str, Digest],
    comment: str,
    moves: Iterable[PointerMove],
    now: datetime,
    actor: PrincipalId,
) -> Decision:
    return Decision(
        action=Action.DISCARD,
        subject=dataset,
        allowed=True,
        principal=actor,
        at=now,
        evidence=evidence,
        moves=tuple(moves),
        comment=comment,
    )
