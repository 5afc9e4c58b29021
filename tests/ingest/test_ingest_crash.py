"""Whatever write the process dies at, the next run ends where an undisturbed one does."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from keelway.testing.shop import ORDERS, Shop

from keelway.core import digest_of
from keelway.ingest import Batch
from keelway.ledger import decisions
from keelway.snapshot import newest, read
from keelway.testing.crash import EXIT_CODE, CrashingArtifacts, CrashingState, CrashingTables, CrashPoint

DAYS = 3


def grow(root: Path, crash: CrashPoint, *, pause_s: float = 0.0) -> None:
    """Upload day after day and take each in; start over wherever an earlier run was ended."""
    shop = Shop.open(root)
    shop = shop.through(
        state=CrashingState(shop.state, crash),
        artifacts=CrashingArtifacts(shop.artifacts, crash),
        tables=CrashingTables(shop.tables, crash),
    )
    for day in range(1, DAYS + 1):
        path = root / f"objects/raw/orders/dt=1997-01-0{day}/orders.csv"
        shop.ingest()  # what an ended run left unfinished comes before anything new
        if not path.exists():
            shop.upload(f"1997-01-0{day}", f"{day},1997-01-0{day},1,2.5\n{day},,bad,\n")
        shop.ingest()
        time.sleep(pause_s)


def outcome(root: Path) -> dict[str, object]:
    shop = Shop.open(root)
    with shop.state.snapshot() as tx:
        snapshot = newest(ORDERS.name, tx)
        batches = [digest_of(batch) for batch in tx.newest(Batch)]
        actions = [decision.action for _, decision in decisions(tx)]
    assert snapshot is not None
    files = [path.name for path in read(snapshot, tables=shop.tables, artifacts=shop.artifacts)]
    in_table = shop.tables.files(ORDERS.name, snapshot.table_version)
    assert sorted(files) == in_table
    assert snapshot.rows == DAYS
    return {"snapshot": digest_of(snapshot), "batches": batches, "actions": actions}


def forked(root: Path, at: int) -> int:
    """Run `grow` in a child that dies at an instant, and return its exit code."""
    child = os.fork()
    if child == 0:
        try:
            grow(root, CrashPoint(at))
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_dying_at_any_write_changes_nothing_in_the_end(tmp_path: Path) -> None:
    crash = CrashPoint()
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path\n"
        "import json, test_ingest_crash as t\n"
        "print(json.dumps(t.sweep(Path(sys.argv[2]))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(Path(__file__).parent), str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    instants, wrong = json.loads(done.stdout)
    assert instants > 30
    assert wrong == []
    assert crash.count == 0


def sweep(folder: Path) -> tuple[int, list[str]]:
    """Die at each instant in turn; return how many there are, and what went wrong. Runs in its own process."""
    crash = CrashPoint()
    grow_in_child = folder / "undisturbed"
    _count(grow_in_child, crash)
    expected = json.loads((folder / "undisturbed.json").read_text())
    wrong = []
    for at in range(1, expected["count"] + 1):
        root = folder / f"at-{at}"
        if forked(root, at) != EXIT_CODE:
            wrong.append(f"{at}: did not die")
        if forked(root, 0) != 0:
            wrong.append(f"{at}: the second run failed")
        elif _outcome_in_child(root) != expected["outcome"]:
            wrong.append(f"{at}: ended elsewhere")
    return expected["count"], wrong


def _count(root: Path, crash: CrashPoint) -> None:
    child = os.fork()
    if child == 0:
        grow(root, crash)
        found = {"count": crash.count, "outcome": outcome(root)}
        root.with_suffix(".json").write_text(json.dumps(found))
        os._exit(0)
    os.waitpid(child, 0)


def _outcome_in_child(root: Path) -> object:
    child = os.fork()
    if child == 0:
        try:
            root.with_suffix(".json").write_text(json.dumps(outcome(root)))
        except BaseException:
            os._exit(1)
        os._exit(0)
    os.waitpid(child, 0)
    target = root.with_suffix(".json")
    return json.loads(target.read_text()) if target.exists() else None


@pytest.mark.parametrize("seed", range(3))
def test_kill_minus_nine_at_a_random_moment(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path\n"
        "import test_ingest_crash as t; t.grow(Path(sys.argv[2]), t.CrashPoint())"
    )
    command = [sys.executable, "-c", script, str(Path(__file__).parent)]
    for _ in range(2):
        child = subprocess.Popen([*command, str(tmp_path / "killed")])
        time.sleep(rng.uniform(0.3, 1.6))
        child.send_signal(signal.SIGKILL)
        child.wait()
    for name in ("killed", "whole"):
        subprocess.run([*command, str(tmp_path / name)], check=True)
    assert outcome(tmp_path / "killed") == outcome(tmp_path / "whole")
