"""Pulls what is new in an object store, exactly once, wherever the process is killed.

The rules:

1. Bytes go to the artifact store first. Then one transaction writes the batch, the appearances of its files and
   the ledger entry: a pull that is killed before it leaves nothing but unnamed artifacts.
2. A file is read only when it was not seen before in this form, and no more of them than a batch may hold, oldest
   first (`Listing`).
3. Content is taken once, under the name it was first written with (then by name); a name keeps the content it was
   first taken with.
4. A file that changes or goes while it is read is left for the next pull and told; it never fails the pull.
5. A batch that has not become a snapshot yet is handed out again before anything new is pulled.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.core import Action, ArtifactKind, ArtifactStore, Decision, Digest, PrincipalId, digest_of
from keelway.errors import ConflictError, IntegrityError
from keelway.ingest.batch import Batch, RawFile, SeenContent, SeenFile, SkippedFile, SkipReason
from keelway.ingest.fetch import Fetched, Fetcher, windows
from keelway.ingest.look import MAX_FILES, Listing, Outlook, WaitingFile, WaitReason, seen_key
from keelway.ingest.partition import Span, partition_of
from keelway.ingest.ports import ObjectInfo, ObjectSource
from keelway.ledger import record_decision

if TYPE_CHECKING:
    from keelway.ledger.ports import StateStore, Transaction
    from keelway.project import Dataset


@dataclass(frozen=True, slots=True)
class Pulled:
    """What one pull did.

    Attributes:
        batch: The batch to work on next; None when there is nothing new.
        waiting: New files that were left for a later pull, the first of many.
        waits: How many files were left, by reason.
        later: How many more new files the next batches will take.
        unfinished: Whether the batch is one that was left unfinished; nothing new was looked for then.
    """

    batch: Batch | None
    waiting: tuple[WaitingFile, ...] = ()
    waits: dict[WaitReason, int] = field(default_factory=dict)
    later: int = 0
    unfinished: bool = False


@dataclass(slots=True)
class _Found:
    """What one pull has found so far."""

    files: list[RawFile] = field(default_factory=list)
    skipped: list[SkippedFile] = field(default_factory=list)
    seen: list[SeenFile] = field(default_factory=list)
    contents: dict[Digest, str] = field(default_factory=dict)  # to the name it was taken under
    changed: list[WaitingFile] = field(default_factory=list)


def pull(
    dataset: Dataset,
    *,
    source: ObjectSource,
    state: StateStore,
    artifacts: ArtifactStore,
    now: datetime,
    actor: PrincipalId,
    since: date | datetime | None = None,
    until: date | datetime | None = None,
    max_files: int = MAX_FILES,
    listing: Listing | None = None,
    work: Path | None = None,
) -> Pulled:
    """Return the batch to work on next (one left unfinished, or one of what is new), and which files wait and why.

    Args:
        since: Take only files whose partition (where they have none: whose time of writing) is not before this.
        until: Nor after this day; of a moment, not at or after it.
        max_files: How many files a batch holds at most.
        listing: What the first pull of a run found, for those after it with the same arguments; None looks anew.
        work: Where copies of objects lie meanwhile; None for the machine's place for temporary files.

    Raises:
        SourceError: The object store cannot be listed or read; nothing is recorded.
        ConflictError: Another process pulled the same dataset meanwhile; nothing is recorded.
    """
    left = pending(dataset, state)
    if left is not None:
        return Pulled(left, unfinished=True)
    with Listing() if listing is None else nullcontext(listing) as seen, state.snapshot() as tx:
        parent = last_batch(dataset.name, tx)
        outlook = seen.next(dataset, source=source, tx=tx, now=now, span=Span.of(since, until), max_files=max_files)
    found = _taken_in(outlook.files, dataset.name, source=source, state=state, artifacts=artifacts, now=now, work=work)
    if listing is not None:
        listing.leave(found.changed)
    if not found.seen:
        return _told(None, outlook, found)
    batch = Batch(
        dataset=dataset.name,
        number=parent.number + 1 if parent else 1,
        files=tuple(sorted(found.files, key=lambda file: file.name)),
        skipped=tuple(sorted(found.skipped, key=lambda file: file.name)),
        pulled_at=now,
        parent=digest_of(parent) if parent else None,
    )
    _record(batch, found.seen, state=state, actor=actor)
    return _told(batch, outlook, found)


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


def last_batch(dataset: str, tx: Transaction) -> Batch | None:
    """Return the batch of a dataset with the highest number, or None."""
    newest = tx.newest(Batch, parent=dataset, limit=1)
    last = newest[0] if newest else None
    while last is not None:  # `newest` goes by time; the number decides where a clock stood still or went back
        following = tx.find(Batch, batch_key(dataset, last.number + 1))
        if following is None:
            break
        last = following
    return last


def _told(batch: Batch | None, outlook: Outlook, found: _Found) -> Pulled:
    waits = dict(outlook.waits)
    if found.changed:
        waits[WaitReason.CHANGED] = len(found.changed)
    return Pulled(batch, (*outlook.waiting, *found.changed), waits, outlook.later)


def _taken_in(
    objects: Sequence[ObjectInfo],
    dataset: str,
    *,
    source: ObjectSource,
    state: StateStore,
    artifacts: ArtifactStore,
    now: datetime,
    work: Path | None,
) -> _Found:
    """Fetch objects, say of each whether it is taken, and store the bytes that are new.

    What is said depends on the order of the objects only, not on which of them arrives first.
    """
    found = _Found()
    with Fetcher.open(source, work) as fetcher:
        for window in windows(objects):
            fetched = fetcher.fetch(window)
            with state.snapshot() as tx:
                _recall(fetched, found, dataset, tx)
                new = [one for one in fetched if _judged(one, found, dataset, tx, now)]
            fetcher.each(lambda one: _store(one, artifacts), new)
    return found


def _recall(fetched: Sequence[Fetched], found: _Found, dataset: str, tx: Transaction) -> None:
    """Note which of the contents were taken by an earlier pull, and under which name."""
    keys = {_content_key(dataset, one.digest): one.digest for one in fetched if one.digest is not None}
    for key in keys.keys() - tx.missing(SeenContent, keys):
        found.contents.setdefault(keys[key], tx.get(SeenContent, key).name)


def _judged(one: Fetched, found: _Found, dataset: str, tx: Transaction, now: datetime) -> bool:
    """Note what becomes of one file, and say whether its bytes must be stored."""
    info = one.info
    if one.digest is None:
        found.changed.append(WaitingFile(info.name, WaitReason.CHANGED, info.modified_at))
        return False
    skipped = _reason_to_skip(info, one.digest, found, dataset, tx)
    if skipped is None:
        found.contents[one.digest] = info.name
        found.files.append(_raw_file(info, one.digest, now))
    else:
        found.skipped.append(skipped)
    taken = skipped is None
    found.seen.append(SeenFile(dataset, info.name, info.size_bytes, info.modified_at, one.digest, taken, info.etag))
    return skipped is None or skipped.reason is SkipReason.CONTENT_CHANGED


def _reason_to_skip(
    info: ObjectInfo, digest: Digest, found: _Found, dataset: str, tx: Transaction
) -> SkippedFile | None:
    if info.size_bytes == 0:
        return SkippedFile(info.name, digest, SkipReason.EMPTY)
    before = tx.newest(SeenFile, parent=_name_key(dataset, info.name))
    if any(sight.digest == digest for sight in before):
        return SkippedFile(info.name, digest, SkipReason.TOUCHED, of=info.name)
    if any(sight.size_bytes for sight in before):
        return SkippedFile(info.name, digest, SkipReason.CONTENT_CHANGED, of=info.name)
    known = found.contents.get(digest)
    return SkippedFile(info.name, digest, SkipReason.DUPLICATE, of=known) if known else None


def _raw_file(info: ObjectInfo, digest: Digest, now: datetime) -> RawFile:
    partition = partition_of(info.name)
    return RawFile(
        name=info.name,
        digest=digest,
        size_bytes=info.size_bytes,
        known_at=min(info.modified_at, now),
        event_date=partition.event_date if partition else None,
        ahead_s=max(0.0, (info.modified_at - now).total_seconds()),
    )


def _store(one: Fetched, artifacts: ArtifactStore) -> None:
    stored = artifacts.put_file(one.copy, kind=ArtifactKind.RAW_FILE, name=one.info.name)
    if stored.digest != one.digest:
        raise IntegrityError(
            f"The artifact store named {one.info.name} wrongly", expected=str(one.digest), found=stored.digest
        )


def _record(batch: Batch, seen: Sequence[SeenFile], *, state: StateStore, actor: PrincipalId) -> None:
    """Write a batch, what was seen and the ledger entries, all or nothing."""
    now, key = batch.pulled_at, batch_key(batch.dataset, batch.number)
    with state.transaction() as tx:
        if tx.find(Batch, key) is not None:
            raise ConflictError(
                f"Another process pulled {batch.dataset} meanwhile",
                expected=f"batch {batch.number} to be new",
                found="one that is recorded",
                fix="Run the command again: it goes on with that batch.",
            )
        digest = tx.insert(key, batch, parent=batch.dataset, at=now)
        for sight in seen:
            info = ObjectInfo(sight.name, sight.size_bytes, sight.modified_at, sight.etag)
            name = _name_key(batch.dataset, sight.name)
            tx.insert(seen_key(batch.dataset, info), sight, parent=name, at=now)
        for file in batch.files:
            content = SeenContent(batch.dataset, file.digest, file.name)
            tx.insert(_content_key(batch.dataset, file.digest), content, parent=batch.dataset, at=now)
        record_decision(_taken(batch, digest, actor), tx=tx)
        changed = [file.name for file in batch.skipped if file.reason is SkipReason.CONTENT_CHANGED]
        if changed:
            record_decision(_changed(batch, digest, changed, actor), tx=tx)


def _taken(batch: Batch, digest: Digest, actor: PrincipalId) -> Decision:
    ahead = max((file.ahead_s for file in batch.files), default=0.0)
    told = f"batch {batch.number}: {len(batch.files)} files taken, {len(batch.skipped)} left out"
    return Decision(
        action=Action.INGEST,
        subject=batch.dataset,
        allowed=True,
        principal=actor,
        at=batch.pulled_at,
        evidence={"batch": digest},
        comment=told + (f"; the store's clock was up to {ahead:g} s ahead" if ahead else ""),
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


def _content_key(dataset: str, digest: Digest) -> str:
    return f"{dataset}/{digest}"


def _name_key(dataset: str, name: str) -> str:
    return f"{dataset}/{name}"
