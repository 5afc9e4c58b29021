"""Erasure: a decision that keys are destroyed, and the destroying.

The order of things makes a kill harmless: one transaction writes what will be destroyed together with the decision;
then the keys go; then a record says that they are gone. Whoever comes next, the next ingest too, finds an erasure that
is not done and finishes it. That transaction also looks whether what was searched is still all there is, so what it
lists is complete; and it marks each raw file, so that rows which were made of it and are in no version yet never get
into one (`must_not_be_erased`). Nothing in the records tells who was erased: keys are named by marks, which are HMACs of tokens that
nobody can link to a person any more, and files by their digests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from keelway.core import Action, Decision, Digest, PrincipalId, digest_of
from keelway.errors import ConflictError
from keelway.ledger import record_decision
from keelway.privacy.ports import KeyVault, Loss

if TYPE_CHECKING:
    from keelway.ledger.ports import StateStore, Transaction


@dataclass(frozen=True, slots=True)
class UsedVersion:
    """A numbered thing that was made from the rows of an erased person.

    Attributes:
        name: As people call it: `transactions 3`, `churn:2`, `churn in prod 4`.
        digest: Of its record.
    """

    name: str
    digest: Digest


@dataclass(frozen=True, slots=True)
class Uses:
    """Everything that was made from the rows of an erased person; all of it stays as it is, with nobody behind it.

    Attributes:
        runs: Ids of the runs that read the rows, or what was made from them.
        predictions: Ids of the answers given about the person.
        retrain_due: One line for each environment whose live model learned from the rows.
    """

    snapshots: tuple[UsedVersion, ...] = ()
    feature_tables: tuple[UsedVersion, ...] = ()
    runs: tuple[str, ...] = ()
    versions: tuple[UsedVersion, ...] = ()
    deployments: tuple[UsedVersion, ...] = ()
    predictions: tuple[str, ...] = ()
    retrain_due: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Erasure:
    """What one erasure destroys.

    Attributes:
        number: Counts erasures from 1.
        cause: Why: a person asked, or a retention time was over.
        values: Marks of the values' keys, in hexadecimal.
        artifacts: Digests of the sealed artifacts whose keys go.
        in_clear: Digests of artifacts and files that hold the person unsealed; they must be deleted by hand.
        unsearched: Digests of artifacts that could not be looked into.
        objects: Names in the object store that still hold the person; to be deleted there.
        uses: What was made from the person's rows.
    """

    number: int
    cause: Loss
    values: tuple[str, ...]
    artifacts: tuple[Digest, ...]
    ordered_at: datetime
    ordered_by: PrincipalId
    in_clear: tuple[Digest, ...] = ()
    unsearched: tuple[Digest, ...] = ()
    objects: tuple[str, ...] = ()
    uses: Uses = field(default_factory=Uses)


@dataclass(frozen=True, slots=True)
class ErasureDone:
    """Says that the keys of an erasure are gone, and how many there were."""

    erasure: Digest
    values: int
    artifacts: int
    done_at: datetime


@dataclass(frozen=True, slots=True)
class ErasedFile:
    """Says that a raw file, a quarantine or a log held an erased person; nothing is made of it any more."""

    digest: Digest
    erasure: int


def order_erasure(
    erasure: Erasure, *, state: StateStore, comment: str = "", holds: Callable[[Transaction], bool] = lambda _: True
) -> Erasure:
    """Write an erasure and the decision for it, and return it with its number; the keys are still there.

    Args:
        holds: Says in the same transaction whether what was searched is still all there is.

    Raises:
        ConflictError: It is not; nothing is recorded.
    """
    with state.transaction() as tx:
        if not holds(tx):
            raise ConflictError(
                "Data came in while it was searched",
                expected="nothing new since the search began",
                found="a batch or a version",
                fix="Run the command again.",
            )
        numbered = replace(erasure, number=tx.count(Erasure) + 1)
        digest = tx.insert(_key(numbered), numbered, at=numbered.ordered_at)
        decision = Decision(
            action=Action.ERASE,
            subject=f"erasure {numbered.number}",
            allowed=True,
            principal=numbered.ordered_by,
            at=numbered.ordered_at,
            evidence={"erasure": digest},
            comment=comment or f"{len(numbered.values)} values, {len(numbered.artifacts)} files: {numbered.cause}",
        )
        _mark(numbered, tx)
        record_decision(decision, tx=tx)
    return numbered


def erased_files(digests: Iterable[Digest], tx: Transaction) -> set[Digest]:
    """Return those files that held a person who was erased."""
    wanted = set(digests)
    absent = tx.missing(ErasedFile, wanted)
    return {digest for digest in wanted if digest not in absent}


def must_not_be_erased(digests: Iterable[Digest], tx: Transaction) -> None:
    """Make sure that rows may be used, in the transaction that records what was made of them.

    Args:
        digests: The raw files that the rows came from.

    Raises:
        ConflictError: One of them held a person who was erased since.
    """
    gone = erased_files(digests, tx)
    if gone:
        raise ConflictError(
            "A person in these rows was erased meanwhile",
            expected="files of nobody who was erased",
            found=", ".join(sorted(gone)),
            fix="Run the command again: the batch is checked anew, without these files.",
        )


def carry_out(erasure: Erasure, *, vault: KeyVault, state: StateStore, now: datetime) -> ErasureDone:
    """Destroy the keys of an erasure that was ordered, and say so; once done, doing it again does nothing."""
    with state.snapshot() as tx:
        done = tx.find(ErasureDone, _key(erasure))
    if done is not None:
        return done
    values = vault.destroy_values(bytes.fromhex(mark) for mark in erasure.values)
    artifacts = vault.destroy_artifacts(erasure.artifacts, loss=erasure.cause)
    done = ErasureDone(digest_of(erasure), values, artifacts, now)
    with state.transaction() as tx:
        there = tx.find(ErasureDone, _key(erasure))  # another process may have finished it meanwhile
        if there is None:
            tx.insert(_key(erasure), done, at=now)
    return there or done


def unfinished(tx: Transaction) -> list[Erasure]:
    """Return the erasures that were ordered and not done, oldest first: a process died, or is at it now."""
    ordered = {_key(erasure): erasure for erasure in tx.newest(Erasure)}
    waiting = tx.missing(ErasureDone, ordered)
    return [ordered[key] for key in sorted(waiting)]


def _mark(erasure: Erasure, tx: Transaction) -> None:
    """Mark the files of an erased person; what merely expired may come in again."""
    if erasure.cause is Loss.ERASED:
        for digest in sorted(tx.missing(ErasedFile, erasure.artifacts)):
            tx.insert(digest, ErasedFile(Digest(digest), erasure.number), at=erasure.ordered_at)


def _key(erasure: Erasure) -> str:
    return f"{erasure.number:06d}"
