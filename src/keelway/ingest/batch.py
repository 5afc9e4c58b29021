"""Batch: the files that one pull brought in, and those it left out with the reason."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from keelway.core import Digest


class SkipReason(StrEnum):
    """Why a file was left out of a batch."""

    DUPLICATE = "duplicate"
    """The same bytes were taken before, under the name in `of`."""
    CONTENT_CHANGED = "content changed"
    """Other bytes were taken before under this very name: the file is quarantined, its bytes are kept."""
    EMPTY = "zero bytes"
    TOUCHED = "touched"
    """Only the modification time changed; the bytes under this name are those already known."""


@dataclass(frozen=True, slots=True)
class RawFile:
    """One file that was taken.

    Attributes:
        name: Its name in the object store.
        digest: Address of its bytes in the artifact store.
        known_at: When it was written to the object store; its rows were not known before.
        event_date: The day its Hive partition (`dt=YYYY-MM-DD` and its kin) speaks of, as ISO text, or None.
        ahead_s: By how many seconds the store's clock said a later time than ours when the file was pulled; its
            `known_at` is the time of the pull then, for nothing is known before it was there.
    """

    name: str
    digest: Digest
    size_bytes: int
    known_at: datetime
    event_date: str | None
    ahead_s: float = 0.0

    @property
    def late_days(self) -> int:
        """Whole days the file came later than the day after the one it speaks of; 0 when in time or undated.

        Lateness compares the file with its own partition, not with other files: it is the same in whatever
        order and in however many pulls the files come in.
        """
        if self.event_date is None:
            return 0
        return max(0, (self.known_at.date() - date.fromisoformat(self.event_date)).days - 1)


@dataclass(frozen=True, slots=True)
class SkippedFile:
    """One file that was left out.

    Attributes:
        digest: Digest of its bytes; they are in the artifact store only where its content changed.
        of: The name under which the same bytes (or, for changed content, other bytes) were taken first.
    """

    name: str
    digest: Digest
    reason: SkipReason
    of: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one pull found new.

    Attributes:
        number: Counts the batches of a dataset from 1, without a gap.
        files: The files taken, sorted by name.
        skipped: The files left out, sorted by name.
        parent: Digest of the batch before.
        released: Digest of the release that made this batch out of quarantined rows; None for a pull.
        waived: Reasons that whoever released the rows does not hold against them.
    """

    dataset: str
    number: int
    files: tuple[RawFile, ...]
    skipped: tuple[SkippedFile, ...]
    pulled_at: datetime
    parent: Digest | None
    released: Digest | None = None
    waived: tuple[str, ...] = ()

    @property
    def late(self) -> tuple[RawFile, ...]:
        """The files that came late."""
        return tuple(file for file in self.files if file.late_days)


@dataclass(frozen=True, slots=True)
class SeenFile:
    """One appearance of a file: its name, size, modification time and etag, so that it is never read again."""

    dataset: str
    name: str
    size_bytes: int
    modified_at: datetime
    digest: Digest
    taken: bool
    etag: str = ""


@dataclass(frozen=True, slots=True)
class SeenContent:
    """Content that a dataset has taken, with the name it first came under."""

    dataset: str
    digest: Digest
    name: str
