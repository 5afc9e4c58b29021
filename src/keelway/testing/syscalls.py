"""Kills a process when it is about to make one of its system calls that others could notice, whichever thread makes it.

`strace` follows all threads of a child, but not the programs that it starts, and sends SIGKILL instead of letting the call
happen: the hardest moment to die at is between any two of them. It counts the calls of each kind and of each thread by
themselves, so that a point is a kind of call and a number, and the points of all kinds are all calls.

>>> code = killed(work, at=("fsync", 3))      # doctest: +SKIP
-9
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from keelway.testing.forks import forked

CALLS = (
    "write,pwrite64,writev,pwritev,fsync,fdatasync,ftruncate,truncate,rename,renameat,renameat2,link,linkat,"
    "unlink,unlinkat,mkdir,mkdirat,rmdir,fchmod,chmod,sendto,sendmsg"
)
"""What changes the disk, or is said to a server."""
_LINE = re.compile(r"^(\d+) +(\w+)\(")


def must_trace() -> None:
    """Skip a test where no process may be traced."""
    if shutil.which("strace") is None:
        pytest.skip("the program `strace` is not installed")
    if subprocess.run(["strace", "-qq", "-o", "/dev/null", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let a process be traced")


def calls_by_thread(work: Callable[[], object], told: Path) -> dict[str, Counter[str]]:
    """Do work in a child, and return how often each of its threads made each call."""
    if (code := _traced(work, ["-o", str(told)])) != 0:
        raise RuntimeError(f"the work that is to be killed failed with {code}")
    found: dict[str, Counter[str]] = {}
    for line in told.read_text().splitlines():
        if match := _LINE.match(line):
            found.setdefault(match[1], Counter())[match[2]] += 1
    return found


def points(threads: dict[str, Counter[str]]) -> list[tuple[str, int]]:
    """Return every call that there is to be killed at: its kind, and how many of that kind its thread has made then.

    >>> points({"7": Counter(fsync=2), "8": Counter(fsync=1, write=1)})
    [('fsync', 1), ('fsync', 2), ('write', 1)]
    """
    most: Counter[str] = Counter()
    for counted in threads.values():
        most |= counted
    return [(call, number) for call, times in sorted(most.items()) for number in range(1, times + 1)]


def killed(work: Callable[[], object], *, at: tuple[str, int]) -> int:
    """Do work in a child that is killed when a thread is about to make that call, and return how it ended."""
    call, number = at
    return _traced(work, ["-o", os.devnull, "-e", f"inject={call}:signal=KILL:when={number}"])


def _traced(work: Callable[[], object], words: Sequence[str]) -> int:
    tracers: list[subprocess.Popen[bytes]] = []

    def trace(child: int) -> None:
        strace = [shutil.which("strace") or "strace", "-f", "-b", "execve", "-qq"]
        program = [*strace, "-e", f"trace={CALLS}", *words, "-p", str(child)]
        tracers.append(subprocess.Popen(program))
        status = Path(f"/proc/{child}/status")
        while "TracerPid:\t0\n" in status.read_text():
            if tracers[0].poll() is not None:
                raise RuntimeError("strace could not attach")
            time.sleep(0.001)

    code = forked(work, meanwhile=trace)
    tracers[0].wait()
    return code
