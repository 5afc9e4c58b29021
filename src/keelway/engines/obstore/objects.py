"""An object store of a cloud as the place where raw files arrive.

A listing comes page by page; an object is streamed to a file, and only if it still has the etag that was listed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.core import Digest
from keelway.engines.obstore.again import pause_before
from keelway.engines.obstore.failures import is_unrepeated, unreadable, vendor_errors
from keelway.engines.obstore.store import OpenStore
from keelway.errors import SourceError
from keelway.ingest import Glob, ObjectInfo, copy_blocks, name_parts, object_changed

if TYPE_CHECKING:
    from obstore import GetResult, ObjectMeta

BLOCK_BYTES = 1 << 20
PAGE = 1000
"""Objects in one page of a listing: as many as the stores hand out at once."""
_CHANGED = ("PreconditionError", "NotFoundError", "FileNotFoundError")


class StoreObjects:
    """Lists and reads the objects of a store.

    Args:
        store: Opened by `open_store`.
    """

    def __init__(self, store: OpenStore) -> None:
        self._store = store

    def list(self, glob: str) -> Iterator[ObjectInfo]:
        """Yield the objects whose name matches a glob, in the order of the store."""
        wanted = Glob.parse(glob)
        return (_info(meta) for meta in self._listed(wanted.folder) if wanted.matches(meta["path"]))

    def fetch(self, info: ObjectInfo, target: Path) -> Digest:
        """Stream an object to a file, which must still be the one that was listed, and return its digest."""
        name_parts(info.name)
        return copy_blocks(self._blocks(info), target, info)

    def _blocks(self, info: ObjectInfo) -> Iterator[bytes]:
        """Yield the bytes of an object."""
        if not info.size_bytes:  # not asked for: some tools leave such objects as folders, under names nobody can read
            return
        try:
            for block in self._asked(info).stream(min_chunk_size=BLOCK_BYTES):
                yield bytes(block)
        except vendor_errors() as error:
            if type(error).__name__ in _CHANGED:
                raise object_changed(info, found="other bytes, or none") from error
            raise unreadable(f"{info.name} in {self._store.url}", error) from error

    def _asked(self, info: ObjectInfo) -> GetResult:
        """Ask for an object, on the condition that it still has the etag that was listed."""
        import obstore

        result = obstore.get(self._store.client, info.name, options={"if_match": info.etag} if info.etag else {})
        if result.meta["size"] != info.size_bytes:
            raise object_changed(info, found=f"{result.meta['size']} bytes")
        return result

    def _listed(self, folder: str) -> Iterator[ObjectMeta]:
        """Yield what lies below a folder, each object once, also where the answer breaks off.

        A listing is then begun anew and passed by up to the object that came last. Asking the store for what comes
        after a name would be quicker, but some stores compare names in another order than the one they list them in.
        """
        last, failed = "", 0
        while True:
            try:
                for meta in self._after(last, folder):
                    last = meta["path"]
                    yield meta
            except vendor_errors() as error:
                failed += 1
                if failed > self._store.patience.retries or not is_unrepeated(error):
                    raise unreadable(self._store.url, error) from error
                pause_before(failed, self._store)
            else:
                return

    def _after(self, last: str, folder: str) -> Iterator[ObjectMeta]:
        """Yield what a listing holds behind an object; all of it where none is named."""
        import obstore

        met = not last
        for page in obstore.list(self._store.client, folder or None, chunk_size=PAGE):
            for meta in page:
                if met:
                    yield meta
                else:
                    met = meta["path"] == last
        if not met:
            raise SourceError(
                f"{self._store.url} changed while it was listed",
                expected=f"{last} to be there still",
                found="nothing",
                fix="Run the command again.",
            )


def _info(meta: ObjectMeta) -> ObjectInfo:
    return ObjectInfo(meta["path"], meta["size"], meta["last_modified"], meta["e_tag"] or "")


if TYPE_CHECKING:
    from keelway.engines.obstore.store import open_store
    from keelway.ingest import ObjectSource

    _: ObjectSource = StoreObjects(open_store("memory:///"))
