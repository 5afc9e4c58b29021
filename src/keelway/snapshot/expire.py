"""Versions that are no longer kept: the records that say so, and the two questions that keep everybody honest.

A version is expired by a record, in a transaction that first looks for records that refer to it. Whoever records
something that refers to a version asks `must_be_kept` in that same transaction. Transactions come one after the
other, so either the vacuum sees the reference, or the one who refers is told that the version is gone.

A path that was doomed is never used again, so that a file can be deleted later, by whoever comes by, without a look
at what happened meanwhile; `free_path` gives content that comes back another name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from keelway.core import DIGEST_PREFIX, Digest, PrincipalId, time_text
from keelway.errors import ConflictError, MissingRecordError

if TYPE_CHECKING:
    from keelway.ledger.ports import Transaction


@dataclass(frozen=True, slots=True)
class ExpiredSnapshot:
    """Says that the files of a version are no longer kept; its record and its manifest are."""

    dataset: str
    number: int
    snapshot: Digest
    snapshot_id: Digest
    expired_at: datetime
    by: PrincipalId


@dataclass(frozen=True, slots=True)
class DoomedFile:
    """Says that a file of a table is deleted, or will be; no version may list it again."""

    dataset: str
    path: str
    doomed_at: datetime


def must_be_kept(snapshots: Iterable[Digest], tx: Transaction) -> None:
    """Make sure that versions are still kept, in the transaction that records what refers to them.

    Raises:
        MissingRecordError: One was expired.
    """
    wanted = list(snapshots)
    absent = tx.missing(ExpiredSnapshot, wanted)
    for digest in wanted:
        if digest not in absent:
            raise expired_error(tx.get(ExpiredSnapshot, digest))


def expired_error(record: ExpiredSnapshot) -> MissingRecordError:
    """Return the error of whoever asks for an expired version."""
    return MissingRecordError(
        f"Version {record.number} of {record.dataset} is no longer kept",
        expected="a version that was not expired",
        found=f"expired at {time_text(record.expired_at)} by {record.by}",
        fix="Take another one (`keelway snapshots list`); tag a version to keep it for good.",
    )


def rows_path(digest: Digest, attempt: int = 0) -> str:
    """Return the path of a file of rows in its table's folder.

    >>> rows_path(Digest("sha256:ab"), 1)
    'rows-ab-1.parquet'
    """
    return f"rows-{digest.removeprefix(DIGEST_PREFIX)}{f'-{attempt}' if attempt else ''}.parquet"


def free_path(dataset: str, digest: Digest, tx: Transaction) -> str:
    """Return a path for content that was never doomed."""
    attempt = 0
    while tx.find(DoomedFile, doomed_key(dataset, path := rows_path(digest, attempt))) is not None:
        attempt += 1
    return path


def must_be_free(dataset: str, paths: Iterable[str], tx: Transaction) -> None:
    """Make sure that new files are not doomed, in the transaction that lists them.

    Raises:
        ConflictError: A vacuum doomed one since it was staged.
    """
    keys = {doomed_key(dataset, path): path for path in paths}
    doomed = keys.keys() - tx.missing(DoomedFile, keys)
    if doomed:
        raise ConflictError(
            f"A vacuum of {dataset} took a file that was about to be added",
            expected="a file of the last day",
            found=keys[min(doomed)],
            fix="Run the command again: the file is put in under a new name.",
        )


def doomed_key(dataset: str, path: str) -> str:
    """Return the key of the record of a doomed file."""
    return f"{dataset}/{path}"
