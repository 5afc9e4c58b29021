"""The log of a serving process: it tells when it cannot write, seals in the background, and seals each line once."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from keelway.core import Action, Artifact, Digest, PrincipalId, SystemClock
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.local.journal import FileJournals
from keelway.engines.sql import SqlState
from keelway.errors import StorageError
from keelway.ledger import Transaction, decisions
from keelway.serve import (
    Journal,
    JournalLog,
    LineWriter,
    PredictionSegment,
    SealingPorts,
    WriterParts,
    predictions,
    seal_journals,
)
from keelway.serve.log import SEAL_LINES

NOW = datetime(1998, 1, 1, tzinfo=UTC)
DIGEST = Digest("sha256:" + "0" * 64)
ANA = PrincipalId("user:ana")
WRITER = LineWriter(WriterParts(
    model="churn", version="churn:1", version_digest=DIGEST, deployment=DIGEST, environment="local", arm="stable",
    features=("recency_d",),
))  # fmt: skip


def lines(first: int, count: int = 1) -> bytes:
    ids = [f"{number:032x}" for number in range(first, first + count)]
    return WRITER.lines(ids, [("7", NOW, [1.5])] * count, ["0.25"] * count, at="1998-01-01T00:00:00Z")


class Disk:
    """A disk that is full while `full` is set; the journals and the state on it then take nothing."""

    def __init__(self) -> None:
        self.full = False

    def check(self) -> None:
        if self.full:
            raise StorageError("A prediction cannot be logged", found="No space left on device")


class JournalOnDisk:
    """A journal that fails while its disk is full."""

    def __init__(self, inner: Journal, disk: Disk) -> None:
        self._inner, self._disk = inner, disk

    def append(self, lines: bytes) -> None:
        self._disk.check()
        self._inner.append(lines)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class JournalsOnDisk:
    """Journals that fail while their disk is full."""

    def __init__(self, inner: FileJournals, disk: Disk) -> None:
        self._inner, self._disk = inner, disk

    def create(self, model: str, environment: str) -> Journal:
        self._disk.check()
        return JournalOnDisk(self._inner.create(model, environment), self._disk)

    def leftovers(self) -> AbstractContextManager[list[tuple[str, str, Journal]]]:
        return self._inner.leftovers()


class StateOnDisk:
    """A state store that cannot be written while its disk is full."""

    def __init__(self, inner: SqlState, disk: Disk) -> None:
        self._inner, self._disk = inner, disk

    def transaction(self) -> AbstractContextManager[Transaction]:
        self._disk.check()
        return self._inner.transaction()

    def snapshot(self) -> AbstractContextManager[Transaction]:
        return self._inner.snapshot()

    def close(self) -> None:
        self._inner.close()


class Place:
    """Journals, state and artifacts, each on a disk of its own that a test can fill."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "journals"
        self.journal_disk, self.state_disk = Disk(), Disk()
        self.state = StateOnDisk(SqlState(f"sqlite:///{folder / 's.db'}"), self.state_disk)
        self.artifacts = LocalArtifacts(folder / "artifacts")
        self.lost: list[int] = []

    def log(self) -> JournalLog:
        return JournalLog(
            "churn", environment="local", journals=JournalsOnDisk(FileJournals(self.folder), self.journal_disk),
            ports=SealingPorts(self.state, self.artifacts, ANA), clock=SystemClock(), on_unlogged=self.lost.append,
        )  # fmt: skip

    def seal_leftovers(self, artifacts: LocalArtifacts | None = None) -> list[PredictionSegment]:
        """Seal what dead processes left, as another process does."""
        ports = SealingPorts(self.state, artifacts or self.artifacts, ANA)
        return seal_journals(FileJournals(self.folder), ports=ports, now=NOW)

    def sealed(self) -> list[str]:
        """Return the ids of the sealed predictions."""
        with self.state.snapshot() as tx:
            found = predictions(tx, artifacts=self.artifacts, model="churn", environment="local")
            return sorted(prediction.prediction_id for prediction in found)

    def entries(self) -> int:
        """Return how many ledger entries tell of sealed predictions."""
        with self.state.snapshot() as tx:
            return sum(decision.action is Action.LOG_PREDICTIONS for _, decision in decisions(tx))

    def left(self) -> list[Path]:
        return sorted(self.folder.glob("*"))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.state.close()


def ids(first: int, count: int = 1) -> list[str]:
    return [f"{number:032x}" for number in range(first, first + count)]


def eventually(holds: Callable[[], bool], within_s: float = 90.0) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.01)
    return False


@pytest.fixture
def slow_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let sealing by time never come."""
    monkeypatch.setattr("keelway.serve.log.SEAL_EVERY_S", 600.0)


@pytest.mark.parametrize("open_before", [True, False], ids=["journal open", "no journal yet"])
def test_what_a_full_disk_refuses_is_counted_and_told_until_it_takes_lines_again(
    place: Place, open_before: bool
) -> None:
    log = place.log()
    if open_before:
        assert log.append(lines(0))
    place.journal_disk.full = True
    assert not log.append(lines(1, 3))
    assert not log.append(lines(4, 2))
    assert (log.healthy, log.unlogged, place.lost) == (False, 5, [3, 2])
    place.journal_disk.full = False
    assert log.append(lines(6))
    assert (log.healthy, log.unlogged) == (True, 5)
    log.seal()
    assert place.sealed() == ids(0) * open_before + ids(6)
    log.close()


def test_a_line_that_fits_only_in_part_is_taken_back(tmp_path: Path) -> None:
    journal = FileJournals(tmp_path).create("churn", "local")
    journal.append(lines(0))
    size = len(lines(0))

    def fill() -> bool:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, size + 10))
        with pytest.raises(StorageError, match="File too large"):
            journal.append(lines(1))
        return journal.read() == lines(0)

    assert in_a_child(fill)
    journal.append(lines(1))
    assert journal.read() == lines(0, 2)
    journal.remove()


def in_a_child(work: Callable[[], bool]) -> bool:
    """Do the work in a forked process, and say whether it went well."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if work() else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_long_journal_is_sealed_at_once_in_the_background(place: Place, slow_clock: None) -> None:
    log = place.log()
    log.start()
    log.append(lines(0, SEAL_LINES - 1))
    assert not eventually(lambda: place.entries() > 0, within_s=0.2)
    log.append(lines(SEAL_LINES - 1))
    assert eventually(lambda: place.entries() == 1)
    assert place.sealed() == ids(0, SEAL_LINES)
    log.close()


def test_a_short_journal_is_sealed_when_its_time_has_come(place: Place) -> None:
    log = place.log()
    log.start()
    log.append(lines(0))
    assert eventually(lambda: place.sealed() == ids(0))
    log.close()
    assert place.entries() == 1


def test_a_full_state_disk_delays_the_sealing_and_loses_nothing(place: Place) -> None:
    log = place.log()
    log.start()
    place.state_disk.full = True
    log.append(lines(0))
    assert eventually(lambda: "No space left" in log.seal_error)
    assert log.append(lines(1))  # writing goes on
    assert log.healthy
    place.state_disk.full = False
    assert eventually(lambda: place.sealed() == ids(0, 2))
    assert eventually(lambda: log.seal_error == "")
    log.close()


def test_closing_seals_and_leaves_no_file(place: Place, slow_clock: None) -> None:
    log = place.log()
    log.start()
    log.append(lines(0, 3))
    log.close()
    assert place.sealed() == ids(0, 3)
    assert place.left() == []


def test_what_cannot_be_sealed_at_the_end_is_sealed_by_the_next_start(place: Place, slow_clock: None) -> None:
    log = place.log()
    log.start()
    log.append(lines(0, 3))
    place.state_disk.full = True
    log.close()
    assert place.sealed() == []
    place.state_disk.full = False
    again = place.log()
    again.start()
    assert place.sealed() == ids(0, 3)
    again.close()
    assert place.left() == []


def test_a_line_written_while_the_log_closes_is_kept(place: Place, slow_clock: None) -> None:
    log = place.log()

    class AppendsLate(LocalArtifacts):
        """Stores the bytes, and takes one more request just then."""

        def put(self, data: bytes, **named: Any) -> Artifact:
            log.append(lines(1))
            return super().put(data, **named)

    place.artifacts = AppendsLate(place.folder.parent / "artifacts")
    log = place.log()
    log.append(lines(0))
    log.close()
    assert place.sealed() == ids(0)
    place.artifacts = LocalArtifacts(place.folder.parent / "artifacts")
    place.seal_leftovers()
    assert place.sealed() == ids(0, 2)


def test_what_a_neighbour_left_that_died_meanwhile_is_sealed_at_the_end(place: Place, slow_clock: None) -> None:
    log = place.log()
    log.start()
    neighbour = FileJournals(place.folder).create("churn", "local")
    neighbour.append(lines(0))
    alive = FileJournals(place.folder).create("churn", "local")
    alive.append(lines(1))
    neighbour.close()
    log.append(lines(2))
    log.close()
    assert place.sealed() == [*ids(0), *ids(2)], "who lives seals for itself"
    alive.close()


def test_two_threads_that_seal_one_log_seal_each_line_once(place: Place) -> None:
    log, barrier = place.log(), Barrier(2)

    def seal_together(_: int) -> list[PredictionSegment]:
        barrier.wait()
        return log.seal()

    with ThreadPoolExecutor(2) as threads:
        for turn in range(5):
            log.append(lines(turn))
            assert sum(len(found) for found in threads.map(seal_together, range(2))) == 1
    log.close()
    assert place.sealed() == ids(0, 5)
    assert place.entries() == 5


def test_two_starts_at_once_seal_what_was_left_once(place: Place) -> None:
    for number in range(6):
        journal = FileJournals(place.folder).create("churn", "local")
        journal.append(lines(number))
        journal.close()
    barrier = Barrier(2)

    def start(_: int) -> int:
        barrier.wait()
        return len(place.seal_leftovers())

    with ThreadPoolExecutor(2) as threads:
        assert sum(threads.map(start, range(2))) == 6
    assert place.sealed() == ids(0, 6)
    assert place.entries() == 6
    assert place.left() == []


def test_a_sealer_that_was_overtaken_takes_the_others_segment(place: Place) -> None:
    journal = FileJournals(place.folder).create("churn", "local")
    journal.append(lines(0, 2))
    journal.close()
    [path] = place.left()
    whole = path.read_bytes()
    faster: list[PredictionSegment] = []

    class Overtaken(LocalArtifacts):
        """Stores the bytes while somebody whose file lock means nothing here, as on some network disks, seals too."""

        def put(self, data: bytes, **named: Any) -> Artifact:
            path.rename(path.with_suffix(".held"))
            path.write_bytes(whole)
            faster.extend(place.seal_leftovers())
            path.with_suffix(".held").rename(path)
            return super().put(data, **named)

    assert place.seal_leftovers(Overtaken(place.folder.parent / "artifacts")) == faster
    assert place.sealed() == ids(0, 2)
    assert place.entries() == 1
    assert place.left() == []
