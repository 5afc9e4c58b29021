"""What garbage collection asks of the store in a folder: to list everything, and never to remove what was put again."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from keelway.core import ArtifactKind, Digest, digest_bytes
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.errors import MissingRecordError

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
LATER = LONG_AGO + timedelta(days=1)
DATA = b"some bytes that nobody needs"


class Shelf:
    """A store in a folder, and its files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = LocalArtifacts(folder)

    def put(self, data: bytes = DATA, *, old: bool = False) -> Digest:
        digest = self.store.put(data, kind=ArtifactKind.REPORT).digest
        if old:
            self.age(digest)
        return digest

    def place(self, digest: Digest) -> Path:
        digits = digest.removeprefix("sha256:")
        return self.folder / digits[:2] / digits[2:]

    def age(self, digest: Digest) -> None:
        os.utime(self.place(digest), (LONG_AGO.timestamp(), LONG_AGO.timestamp()))

    def files(self) -> set[str]:
        return {path.name for path in self.folder.rglob("*") if path.is_file()}


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "artifacts")


def test_every_artifact_is_listed_with_its_size_its_age_and_how_it_begins(shelf: Shelf) -> None:
    assert list(shelf.store.held()) == []
    old, new = shelf.put(old=True), shelf.put(b"x")
    found = {each.digest: each for each in shelf.store.held()}
    assert found.keys() == {old, new}
    assert (found[old].size_bytes, found[old].stored_at, found[old].head) == (len(DATA), LONG_AGO, DATA[:16])
    assert found[new].stored_at > LATER


def test_files_that_are_no_artifacts_are_not_listed(shelf: Shelf) -> None:
    digest = shelf.put()
    shelf.place(digest).with_name(".part-abc").write_text("half")
    (shelf.folder / "README").write_text("hello")
    (shelf.folder / "ab").mkdir(exist_ok=True)
    (shelf.folder / "ab" / "short").write_text("no digest")
    assert [each.digest for each in shelf.store.held()] == [digest]


def test_what_is_old_is_removed_and_what_is_young_stays(shelf: Shelf) -> None:
    old, new = shelf.put(old=True), shelf.put(b"new")
    assert shelf.store.remove_if_older(old, LATER)
    assert not shelf.store.remove_if_older(new, LATER)
    assert not shelf.store.remove_if_older(old, LATER), "it is gone already, and that is no error"
    assert not shelf.store.remove_if_older(digest_bytes(b"never there"), LATER)
    with pytest.raises(MissingRecordError):
        shelf.store.get(old)
    assert shelf.files() == {shelf.place(new).name}


@pytest.mark.parametrize("way", ["bytes", "file"])
def test_what_is_put_again_counts_as_new(shelf: Shelf, tmp_path: Path, way: str) -> None:
    digest = shelf.put(old=True)
    if way == "bytes":
        shelf.put()
    else:
        (tmp_path / "copy").write_bytes(DATA)
        shelf.store.put_file(tmp_path / "copy", kind=ArtifactKind.REPORT)
    assert not shelf.store.remove_if_older(digest, LATER)
    assert shelf.store.get(digest) == DATA


@pytest.mark.parametrize("moment", ["before its name is gone", "after its name is gone"])
def test_what_is_put_while_it_is_removed_is_there_afterwards(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    digest = shelf.put(old=True)
    place, replace = shelf.place(digest), Path.replace

    def meanwhile(path: Path, target: Path) -> Path:
        if path == place and moment == "before its name is gone":
            shelf.put()
        moved = replace(path, target)
        if path == place and moment == "after its name is gone":
            shelf.put()
        return moved

    monkeypatch.setattr(Path, "replace", meanwhile)
    shelf.store.remove_if_older(digest, LATER)
    assert shelf.store.get(digest) == DATA
    assert shelf.files() == {place.name}


@pytest.mark.parametrize("damaged", [False, True], ids=["sound", "damaged"])
def test_what_is_removed_between_the_finding_of_a_file_and_the_setting_of_its_time_is_written_anew(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, damaged: bool
) -> None:
    digest = shelf.put(old=True)
    place, utime = shelf.place(digest), os.utime
    if damaged:
        place.chmod(0o644)
        place.write_bytes(b"some bytes that someone harmed")
        shelf.age(digest)

    def late(path: Path) -> None:  # the kernel has found the file; its name goes before its time is set
        with path.open("rb") as stream:
            assert shelf.store.remove_if_older(digest, LATER)
            utime(stream.fileno())

    monkeypatch.setattr(os, "utime", late)
    shelf.put()
    assert shelf.store.get(digest) == DATA
    assert shelf.files() == {place.name}


def test_a_damaged_file_that_is_written_anew_while_it_is_removed_is_there_afterwards(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = shelf.put(old=True)
    place, is_file = shelf.place(digest), Path.is_file
    place.chmod(0o644)
    place.write_bytes(b"harmed")
    shelf.age(digest)
    stat, asked = Path.stat, []

    def meanwhile(path: Path, **kwargs: Any) -> os.stat_result:
        facts = stat(path, **kwargs)
        asked.append(path)
        if path == place and asked.count(place) == 2:  # the collector has just read how old it is
            shelf.put()
        return facts

    monkeypatch.setattr(Path, "stat", meanwhile)
    shelf.store.remove_if_older(digest, LATER)
    assert is_file(place)
    assert shelf.store.get(digest) == DATA


def test_of_a_writer_and_a_collector_the_writer_always_keeps_its_bytes(shelf: Shelf) -> None:
    for turn in range(100):
        digest = shelf.put(old=True)
        ready = threading.Barrier(2)

        def write(ready: threading.Barrier = ready) -> None:
            ready.wait()
            shelf.put()

        def remove(ready: threading.Barrier = ready, digest: Digest = digest) -> None:
            ready.wait()
            shelf.store.remove_if_older(digest, LATER)

        threads = [threading.Thread(target=each) for each in (write, remove)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert shelf.store.get(digest) == DATA, turn


def test_what_a_killed_collector_left_half_removed_comes_back(shelf: Shelf) -> None:
    digest, other = shelf.put(old=True), shelf.put(b"other", old=True)
    for each in (digest, other):
        place = shelf.place(each)
        os.link(place, place.with_name(f".gc-{place.name}"))
    shelf.place(digest).unlink()  # killed after the first name was gone; of the other, before
    assert {each.digest for each in shelf.store.held()} == {digest, other}
    assert shelf.store.get(digest) == DATA
    assert shelf.files() == {shelf.place(digest).name, shelf.place(other).name}
    assert shelf.store.remove_if_older(digest, LATER)
