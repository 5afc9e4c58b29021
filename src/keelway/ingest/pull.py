"""Pulls what is new in an object store, exactly once, wherever the process is killed.

The rules:

1. Bytes go to the artifact store first. Then one transaction writes the batch, the appearances of its files and
   the ledger entry: a pull that is killed before it leaves nothing but unnamed artifacts.
2. A file is read only when its name, size and modification time were not seen together before.
3. Content is taken once, under the name it was first written with (then by name); a name keeps the content it was
   first taken with.
4. A batch that has not become a snapshot yet is handed out again before anything new is pulled.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.core import (
    Action,
    ArtifactKind,
    ArtifactStore,
    Decision,
    Digest,
    PrincipalId,
    digest_of,
    time_text,
)
from keelway.errors import IntegrityError
from keelway.ingest.batch import Batch, RawFile, SeenContent, SeenFile, SkippedFile, SkipReason
from keelway.ingest.ports import ObjectInfo, ObjectSource
from keelway.ledger import record_decision

if TYPE_CHECKING:
    from keelway.ledger.ports import StateStore, Transaction
    from keelway.project import Dataset

LISTING_PAGE = 5_000
"""Names compared with the state in one go; bounds the memory of a listing."""

_PARTITION = re.compile(r"(?:^|/)dt=(\d{4}-\d{2}-\d{2})(?=/)")


@dataclass(slots=True)
class _Pull:
    """What one pull has found so far."""

    files: list[RawFile] = field(default_factory=list)
    skipped: list[SkippedFile] = field(default_factory=list)
    seen: list[SeenFile] = field(default_factory=list)
    contents: dict[Digest, str] = field(default_factory=dict)


def pull(
    dataset: Dataset,
    *,
    source: ObjectSource,
    state: StateStore,
    artifacts: ArtifactStore,
    now: datetime,
    actor: PrincipalId,
) -> Batch | None:
    """Return the batch to work on next: one left unfinished, or one of everything new; None when there is nothing.

    Raises:
        SourceError: The object store cannot be listed or read; nothing is recorded.
        ConflictError: Another process pulled the same dataset meanwhile; nothing is recorded.
    """
    left = pending(dataset, state)
    if left is not None:
        return left
    found = _Pull()
    with state.snapshot() as tx:
        parent = _last(dataset.name, tx)
        fresh = sorted(_unseen(dataset, source, tx), key=lambda info: (info.modified_at, info.name))
        for info in fresh:
            _look_at(info, found, dataset.name, source, artifacts, tx)
    if not found.seen:
        return None
    batch = Batch(
        dataset=dataset.name,
        number=parent.number + 1 if parent else 1,
        files=tuple(sorted(found.files, key=lambda file: file.name)),
        skipped=tuple(sorted(found.skipped, key=lambda file: file.name)),
        pulled_at=now,
        parent=digest_of(parent) if parent else None,
    )
    _record(batch, found.seen, state=state, actor=actor)
    return batch


def pending(dataset: Dataset, state: StateStore) -> Batch | None:
    """Return the oldest batch that has not become a snapshot yet, or None."""
    with state.snapshot() as tx:
        loaded = tx.pointer(loaded_pointer(dataset.name))
        number = tx.by_digest(Batch, loaded.target).number if loaded else 0
        return tx.find(Batch, batch_key(dataset.name, number + 1))


def loaded_pointer(dataset: str) -> str:
    """Return the name of the pointer at the last batch that became a snapshot."""
    return f"loaded/{dataset}"


def batch_key(dataset: str, number: int) -> str:
    """Return the key of a batch's record."""
    return f"{dataset}/{number:06d}"


def _last(dataset: str, tx: Transaction) -> Batch | None:
    newest = tx.newest(Batch, parent=dataset, limit=1)
    last = newest[0] if newest else None
    while last is not None:  # `newest` goes by time; the number decides where a clock stood still or went back
        following = tx.find(Batch, batch_key(dataset, last.number + 1))
        if following is None:
            break
        last = following
    return last


def _unseen(dataset: Dataset, source: ObjectSource, tx: Transaction) -> Iterator[ObjectInfo]:
    """Yield the objects that were not seen before in this form, in the order of the listing."""
    listing = source.list(dataset.source)
    while page := list(islice(listing, LISTING_PAGE)):
        keys = [_seen_key(dataset.name, info) for info in page]
        fresh = tx.missing(SeenFile, keys)
        yield from (info for key, info in zip(keys, page, strict=True) if key in fresh)


def _look_at(
    info: ObjectInfo, found: _Pull, dataset: str, source: ObjectSource, artifacts: ArtifactStore, tx: Transaction
) -> None:
    """Take one file or leave it out, storing its bytes where they are new."""
    with tempfile.TemporaryDirectory(prefix="keelway-pull-") as folder:
        copy = Path(folder) / "object"
        digest = source.fetch(info, copy)
        skipped = _reason_to_skip(info, digest, found, dataset, tx)
        if skipped is None or skipped.reason is SkipReason.CONTENT_CHANGED:
            stored = artifacts.put_file(copy, kind=ArtifactKind.RAW_FILE, name=info.name)
            _must_match(info, digest, stored.digest)
    if skipped is None:
        found.contents[digest] = info.name
        found.files.append(RawFile(info.name, digest, info.size_bytes, info.modified_at, _event_date(info.name)))
    else:
        found.skipped.append(skipped)
    found.seen.append(SeenFile(dataset, info.name, info.size_bytes, info.modified_at, digest, taken=skipped is None))


def _reason_to_skip(
    info: ObjectInfo, digest: Digest, found: _Pull, dataset: str, tx: Transaction
) -> SkippedFile | None:
    if info.size_bytes == 0:
        return SkippedFile(info.name, digest, SkipReason.EMPTY)
    before = tx.newest(SeenFile, parent=_name_key(dataset, info.name))
    if any(sight.digest == digest for sight in before):
        return SkippedFile(info.name, digest, SkipReason.TOUCHED, of=info.name)
    if any(sight.size_bytes for sight in before):
        return SkippedFile(info.name, digest, SkipReason.CONTENT_CHANGED, of=info.name)
    known = found.contents.get(digest) or _name_of(digest, dataset, tx)
    return SkippedFile(info.name, digest, SkipReason.DUPLICATE, of=known) if known else None


def _name_of(digest: Digest, dataset: str, tx: Transaction) -> str:
    content = tx.find(SeenContent, f"{dataset}/{digest}")
    return content.name if content else ""


def _must_match(info: ObjectInfo, expected: Digest, found: Digest) -> None:
    if found != expected:
        raise IntegrityError(f"The artifact store named {info.name} wrongly", expected=expected, found=found)


def _event_date(name: str) -> str | None:
    """Return the day of a Hive partition, where it is one.

    >>> _event_date("raw/dt=1997-01-31/orders.csv")
    '1997-01-31'
    """
    match = _PARTITION.search(name)
    if match is None:
        return None
    try:
        return date.fromisoformat(match[1]).isoformat()
    except ValueError:
        return None


def _record(batch: Batch, seen: Sequence[SeenFile], *, state: StateStore, actor: PrincipalId) -> None:
    """Write a batch, what was seen and the ledger entries, all or nothing."""
    now = batch.pulled_at
    with state.transaction() as tx:
        digest = tx.insert(batch_key(batch.dataset, batch.number), batch, parent=batch.dataset, at=now)
        for sight in seen:
            info = ObjectInfo(sight.name, sight.size_bytes, sight.modified_at)
            name = _name_key(batch.dataset, sight.name)
            tx.insert(_seen_key(batch.dataset, info), sight, parent=name, at=now)
        for file in batch.files:
            content = SeenContent(batch.dataset, file.digest, file.name)
            tx.insert(f"{batch.dataset}/{file.digest}", content, parent=batch.dataset, at=now)
        record_decision(_taken(batch, digest, actor), tx=tx)
        changed = [file.name for file in batch.skipped if file.reason is SkipReason.CONTENT_CHANGED]
        if changed:
            record_decision(_changed(batch, digest, changed, actor), tx=tx)


def _taken(batch: Batch, digest: Digest, actor: PrincipalId) -> Decision:
    return Decision(
        action=Action.INGEST,
        subject=batch.dataset,
        allowed=True,
        principal=actor,
        at=batch.pulled_at,
        evidence={"batch": digest},
        comment=f"batch {batch.number}: {len(batch.files)} files taken, {len(batch.skipped)} left out",
    )


def _changed(batch: Batch, digest: Digest, names: list[str], actor: PrincipalId) -> Decision:
    return Decision(
        action=Action.QUARANTINE,
        subject=batch.dataset,
        allowed=True,
        principal=actor,
        at=batch.pulled_at,
        evidence={"batch": digest},
        comment=f"content changed under a known name: {', '.join(names[:5])}"
        + (f" and {len(names) - 5} more" if len(names) > 5 else ""),
    )


def _seen_key(dataset: str, info: ObjectInfo) -> str:
    return f"{dataset}/{info.name}@{info.size_bytes}@{time_text(info.modified_at)}"


def _name_key(dataset: str, name: str) -> str:
    return f"{dataset}/{name}"
