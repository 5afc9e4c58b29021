"""A shop, an artifact store and a state for feature tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from keelway.core import Artifact, ArtifactKind, Digest, digest_bytes, digest_of
from keelway.errors import MissingRecordError, RecordExistsError
from keelway.testing.features import OrderBook


class MemoryArtifacts:
    """Keeps bytes in memory."""

    folder: Path

    def __init__(self) -> None:
        self.kept: dict[Digest, bytes] = {}

    def put(self, data: bytes, *, kind: ArtifactKind, name: str = "") -> Artifact:
        digest = digest_bytes(data)
        self.kept[digest] = data
        return Artifact(digest, kind, len(data), name)

    def put_file(self, path: Path, *, kind: ArtifactKind, name: str = "") -> Artifact:
        return self.put(path.read_bytes(), kind=kind, name=name or path.name)

    def get(self, digest: Digest) -> bytes:
        if digest not in self.kept:
            raise MissingRecordError("Nothing is stored under that digest")
        return self.kept[digest]

    def path_of(self, digest: Digest) -> Path:
        """Return a file of the bytes, which pytest removes in time."""
        path = self.folder / digest.rpartition(":")[2]
        path.write_bytes(self.get(digest))
        return path


class MemoryState:
    """Keeps records in memory."""

    def __init__(self) -> None:
        self.kept: dict[tuple[type, str], object] = {}

    @contextmanager
    def transaction(self) -> Iterator["MemoryState"]:
        yield self

    snapshot = transaction

    def insert(self, key: str, record: object, *, parent: str = "", at: Any) -> Digest:
        if self.kept.setdefault((type(record), key), record) != record:
            raise RecordExistsError("The key holds other content")
        return digest_of(record)

    def get(self, kind: type, key: str) -> Any:
        return self.kept[kind, key]

    by_digest = get

    def missing(self, kind: type, keys: Any) -> set[str]:
        return {key for key in keys if (kind, key) not in self.kept}


@pytest.fixture
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> MemoryArtifacts:
    MemoryArtifacts.folder = tmp_path_factory.mktemp("artifacts")
    return MemoryArtifacts()


@pytest.fixture
def state() -> MemoryState:
    return MemoryState()


@pytest.fixture
def shop(tmp_path: Path) -> OrderBook:
    """Ana buys before and after 1 April 1997, Bob before only, Cem after only."""
    shop = OrderBook(tmp_path)
    shop.order("ana", "1997-01-05", amount=12.5)
    shop.order("ana", "1997-03-20", amount=7.1, kind="book")
    shop.order("bob", "1997-02-10", amount=30.3)
    shop.order("ana", "1997-05-02", amount=9.9)
    shop.order("cem", "1997-06-01", amount=50.0)
    return shop
