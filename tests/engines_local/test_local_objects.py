"""The folder as an object store."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keelway.engines.local.objects import LocalObjects
from keelway.errors import SourceError
from keelway.testing.objects import ObjectSourceConformance


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

    def test_a_missing_root_is_said(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="no object store"):
            list(LocalObjects(tmp_path / "absent").list("*.csv"))
