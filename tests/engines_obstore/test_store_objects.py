"""Object stores as the place where raw files arrive: the promises of every source, on S3 and in memory."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path

import obstore
import pytest

from keelway.core import digest_bytes
from keelway.engines.obstore import OpenStore, Patience, StoreObjects, open_store
from keelway.errors import ObjectChangedError, SourceError
from keelway.ingest import ObjectInfo
from keelway.testing.objects import MOMENT, ObjectSourceConformance
from keelway.testing.seaweed import SeaweedServer


class StoreConformance(ObjectSourceConformance):
    keeps_time = False
    store: OpenStore

    def upload(self, source: StoreObjects, name: str, data: bytes, modified_at: datetime) -> None:  # type: ignore[override]
        obstore.put(self.store.client, name, data)

    def remove(self, source: StoreObjects, name: str) -> None:  # type: ignore[override]
        obstore.delete(self.store.client, name)


class TestS3Objects(StoreConformance):
    @pytest.fixture
    def source(self, seaweed: SeaweedServer, haste: Patience) -> StoreObjects:
        self.store = open_store(f"s3://{seaweed.bucket()}/some/prefix", seaweed.options, patience=haste)
        obstore.put(self.store.client, "kept/alive", b"")  # brings the bucket into being
        obstore.delete(self.store.client, "kept/alive")
        return StoreObjects(self.store)

    def test_what_lies_beside_the_prefix_is_not_there(
        self, source: StoreObjects, seaweed: SeaweedServer, tmp_path: Path
    ) -> None:
        bucket = self.store.url.split("/")[2]
        beside = open_store(f"s3://{bucket}/some", seaweed.options)
        obstore.put(beside.client, "prefix-2/1.csv", b"1")
        obstore.put(beside.client, "1.csv", b"1")
        assert list(source.list("**")) == []
        with pytest.raises(ObjectChangedError):
            source.fetch(ObjectInfo("1.csv", 1, MOMENT), tmp_path / "fetched")

    def test_listing_comes_in_pages(self, source: StoreObjects, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("keelway.engines.obstore.objects.PAGE", 7)
        names = [f"raw/{number:03}.csv" for number in range(50)]
        for name in names:
            self.upload(source, name, b"1", MOMENT)
        assert [info.name for info in source.list("raw/*.csv")] == names


class TestMemoryObjects(StoreConformance):
    @pytest.fixture
    def source(self) -> StoreObjects:
        self.store = open_store("memory:///")
        return StoreObjects(self.store)


class Endless:
    """A client whose listing never comes to an end that fits into memory."""

    def __init__(self, count: int) -> None:
        self.count = count

    def pages(self, *_: object, **__: object):
        moment = datetime(1997, 1, 1, tzinfo=UTC)
        for start in range(0, self.count, 1000):
            yield [
                {
                    "path": f"raw/{number:09}.csv",
                    "last_modified": moment + timedelta(seconds=number),
                    "size": 1,
                    "e_tag": f'"{number}"',
                    "version": None,
                }
                for number in range(start, start + 1000)
            ]


def test_a_listing_stays_flat_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    endless = Endless(100_000)
    monkeypatch.setattr(obstore, "list", endless.pages)
    listing = StoreObjects(open_store("memory:///")).list("raw/*.csv")
    next(listing)
    tracemalloc.start()
    try:
        assert sum(1 for _ in listing) == endless.count - 1
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_an_object_without_bytes_is_not_asked_for(tmp_path: Path) -> None:
    source = StoreObjects(open_store("memory:///"))
    folder = ObjectInfo("raw/left-as-a-folder", 0, MOMENT)
    assert source.fetch(folder, tmp_path / "copy") == digest_bytes(b"")
    assert (tmp_path / "copy").read_bytes() == b""


def test_wrong_credentials_are_said_with_the_fix(seaweed: SeaweedServer, tmp_path: Path) -> None:
    bucket = seaweed.bucket()
    obstore.put(open_store(f"s3://{bucket}", seaweed.options).client, "a.csv", b"1")
    for wrong in ({"secret_access_key": "wrong-secret"}, {"access_key_id": "nobody"}):
        source = StoreObjects(open_store(f"s3://{bucket}", seaweed.options | wrong))
        for failing in (
            lambda source=source: list(source.list("**")),
            lambda source=source: source.fetch(ObjectInfo("a.csv", 1, MOMENT), tmp_path / "copy"),
        ):
            with pytest.raises(SourceError, match="credentials") as caught:
                failing()
            assert "credentials" in caught.value.fix
            assert "wrong-secret" not in str(caught.value)
            assert not (tmp_path / "copy").exists()


def test_a_bucket_that_is_not_there_is_said(seaweed: SeaweedServer) -> None:
    source = StoreObjects(open_store("s3://never-made", seaweed.options))
    with pytest.raises(SourceError, match="never-made is not there"):
        list(source.list("**"))


def test_a_store_that_is_not_there_is_said_in_bounded_time(haste: Patience) -> None:
    options = {"endpoint": "http://127.0.0.1:9", "access_key_id": "a", "secret_access_key": "b"}
    source = StoreObjects(open_store("s3://bucket", options, patience=haste))
    with pytest.raises(SourceError, match="cannot be reached") as caught:
        list(source.list("**"))
    assert "network" in caught.value.fix
