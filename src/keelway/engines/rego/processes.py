"""Asks rego-cpp in processes of their own, so that a policy that crashes, hangs or fills memory is a refusal.

rego-cpp ends its whole process on a deeply nested text and where memory runs out, and it asks for as long as a policy
goes on. So each question goes to a process that runs `answering.py`: started when it is first needed, kept warm,
limited in processor time and memory, and replaced after it ended. It gets no environment and sees no secret.
"""

from __future__ import annotations

import atexit
import importlib.util
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from keelway.engines.rego import answering
from keelway.errors import EngineError

if TYPE_CHECKING:
    from subprocess import Popen

ENDED = b"!"
"""The kind of an answer that never came, because the process ended."""
MOST_ENDED = 3
"""After so many ended processes a policy is given up: each may have taken all its time."""
_PASSED_ON = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "PATH")
_CPU_SIGNAL, _CLOCK_SIGNAL = getattr(signal, "SIGPROF", None), getattr(signal, "SIGALRM", None)


@dataclass(frozen=True, slots=True)
class EvaluationLimits:
    """What one evaluation may use.

    Attributes:
        seconds: Processor time; by the clock thirty times that, on a machine with other things to do.
        memory: Bytes, for all that one process keeps.
    """

    seconds: float = 10.0
    memory: int = 1 << 30


class RegoProgram:
    """Texts of Rego and a query, to be compiled together."""

    def __init__(self, name: str, files: Mapping[str, str], query: str) -> None:
        self.name = name
        self.files = dict(files)
        self.query = query

    @cached_property
    def key(self) -> str:
        """What it is known by in the processes."""
        return sha256(json.dumps([self.files, self.query], sort_keys=True).encode()).hexdigest()

    @cached_property
    def building(self) -> bytes:
        """The request to compile it.

        Raises:
            UnicodeError: A text holds half a character.
        """
        request = {"build": self.key, "name": self.name, "files": self.files, "query": self.query}
        return answering.frame(json.dumps(request, ensure_ascii=False).encode())


class RegoReply(NamedTuple):
    """What came back for one document: a letter of `answering`, or ENDED, and what belongs to it."""

    kind: bytes
    text: str


class _ProcessEndedError(Exception):
    """The process ended before it answered; the text says how."""


class AnsweringProcess:
    """One process that answers; for one thread at a time."""

    def __init__(self, limits: EvaluationLimits) -> None:
        from subprocess import DEVNULL, PIPE, Popen

        found = importlib.util.find_spec("regopy")
        if found is None or found.origin is None or not sys.executable:
            raise EngineError(
                "The policy engine cannot be started",
                expected="the package regopy, and a Python to run it",
                found=sys.executable if found is None else "no Python interpreter",
                fix="pip install regopy",
            )
        packages = str(Path(found.origin).parents[1])
        self._limits = limits
        self._built: set[str] = set()
        self._process: Popen[bytes] = Popen(
            [sys.executable, "-I", "-S", answering.__file__, packages, str(limits.seconds), str(limits.memory)],
            stdin=PIPE, stdout=PIPE, stderr=DEVNULL, bufsize=0,  # what is buffered would be written twice after a fork
            env={key: os.environ[key] for key in _PASSED_ON if key in os.environ},
        )  # fmt: skip
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._answers = self._process.stdin, BufferedReader(self._process.stdout)  # type: ignore[type-var]

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it can still be asked."""
        return self._process.poll() is None

    def build(self, program: RegoProgram) -> RegoReply:
        """Compile a program, and return `answering.BUILT` or what speaks against it."""
        (reply,) = self._talk(program.building, 1)
        self._built.add(program.key)
        return reply

    def ask(self, program: RegoProgram, documents: Sequence[bytes]) -> list[RegoReply]:
        """Return a program's answers to documents."""
        if program.key not in self._built:
            self.build(program)
        head = json.dumps({"ask": program.key, "count": len(documents)}).encode()
        request = b"".join(answering.frame(body) for body in (head, *documents))
        replies = self._talk(request, len(documents))
        if replies[0].kind == answering.UNKNOWN:  # so many others were asked since
            self.build(program)
            replies = self._talk(request, len(documents))
        return replies

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        self.let_go()

    def let_go(self) -> None:
        """Close the pipes; a process that nobody can ask any more ends by itself."""
        self._requests.close()
        self._answers.close()

    def forget(self) -> None:
        """Leave the process to the one that this one was forked from."""
        self.let_go()
        self._process.returncode = 0

    def _talk(self, request: bytes, count: int) -> list[RegoReply]:
        """Send a request, and return so many answers, or a single one that the program is not known."""
        replies: list[RegoReply] = []
        unsent = memoryview(request)
        try:
            while unsent:
                unsent = unsent[os.write(self._requests.fileno(), unsent) :]
            while len(replies) < count:
                body = answering.read_frame(self._answers)
                if body is None:
                    raise BrokenPipeError
                replies.append(RegoReply(body[:1], body[1:].decode()))
                if replies[0].kind == answering.UNKNOWN:
                    break
        except OSError as error:
            raise _ProcessEndedError(self._ending()) from error
        return replies

    def _ending(self) -> str:
        """Say how the process ended."""
        self._process.kill()
        code = self._process.wait()
        if code == answering.OUT_OF_MEMORY:
            return f"it needs more than {self._limits.memory >> 20} MB of memory"
        if code >= 0:
            return f"it ended with status {code}"
        if -code == _CPU_SIGNAL:
            return f"it took more than {self._limits.seconds:g} s of processor time"
        if -code == _CLOCK_SIGNAL:
            return f"it took more than {self._limits.seconds * answering.WALL_FACTOR:g} s"
        name = signal.Signals(-code).name
        memory = f", as it does out of memory ({self._limits.memory >> 20} MB)" if name == "SIGABRT" else ""
        return f"it ended by signal {-code} ({name}){memory}"


class AnsweringProcesses:
    """Processes that are kept to be asked; any thread may ask.

    Args:
        most: So many are asked at the same time; others wait.
    """

    def __init__(self, limits: EvaluationLimits, most: int) -> None:
        self._limits = limits
        self._places = threading.BoundedSemaphore(most)
        self._lock = threading.Lock()
        self._idle: list[AnsweringProcess] = []
        self._all: set[AnsweringProcess] = set()

    def build(self, program: RegoProgram) -> RegoReply:
        """Return `answering.BUILT` for a program that compiles, or what speaks against it."""
        try:
            with self._one() as process:
                return process.build(program)
        except _ProcessEndedError as error:
            return RegoReply(ENDED, str(error))

    def ask(self, program: RegoProgram, documents: Sequence[bytes]) -> list[RegoReply]:
        """Return a program's answers to documents.

        Those on which a process ended are ENDED, and no others: after MOST_ENDED of them the rest is not asked.
        """
        try:
            with self._one() as process:
                return process.ask(program, documents)
        except _ProcessEndedError as error:
            if len(documents) == 1:
                return [RegoReply(ENDED, str(error))]
        replies: list[RegoReply] = []
        for document in documents:
            gone = [reply for reply in replies if reply.kind == ENDED]
            replies += self.ask(program, [document]) if len(gone) < MOST_ENDED else gone[-1:]
        return replies

    def stop(self) -> None:
        """End the processes."""
        with self._lock:
            ending, self._idle = self._idle, []
            self._all.clear()
        for process in ending:
            process.stop()

    def forget(self) -> None:
        """Leave the processes to the one that this one was forked from."""
        for process in self._all:
            process.forget()

    @contextmanager
    def _one(self) -> Iterator[AnsweringProcess]:
        """Lend a process; one whose answer was not waited for is ended."""
        with self._places:
            process = self._next()
            try:
                yield process
            except BaseException:
                with self._lock:
                    self._all.discard(process)
                process.stop()
                raise
            with self._lock:
                self._idle.append(process)

    def _next(self) -> AnsweringProcess:
        while True:
            with self._lock:
                process = self._idle.pop() if self._idle else None
            if process is None:
                made = AnsweringProcess(self._limits)
                with self._lock:
                    self._all.add(made)
                return made
            if process.running:
                return process
            with self._lock:
                self._all.discard(process)
            process.let_go()


_pools: dict[EvaluationLimits, AnsweringProcesses] = {}
_pools_lock = threading.Lock()


def processes(limits: EvaluationLimits) -> AnsweringProcesses:
    """Return the processes of this process that keep to some limits."""
    with _pools_lock:
        if limits not in _pools:
            _pools[limits] = AnsweringProcesses(limits, max(2, available_processors()))
        return _pools[limits]


def available_processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _stop_all() -> None:
    for pool in _pools.values():
        pool.stop()


def _forget_all() -> None:
    """In a forked process: those that answer belong to the other one."""
    global _pools_lock  # noqa: PLW0603  (whoever held it does not exist here)
    _pools_lock = threading.Lock()
    for pool in _pools.values():
        pool.forget()
    _pools.clear()


atexit.register(_stop_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
