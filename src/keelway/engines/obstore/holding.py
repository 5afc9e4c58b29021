"""What an object store holds, how old it is, and how an artifact is removed beside writers.

An object store keeps the time when an object was written, not when somebody wrote the same again, and it cannot remove
an object on condition that nobody did. So whoever puts what is there already leaves a mark first and looks for the
object after that; whoever removes sets a copy aside, removes the object, and looks for a mark after that. One of the two
sees the other: either the writer finds the object gone and writes it, or the remover finds the mark and brings the
object back. A remover that is killed leaves the copy, which the next look at the store brings back.

    12/3456...            the artifact
    put-again/12/3456...  the mark: the artifact was put again when this was written last
    set-aside/12/3456...  the copy of an artifact that is being removed

This rests on reads that see every write that was answered before, as S3, Google and Azure promise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from keelway.core import DIGEST_PREFIX, Digest, HeldArtifact, artifact_key, is_digest
from keelway.engines.obstore.again import again
from keelway.engines.obstore.failures import unstorable, vendor_errors
from keelway.engines.obstore.store import OpenStore

if TYPE_CHECKING:
    from obstore import ObjectMeta

MARKS = "put-again/"
ASIDE = "set-aside/"
CLOCK = "put-again/clock"
HEAD_BYTES = 16
HEADS_AT_ONCE = 8
_MISSING = ("NotFoundError", "FileNotFoundError")
_THERE = "AlreadyExistsError"


@dataclass(slots=True)
class Holding:
    """A look at a store; the first bytes of an artifact never change, so they are read once.

    Attributes:
        heads: The first bytes of artifacts that were looked at.
    """

    store: OpenStore
    heads: dict[Digest, bytes] = field(default_factory=dict)

    def held(self) -> Iterator[HeldArtifact]:
        """Yield every artifact; what a killed process left set aside is brought back first."""
        for meta in self._listed(ASIDE):
            _bring_back(self.store, meta["path"].removeprefix(ASIDE))
        marks = {meta["path"].removeprefix(MARKS): meta["last_modified"] for meta in self._listed(MARKS)}
        found: dict[Digest, ObjectMeta] = {}
        for meta in self._listed():
            digest = _digest_at(meta["path"])
            if is_digest(digest) and meta["path"] == artifact_key(digest):
                found[digest] = meta
        self._read_heads([meta for digest, meta in found.items() if digest not in self.heads])
        for digest, meta in found.items():
            if digest in self.heads:  # else it went away meanwhile
                put_at = max(meta["last_modified"], marks.get(meta["path"], meta["last_modified"]))
                yield HeldArtifact(digest, meta["size"], put_at, self.heads[digest])

    def _listed(self, prefix: str | None = None) -> list[ObjectMeta]:
        import obstore

        try:
            return [meta for page in obstore.list(self.store.client, prefix) for meta in page]
        except vendor_errors() as error:
            raise unstorable(f"The store {self.store.url}", error) from error

    def _read_heads(self, metas: Sequence[ObjectMeta]) -> None:
        """Read the first bytes of artifacts, several at once; nobody holds a lock that waits for it twice."""
        with ThreadPoolExecutor(HEADS_AT_ONCE) as pool:
            heads = list(pool.map(lambda meta: _head(self.store, meta), metas))
        for meta, head in zip(metas, heads, strict=True):
            if head is not None:
                self.heads[_digest_at(meta["path"])] = head


def mark_as_put(store: OpenStore, digest: Digest) -> None:
    """Say that an artifact that is there was put again; whoever calls this looks afterwards whether it is there still."""
    import obstore

    again(lambda: obstore.put(store.client, MARKS + artifact_key(digest), digest.encode()), store)


def remove_if_older(store: OpenStore, digest: Digest, moment: datetime) -> bool:
    """Remove an artifact that was last put before a moment, and say whether that was done.

    Raises:
        StorageError: The store fails; what was begun is undone by the next look at it.
    """
    import obstore

    place = artifact_key(digest)
    try:
        written = _put_at(store, place)
        if written is None or _last_put(store, place, written) >= moment:
            return False
        again(lambda: obstore.copy(store.client, place, ASIDE + place), store)
        again(lambda: obstore.delete(store.client, place), store)
        if _last_put(store, place, written) >= moment:
            _bring_back(store, place)
            return False
        _drop(store, ASIDE + place)
        _drop(store, MARKS + place)
    except vendor_errors() as error:
        if type(error).__name__ in _MISSING:  # somebody else removed it
            return False
        raise unstorable(f"The artifact {digest[:19]}", error) from error
    return True


def forget(store: OpenStore, digest: Digest) -> None:
    """Remove what stands beside an artifact: its mark, and a copy that a killed process set aside."""
    for beside in (ASIDE, MARKS):
        _drop(store, beside + artifact_key(digest))


def clock_of(store: OpenStore) -> datetime:
    """Return what time it is by the store's clock, which tells the age of what it holds; it writes a mark for that."""
    import obstore

    try:
        again(lambda: obstore.put(store.client, CLOCK, b""), store)
        moment = _put_at(store, CLOCK)
    except vendor_errors() as error:
        raise unstorable(f"The store {store.url}", error) from error
    assert moment is not None, "it was written a moment ago"
    return moment


def _digest_at(path: str) -> Digest:
    return Digest(DIGEST_PREFIX + path.replace("/", "", 1))


def _bring_back(store: OpenStore, place: str) -> None:
    """Put what was set aside in its place again, unless somebody wrote it there meanwhile."""
    import obstore

    try:
        data = bytes(again(lambda: obstore.get(store.client, ASIDE + place), store).bytes())
        again(lambda: obstore.put(store.client, place, data, mode="create", use_multipart=False), store)
    except vendor_errors() as error:
        if type(error).__name__ not in (*_MISSING, _THERE):
            raise unstorable(f"What was set aside of {place}", error) from error
    _drop(store, ASIDE + place)


def _last_put(store: OpenStore, place: str, written: datetime) -> datetime:
    marked = _put_at(store, MARKS + place)
    return max(written, marked) if marked else written


def _put_at(store: OpenStore, path: str) -> datetime | None:
    """Return when an object was written last, by the store's clock; None where there is none."""
    import obstore

    try:
        meta: Any = again(lambda: obstore.head(store.client, path), store)
    except vendor_errors() as error:
        if type(error).__name__ in _MISSING:
            return None
        raise
    moment: datetime = meta["last_modified"]
    return moment


def _head(store: OpenStore, meta: ObjectMeta) -> bytes | None:
    """Return the first bytes of an object; empty for an empty one, None for one that is gone."""
    import obstore

    if not meta["size"]:
        return b""
    end = min(meta["size"], HEAD_BYTES)
    try:
        return bytes(again(lambda: obstore.get_range(store.client, meta["path"], start=0, end=end), store))
    except vendor_errors() as error:
        if type(error).__name__ in _MISSING:
            return None
        raise unstorable(f"The object {meta['path']}", error) from error


def _drop(store: OpenStore, path: str) -> None:
    import obstore

    with suppress(FileNotFoundError):
        again(lambda: obstore.delete(store.client, path), store)
