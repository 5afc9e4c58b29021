"""The keys of a project: each is read when it is needed, and to check needs no private one."""

from __future__ import annotations

from pathlib import Path

import pytest

from keelway.app.settings import read_settings
from keelway.app.signing import Signing
from keelway.errors import KeelwayError
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
    (tmp_path / "keelway.toml").write_text(TOML + 'checkpoints = "published"\n')
    assert Signing(tmp_path, read_settings(tmp_path)).checkpoints == tmp_path / "published"
