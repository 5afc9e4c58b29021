"""Long journals are packed by a process of its own, as the server would pack them; whatever happens to it, they are packed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from keelway.core import PrincipalId, SystemClock, canonical_json
from keelway.engines.local import packing
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.local.journal import FileJournals
from keelway.engines.local.packing import LONG_BYTES, NICENESS, PackingProcess
from keelway.engines.sql import SqlState
from keelway.errors import IntegrityError
from keelway.serve import JournalLog, SealingPorts, predictions
from keelway.serve.segment_lines import packed_here
from keelway.testing.prediction_log import prediction_of

COUNT = 600


def lines(first: int = 0, count: int = COUNT) -> bytes:
    found = b"".join(canonical_json(prediction_of(number)) + b"\n" for number in range(first, first + count))
    assert (len(found) >= LONG_BYTES) is (count >= COUNT)
    return found


def eventually(holds: Callable[[], bool], within_s: float = 60.0) -> bool:
    deadline = time.monotonic() + within_s
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.01)
    return holds()


@pytest.fixture
def pack() -> Iterator[PackingProcess]:
    made = PackingProcess()
    yield made
    made.close()


def pid_of(pack: PackingProcess) -> int:
    assert pack.pid is not None
    return pack.pid


def is_gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


def test_long_journals_are_packed_by_one_process_as_they_would_be_here(pack: PackingProcess) -> None:
    assert pack(lines()) == packed_here(lines())
    first = pid_of(pack)
    assert first != os.getpid()
    for begin, count in ((7, COUNT), (1_000, 5_000)):
        assert pack(lines(begin, count)) == packed_here(lines(begin, count))
    assert pack.pid == first


def test_a_server_with_little_to_do_has_no_such_process(pack: PackingProcess) -> None:
    assert pack(lines(count=3)) == packed_here(lines(count=3))
    assert pack.pid is None


def test_it_gives_way_to_whoever_answers(pack: PackingProcess) -> None:
    pack(lines())
    mine = os.getpriority(os.PRIO_PROCESS, 0)
    assert eventually(lambda: os.getpriority(os.PRIO_PROCESS, pid_of(pack)) == min(19, mine + NICENESS))


@pytest.mark.parametrize("damaged", [b"{}", b"no JSON", canonical_json(prediction_of(1))[:-1]])
@pytest.mark.parametrize("place", [0, COUNT])
def test_damage_is_told_in_the_same_words_and_the_process_goes_on(
    pack: PackingProcess, damaged: bytes, place: int
) -> None:
    every = lines().splitlines(keepends=True)
    written = b"".join([*every[:place], damaged, b"\n", *every[place:]])
    with pytest.raises(IntegrityError) as here:
        packed_here(written)
    with pytest.raises(IntegrityError) as there:
        pack(written)
    assert str(there.value) == str(here.value)
    before = pack.pid
    assert pack(lines()) == packed_here(lines())
    assert pack.pid == before


def test_lines_of_a_process_that_dies_are_packed_here_and_another_is_started_later(
    pack: PackingProcess, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pack(lines())
    first = pid_of(pack)
    os.kill(first, signal.SIGKILL)
    assert pack(lines(3)) == packed_here(lines(3))
    assert "packed in the server itself" in caplog.text
    assert is_gone(first)
    assert pack(lines()) == packed_here(lines())
    assert pack.pid is None, "not again at once"
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + packing.AGAIN_S)
    assert pack(lines()) == packed_here(lines())
    assert pack.pid not in (None, first)


def test_a_process_that_hangs_is_ended(pack: PackingProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "ANSWER_S", 1)
    pack(lines())
    first = pid_of(pack)
    os.kill(first, signal.SIGSTOP)
    assert pack(lines(3, 5_000)) == packed_here(lines(3, 5_000))
    assert pack.pid is None
    assert is_gone(first)


def test_where_none_can_be_started_lines_are_packed_all_the_same(
    pack: PackingProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    assert pack(lines()) == packed_here(lines())
    assert pack.pid is None


def test_closing_ends_it_and_may_be_done_twice(pack: PackingProcess) -> None:
    pack(lines())
    first = pid_of(pack)
    pack.close()
    pack.close()
    assert is_gone(first)
    assert pack.pid is None


def test_it_ends_with_a_server_that_is_killed() -> None:
    program = (
        "import sys; from keelway.engines.local.packing import PackingProcess\n"
        "pack = PackingProcess(); pack(sys.stdin.buffer.read()); print(pack.pid, flush=True)\n"
        "import time; time.sleep(600)"
    )
    server = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert server.stdin is not None
    assert server.stdout is not None
    with server, server.stdin as given:
        given.write(lines())
        given.close()
        pid = int(server.stdout.readline())
        assert not is_gone(pid)
        server.kill()
        assert eventually(lambda: is_gone(pid))


def test_a_log_seals_what_it_was_given(pack: PackingProcess, tmp_path: Path) -> None:
    state, artifacts = SqlState(f"sqlite:///{tmp_path / 's.db'}"), LocalArtifacts(tmp_path / "artifacts")
    ports = SealingPorts(state, artifacts, PrincipalId("user:ana"), pack=pack)
    log = JournalLog(
        "churn", environment="prod", journals=FileJournals(tmp_path / "journals"), ports=ports, clock=SystemClock()
    )
    given = lines(count=5_000 + COUNT)
    for begin in range(0, len(given), 1 << 20):
        begun, ended = given.rfind(b"\n", 0, begin) + 1, given.rfind(b"\n", 0, begin + (1 << 20)) + 1
        assert log.append(given[begun:ended])
    [*segments] = log.seal()
    log.close()
    assert pack.pid is not None
    assert sum(each.count for each in segments) == 5_000 + COUNT
    with state.snapshot() as tx:
        found = [each.prediction_id for each in predictions(tx, artifacts=artifacts, model="churn", environment="prod")]
    assert found == [prediction_of(number).prediction_id for number in range(5_000 + COUNT)]
    assert segments[0].sealed_at - segments[0].first_event > timedelta(0)
    assert list((tmp_path / "journals").iterdir()) == []
    state.close()
