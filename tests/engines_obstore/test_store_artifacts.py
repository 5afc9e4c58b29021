"""Artifacts in an object store: conformance, one winner of many writers, files that change, the cache."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import obstore
import pytest

from keelway.core import ArtifactKind, Digest, digest_bytes
from keelway.engines.obstore import ObjectArtifacts, OpenStore, Patience, open_store
from keelway.engines.obstore.holding import MARKS
from keelway.errors import IntegrityError, MissingRecordError, SourceError, StorageError
from keelway.testing import ArtifactConformance
from keelway.testing.faults import Fault, FaultProxy
from keelway.testing.seaweed import SeaweedServer

KIND = ArtifactKind.RAW_FILE


def objects_in(store: OpenStore) -> list[str]:
    return sorted(meta["path"] for page in obstore.list(store.client) for meta in page)


class StoredConformance(ArtifactConformance):
    opened: OpenStore

    def damage(self, store: ObjectArtifacts, digest: Digest) -> None:  # type: ignore[override]
        digits = digest.removeprefix("sha256:")
        obstore.put(self.opened.client, f"{digits[:2]}/{digits[2:]}", b"\0false")

    def test_what_is_kept_here_is_checked_and_fetched_again(self, store: ObjectArtifacts) -> None:
        digest = store.put(b"true", kind=KIND).digest
        kept = store.path_of(digest)
        kept.chmod(0o644)
        kept.write_bytes(b"false")
        assert store.path_of(digest).read_bytes() == b"true"

    def test_what_is_kept_here_cannot_be_written_by_mistake(self, store: ObjectArtifacts) -> None:
        assert store.path_of(store.put(b"true", kind=KIND).digest).stat().st_mode & 0o222 == 0

    def test_a_damaged_artifact_leaves_no_file_here(self, store: ObjectArtifacts, tmp_path: Path) -> None:
        digest = store.put(b"true", kind=KIND).digest
        self.damage(store, digest)
        with pytest.raises(IntegrityError):
            store.path_of(digest)
        assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []

    def test_a_large_file_goes_up_in_parts(
        self, store: ObjectArtifacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("keelway.engines.obstore.artifacts.PART_BYTES", 5 << 20)
        data = bytes(range(256)) * (12 << 12)  # 12 MiB
        (tmp_path / "large").write_bytes(data)
        first = store.put_file(tmp_path / "large", kind=KIND)
        assert first == store.put_file(tmp_path / "large", kind=KIND)
        assert store.path_of(first.digest).read_bytes() == data
        self.damage(store, first.digest)
        store.put_file(tmp_path / "large", kind=KIND)
        assert store.get(first.digest) == data

    def test_a_large_file_that_changes_while_it_goes_up_is_refused(
        self, store: ObjectArtifacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("keelway.engines.obstore.artifacts.PART_BYTES", 5 << 20)
        large = tmp_path / "large"
        large.write_bytes(b"a" * (6 << 20))

        def growing(path: Path) -> Digest:
            digest = digest_bytes(path.read_bytes())
            path.write_bytes(b"b" * (6 << 20))
            return digest

        monkeypatch.setattr("keelway.engines.obstore.artifacts.digest_file", growing)
        with pytest.raises(IntegrityError, match="changed while it was stored"):
            store.put_file(large, kind=KIND)
        assert objects_in(self.opened) == []

    def test_a_file_that_is_not_there_is_said(self, store: ObjectArtifacts, tmp_path: Path) -> None:
        with pytest.raises(SourceError):
            store.put_file(tmp_path / "none.csv", kind=KIND)

    def test_an_unwritable_cache_is_said(self, store: ObjectArtifacts, tmp_path: Path) -> None:
        (tmp_path / "cache").write_text("in the way")
        digest = store.put(b"true", kind=KIND).digest
        with pytest.raises(StorageError) as caught:
            store.path_of(digest)
        assert "cache" in caught.value.fix


class TestMemoryArtifacts(StoredConformance):
    @pytest.fixture
    def store(self, tmp_path: Path) -> ObjectArtifacts:
        self.opened = open_store("memory:///")
        return ObjectArtifacts(self.opened, tmp_path / "cache")


class TestS3Artifacts(StoredConformance):
    @pytest.fixture
    def store(self, seaweed: SeaweedServer, tmp_path: Path) -> ObjectArtifacts:
        self.opened = open_store(f"s3://{seaweed.bucket()}/artifacts", seaweed.options)
        obstore.put(self.opened.client, "alive", b"")  # brings the bucket into being
        obstore.delete(self.opened.client, "alive")
        return ObjectArtifacts(self.opened, tmp_path / "cache")

    def test_of_many_writers_one_writes(self, store: ObjectArtifacts, seaweed: SeaweedServer, tmp_path: Path) -> None:
        with FaultProxy(seaweed.port) as proxy:
            options = seaweed.options | {"endpoint": proxy.endpoint}
            shared = ObjectArtifacts(open_store(self.opened.url, options), tmp_path / "other")
            with ThreadPoolExecutor(8) as pool:
                stored = list(pool.map(lambda _: shared.put(b"same", kind=KIND), range(8)))
        assert len(set(stored)) == 1
        artifacts = [path for path in objects_in(self.opened) if not path.startswith(MARKS)]
        assert len(artifacts) == 1, "the others only left a mark that they put it, too"


@pytest.fixture
def behind(seaweed: SeaweedServer, proxy: FaultProxy, haste: Patience, tmp_path: Path) -> ObjectArtifacts:
    """A store behind the fault proxy."""
    options = seaweed.options | {"endpoint": proxy.endpoint}
    opened = open_store(f"s3://{seaweed.bucket()}", options, patience=haste)
    store = ObjectArtifacts(opened, tmp_path / "cache")
    store.put(b"first", kind=KIND)
    proxy.requests.clear()
    return store


@pytest.mark.parametrize("fault", Fault)
def test_a_write_survives_one_fault(behind: ObjectArtifacts, proxy: FaultProxy, fault: Fault) -> None:
    proxy.next(fault)
    artifact = behind.put(b"data", kind=KIND)
    proxy.heal()
    assert behind.get(artifact.digest) == b"data"
    assert proxy.suffered == [fault]


@pytest.mark.parametrize("fault", Fault)
def test_a_read_survives_one_fault(behind: ObjectArtifacts, proxy: FaultProxy, fault: Fault) -> None:
    digest = behind.put(b"data" * 1000, kind=KIND).digest
    proxy.next(fault)
    assert behind.get(digest) == b"data" * 1000
    proxy.next(fault)
    assert behind.path_of(digest).read_bytes() == b"data" * 1000
    assert proxy.suffered == [fault, fault]


LASTING = [fault for fault in Fault if fault is not Fault.SLOW]


@pytest.mark.parametrize("fault", LASTING)
def test_a_lasting_fault_is_a_clean_error_after_a_few_attempts(
    behind: ObjectArtifacts, proxy: FaultProxy, haste: Patience, fault: Fault
) -> None:
    digest = behind.put(b"data" * 1000, kind=KIND).digest
    proxy.requests.clear()
    proxy.always(fault, where="GET")
    with pytest.raises(StorageError) as caught:
        behind.get(digest)
    assert caught.value.fix
    assert len(proxy.requests) == haste.retries + 1


def test_a_write_that_never_gets_through_is_a_clean_error(
    behind: ObjectArtifacts, proxy: FaultProxy, haste: Patience
) -> None:
    proxy.always(Fault.RESET, where="PUT")
    with pytest.raises(StorageError, match="cannot be reached"):
        behind.put(b"data", kind=KIND)
    assert len(proxy.requests) == haste.retries + 1
    proxy.heal()
    with pytest.raises(MissingRecordError):
        behind.get(digest_bytes(b"data"))
