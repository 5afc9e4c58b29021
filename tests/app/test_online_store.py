"""Where features are served from is chosen by how the setting is written, and no secret is written down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from keelway.app.settings import EngineSettings, read_settings
from keelway.app.stores import online_store
from keelway.engines.sql.online import SqliteOnlineStore
from keelway.errors import SettingsError
from keelway.testing.online import online_cut, online_rows
from keelway.testing.redis_server import RedisServer, redis_server

__all__ = ["redis_server"]
HEAD = '[project]\nname = "shop"\nmodule = "shop.project"\n[signing]\nname = "shop"\n[engines]\n'


def settings(folder: Path, lines: str) -> EngineSettings:
    (folder / "keelway.toml").write_text(HEAD + lines)
    return read_settings(folder).engines


@pytest.mark.parametrize(
    ("lines", "place"), [("", ".keelway/online.db"), ('online = "sqlite:served/features.db"', "served/features.db")]
)
def test_the_embedded_store_is_a_file_of_the_project(tmp_path: Path, lines: str, place: str) -> None:
    store = online_store(settings(tmp_path, lines), root=tmp_path, project="shop")
    assert isinstance(store, SqliteOnlineStore)
    store.write(online_cut(1), online_rows(1))
    store.close()
    assert (tmp_path / place).is_file()


def test_each_project_has_keys_of_its_own_on_a_server(
    tmp_path: Path, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONLINE_PASSWORD", redis_server.password)
    lines = f'online = "{redis_server.url}"\nonline_password = "env:ONLINE_PASSWORD"\nonline_ttl_s = 900'
    engines = settings(tmp_path, lines)
    mine, theirs = (online_store(engines, root=tmp_path, project=name) for name in ("mine", "theirs"))
    mine.write(online_cut(1), online_rows(1))
    assert theirs.cut("churn") is None
    with redis_server.client() as client:
        assert 800 < client.ttl("keelway:mine:{churn}:cut") <= 900
    mine.close()
    theirs.close()


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        ('online = "memcached://host"', "names no online store"),
        ('online = "redis://:hunter2@host/0"', "holds a secret"),
        ('online = "redis://host/0?password=hunter2"', "holds a secret"),
        ('online = "redis://host/0"\nonline_password = "hunter2"', "holds a secret"),
        ('online_password = "env:X"', "online_password is wrong"),
        ("online_ttl_s = 60", "online_ttl_s is wrong"),
        ('online = "redis://host/0"\nonline_ttl_s = -1', "online_ttl_s is wrong"),
    ],
)
def test_a_wrong_store_is_refused_and_no_secret_is_told(tmp_path: Path, lines: str, what: str) -> None:
    with pytest.raises(SettingsError, match=what) as refused:
        settings(tmp_path, lines)
    assert "hunter2" not in f"{refused.value} {refused.value.fix}"


def test_a_password_that_is_not_there_is_told(tmp_path: Path) -> None:
    engines: Any = settings(tmp_path, 'online = "redis://host/0"\nonline_password = "env:NO_SUCH_PASSWORD"')
    with pytest.raises(SettingsError, match="NO_SUCH_PASSWORD"):
        online_store(engines, root=tmp_path, project="shop")
