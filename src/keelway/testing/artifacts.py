"""What every artifact store promises.

class TestMyStore(ArtifactConformance):
    @pytest.fixture
    def store(self, tmp_path): return MyStore(tmp_path)
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from keelway.core import ArtifactKind, ArtifactStore, Digest, digest_bytes
from keelway.errors import IntegrityError, MissingRecordError, UsageError

KIND = ArtifactKind.REPORT


class ArtifactConformance:
    """The promises of `ArtifactStore`."""

    @pytest.fixture
    def store(self) -> ArtifactStore:
        """Return an empty store. To be overridden."""
        raise NotImplementedError

    def damage(self, store: ArtifactStore, digest: Digest) -> None:
        """Change one byte of a stored artifact behind the store's back."""
        path = store.path_of(digest)
        path.chmod(0o644)
        data = bytearray(path.read_bytes())
        data[0] ^= 1
        path.write_bytes(bytes(data))

    @pytest.mark.parametrize("data", [b"", b"a", bytes(range(256)) * 5000], ids=["empty", "one", "large"])
    def test_bytes_come_back_under_their_digest(self, store: ArtifactStore, data: bytes) -> None:
        artifact = store.put(data, kind=KIND, name="r.bin")
        assert artifact.digest == digest_bytes(data)
        assert (artifact.size_bytes, artifact.kind, artifact.name) == (len(data), KIND, "r.bin")
        assert store.get(artifact.digest) == data
        assert store.path_of(artifact.digest).read_bytes() == data

    def test_a_file_is_stored_like_its_bytes(self, store: ArtifactStore, tmp_path: Path) -> None:
        path = tmp_path / "rows.csv"
        path.write_bytes(b"a,b\n" * 1_000_000)
        artifact = store.put_file(path, kind=KIND)
        assert artifact.name == "rows.csv"
        assert store.get(artifact.digest) == path.read_bytes()

    def test_storing_twice_is_storing_once(self, store: ArtifactStore) -> None:
        assert store.put(b"x", kind=KIND) == store.put(b"x", kind=KIND)

    def test_only_what_was_stored_is_there(self, store: ArtifactStore) -> None:
        artifact = store.put(b"x", kind=KIND)
        assert artifact.digest in store
        assert digest_bytes(b"y") not in store
        assert 7 not in store
        with pytest.raises(MissingRecordError):
            store.get(digest_bytes(b"y"))
        with pytest.raises(MissingRecordError):
            store.path_of(digest_bytes(b"y"))

    def test_an_altered_artifact_is_refused_with_both_digests(self, store: ArtifactStore) -> None:
        digest = store.put(b"true", kind=KIND).digest
        self.damage(store, digest)
        for read in (store.get, store.path_of):
            with pytest.raises(IntegrityError) as caught:
                read(digest)
            assert caught.value.expected == digest
            assert caught.value.found.startswith("sha256:")

    def test_storing_the_true_bytes_mends_an_altered_artifact(self, store: ArtifactStore) -> None:
        digest = store.put(b"true", kind=KIND).digest
        self.damage(store, digest)
        store.put(b"true", kind=KIND)
        assert store.get(digest) == b"true"

    @pytest.mark.parametrize(
        "name", ["", "x", "sha256:", "sha256:../../etc/passwd", "sha256:" + "G" * 64, "sha256:" + "A" * 64]
    )
    def test_what_is_no_digest_is_never_a_path(self, store: ArtifactStore, name: str) -> None:
        assert name not in store
        with pytest.raises(UsageError):
            store.get(Digest(name))
        with pytest.raises(UsageError):
            store.path_of(Digest(name))

    def test_many_threads_may_store_the_same_bytes(self, store: ArtifactStore) -> None:
        with ThreadPoolExecutor(8) as pool:
            stored = list(pool.map(lambda n: store.put(b"%d" % (n % 3), kind=KIND), range(60)))
        assert len({artifact.digest for artifact in stored}) == 3
        assert all(store.get(artifact.digest) for artifact in stored)

    def test_what_is_deleted_is_gone_and_the_rest_stays(self, store: ArtifactStore) -> None:
        gone, kept = store.put(b"gone", kind=KIND).digest, store.put(b"kept", kind=KIND).digest
        store.path_of(gone)
        store.delete(gone)
        assert gone not in store
        assert store.size_of(gone) is None
        for read in (store.get, store.path_of):
            with pytest.raises(MissingRecordError):
                read(gone)
        assert store.get(kept) == b"kept"

    def test_deleting_twice_is_deleting_once(self, store: ArtifactStore) -> None:
        digest = store.put(b"x", kind=KIND).digest
        store.delete(digest)
        store.delete(digest)
        store.delete(digest_bytes(b"never there"))
        assert digest not in store

    def test_what_was_deleted_may_be_stored_again(self, store: ArtifactStore) -> None:
        digest = store.put(b"x", kind=KIND).digest
        store.delete(digest)
        assert store.put(b"x", kind=KIND).digest == digest
        assert store.get(digest) == b"x"

    def test_the_size_is_told(self, store: ArtifactStore) -> None:
        digest = store.put(b"x" * 1000, kind=KIND).digest
        size = store.size_of(digest)
        assert size is not None
        assert size >= 1000  # sealed bytes are a few more
        assert store.size_of(digest_bytes(b"y")) is None

    def test_what_is_no_digest_is_never_deleted(self, store: ArtifactStore) -> None:
        for ask in (store.delete, store.size_of):
            with pytest.raises(UsageError):
                ask(Digest("sha256:../../etc/passwd"))
