"""Several processes on one port: one that supervises, and the workers that answer.

The supervisor holds the port and answers nothing. Each worker is a process of its own that listens on it (SO_REUSEPORT), so
the kernel spreads connections evenly over those that are alive; a worker that dies takes its own with it. A dead worker is
started again after a pause that grows with every death in a row; SIGTERM lets every worker answer what it began and seal
its log; SIGHUP starts each worker anew, one after the other, the new one before the old one ends.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from keelway.errors import ServingError
from keelway.surfaces.lifeline import end_with
from keelway.surfaces.scoring.metrics import SHARED_FOLDER

WORKER = "KEELWAY_WORKER"
"""Set for a worker: its number, the port and two inherited descriptors, NUMBER:PORT:READY:LIFELINE."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
STEADY_S = 60.0
"""A worker that lived so long dies for the first time again."""
START_S, STOP_S = 120.0, 20.0

_log = logging.getLogger(__name__)


def pause_s(deaths: int) -> float:
    """Return how long to wait before a worker is started again, after so many deaths in a row."""
    return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(deaths - 1, 10)) if deaths else 0.0


@dataclass(frozen=True, slots=True)
class Inherited:
    """What a worker got from its supervisor.

    Attributes:
        number: Counts the workers from 0.
        port: Where all of them listen.
        ready: The descriptor that tells the supervisor.
        lifeline: The descriptor whose other end closes with the supervisor.
    """

    number: int
    port: int
    ready: int
    lifeline: int

    def tell_ready(self) -> None:
        """Tell the supervisor that requests are answered."""
        os.write(self.ready, b"r")

    def end_with_supervisor(self) -> None:
        """End this process as SIGTERM does when its supervisor is gone, however that went."""
        end_with(self.lifeline)


def inherited(environment: Mapping[str, str] = os.environ) -> Inherited | None:
    """Return what this process inherited as a worker; None where it is none."""
    told = environment.get(WORKER)
    if not told:
        return None
    return Inherited(*(int(part) for part in told.split(":")))


@dataclass(slots=True)
class _Slot:
    """One place for a worker, and who has it.

    Attributes:
        deaths: In a row.
        due_at: When a dead worker is started again.
    """

    number: int
    process: subprocess.Popen[bytes] | None = None
    told: int = -1
    is_ready: bool = False
    began_at: float = 0.0
    deaths: int = 0
    due_at: float = 0.0


class Supervisor:
    """Starts workers and keeps them running until it is told to end.

    Args:
        command: What a worker executes.
        port: Where all of them listen; the caller holds it.
        on_ready: Called once with the process ids, when every worker answers for the first time.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        workers: int,
        port: int,
        on_ready: Callable[[tuple[int, ...]], None],
    ) -> None:
        self._command = list(command)
        self._port = port
        self._on_ready = on_ready
        self._slots = [_Slot(number) for number in range(workers)]
        self._leaving: list[subprocess.Popen[bytes]] = []
        self._selector = selectors.DefaultSelector()
        self._ever_ready = self._stopping = False
        self._renewals: list[_Slot] = []
        self._shared = ""
        self._lifeline = (-1, -1)

    def run(self) -> None:
        """Supervise until SIGTERM or SIGINT, then end every worker.

        Raises:
            ServingError: A worker ended before any of them ever answered.
        """
        self._shared = tempfile.mkdtemp(prefix="keelway-metrics-")
        self._lifeline = os.pipe()
        try:
            with self._signals():
                self._supervise()
        finally:
            self._end_all()
            os.close(self._lifeline[0])
            os.close(self._lifeline[1])
            self._selector.close()
            shutil.rmtree(self._shared, ignore_errors=True)

    def _supervise(self) -> None:
        while not self._stopping:
            now = time.monotonic()
            for slot in self._slots:
                if slot.process is None and now >= slot.due_at:
                    self._start(slot)
            waits = [slot.due_at - now for slot in self._slots if slot.process is None]
            self._listen(min([1.0, *waits]))
            self._reap()
            self._renew()

    def _start(self, slot: _Slot) -> None:
        told, ready = os.pipe()
        lifeline = self._lifeline[0]
        told_so = f"{slot.number}:{self._port}:{ready}:{lifeline}"
        try:
            slot.process = subprocess.Popen(
                self._command,
                pass_fds=(ready, lifeline),
                env={**os.environ, WORKER: told_so, SHARED_FOLDER: self._shared},
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C in a terminal is the supervisor's to pass on
            )
        finally:
            os.close(ready)
        slot.told, slot.is_ready, slot.began_at = told, False, time.monotonic()
        self._selector.register(told, selectors.EVENT_READ, slot)

    def _listen(self, wait_s: float) -> None:
        """Take what workers and signals tell within some time, at once when one does."""
        for key, _ in self._selector.select(wait_s):
            if isinstance(key.data, _Slot):
                self._heard(key.data)
            else:
                os.read(key.fd, 512)

    def _heard(self, slot: _Slot) -> None:
        """Take what a worker tells: that it answers, or, by closing its end, that it is gone."""
        if not os.read(slot.told, 1):
            self._hear_no_more(slot)
            return
        slot.is_ready = True
        if not self._ever_ready and all(each.is_ready for each in self._slots):
            self._ever_ready = True
            self._on_ready(self._pids())

    def _hear_no_more(self, slot: _Slot) -> None:
        """Close this end of what a worker tells by, if it is open."""
        if slot.told >= 0:
            self._selector.unregister(slot.told)
            os.close(slot.told)
            slot.told = -1

    def _reap(self) -> None:
        """Take note of workers that ended, and say when they are started again."""
        self._leaving = [process for process in self._leaving if process.poll() is None]
        for slot in self._slots:
            if slot.process is None or slot.process.poll() is None:
                continue
            process, slot.process = slot.process, None
            self._forget(process.pid)
            self._hear_no_more(slot)
            if not self._ever_ready:
                raise ServingError(
                    "A serving process ended before it answered",
                    expected="a process that answers",
                    found=f"exit code {process.returncode}",
                    fix="Its own message stands above.",
                )
            now = time.monotonic()
            slot.deaths = 1 if now - slot.began_at >= STEADY_S else slot.deaths + 1
            slot.due_at = now + pause_s(slot.deaths)
            slot.is_ready = False
            _log.error(
                "Worker %d (process %d) ended with %d; it is started again in %.1f s",
                slot.number, process.pid, process.returncode, pause_s(slot.deaths),
            )  # fmt: skip

    def _renew(self) -> None:
        """Replace the workers one after the other: the next one only when the last one's successor answers."""
        if not self._renewals or not all(slot.is_ready or slot.process is None for slot in self._slots):
            return
        slot = self._renewals.pop(0)
        old = slot.process
        self._hear_no_more(slot)
        self._start(slot)
        if old is not None:
            self._leave_when_ready(slot, old)

    def _leave_when_ready(self, slot: _Slot, old: subprocess.Popen[bytes]) -> None:
        """Let a worker's successor begin to answer, then ask the old one to end."""
        deadline = time.monotonic() + START_S
        while not slot.is_ready and time.monotonic() < deadline and not self._stopping:
            if slot.process is None or slot.process.poll() is not None:
                break
            self._listen(0.1)
        if slot.is_ready or self._stopping:
            old.terminate()
            self._leaving.append(old)
            return
        _log.error("The successor of worker %d does not answer; the old one goes on", slot.number)
        if slot.process is not None:
            slot.process.kill()
            slot.process.wait()
        slot.process, slot.is_ready = old, True
        self._renewals.clear()

    def _end_all(self) -> None:
        """Ask every worker to end, and make those that do not."""
        running = [slot.process for slot in self._slots if slot.process is not None] + self._leaving
        for process in running:
            process.terminate()
        deadline = time.monotonic() + STOP_S
        for process in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
            if process.poll() is None:
                process.kill()
                process.wait()
        for slot in self._slots:
            self._hear_no_more(slot)

    def _forget(self, pid: int) -> None:
        """Let what a dead worker last told of its present state no longer count."""
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(pid, self._shared)  # type: ignore[no-untyped-call]  # it has half its types

    def _pids(self) -> tuple[int, ...]:
        return tuple(slot.process.pid for slot in self._slots if slot.process is not None)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Wake up at signals, and note what they ask for."""
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        woken = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        self._selector.register(reader, selectors.EVENT_READ, None)
        handlers = {
            signal.SIGTERM: lambda *_: self._stop(),
            signal.SIGINT: lambda *_: self._stop(),
            signal.SIGHUP: lambda *_: self._renewals.extend(self._slots),
            signal.SIGCHLD: lambda *_: None,
        }
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(woken)
            self._selector.unregister(reader)
            os.close(reader)
            os.close(writer)

    def _stop(self) -> None:
        self._stopping = True
