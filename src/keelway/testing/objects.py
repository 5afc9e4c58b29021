"""What every object source must do; inherit it and say how an object gets into your store."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from keelway.core import digest_bytes
from keelway.errors import ObjectChangedError, SourceError
from keelway.ingest import ObjectInfo, ObjectSource

MOMENT = datetime(1997, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


class ObjectSourceConformance:
    """Promises of `ObjectSource`. Subclasses give the fixture `source` and the method `upload`."""

    def upload(self, source: ObjectSource, name: str, data: bytes, modified_at: datetime) -> None:
        """Put an object into the store behind a source."""
        raise NotImplementedError

    def test_a_listing_is_sorted_and_says_size_and_time(self, source: ObjectSource) -> None:
        for name in ("raw/b/2.csv", "raw/a/1.csv", "raw/a-b.csv", "raw/a.txt"):
            self.upload(source, name, b"12345", MOMENT)
        found = list(source.list("raw/**/*.csv"))
        assert [info.name for info in found] == ["raw/a-b.csv", "raw/a/1.csv", "raw/b/2.csv"]
        assert {(info.size_bytes, info.modified_at) for info in found} == {(5, MOMENT)}

    def test_a_star_stays_within_its_folder(self, source: ObjectSource) -> None:
        for name in ("raw/1.csv", "raw/deep/2.csv", "other/3.csv"):
            self.upload(source, name, b"1", MOMENT)
        assert [info.name for info in source.list("raw/*.csv")] == ["raw/1.csv"]

    def test_nothing_matches_nothing(self, source: ObjectSource) -> None:
        self.upload(source, "raw/1.csv", b"1", MOMENT)
        assert list(source.list("absent/**/*.csv")) == []

    def test_fetch_copies_the_bytes_and_names_them(self, source: ObjectSource, tmp_path: Path) -> None:
        self.upload(source, "raw/1.csv", b"\x00\xffabc", MOMENT)
        (info,) = source.list("raw/*.csv")
        assert source.fetch(info, tmp_path / "copy") == digest_bytes(b"\x00\xffabc")
        assert (tmp_path / "copy").read_bytes() == b"\x00\xffabc"

    @pytest.mark.parametrize("size", [2, 4])
    def test_an_object_of_another_size_is_refused(self, source: ObjectSource, size: int, tmp_path: Path) -> None:
        self.upload(source, "raw/1.csv", b"123", MOMENT)
        with pytest.raises(ObjectChangedError):
            source.fetch(ObjectInfo("raw/1.csv", size, MOMENT), tmp_path / "copy")
        assert not (tmp_path / "copy").exists()

    @pytest.mark.parametrize("name", ["/etc/*", "../*.csv", "raw/../../x", ""])
    def test_names_never_leave_the_root(self, source: ObjectSource, name: str, tmp_path: Path) -> None:
        with pytest.raises(SourceError):
            list(source.list(name))
        with pytest.raises(SourceError):
            source.fetch(ObjectInfo(name, 1, MOMENT), tmp_path / "copy")

    def test_a_missing_object_is_a_source_error(self, source: ObjectSource, tmp_path: Path) -> None:
        self.upload(source, "raw/1.csv", b"1", MOMENT)
        with pytest.raises(SourceError):
            source.fetch(ObjectInfo("raw/gone.csv", 1, MOMENT), tmp_path / "copy")
