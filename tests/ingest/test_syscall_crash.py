"""Killed at any system call that others could notice, an ingest is finished by the next one: one version, exact rows."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from keelway.core import digest_of
from keelway.ingest import Batch, SeenFile
from keelway.ledger import decisions
from keelway.snapshot import Snapshot, newest
from keelway.testing.crash import stride
from keelway.testing.forks import forked, preload
from keelway.testing.shop import ORDERS, Shop
from keelway.testing.syscalls import calls_by_thread, killed, must_trace, points

FEW = 24
"""Calls that are tried, spread evenly, unless KEELWAY_SWEEP_EVERY is 1: then all are."""


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


def sweep(folder: Path) -> dict[str, object]:
    """Kill at one call after another; return how many died, and what went wrong. Runs in its own process."""
    template = folder / "template"
    preload(lambda: first_day(template))
    whole = copied(template, folder / "whole")
    threads = calls_by_thread(lambda: ingest(whole), folder / "calls.txt")
    expected, calls = outcome(whole), points(threads)
    chosen = calls if stride() == 1 else calls[:: -(-len(calls) // FEW)]
    died, wrong = 0, []
    for at in chosen:
        again = partial(ingest, copied(template, folder / "killed"))
        code = killed(again, at=at)
        died += code == -signal.SIGKILL
        if code not in (0, -signal.SIGKILL):  # the number of calls varies by one or two from run to run
            wrong.append(f"{at}: ended with {code}")
        if forked(again) != 0:
            wrong.append(f"{at}: the second run failed")
        elif (found := outcome(folder / "killed")) != expected:
            wrong.append(f"{at}: {found}")
    return {"calls": len(calls), "swept": len(chosen), "died": died, "wrong": wrong}


def copied(template: Path, root: Path) -> Path:
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(template, root, copy_function=shutil.copy2)
    return root


@pytest.mark.crash
@pytest.mark.timeout(3600)
def test_killed_at_any_system_call_changes_nothing_in_the_end(tmp_path: Path) -> None:
    must_trace()
    start = f"import sys, json; sys.path.insert(0, {str(Path(__file__).parent)!r})\nfrom pathlib import Path\n"
    start += "import test_syscall_crash as t\nprint(json.dumps(t.sweep(Path(sys.argv[1]))))"
    command = [sys.executable, "-c", start, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["wrong"] == []
    assert told["calls"] > 30
    assert told["died"] >= 0.8 * told["swept"]  # which thread makes how many calls varies from run to run
