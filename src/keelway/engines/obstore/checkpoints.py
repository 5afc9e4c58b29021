"""An object store as the place where checkpoints are published: every object is written only where there is none.

In a bucket with versions and a default retention (object lock in compliance mode), nobody can delete or replace them
either before the retention is over, also not who owns the bucket's keys; the lock is a property of the bucket.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from keelway.engines.obstore.again import again
from keelway.engines.obstore.failures import is_missing, unstorable, vendor_errors
from keelway.engines.obstore.store import OpenStore
from keelway.errors import MissingRecordError, RecordExistsError

if TYPE_CHECKING:
    from keelway.ledger import CheckpointTarget

T = TypeVar("T")


class StoreCheckpoints:
    """Checkpoints as objects of a store.

    Args:
        store: Opened by `open_store`; a path in its URL is the folder that the objects lie in.
    """

    def __init__(self, store: OpenStore) -> None:
        self._store = store

    @property
    def where(self) -> str:
        """The store's URL."""
        return self._store.url

    def put(self, name: str, text: str) -> None:
        """Keep a text; the same text again does nothing."""
        import obstore

        try:
            again(
                lambda: obstore.put(self._store.client, name, text.encode(), mode="create", use_multipart=False),
                self._store,
            )
        except vendor_errors() as error:
            if type(error).__name__ != "AlreadyExistsError":
                raise unstorable(f"The checkpoint {name}", error) from error
            if self.get(name) != text:
                raise RecordExistsError(
                    f"There is another text under {name} in {self.where}", expected="a free name", found="other bytes"
                ) from error

    def names(self) -> list[str]:
        """Return the names that hold a text, sorted."""
        import obstore

        def listed() -> list[str]:
            return sorted(meta["path"] for page in obstore.list(self._store.client) for meta in page)

        try:
            found = self._asked(listed, "the list of checkpoints")
        except MissingRecordError:  # a bucket that is not there holds nothing; writing to it will say so
            return []
        return [name for name in found if "/" not in name]

    def get(self, name: str) -> str:
        """Return a text."""
        import obstore

        def read() -> str:
            return bytes(obstore.get(self._store.client, name).bytes()).decode(errors="replace")

        return self._asked(read, name)

    def _asked(self, work: Callable[[], T], what: str) -> T:
        try:
            return again(work, self._store)
        except vendor_errors() as error:
            if is_missing(error):
                raise MissingRecordError(
                    f"Nothing is published in {self.where}", expected=what, found="nothing"
                ) from error
            raise unstorable(f"The checkpoint {what}", error) from error


if TYPE_CHECKING:
    from keelway.engines.obstore.store import open_store

    _: CheckpointTarget = StoreCheckpoints(open_store("memory:///"))
