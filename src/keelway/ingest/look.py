"""Looks at what an object store holds and says what a pull would take, what waits and why. Nothing is read or recorded.

The rules:

1. A file is new when its name, size, modification time and etag were not seen together before. Every pull compares
   the whole listing with what was seen, so that no late file is lost, whatever its date; a mark of how far the pulls
   have come would lose one that is written into an old folder. (A digest of each folder's listing would save the
   comparison of folders that did not change; measured on a million names, to compute it costs as much.)
2. Of what is new, the oldest files come first, at most so many; the memory needed does not grow with the listing.
3. One run looks once: what is too much for its first batch is kept (`Listing`) for those after it, so that a million
   new files are not listed a hundred times. What comes meanwhile is found by the next run, which looks anew.
4. A file waits while its folder has no marker (where the dataset asks for one) and while it is so young that it may
   still be growing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Self

from keelway.core import time_text
from keelway.ingest.batch import SeenFile
from keelway.ingest.glob import Glob, folder_of
from keelway.ingest.oldest import OldestFirst
from keelway.ingest.partition import Span
from keelway.ingest.ports import ObjectInfo, ObjectSource

if TYPE_CHECKING:
    from keelway.ledger.ports import Transaction
    from keelway.project import Dataset

MAX_FILES = 10_000
"""Files in one batch; bounds its record, its transaction and the memory of a pull."""
LISTING_PAGE = 5_000
"""Names compared with the state in one go; bounds the memory of a listing."""
TOLD = 100
"""Waiting files that are named; of the others only the number is told."""
SKEW = timedelta(days=1)
"""A time further in the future than this is a wrong stamp, not a fast clock: such a file does not wait for it."""


class WaitReason(StrEnum):
    """Why a new file is left for a later pull."""

    SETTLING = "too young"
    """It was written less than the dataset's `settle_s` ago."""
    UNMARKED = "no marker"
    """The dataset's marker is not in its folder yet."""
    CHANGED = "changed while it was read"
    """It has grown, was replaced or has gone since it was listed."""


@dataclass(frozen=True, slots=True)
class WaitingFile:
    """One file that is left for a later pull."""

    name: str
    reason: WaitReason
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a pull would do at a moment.

    Attributes:
        files: The new files it would take, oldest first, then by name.
        later: How many more new files the batches after it would take.
        waiting: Files that wait, in the order of the listing, the first of many.
        waits: How many files wait, by reason.
    """

    files: tuple[ObjectInfo, ...]
    later: int
    waiting: tuple[WaitingFile, ...]
    waits: dict[WaitReason, int]


class Listing:
    """What one look at a source found, handed out batch by batch; for one dataset, one moment and one thread."""

    def __init__(self) -> None:
        self._files = OldestFirst()
        self._waits = Waits()
        self._looked = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._files.__exit__(kind, error, at)

    def next(
        self, dataset: Dataset, *, source: ObjectSource, tx: Transaction, now: datetime, span: Span, max_files: int
    ) -> Outlook:
        """Return what the next batch would take and what waits; the first call looks, the others remember.

        Raises:
            SourceError: The source cannot be listed.
            StorageError: There is no room for the listing.
        """
        if not self._looked:
            marked = _marked_folders(dataset, source)  # before the files: a folder marked by now holds whole files only
            self._files.fill(_ready(_unseen(dataset, source, tx, span), dataset, marked, now, self._waits))
            self._looked = True
        files: list[ObjectInfo] = []
        while not files and self._files.left:  # another process may have taken some since
            files = _not_seen(self._files.take(max_files), dataset.name, tx)
        return Outlook(tuple(files), self._files.left, tuple(self._waits.named), dict(self._waits.counts))

    def leave(self, files: Iterable[WaitingFile]) -> None:
        """Note files that were handed out and could not be taken; the batches to come tell of them too."""
        for file in files:
            self._waits.add(file)


def seen_key(dataset: str, info: ObjectInfo) -> str:
    """Return the key under which the appearance of a file is recorded."""
    key = f"{dataset}/{info.name}@{info.size_bytes}@{time_text(info.modified_at)}"
    return f"{key}@{info.etag}" if info.etag else key


@dataclass(slots=True)
class Waits:
    """Counts the files that wait, and names the first of them."""

    named: list[WaitingFile] = field(default_factory=list)
    counts: dict[WaitReason, int] = field(default_factory=dict)

    def add(self, file: WaitingFile) -> None:
        """Note one more file."""
        self.counts[file.reason] = self.counts.get(file.reason, 0) + 1
        if len(self.named) < TOLD:
            self.named.append(file)


def _marked_folders(dataset: Dataset, source: ObjectSource) -> set[str] | None:
    """Return the folders that have the dataset's marker; None where it asks for none."""
    if not dataset.marker:
        return None
    glob = Glob.parse(dataset.source).beside(dataset.marker)
    return {folder_of(info.name) for info in source.list(str(glob))}


def _unseen(dataset: Dataset, source: ObjectSource, tx: Transaction, span: Span) -> Iterator[ObjectInfo]:
    """Yield the objects of a span that were not seen before in this form, in the order of the listing."""
    listing = (
        info
        for info in source.list(dataset.source)
        if span.holds(info.name, info.modified_at) and not _is_marker(info.name, dataset.marker)
    )
    while page := list(islice(listing, LISTING_PAGE)):
        yield from _not_seen(page, dataset.name, tx)


def _not_seen(objects: Sequence[ObjectInfo], dataset: str, tx: Transaction) -> list[ObjectInfo]:
    keys = [seen_key(dataset, info) for info in objects]
    fresh = tx.missing(SeenFile, keys)
    return [info for key, info in zip(keys, objects, strict=True) if key in fresh]


def _is_marker(name: str, marker: str) -> bool:
    return bool(marker) and name.rpartition("/")[2] == marker


def _ready(
    objects: Iterator[ObjectInfo], dataset: Dataset, marked: set[str] | None, now: datetime, waits: Waits
) -> Iterator[ObjectInfo]:
    """Yield the objects that can be taken now, and note the others."""
    settled = now - timedelta(seconds=dataset.settle_s)
    for info in objects:
        if marked is not None and folder_of(info.name) not in marked:
            waits.add(WaitingFile(info.name, WaitReason.UNMARKED, info.modified_at))
        elif dataset.settle_s and settled < info.modified_at <= now + SKEW:
            waits.add(WaitingFile(info.name, WaitReason.SETTLING, info.modified_at))
        else:
            yield info
