"""What every object source must do; inherit it and say how an object gets into your store.

class TestMySource(ObjectSourceConformance):
    keeps_time = False  # where the store, not the writer, says when an object was written

    @pytest.fixture
    def source(self): return MySource(...)

    def upload(self, source, name, data, modified_at): ...

    def remove(self, source, name): ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from keelway.core import Digest, digest_bytes
from keelway.errors import ObjectChangedError, SourceError, StorageError
from keelway.ingest import Glob, ObjectInfo, ObjectSource, copy_blocks, name_parts, object_changed

MOMENT = datetime(1997, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
NAMES = (
    "raw/A.csv",
    "raw/a b/ü #1%41+&=.csv",
    "raw/a-b.csv",
    "raw/a.txt",
    "raw/a/1.csv",
    "raw/a/deep/er/2.csv",
    "raw/b/2.csv",
    "rawer/x.csv",
)
GLOBS = {
    "raw/*.csv": ("raw/A.csv", "raw/a-b.csv"),
    "raw/?.csv": ("raw/A.csv",),
    "raw/**/*.csv": tuple(name for name in NAMES if name.startswith("raw/") and name.endswith(".csv")),
    "raw/**": tuple(name for name in NAMES if name.startswith("raw/")),
    "raw/*/*.csv": ("raw/a b/ü #1%41+&=.csv", "raw/a/1.csv", "raw/b/2.csv"),
    "raw/**/deep/**/*.csv": ("raw/a/deep/er/2.csv",),
    "raw/a/1.csv": ("raw/a/1.csv",),
    "**/x.csv": ("rawer/x.csv",),
    "raw": (),
    "absent/**/*.csv": (),
}
"""Every glob with the names it stands for, of those above."""


class MemoryObjects:
    """A source in memory whose clock and mishaps a test decides."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, datetime]] = {}
        self.meddling: dict[str, Callable[[], None]] = {}
        """What somebody does behind our back just before the object of that name is read."""
        self.fetched: list[str] = []
        """The names that were read, in the order they were asked for."""

    def upload(self, name: str, data: bytes, modified_at: datetime) -> None:
        """Write an object at a moment."""
        self.objects[name] = data, modified_at

    def list(self, glob: str) -> Iterator[ObjectInfo]:
        """Yield the objects whose name matches a glob."""
        wanted = Glob.parse(glob)
        for name, (data, modified_at) in list(self.objects.items()):
            if wanted.matches(name):
                yield ObjectInfo(name, len(data), modified_at, digest_bytes(data)[-8:])

    def fetch(self, info: ObjectInfo, target: Path) -> Digest:
        """Copy an object to a file."""
        name_parts(info.name)
        self.fetched.append(info.name)
        self.meddling.pop(info.name, lambda: None)()
        data, _ = self.objects.get(info.name, (b"", None))
        if info.name not in self.objects or (info.etag and digest_bytes(data)[-8:] != info.etag):
            raise object_changed(info, found="other bytes, or none")
        return copy_blocks([data], target, info)


class ObjectSourceConformance:
    """Promises of `ObjectSource`. Subclasses give the fixture `source` and the methods `upload` and `remove`."""

    keeps_time = True

    def upload(self, source: ObjectSource, name: str, data: bytes, modified_at: datetime) -> None:
        """Put an object into the store behind a source."""
        raise NotImplementedError

    def remove(self, source: ObjectSource, name: str) -> None:
        """Take an object out of the store behind a source."""
        raise NotImplementedError

    def listed(self, source: ObjectSource, name: str, data: bytes) -> ObjectInfo:
        """Upload an object and return it as the listing shows it."""
        self.upload(source, name, data, MOMENT)
        (info,) = source.list(name)
        return info

    def test_a_listing_says_size_and_time_in_utc(self, source: ObjectSource) -> None:
        info = self.listed(source, "raw/1.csv", b"12345")
        assert (info.name, info.size_bytes) == ("raw/1.csv", 5)
        assert info.modified_at.utcoffset() == MOMENT.utcoffset()
        assert info.modified_at == MOMENT or not self.keeps_time

    def test_a_glob_means_the_same_in_every_store(self, source: ObjectSource) -> None:
        for name in reversed(NAMES):
            self.upload(source, name, b"1", MOMENT)
        assert {glob: tuple(sorted(info.name for info in source.list(glob))) for glob in GLOBS} == GLOBS

    def test_fetch_copies_the_bytes_and_names_them(self, source: ObjectSource, tmp_path: Path) -> None:
        info = self.listed(source, "raw/1.csv", b"\x00\xffabc")
        assert source.fetch(info, tmp_path / "copy") == digest_bytes(b"\x00\xffabc")
        assert (tmp_path / "copy").read_bytes() == b"\x00\xffabc"

    def test_every_listed_name_can_be_fetched(self, source: ObjectSource, tmp_path: Path) -> None:
        for name in NAMES:
            self.upload(source, name, name.encode(), MOMENT)
        for info in source.list("**"):
            assert source.fetch(info, tmp_path / "copy") == digest_bytes(info.name.encode())

    @pytest.mark.parametrize("size", [0, 1 << 20, (1 << 20) + 1, 5_000_000])
    def test_objects_of_any_size_come_whole(self, source: ObjectSource, size: int, tmp_path: Path) -> None:
        data = (bytes(range(251)) * (size // 251 + 1))[:size]
        info = self.listed(source, "raw/1.csv", data)
        assert source.fetch(info, tmp_path / "copy") == digest_bytes(data)
        assert (tmp_path / "copy").stat().st_size == size

    @pytest.mark.parametrize("size", [2, 4])
    def test_an_object_of_another_size_is_refused(self, source: ObjectSource, size: int, tmp_path: Path) -> None:
        self.upload(source, "raw/1.csv", b"123", MOMENT)
        with pytest.raises(ObjectChangedError):
            source.fetch(ObjectInfo("raw/1.csv", size, MOMENT), tmp_path / "copy")
        assert not (tmp_path / "copy").exists()

    def test_an_object_that_grew_since_it_was_listed_is_refused(self, source: ObjectSource, tmp_path: Path) -> None:
        info = self.listed(source, "raw/1.csv", b"123")
        self.upload(source, "raw/1.csv", b"123456", MOMENT)
        with pytest.raises(ObjectChangedError) as caught:
            source.fetch(info, tmp_path / "copy")
        assert caught.value.fix
        assert not (tmp_path / "copy").exists()

    def test_other_bytes_of_the_same_size_are_refused_where_the_store_names_bytes(
        self, source: ObjectSource, tmp_path: Path
    ) -> None:
        info = self.listed(source, "raw/1.csv", b"123")
        if not info.etag:
            pytest.skip("this store has no name for bytes")
        self.upload(source, "raw/1.csv", b"456", MOMENT)
        with pytest.raises(ObjectChangedError):
            source.fetch(info, tmp_path / "copy")
        (again,) = source.list("raw/1.csv")
        assert again.etag != info.etag

    def test_an_object_that_is_gone_has_changed(self, source: ObjectSource, tmp_path: Path) -> None:
        info = self.listed(source, "raw/1.csv", b"1")
        self.remove(source, "raw/1.csv")
        with pytest.raises(ObjectChangedError):
            source.fetch(info, tmp_path / "copy")
        assert not (tmp_path / "copy").exists()

    @pytest.mark.parametrize("name", ["/etc/*", "../*.csv", "raw/../../x", "", "raw\\x", "raw/\0"])
    def test_names_never_leave_the_root(self, source: ObjectSource, name: str, tmp_path: Path) -> None:
        with pytest.raises(SourceError):
            list(source.list(name))
        with pytest.raises(SourceError):
            source.fetch(ObjectInfo(name, 1, MOMENT), tmp_path / "copy")

    def test_a_copy_that_cannot_be_written_is_a_matter_of_this_machine(
        self, source: ObjectSource, tmp_path: Path
    ) -> None:
        info = self.listed(source, "raw/1.csv", b"1")
        with pytest.raises(StorageError) as caught:
            source.fetch(info, tmp_path / "absent" / "copy")
        assert "TMPDIR" in caught.value.fix

    def test_many_threads_may_fetch_at_once(self, source: ObjectSource, tmp_path: Path) -> None:
        for number in range(40):
            self.upload(source, f"raw/{number:02}.csv", b"%d" % number, MOMENT)
        with ThreadPoolExecutor(8) as pool:
            infos = sorted(source.list("**"), key=lambda info: info.name)
            found = list(pool.map(lambda info: source.fetch(info, tmp_path / Path(info.name).name), infos))
        assert found == [digest_bytes(b"%d" % number) for number in range(40)]
