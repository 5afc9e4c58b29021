"""Whatever write the process dies at, the next run ends where an undisturbed one does."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from keelway.core import digest_of
from keelway.ingest import Batch
from keelway.ledger import decisions
from keelway.snapshot import newest, read
from keelway.testing.crash import EXIT_CODE, CrashingArtifacts, CrashingState, CrashingTables, CrashPoint, swept
from keelway.testing.forks import forked, preload
from keelway.testing.shop import ORDERS, Shop

DAYS = 2


def grow(root: Path, crash: CrashPoint) -> None:
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


def grown(root: Path, at: int) -> int:
    """Run `grow` in a child that dies at an instant, and return its exit code; it writes down how it ended."""

    def work() -> None:
        crash = CrashPoint(at)
        grow(root, crash)
        root.with_suffix(".json").write_text(json.dumps({"count": crash.count, "outcome": outcome(root)}))

    return forked(work)


def sweep(folder: Path) -> tuple[int, list[str]]:
    """Die at each instant in turn; return how many there are, and what went wrong. Runs in its own process."""
    preload(lambda: grow(folder / "first", CrashPoint()))
    grown(folder / "whole", 0)
    expected = json.loads((folder / "whole.json").read_text())
    wrong = []
    for at in swept(expected["count"]):
        root = folder / f"at-{at}"
        if grown(root, at) != EXIT_CODE:
            wrong.append(f"{at}: did not die")
        if grown(root, 0) != 0:
            wrong.append(f"{at}: the second run failed")
        elif json.loads(root.with_suffix(".json").read_text())["outcome"] != expected["outcome"]:
            wrong.append(f"{at}: ended elsewhere")
    return expected["count"], wrong


def in_new_process(code: str, *arguments: Path) -> list[str]:
    """Return the command that runs a line of code with this module as `t` and the arguments as paths."""
    start = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\nfrom pathlib import Path\n"
    start += "import json, test_ingest_crash as t\n"
    return [sys.executable, "-c", start + code, *map(str, arguments)]


@pytest.mark.crash
def test_dying_at_any_write_changes_nothing_in_the_end(tmp_path: Path) -> None:
    command = in_new_process("print(json.dumps(t.sweep(Path(sys.argv[1]))))", tmp_path)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    instants, wrong = json.loads(done.stdout)
    assert instants > 30
    assert wrong == []


@pytest.mark.crash
@pytest.mark.parametrize("seed", range(1))
def test_kill_minus_nine_at_a_random_moment(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    code = "t.grow(Path(sys.argv[1]), t.CrashPoint())"
    with subprocess.Popen(in_new_process(code, tmp_path / "killed")) as child:
        time.sleep(rng.uniform(1.0, 2.5))
        child.send_signal(signal.SIGKILL)
    for name in ("killed", "whole"):
        subprocess.run(in_new_process(code, tmp_path / name), check=True)
    assert outcome(tmp_path / "killed") == outcome(tmp_path / "whole")
