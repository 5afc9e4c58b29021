"""Killed at any system call that changes the disk, an ingest is finished by the next one: one version, exact rows.

`strace` sends SIGKILL when the process is about to make its n-th such call; the call itself is not made any more.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from keelway.core import digest_of
from keelway.ingest import Batch, SeenFile
from keelway.ledger import decisions
from keelway.snapshot import Snapshot, newest
from keelway.testing.forks import forked, preload
from keelway.testing.shop import ORDERS, Shop

CALLS = (
    "write,pwrite64,writev,pwritev,fsync,fdatasync,ftruncate,truncate,rename,renameat,renameat2,link,linkat,"
    "unlink,unlinkat,mkdir,mkdirat,rmdir,fchmod,chmod"
)
POINTS = 70
"""Calls that are tried of each sweep; where there are more, they are spread evenly."""


def upload(shop: Shop, day: int) -> None:
    shop.upload(f"1997-01-0{day}", f"{day},1997-01-0{day},1,2.5\n{day},,bad,\n")


def first_day(root: Path) -> None:
    """Take in one day and let the next arrive: what is killed below is a commit onto a version."""
    shop = Shop.open(root)
    upload(shop, 1)
    shop.ingest()
    upload(shop, 2)
    shop.state.close()


def ingest(root: Path) -> None:
    Shop.open(root).ingest()


def outcome(root: Path) -> dict[str, object]:
    """Return what the second run must not change: versions, rows, batches, ledger, files of the table."""
    shop = Shop.open(root)
    with shop.state.snapshot() as tx:
        snapshot = newest(ORDERS.name, tx)
        found = {
            "versions": tx.count(Snapshot),
            "batches": [digest_of(batch) for batch in tx.newest(Batch)],
            "seen": tx.count(SeenFile),
            "ledger": [decision.action for _, decision in decisions(tx)],
            "rows": snapshot.rows if snapshot else 0,
            "snapshot": snapshot.snapshot_id if snapshot else "",
        }
    shop.state.close()
    return found


def killed(work: Callable[[], None], at: int) -> int:
    """Do work in a child that is killed at its n-th call, and return how it ended."""
    tracers: list[subprocess.Popen[bytes]] = []
    code = forked(work, meanwhile=lambda child: tracers.append(traced(child, at)))
    tracers[0].wait()
    return code


def traced(child: int, at: int) -> subprocess.Popen[bytes]:
    """Return the tracer of a child's main thread, once it is attached."""
    program = [shutil.which("strace") or "strace", "-qq", "-o", "/dev/null", "-e", f"trace={CALLS}"]
    tracer = subprocess.Popen([*program, "-e", f"inject={CALLS}:signal=KILL:when={at}", "-p", str(child)])
    status = Path(f"/proc/{child}/status")
    while "TracerPid:\t0\n" in status.read_text():
        if tracer.poll() is not None:
            os.kill(child, signal.SIGKILL)
            raise RuntimeError("strace could not attach")
        time.sleep(0.001)
    return tracer


def sweep(folder: Path) -> tuple[int, list[str]]:
    """Kill at one call after another; return how many died, and what went wrong. Runs in its own process."""
    template = folder / "template"
    preload(lambda: first_day(template))
    whole = copied(template, folder / "whole")
    forked(lambda: ingest(whole))
    expected = outcome(whole)
    calls = count(lambda at: killed(lambda: ingest(copied(template, folder / "counting")), at))
    died, wrong = 0, []
    for at in range(1, calls + 1, max(1, calls // POINTS)):
        root = copied(template, folder / "killed")
        again = partial(ingest, root)
        code = killed(again, at)
        died += code == -signal.SIGKILL
        if code not in (0, -signal.SIGKILL):  # the number of calls varies by one or two from run to run
            wrong.append(f"{at}: ended with {code}")
        if forked(again) != 0:
            wrong.append(f"{at}: the second run failed")
        elif (found := outcome(root)) != expected:
            wrong.append(f"{at}: {found}")
    return died, wrong


def copied(template: Path, root: Path) -> Path:
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(template, root, copy_function=shutil.copy2)
    return root


def count(run: Callable[[int], int]) -> int:
    """Return the last call that there is to be killed at."""
    low, high = 1, 64
    while run(high) != 0:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if run(middle) != 0 else (low, middle)
    return low


@pytest.fixture
def tracing() -> None:
    if shutil.which("strace") is None:
        pytest.skip("the program `strace` is not installed")
    tried = subprocess.run(["strace", "-qq", "-o", "/dev/null", "true"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip("this machine does not let a process be traced")


def test_killed_at_any_system_call_changes_nothing_in_the_end(tracing: None, tmp_path: Path) -> None:
    start = f"import sys, json; sys.path.insert(0, {str(Path(__file__).parent)!r})\nfrom pathlib import Path\n"
    start += "import test_syscall_crash as t\nprint(json.dumps(t.sweep(Path(sys.argv[1]))))"
    command = [sys.executable, "-c", start, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    died, wrong = json.loads(done.stdout)
    assert died > 30
    assert wrong == []
