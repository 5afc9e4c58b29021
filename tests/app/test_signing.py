"""The keys of a project: each is read when it is needed, and to check needs no private one."""

from __future__ import annotations

from pathlib import Path

import pytest

from keelway.app.settings import read_settings
from keelway.app.signing import Signing
from keelway.errors import KeelwayError, SettingsError
from keelway.ledger import SigningKey

TOML = '[project]\nname = "shop"\nmodule = "shop.project"\n[signing]\nname = "shop"\n'


@pytest.fixture
def keys(tmp_path: Path) -> SigningKey:
    """The key of a project whose files are written."""
    (tmp_path / "keelway.toml").write_text(TOML)
    made = SigningKey.generate("shop")
    folder = tmp_path / ".keelway/keys"
    folder.mkdir(parents=True)
    made.save(folder / "signing.pem")
    (folder / "signing.pub").write_text(made.public.pem())
    return made


def test_what_one_key_signs_the_other_checks(tmp_path: Path, keys: SigningKey) -> None:
    signing = Signing(tmp_path, read_settings(tmp_path))
    signing.public_key.verify(signing.key.sign(b"words"), b"words", what="the words")
    assert signing.key.key_id == signing.public_key.key_id == keys.key_id


def test_to_check_needs_no_private_key(tmp_path: Path, keys: SigningKey) -> None:
    (tmp_path / ".keelway/keys/signing.pem").unlink()
    signing = Signing(tmp_path, read_settings(tmp_path))
    signing.public_key.verify(keys.sign(b"words"), b"words", what="the words")
    with pytest.raises(KeelwayError):
        signing.key


def test_checkpoints_go_where_the_settings_say(tmp_path: Path) -> None:
    (tmp_path / "keelway.toml").write_text(
        TOML + 'checkpoints = "published"\npublish = ["git:audit.git#far", "/mnt/audit", "memory:///"]\n'
    )
    pytest.importorskip("obstore", reason="the package for object stores is not installed")
    targets = Signing(tmp_path, read_settings(tmp_path)).targets
    assert [target.where for target in targets] == [
        f"{tmp_path}/published",
        f"git:{tmp_path}/audit.git#far",
        "/mnt/audit",
        "memory:///",
    ]


def test_halves_of_two_keys_are_not_used_together(tmp_path: Path, keys: SigningKey) -> None:
    (tmp_path / ".keelway/keys/signing.pub").write_text(SigningKey.generate("shop").public.pem())
    with pytest.raises(SettingsError, match="do not belong together") as caught:
        assert Signing(tmp_path, read_settings(tmp_path)).key
    assert "keys rotate" in caught.value.fix


@pytest.mark.parametrize(
    "line",
    [
        'publish_every = "often"',
        'publish_every = "0 entries"',
        'publish_every = "-1h"',
        "witness_quorum = 1",
        'witnesses = ["a.pub"]\nwitness_quorum = 2',
        'witnesses = ["a.pub"]\nwitness_quorum = -1',
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "keelway.toml").write_text(TOML + line + "\n")
    with pytest.raises(SettingsError, match=r"signing\."):
        read_settings(tmp_path)
