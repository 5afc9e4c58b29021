"""Looks at what an object store holds and says what a pull would take, what waits and why. Nothing is read or recorded.

The rules:

1. A file is new when its name, size, modification time and etag were not seen together before. Every pull compares
   the whole listing with what was seen, so that no late file is lost, whatever its date; a mark of how far the pulls
   have come would lose one that is written into an old folder. (A digest of each folder's listing would save the
   comparison of folders that did not change; measured on a million names, to compute it costs as much.)
2. Of what is new, the oldest files come first, at most so many; the memory needed does not grow with the listing.
3. A file waits while its folder has no marker (where the dataset asks for one) and while it is so young that it may
   still be growing.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING

from keelway.core import time_text
from keelway.ingest.batch import SeenFile
from keelway.ingest.glob import Glob, folder_of
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


def look(
    dataset: Dataset, *, source: ObjectSource, tx: Transaction, now: datetime, span: Span, max_files: int
) -> Outlook:
    """Return what a pull would take and what waits."""
    waits = Waits()
    marked = _marked_folders(dataset, source)  # before the files: a folder marked by now holds whole files only
    ready = _Counted(_ready(_unseen(dataset, source, tx, span), dataset, marked, now, waits))
    files = heapq.nsmallest(max_files, ready, key=lambda info: (info.modified_at, info.name))
    return Outlook(tuple(files), ready.count - len(files), tuple(waits.named), dict(waits.counts))


def seen_key(dataset: str, info: ObjectInfo) -> str:
    """Return the key under which the appearance of a file is recorded."""
    key = f"{dataset}/{info.name}@{info.size_bytes}@{time_text(info.modified_at)}"
    return f"{key}@{info.etag}" if info.etag else key


@dataclass(slots=True)
class Waits:
    """Counts the files that wait, and names the first of them."""

    named: list[WaitingFile] = field(default_factory=list)
    counts: dict[WaitReason, int] = field(default_factory=dict)

    def add(self, info: ObjectInfo, reason: WaitReason) -> None:
        """Note one more file."""
        self.counts[reason] = self.counts.get(reason, 0) + 1
        if len(self.named) < TOLD:
            self.named.append(WaitingFile(info.name, reason, info.modified_at))


class _Counted:
    """Passes objects on and counts them."""

    def __init__(self, objects: Iterator[ObjectInfo]) -> None:
        self._objects = objects
        self.count = 0

    def __iter__(self) -> Iterator[ObjectInfo]:
        for info in self._objects:
            self.count += 1
            yield info


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
        keys = [seen_key(dataset.name, info) for info in page]
        fresh = tx.missing(SeenFile, keys)
        yield from (info for key, info in zip(keys, page, strict=True) if key in fresh)


def _is_marker(name: str, marker: str) -> bool:
    return bool(marker) and name.rpartition("/")[2] == marker


def _ready(
    objects: Iterator[ObjectInfo], dataset: Dataset, marked: set[str] | None, now: datetime, waits: Waits
) -> Iterator[ObjectInfo]:
    """Yield the objects that can be taken now, and note the others."""
    settled = now - timedelta(seconds=dataset.settle_s)
    for info in objects:
        if marked is not None and folder_of(info.name) not in marked:
            waits.add(info, WaitReason.UNMARKED)
        elif dataset.settle_s and settled < info.modified_at <= now + SKEW:
            waits.add(info, WaitReason.SETTLING)
        else:
            yield info
