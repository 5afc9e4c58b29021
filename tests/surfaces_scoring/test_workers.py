"""Several processes on one port: the dead are replaced, the pause grows, signals reach everybody, and nobody is left."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.surfaces.scoring.house import replica_name
from keelway.surfaces.scoring.workers import LONGEST_PAUSE_S, WORKER, Inherited, inherited, pause_s

PROGRAM = Path(__file__).with_name("worker_program.py")
SUPERVISE = """
import sys
from keelway.surfaces.scoring.server import bind
from keelway.surfaces.scoring.workers import Supervisor

held = bind("127.0.0.1", 0, shared=True, listens=False)
port = held.getsockname()[1]
command = [sys.executable, sys.argv[1], sys.argv[2]]
Supervisor(command, workers=2, port=port, on_ready=lambda pids: print(port, *pids, flush=True)).run()
"""


class House:
    """A supervisor in a process of its own, with two workers."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        self.port, *self.first = (int(word) for word in process.stdout.readline().split())

    def answering(self, tries: int = 20) -> set[int]:
        """Return the process ids that answer; whoever was killed resets a connection that it had not yet taken."""
        found = set()
        for _ in range(tries):
            with (
                contextlib.suppress(ConnectionResetError),
                socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection,
            ):
                found.add(int(connection.makefile().readline()))
        return found

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@contextlib.contextmanager
def house(behaviour: str = "answers") -> Iterator[House]:
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISE, str(PROGRAM), behaviour], stdout=subprocess.PIPE, text=True
    )
    try:
        yield House(process)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def alive(pid: int) -> bool:
    """Say whether a process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def eventually(holds: Callable[[], bool], within_s: float = 90.0) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.02)
    return False


def test_the_dead_and_the_old_are_replaced_while_somebody_answers_and_the_end_is_everybodys() -> None:
    with house() as running:
        assert running.answering(60) == set(running.first), "both are asked"
        victim, other = running.first
        os.kill(victim, signal.SIGKILL)
        assert eventually(lambda: not alive(victim))
        assert running.answering() == {other}
        assert eventually(lambda: bool(running.answering() - {other})), "somebody new answers"
        second = running.answering(60)
        running.process.send_signal(signal.SIGHUP)
        assert eventually(lambda: not any(alive(pid) for pid in second)), "all of them were replaced"
        third = running.answering(60)
        assert running.stop() == 0
        assert not any(alive(pid) for pid in third)


def test_workers_end_when_their_supervisor_is_killed() -> None:
    with house() as running:
        running.process.kill()
        assert eventually(lambda: not any(alive(pid) for pid in running.first))


def test_workers_that_never_answer_end_the_supervisor_with_an_error() -> None:
    process = subprocess.run(
        [sys.executable, "-c", SUPERVISE, str(PROGRAM), "fails"],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert process.returncode != 0
    assert "exit code 3" in process.stderr


def test_what_is_no_worker_inherits_nothing() -> None:
    assert inherited({}) is None
    assert inherited({WORKER: ""}) is None


@given(st.integers(1, 10_000))
def test_pauses_grow_up_to_the_longest(deaths: int) -> None:
    assert 0 < pause_s(deaths) <= pause_s(deaths + 1) <= LONGEST_PAUSE_S


@pytest.mark.parametrize(("deaths", "expected"), [(0, 0.0), (1, 0.5), (2, 1.0), (3, 2.0), (7, 30.0)])
def test_the_first_pauses(deaths: int, expected: float) -> None:
    assert pause_s(deaths) == expected


@pytest.mark.parametrize(
    ("port", "worker", "name"),
    [
        (8080, None, f"{socket.gethostname()}/127.0.0.1:8080"),
        (0, None, f"{socket.gethostname()}/process-{os.getpid()}"),
        (0, Inherited(1, 8080, -1, -1), f"{socket.gethostname()}/127.0.0.1:8080/1"),
    ],
    ids=["one at a port", "one at any port", "one of several"],
)
def test_a_serving_process_is_called_by_its_place(port: int, worker: Inherited | None, name: str) -> None:
    assert replica_name("127.0.0.1", port, worker) == name
