"""Which version is meant: the one place where a person's words become a snapshot.

`newest`, a number (`7`), a time (`2026-01-01`, or with a time of day: the newest taken at or before it), a tag, or
the start of an id with at least eight digits. No two of these can be mistaken for each other.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING

from keelway.core import DIGEST_PREFIX, parse_time
from keelway.errors import MissingRecordError, UsageError
from keelway.snapshot.manifest import Snapshot
from keelway.snapshot.read import newest, snapshots
from keelway.snapshot.tag import NEWEST, SnapshotTag, looks_like_id, tag_pointer

if TYPE_CHECKING:
    from keelway.ledger.ports import Transaction

_NUMBER = re.compile(r"[1-9][0-9]{0,6}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ].*)?")


def resolve(dataset: str, wanted: str, tx: Transaction) -> Snapshot:
    """Return the version of a dataset that is meant; it may have been expired.

    Raises:
        MissingRecordError: There is no such version.
        UsageError: The text is nothing of the kind, or several versions begin like that.
    """
    text = wanted.strip()
    found = _found(dataset, text, tx)
    if found is None:
        last = newest(dataset, tx)
        raise MissingRecordError(
            f"There is no such version of {dataset}",
            expected="a number, a time, a tag or the start of an id" if last else "a version, of which there is none",
            found=repr(wanted),
            fix=f"See `keelway snapshots list {dataset}`." if last else "Run `keelway ingest` first.",
        )
    return found


def at_time(dataset: str, moment: datetime, tx: Transaction) -> Snapshot | None:
    """Return the newest version that was taken at or before a moment, or None."""
    return next((each for each in snapshots(dataset, tx) if each.taken_at <= moment), None)


def _found(dataset: str, text: str, tx: Transaction) -> Snapshot | None:
    if text in ("", NEWEST):
        return newest(dataset, tx)
    if _NUMBER.fullmatch(text):
        return tx.find(Snapshot, f"{dataset}/{int(text):06d}")
    if _TIME.fullmatch(text):
        return at_time(dataset, parse_time(text), tx)
    held = tx.pointer(tag_pointer(dataset, text))
    if held is not None:
        return tx.by_digest(Snapshot, tx.by_digest(SnapshotTag, held.target).snapshot)
    start = text.removeprefix(DIGEST_PREFIX)
    return _by_id(dataset, start, tx) if looks_like_id(start) else None


def _by_id(dataset: str, start: str, tx: Transaction) -> Snapshot | None:
    """Return the version whose id begins so; of several with one and the same id, the first: their rows are the same."""
    found = [each for each in snapshots(dataset, tx) if each.snapshot_id.removeprefix(DIGEST_PREFIX).startswith(start)]
    ids = sorted({each.snapshot_id for each in found})
    if len(ids) > 1:
        raise UsageError("Several versions begin like that", expected="more digits of the id", found=", ".join(ids))
    return found[-1] if found else None
