"""One run checks a file once; a file that is touched since, and every file in the next run, is checked again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from keelway.core import Digest
from keelway.errors import IntegrityError, MissingRecordError
from keelway.snapshot import KnownFiles, Snapshot, read
from keelway.testing.versions import Versions


@dataclass
class Counting:
    """A table store that notes which files were asked for."""

    inner: Any
    asked: list[str] = field(default_factory=list)

    def path_of(self, table: str, path: str, *, digest: Digest) -> Path:
        self.asked.append(path)
        found: Path = self.inner.path_of(table, path, digest=digest)
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@pytest.fixture
def orders(tmp_path: Path) -> Iterator[Versions]:
    made = Versions.open(tmp_path)
    made = made.through(tables=Counting(made.tables))
    yield made
    made.state.close()


def paths(orders: Versions, snapshot: Snapshot, known: KnownFiles | None) -> list[Path]:
    return read(snapshot, tables=orders.tables, artifacts=orders.artifacts, state=orders.state, known=known)


def asked(orders: Versions) -> int:
    """Return how many files were asked for since the last time."""
    found = len(orders.tables.asked)  # type: ignore[attr-defined]
    orders.tables.asked.clear()  # type: ignore[attr-defined]
    return found


def alter(path: Path) -> None:
    """Change a byte and put the time of writing back."""
    times = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_a_run_of_many_versions_checks_each_file_once(orders: Versions) -> None:
    known = KnownFiles()
    for number in range(1, 6):
        found = paths(orders, orders.numbers(number), known)
        assert len(found) == number
        assert asked(orders) == 1, "the new one"
        assert found == paths(orders, orders_newest(orders), None)
        assert asked(orders) == number, "another run checks them all"


def orders_newest(orders: Versions) -> Snapshot:
    from keelway.snapshot import newest

    with orders.state.snapshot() as tx:
        found = newest("orders", tx)
    assert found is not None
    return found


def test_a_file_that_is_altered_since_is_refused_also_when_its_times_are_put_back(orders: Versions) -> None:
    known = KnownFiles()
    orders.numbers(1)
    snapshot = orders.numbers(2)
    harmed = paths(orders, snapshot, known)[0]
    alter(harmed)
    with pytest.raises(IntegrityError, match=harmed.name):
        paths(orders, snapshot, known)


def test_another_file_in_its_place_is_refused(orders: Versions, tmp_path: Path) -> None:
    known, snapshot = KnownFiles(), orders.numbers(1)
    (path,) = paths(orders, snapshot, known)
    other = tmp_path / "other"
    other.write_bytes(b"\0" * path.stat().st_size)
    other.replace(path)
    with pytest.raises(IntegrityError, match=path.name):
        paths(orders, snapshot, known)


def test_a_file_that_is_gone_since_is_missed(orders: Versions) -> None:
    known, snapshot = KnownFiles(), orders.numbers(1)
    (path,) = paths(orders, snapshot, known)
    path.unlink()
    with pytest.raises(MissingRecordError):
        paths(orders, snapshot, known)


def test_a_file_that_was_restored_is_checked_and_known_again(orders: Versions) -> None:
    known, snapshot = KnownFiles(), orders.numbers(1)
    (path,) = paths(orders, snapshot, known)
    kept = path.read_bytes()
    alter(path)
    with pytest.raises(IntegrityError):
        paths(orders, snapshot, known)
    path.write_bytes(kept)
    asked(orders)
    assert paths(orders, snapshot, known) == paths(orders, snapshot, known) == [path]
    assert asked(orders) == 1


def test_what_failed_its_check_is_not_known(orders: Versions) -> None:
    known, snapshot = KnownFiles(), orders.numbers(1)
    (path,) = paths(orders, snapshot, None)
    alter(path)
    for _ in range(2):
        with pytest.raises(IntegrityError):
            paths(orders, snapshot, known)
