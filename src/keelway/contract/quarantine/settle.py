"""What became of quarantined rows and files: released into a later batch, or discarded; each once, by somebody, for a reason.

The records name rows by their position in the quarantine of their batch, which never changes, as spans: a release
of a whole batch is one span, whatever its size.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from keelway.core import Digest, PrincipalId
from keelway.errors import ConflictError

if TYPE_CHECKING:
    from keelway.ledger.ports import Transaction

Span = tuple[int, int]
"""First and last position of rows in the quarantine of their batch, from 0."""


class ItemStatus(StrEnum):
    """What became of a quarantined row or file."""

    OPEN = "open"
    RELEASED = "released"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class PickedRows:
    """Quarantined rows of one batch.

    Attributes:
        batch: The number of the batch they came in.
        checked: Digest of the checked batch whose quarantine holds them.
        spans: Their positions in it, ascending.
        rows: How many there are.
    """

    batch: int
    checked: Digest
    spans: tuple[Span, ...]
    rows: int


@dataclass(frozen=True, slots=True)
class PickedFile:
    """One file that was quarantined whole, or came with other content under a known name.

    Attributes:
        digest: Of its bytes, which are in the artifact store.
    """

    batch: int
    name: str
    digest: Digest


@dataclass(frozen=True, slots=True)
class Release:
    """Rows and files that somebody let in after all; they are the files of a batch of their own.

    Attributes:
        number: Counts the releases of a dataset from 1.
        rows: The rows let in, those of the files in `files` included.
        files: The files let in by their own bytes.
        waived: Reasons that are not held against them.
        batch: The number of the batch that brings them in.
    """

    dataset: str
    number: int
    rows: tuple[PickedRows, ...]
    files: tuple[PickedFile, ...]
    waived: tuple[str, ...]
    batch: int
    comment: str
    by: PrincipalId
    at: datetime


@dataclass(frozen=True, slots=True)
class Discard:
    """Rows and files that somebody gave up, or a whole batch that its contract stops.

    Attributes:
        number: Counts the discards of a dataset from 1.
        batch: Digest of the batch that is passed over; None where rows and files are named.
    """

    dataset: str
    number: int
    rows: tuple[PickedRows, ...]
    files: tuple[PickedFile, ...]
    batch: Digest | None
    comment: str
    by: PrincipalId
    at: datetime


@dataclass(frozen=True, slots=True)
class Settled:
    """Everything of a dataset that was released or discarded so far."""

    spans: dict[Digest, list[tuple[Span, ItemStatus]]] = field(default_factory=dict)
    files: dict[tuple[int, str], ItemStatus] = field(default_factory=dict)
    batches: set[Digest] = field(default_factory=set)

    def add(self, record: Release | Discard) -> None:
        """Take in one record."""
        status = ItemStatus.RELEASED if isinstance(record, Release) else ItemStatus.DISCARDED
        for picked in record.rows:
            self.spans.setdefault(picked.checked, []).extend((span, status) for span in picked.spans)
        for file in record.files:
            self.files[file.batch, file.name] = status
        if isinstance(record, Discard) and record.batch is not None:
            self.batches.add(record.batch)


def settled(dataset: str, tx: Transaction) -> Settled:
    """Return everything of a dataset that was released or discarded so far."""
    found = Settled()
    records: list[Release | Discard] = [*tx.newest(Release, parent=dataset), *tx.newest(Discard, parent=dataset)]
    for record in records:
        found.add(record)
    return found


def settlement_key(dataset: str, number: int) -> str:
    """Return the key of a release or discard."""
    return f"{dataset}/{number:06d}"


def must_be_open(rows: Iterable[PickedRows], files: Iterable[PickedFile], *, dataset: str, tx: Transaction) -> None:
    """Return when nothing of what was picked is settled yet; called in the transaction that settles it.

    Raises:
        ConflictError: Somebody else settled some of it meanwhile.
    """
    known = settled(dataset, tx)
    for picked in rows:
        taken = [span for span, _ in known.spans.get(picked.checked, ())]
        if any(
            first <= last_taken and first_taken <= last
            for first, last in picked.spans
            for first_taken, last_taken in taken
        ):
            raise _taken(f"rows of batch {picked.batch}")
    for file in files:
        if (file.batch, file.name) in known.files:
            raise _taken(file.name)


def _taken(what: str) -> ConflictError:
    return ConflictError(
        f"Somebody else settled {what} meanwhile",
        expected="open rows and files",
        found="released or discarded ones",
        fix="Look at the quarantine again, then decide.",
    )
