"""Where files lie is chosen by how the setting is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from keelway.app.settings import EngineSettings, read_settings
from keelway.app.stores import artifact_store, object_source, table_store
from keelway.core import ArtifactKind
from keelway.errors import SettingsError

HEAD = '[project]\nname = "shop"\nmodule = "shop.project"\n[signing]\nname = "shop"\n'


def test_a_plain_path_is_a_folder_of_the_project(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.csv").write_text("x\n")
    engines = EngineSettings(objects="raw", artifacts="kept")
    assert [info.name for info in object_source(engines, root=tmp_path).list("*.csv")] == ["a.csv"]
    stored = artifact_store(engines, root=tmp_path).put(b"bytes", kind=ArtifactKind.REPORT)
    assert stored.digest in artifact_store(engines, root=tmp_path)
    assert (tmp_path / "kept").is_dir()


def test_a_url_is_an_object_store(tmp_path: Path) -> None:
    pytest.importorskip("obstore", reason="the package for object stores is not installed")
    engines = EngineSettings(objects="memory:///", artifacts="memory:///", tables="s3://bucket/tables")
    assert list(object_source(engines, root=tmp_path).list("**/*.csv")) == []
    artifacts = artifact_store(engines, root=tmp_path)
    stored = artifacts.put(b"bytes", kind=ArtifactKind.REPORT)
    assert artifacts.path_of(stored.digest).is_relative_to(tmp_path / ".keelway" / "cache")
    table_store(engines, root=tmp_path)
    assert not (tmp_path / "memory:").exists()


@pytest.mark.parametrize(
    ("url", "options"),
    [("nothing://bucket/tables", {}), ("s3://", {}), ("s3://bucket/tables", {"colour": "red"})],
    ids=["no store", "no bucket", "no such option"],
)
def test_a_wrong_place_for_tables_is_told(tmp_path: Path, url: str, options: dict[str, str]) -> None:
    pytest.importorskip("obstore", reason="the package for object stores is not installed")
    with pytest.raises(SettingsError):
        table_store(EngineSettings(tables=url, object_options=options), root=tmp_path)


def test_secrets_of_an_object_store_are_read_where_they_are_referred_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SHOP_SECRET", raising=False)
    engines = EngineSettings(objects="s3://bucket", object_options={"secret_access_key": "env:SHOP_SECRET"})
    with pytest.raises(SettingsError, match="SHOP_SECRET"):
        object_source(engines, root=tmp_path)


@pytest.mark.parametrize("name", ["secret_access_key", "AWS_SESSION_TOKEN", "account_key"])
def test_a_secret_that_is_written_down_is_refused_without_being_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "keelway.toml").write_text(f'{HEAD}[engines.object_options]\n{name} = "hunter2hunter2"\n')
    with pytest.raises(SettingsError, match=name) as caught:
        read_settings(tmp_path)
    assert "hunter2" not in str(caught.value)
    assert caught.value.fix


def test_what_is_no_secret_may_be_written_down(tmp_path: Path) -> None:
    (tmp_path / "keelway.toml").write_text(f'{HEAD}[engines.object_options]\nregion = "eu-1"\n')
    assert read_settings(tmp_path).engines.object_options == {"region": "eu-1"}
