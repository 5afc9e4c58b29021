"""A tenant, a vault and tokens of a small shop."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from keelway.engines.sql.keys import SqliteKeyVault
from keelway.privacy import Keyring, TenantKey, Tokens
from keelway.testing import people


@pytest.fixture
def tenant() -> TenantKey:
    return TenantKey(bytes(range(32)))


@pytest.fixture
def vault(tmp_path: Path):
    with closing(SqliteKeyVault(tmp_path / "keys" / "vault.db")) as opened:
        yield opened


@pytest.fixture
def keyring(tenant, vault) -> Keyring:
    return Keyring(tenant, vault)


@pytest.fixture
def tokens(tenant, vault) -> Tokens:
    return Tokens(tenant, vault)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder of a small project whose dataset names persons."""
    return people.make(tmp_path / "people")
