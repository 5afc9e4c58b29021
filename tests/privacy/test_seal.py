"""Sealed artifacts are artifacts like others until their key is gone, and nothing plain stays behind."""

from __future__ import annotations

import os
import signal
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keelway.core import ArtifactKind, Digest, digest_bytes
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.errors import ErasedError, IntegrityError, MissingRecordError, SettingsError, SourceError, StorageError
from keelway.privacy import SEALED_KINDS, Keyring, Loss, SealedArtifacts, TenantKey
from keelway.testing.artifacts import ArtifactConformance

RAW = ArtifactKind.RAW_FILE
SECRET = b"ana@example.com,4111111111111111\n"


@pytest.fixture
def inner(tmp_path: Path) -> LocalArtifacts:
    return LocalArtifacts(tmp_path / "artifacts")


@pytest.fixture
def sealed(inner, keyring, tmp_path: Path) -> SealedArtifacts:
    return SealedArtifacts(inner, keyring=lambda: keyring, folder=tmp_path / "plain", seals=True)


def all_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


class TestPlainThroughTheWrapper(ArtifactConformance):
    @pytest.fixture
    def store(self, sealed: SealedArtifacts) -> SealedArtifacts:
        return sealed


class TestWithoutKeys(ArtifactConformance):
    @pytest.fixture
    def store(self, inner, tmp_path: Path) -> SealedArtifacts:
        return SealedArtifacts(inner, keyring=lambda: None, folder=tmp_path / "plain")


class SealingEverything(SealedArtifacts):
    """Seals what the suite stores, whatever its kind, and tells the kind it was given."""

    def put(self, data, *, kind, name=""):
        stored = super().put(data, kind=RAW, name=name)
        return type(stored)(stored.digest, kind, stored.size_bytes, stored.name)

    def put_file(self, path, *, kind, name=""):
        return super().put_file(path, kind=RAW, name=name)


class TestSealed(ArtifactConformance):
    @pytest.fixture
    def store(self, inner, keyring, tmp_path: Path) -> SealedArtifacts:
        return SealingEverything(inner, keyring=lambda: keyring, folder=tmp_path / "plain", seals=True)

    def damage(self, store: SealedArtifacts, digest: Digest) -> None:
        super().damage(store._inner, store.seals_of(digest).sealed)


def test_no_plain_byte_is_stored(sealed, tmp_path: Path) -> None:
    artifact = sealed.put(SECRET * 3, kind=RAW)
    assert sealed.get(artifact.digest) == SECRET * 3
    assert SECRET not in all_bytes(tmp_path / "artifacts")
    assert not sealed.is_plain(artifact.digest)


@pytest.mark.parametrize("kind", ArtifactKind)
def test_only_what_holds_people_is_sealed(sealed, kind: ArtifactKind) -> None:
    digest = sealed.put(SECRET, kind=kind).digest
    assert (sealed.seals_of(digest) is not None) == (kind in SEALED_KINDS)


def test_the_same_bytes_seal_differently_under_another_tenant(sealed, inner, vault, tmp_path: Path) -> None:
    first = sealed.seals_of(sealed.put(SECRET, kind=RAW).digest)
    wrong = Keyring(TenantKey.generate(), vault)
    stranger = SealedArtifacts(inner, keyring=lambda: wrong, folder=tmp_path / "plain")
    with pytest.raises(IntegrityError) as caught:
        stranger.get(first.digest)
    assert caught.value.found == "bytes that its key does not open"


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_any_number_of_blocks_comes_back(sealed, tmp_path: Path, size: int) -> None:
    path = tmp_path / "raw.bin"
    path.write_bytes(os.urandom(size))
    digest = sealed.put_file(path, kind=RAW).digest
    assert sealed.path_of(digest).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("cut", [1, 16, (1 << 20) + 16], ids=["a byte", "a tag", "a block"])
def test_cut_off_blocks_are_noticed_even_where_the_store_is_fooled(sealed, inner, vault, keyring, cut: int) -> None:
    digest = sealed.put(os.urandom(2 << 20), kind=RAW).digest
    held = vault.artifact_key(digest)
    shorter = inner.put(inner.get(held.sealed)[:-cut], kind=RAW).digest
    with vault._writing() as cursor:
        cursor.execute("UPDATE artifact_keys SET sealed = ?", (shorter,))
    with pytest.raises(IntegrityError):
        sealed.get(digest)


def test_bytes_of_another_artifact_are_not_taken_for_it(sealed, vault) -> None:
    one, two = (sealed.put(data, kind=RAW).digest for data in (b"one", b"two"))
    other = vault.artifact_key(two)
    with vault._writing() as cursor:
        change = "UPDATE artifact_keys SET sealed = ?, key = ? WHERE digest = ?"
        cursor.execute(change, (other.sealed, other.key, one))
    with pytest.raises(IntegrityError) as caught:
        sealed.get(one)
    assert caught.value.expected == one


def test_a_destroyed_key_is_the_end_of_the_bytes(sealed, vault, tmp_path: Path) -> None:
    digest = sealed.put(SECRET, kind=RAW).digest
    copy = sealed.path_of(digest)
    vault.destroy_artifacts([digest], loss=Loss.ERASED)
    for read in (sealed.get, sealed.path_of):
        with pytest.raises(ErasedError):
            read(digest)
    assert digest not in sealed
    assert not copy.exists()
    assert SECRET not in all_bytes(tmp_path)


def test_an_erased_file_does_not_come_in_again(sealed, vault) -> None:
    digest = sealed.put(SECRET, kind=RAW).digest
    vault.destroy_artifacts([digest], loss=Loss.ERASED)
    with pytest.raises(ErasedError, match="came in again") as caught:
        sealed.put(SECRET, kind=RAW)
    assert "Delete the file" in caught.value.fix


def test_an_expired_file_may_come_in_again(sealed, vault) -> None:
    digest = sealed.put(SECRET, kind=RAW).digest
    before = vault.artifact_key(digest)
    vault.destroy_artifacts([digest], loss=Loss.EXPIRED)
    sealed.put(SECRET, kind=RAW)
    assert sealed.get(digest) == SECRET
    assert vault.artifact_key(digest).key != before.key


def test_lost_sealed_bytes_are_mended_with_the_same_key(sealed, inner, vault, tmp_path: Path) -> None:
    digest = sealed.put(SECRET, kind=RAW).digest
    held = vault.artifact_key(digest)
    inner.path_of(held.sealed).unlink()
    assert digest not in sealed
    with pytest.raises(MissingRecordError):
        sealed.get(digest)
    sealed.put(SECRET, kind=RAW)
    assert vault.artifact_key(digest) == held
    assert sealed.get(digest) == SECRET


def test_sealing_without_keys_is_refused(inner, tmp_path: Path) -> None:
    store = SealedArtifacts(inner, keyring=lambda: None, folder=tmp_path / "plain", seals=True)
    with pytest.raises(StorageError):
        store.put(SECRET, kind=RAW)
    assert SECRET not in all_bytes(tmp_path)


def test_a_missing_file_is_told(sealed, tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        sealed.put_file(tmp_path / "none.csv", kind=RAW)


def test_copies_are_for_the_owner_alone_and_go_on_release(sealed, tmp_path: Path) -> None:
    path = sealed.path_of(sealed.put(SECRET, kind=RAW).digest)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    sealed.release()
    assert SECRET not in all_bytes(tmp_path)
    assert sealed.path_of(digest_bytes(SECRET)).read_bytes() == SECRET


def test_copies_go_with_the_store(inner, keyring, tmp_path: Path) -> None:
    store = SealedArtifacts(inner, keyring=lambda: keyring, folder=tmp_path / "plain", seals=True)
    path = store.path_of(store.put(SECRET, kind=RAW).digest)
    del store
    assert not path.exists()


def test_a_changed_copy_is_not_handed_out(sealed) -> None:
    digest = sealed.put(SECRET, kind=RAW).digest
    sealed.path_of(digest).write_bytes(b"changed")
    assert sealed.path_of(digest).read_bytes() == SECRET


def in_a_child(work) -> int:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_the_next_process_removes_what_a_killed_one_left(sealed, inner, keyring, tmp_path: Path) -> None:
    digest = sealed.put(SECRET, kind=RAW).digest

    def open_and_die() -> None:
        store = SealedArtifacts(inner, keyring=lambda: keyring, folder=tmp_path / "plain")
        store.path_of(digest)
        os.kill(os.getpid(), signal.SIGKILL)

    assert in_a_child(open_and_die) == -signal.SIGKILL
    assert SECRET in all_bytes(tmp_path / "plain")
    sealed.path_of(digest)
    sealed.release()
    assert SECRET not in all_bytes(tmp_path / "plain")


def test_a_child_leaves_the_copies_of_its_parent(sealed, inner, keyring, tmp_path: Path) -> None:
    path = sealed.path_of(sealed.put(SECRET, kind=RAW).digest)
    other = sealed.put(b"other", kind=RAW).digest

    def use() -> None:
        sealed.path_of(other)
        sealed.release()

    assert in_a_child(use) == 0
    assert path.read_bytes() == SECRET


def test_a_folder_that_cannot_be_made_is_told(inner, keyring, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("in the way")
    store = SealedArtifacts(inner, keyring=lambda: keyring, folder=tmp_path / "plain", seals=True)
    digest = store.put(SECRET, kind=RAW).digest
    with pytest.raises(StorageError):
        store.path_of(digest)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=4096))
def test_any_bytes_come_back(sealed, data: bytes) -> None:
    assert sealed.get(sealed.put(data, kind=RAW).digest) == data


def test_looking_something_up_takes_no_tenants_key(inner, vault, sealed, tmp_path: Path) -> None:
    def locked() -> TenantKey:
        raise SettingsError("The safe is shut")

    plain, digest = inner.put(b"plain", kind=RAW).digest, sealed.put(SECRET, kind=RAW).digest
    ring = Keyring(locked, vault)
    store = SealedArtifacts(inner, keyring=lambda: ring, folder=tmp_path / "plain")
    assert store.get(plain) == b"plain"
    assert digest in store
    with pytest.raises(SettingsError, match="safe"):
        store.get(digest)
