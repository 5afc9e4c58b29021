"""The folder as an object store."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keelway.engines.local.objects import LocalObjects
from keelway.errors import SourceError
from keelway.ingest import ObjectInfo
from keelway.testing.objects import ObjectSourceConformance

NOW = datetime(1999, 1, 1, tzinfo=UTC)


class TestLocalObjects(ObjectSourceConformance):
    @pytest.fixture
    def source(self, tmp_path: Path) -> LocalObjects:
        (tmp_path / "store").mkdir()
        self.root = tmp_path / "store"
        return LocalObjects(self.root)

    def upload(self, source: LocalObjects, name: str, data: bytes, modified_at: datetime) -> None:  # type: ignore[override]
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        stamp = (modified_at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000
        os.utime(path, ns=(stamp, stamp))

    def remove(self, source: LocalObjects, name: str) -> None:  # type: ignore[override]
        (self.root / name).unlink()

    @pytest.mark.parametrize("target", ["file", "folder"])
    def test_a_link_that_leads_out_is_refused_by_name(self, source: LocalObjects, tmp_path: Path, target: str) -> None:
        (tmp_path / "secret").mkdir()
        (tmp_path / "secret/x.csv").write_text("1")
        link = self.root / ("leak.csv" if target == "file" else "leak")
        link.symlink_to(tmp_path / ("secret/x.csv" if target == "file" else "secret"))
        with pytest.raises(SourceError, match="leak"):
            list(source.list("**/*.csv"))

    def test_a_link_in_a_circle_ends(self, source: LocalObjects) -> None:
        (self.root / "a").mkdir()
        (self.root / "a/1.csv").write_text("1")
        (self.root / "a/again").symlink_to(self.root)
        assert [info.name for info in source.list("**/*.csv")] == ["a/1.csv"]

    def test_a_link_that_stays_inside_is_listed_like_a_file(self, source: LocalObjects) -> None:
        (self.root / "a").mkdir()
        (self.root / "a/1.csv").write_text("1")
        (self.root / "b.csv").symlink_to(self.root / "a/1.csv")
        assert [info.name for info in source.list("**/*.csv")] == ["a/1.csv", "b.csv"]

    def test_a_link_that_leads_nowhere_is_left_out(self, source: LocalObjects) -> None:
        (self.root / "b.csv").symlink_to(self.root / "gone.csv")
        assert list(source.list("*.csv")) == []

    def test_the_fixed_folder_of_a_glob_may_not_lead_out(self, source: LocalObjects, tmp_path: Path) -> None:
        (tmp_path / "secret").mkdir()
        (tmp_path / "secret/x.csv").write_text("1")
        (self.root / "raw").symlink_to(tmp_path / "secret")
        with pytest.raises(SourceError, match="raw leads out"):
            list(source.list("raw/*.csv"))
        with pytest.raises(SourceError, match="leads out"):
            source.fetch(ObjectInfo("raw/x.csv", 1, NOW), tmp_path / "copy")

    def test_folders_that_cannot_match_are_not_entered(self, source: LocalObjects) -> None:
        (self.root / "raw/a").mkdir(parents=True)
        (self.root / "raw/a/1.csv").write_text("1")
        locked = self.root / "raw/b"
        locked.mkdir()
        locked.rmdir()
        locked.symlink_to("/")  # entering it would be refused
        assert [info.name for info in source.list("raw/a*/*.csv")] == ["raw/a/1.csv"]

    def test_a_missing_root_is_said(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="no object store"):
            list(LocalObjects(tmp_path / "absent").list("*.csv"))
