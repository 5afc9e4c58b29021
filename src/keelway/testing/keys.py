"""What every key vault promises.

class TestMyVault(KeyVaultConformance):
    @pytest.fixture
    def vault(self, tmp_path): return MyVault(tmp_path)
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from keelway.core import digest_bytes
from keelway.errors import SettingsError
from keelway.privacy import ArtifactKey, KeyVault, Loss, ValueKey


def value_key(name: str, *, mark: str = "", scarce: bool = False) -> ValueKey:
    """Return a key with a lookup and a mark that a name gives, and random bytes."""
    return ValueKey(_wide(name), os.urandom(32), _wide(f"mark of {mark or name}"), scarce)


def artifact_key(name: str) -> ArtifactKey:
    """Return a key for an artifact that a name gives."""
    return ArtifactKey(digest_bytes(name.encode()), digest_bytes(os.urandom(8)), os.urandom(32))


def _use(vault: KeyVault) -> str:
    with vault.using():
        return "used"


def _wide(name: str) -> bytes:
    return bytes.fromhex(digest_bytes(name.encode()).removeprefix("sha256:"))


class KeyVaultConformance:
    """The promises of `KeyVault`."""

    @pytest.fixture
    def vault(self) -> KeyVault:
        """Return an empty vault. To be overridden."""
        raise NotImplementedError

    def test_a_vault_is_bound_to_the_first_tenant(self, vault: KeyVault) -> None:
        vault.claim(b"1" * 32)
        vault.claim(b"1" * 32)
        with pytest.raises(SettingsError):
            vault.claim(b"2" * 32)
        vault.claim(b"1" * 32)

    def test_keys_are_found_by_their_lookups(self, vault: KeyVault) -> None:
        keys = [value_key(str(n)) for n in range(5)]
        vault.add_value_keys(keys[:4])
        found = vault.value_keys([key.lookup for key in keys])
        assert found == {key.lookup: key.key for key in keys[:4]}
        assert vault.value_keys([]) == {}

    def test_many_keys_are_found_at_once(self, vault: KeyVault) -> None:
        keys = [value_key(str(n)) for n in range(35_000)]
        vault.add_value_keys(keys)
        assert len(vault.value_keys([key.lookup for key in keys])) == 35_000

    def test_the_first_key_of_a_value_stays(self, vault: KeyVault) -> None:
        first, second = value_key("ana"), value_key("ana", mark="another")
        vault.add_value_keys([first])
        vault.add_value_keys([second, value_key("bo")])
        assert vault.value_keys([first.lookup]) == {first.lookup: first.key}

    def test_a_failing_source_of_keys_adds_none(self, vault: KeyVault) -> None:
        key = value_key("ana")

        def broken() -> object:
            yield key
            raise RuntimeError("the power is gone")

        with pytest.raises(RuntimeError):
            vault.add_value_keys(broken())  # type: ignore[arg-type]
        assert vault.value_keys([key.lookup]) == {}

    def test_a_destroyed_key_is_gone_and_the_others_stay(self, vault: KeyVault) -> None:
        keys = [value_key(str(n)) for n in range(4)]
        vault.add_value_keys(keys)
        assert vault.destroy_values([keys[1].mark, keys[2].mark, b"unknown"]) == 2
        assert vault.destroy_values([keys[1].mark]) == 0
        assert vault.destroy_values([]) == 0
        found = vault.value_keys([key.lookup for key in keys])
        assert found == {key.lookup: key.key for key in (keys[0], keys[3])}

    def test_a_value_that_comes_back_may_have_a_new_key(self, vault: KeyVault) -> None:
        vault.add_value_keys([value_key("ana")])
        vault.destroy_values([value_key("ana").mark])
        again = value_key("ana", mark="another")
        vault.add_value_keys([again])
        assert vault.value_keys([again.lookup]) == {again.lookup: again.key}

    def test_a_scarce_mark_is_given_once(self, vault: KeyVault) -> None:
        first = value_key("ana", mark="1", scarce=True)
        second = value_key("bo", mark="1", scarce=True)
        third = value_key("cy", mark="2", scarce=True)
        vault.add_value_keys([first])
        vault.add_value_keys([second, third])
        assert vault.value_keys([second.lookup, third.lookup]) == {third.lookup: third.key}

    def test_a_scarce_mark_is_never_given_again(self, vault: KeyVault) -> None:
        vault.add_value_keys([value_key("ana", mark="1", scarce=True)])
        assert vault.destroy_values([value_key("ana", mark="1").mark]) == 1
        again = value_key("bo", mark="1", scarce=True)
        vault.add_value_keys([again])
        assert vault.value_keys([again.lookup]) == {}

    def test_an_artifact_has_one_key(self, vault: KeyVault) -> None:
        first, second = artifact_key("raw"), artifact_key("raw")
        assert vault.artifact_key(first.digest) is None
        assert vault.add_artifact_key(first) == first
        assert vault.add_artifact_key(second) == first
        assert vault.artifact_key(first.digest) == first

    @pytest.mark.parametrize("loss", Loss)
    def test_an_artifact_whose_key_was_destroyed_is_remembered(self, vault: KeyVault, loss: Loss) -> None:
        made, other = vault.add_artifact_key(artifact_key("raw")), vault.add_artifact_key(artifact_key("other"))
        assert vault.destroy_artifacts([made.digest, digest_bytes(b"never")], loss=loss) == 1
        assert vault.destroy_artifacts([made.digest], loss=loss) == 0
        assert vault.artifact_key(made.digest) == ArtifactKey(made.digest, made.sealed, None, loss)
        assert vault.artifact_key(other.digest) == other

    def test_what_was_erased_never_has_a_key_again(self, vault: KeyVault) -> None:
        made = vault.add_artifact_key(artifact_key("raw"))
        vault.destroy_artifacts([made.digest], loss=Loss.ERASED)
        assert vault.add_artifact_key(artifact_key("raw")).key is None
        vault.destroy_artifacts([made.digest], loss=Loss.EXPIRED)
        assert vault.add_artifact_key(artifact_key("raw")).loss is Loss.ERASED

    def test_what_expired_may_have_a_new_key(self, vault: KeyVault) -> None:
        made = vault.add_artifact_key(artifact_key("raw"))
        vault.destroy_artifacts([made.digest], loss=Loss.EXPIRED)
        again = artifact_key("raw")
        assert vault.add_artifact_key(again) == again
        vault.destroy_artifacts([made.digest], loss=Loss.EXPIRED)
        vault.destroy_artifacts([made.digest], loss=Loss.ERASED)
        assert vault.add_artifact_key(artifact_key("raw")).loss is Loss.ERASED

    def test_of_many_threads_one_wins(self, vault: KeyVault) -> None:
        rivals = [value_key("ana", mark=str(n)) for n in range(24)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda key: vault.add_value_keys([key]), rivals))
            found = list(pool.map(lambda key: vault.value_keys([key.lookup])[key.lookup], rivals))
        assert len(set(found)) == 1
        assert found[0] in {key.key for key in rivals}

    def test_the_artifacts_that_can_be_opened_are_told(self, vault: KeyVault) -> None:
        assert vault.live_artifacts() == set()
        one, other = (vault.add_artifact_key(artifact_key(name)).digest for name in ("one", "other"))
        vault.destroy_artifacts([one], loss=Loss.EXPIRED)
        assert vault.live_artifacts() == {other}

    def test_several_use_a_vault_at_once(self, vault: KeyVault) -> None:
        with vault.using(), ThreadPoolExecutor(1) as pool:
            assert pool.submit(_use, vault).result(timeout=60) == "used"

    def test_who_is_alone_with_a_vault_shares_with_nobody(self, vault: KeyVault) -> None:
        with ThreadPoolExecutor(1) as pool:
            with vault.alone():
                waiting = pool.submit(_use, vault)
                assert not waiting.done()
            assert waiting.result(timeout=60) == "used"
