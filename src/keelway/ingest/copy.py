"""Copies the bytes of an object to a local file, hashing on the way; every object source fetches through here.

Reading errors are the source's to translate; what the local disk says while writing is translated here.
"""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from keelway.core import DIGEST_PREFIX, Digest
from keelway.errors import ObjectChangedError, StorageError
from keelway.ingest.ports import ObjectInfo

_FULL = (errno.ENOSPC, errno.EDQUOT)


def copy_blocks(blocks: Iterable[bytes], target: Path, info: ObjectInfo) -> Digest:
    """Write the blocks of an object to a file and return their digest; whatever fails, no file is left.

    Args:
        blocks: Raise no `OSError` of their own, so that one can only come from the file.

    Raises:
        ObjectChangedError: There are more or fewer bytes than were listed.
        StorageError: The file cannot be written.
    """
    try:
        digest, size = _copied(blocks, target, info.size_bytes)
    except BaseException as error:
        _remove(target)
        if isinstance(error, OSError):
            raise _unwritable(target, error) from error
        raise
    if size != info.size_bytes:
        _remove(target)
        raise object_changed(info, found="more" if size > info.size_bytes else f"{size} bytes")
    return digest


def object_changed(info: ObjectInfo, *, found: str) -> ObjectChangedError:
    """Return the error of an object that is not what was listed."""
    return ObjectChangedError(
        f"{info.name} changed since it was listed",
        expected=f"{info.size_bytes} bytes" + (f" with etag {info.etag}" if info.etag else ""),
        found=found,
        fix="It may still be uploading: it is tried again at the next pull.",
    )


def _copied(blocks: Iterable[bytes], target: Path, limit: int) -> tuple[Digest, int]:
    """Copy blocks until there are more bytes than a limit; return the digest and the number of what was read."""
    hasher, size = hashlib.sha256(), 0
    with target.open("wb") as copy:
        for block in blocks:
            size += len(block)
            if size > limit:
                break
            hasher.update(block)
            copy.write(block)
    return Digest(DIGEST_PREFIX + hasher.hexdigest()), size


def _remove(target: Path) -> None:
    with suppress(OSError):
        target.unlink(missing_ok=True)


def _unwritable(target: Path, error: OSError) -> StorageError:
    full = error.errno in _FULL
    return StorageError(
        "An object cannot be copied to this machine",
        expected=f"a writable place at {target.parent}",
        found=error.strerror or str(error),
        fix="Free some space there (outside a project: set TMPDIR to a larger disk), then run the command again: "
        "nothing was taken."
        if full
        else "Check that folder (outside a project: TMPDIR), then run the command again: nothing was taken.",
    )
