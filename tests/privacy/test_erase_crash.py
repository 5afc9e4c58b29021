"""Whatever write an erasure dies at, the next one ends where an undisturbed one does."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from keelway.core import Digest
from keelway.ledger import decisions
from keelway.privacy import Erasure, ErasureDone, Keyring, KeyVault, Loss, unfinished
from keelway.testing import people
from keelway.testing.crash import EXIT_CODE, CrashingState, CrashPoint, swept

WHO = "ana"


class CrashingVault:
    """A key vault that may die before and after each destroying."""

    def __init__(self, inner: KeyVault, crash: CrashPoint) -> None:
        self._inner, self._crash = inner, crash

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def destroy_values(self, marks) -> int:
        self._crash.pass_by()
        count = self._inner.destroy_values(marks)
        self._crash.pass_by()
        return count

    def destroy_artifacts(self, digests: list[Digest], *, loss: Loss) -> int:
        self._crash.pass_by()
        count = self._inner.destroy_artifacts(digests, loss=loss)
        self._crash.pass_by()
        return count


def fill(root: Path) -> None:
    people.make(root)
    people.upload(root, "1.csv", "ana,ana@x.org,2026-01-01,1\nbo,b@x.org,2026-01-01,-2\nana,a2@x.org,2026-01-01,-1\n")
    people.upload(root, "2.csv", "bo,b@x.org,2026-01-02,3\n")
    with people.opened(root) as app:
        app.data.ingest()


def erase(root: Path, crash: CrashPoint) -> None:
    with people.opened(root) as app:
        at = app.workspace
        at.__dict__["state"] = CrashingState(at.state, crash)
        ring = at.safe.keyring
        at.safe.__dict__["keyring"] = Keyring(ring.tenant, CrashingVault(ring.vault, crash))
        app.privacy.erase(WHO)


def outcome(root: Path) -> dict[str, object]:
    with people.opened(root) as app:
        at = app.workspace
        with at.state.snapshot() as tx:
            erasures, done = tx.newest(Erasure), tx.newest(ErasureDone)
            left = len(unfinished(tx))
            entries = [decision.action for _, decision in decisions(tx)]
        destroyed = sorted({digest for erasure in erasures for digest in erasure.artifacts})
        return {
            "left": left,
            "entries": entries,
            "erased": [digest for digest in destroyed if at.artifacts.seals_of(digest).key is None],
            "destroyed": destroyed,
            "done": len(done),
            "known": at.personal.tokens.known(WHO) + at.personal.tokens.known("ana@x.org", "direct"),
            "problems": app.evidence.audit().problems,
        }


def forked(root: Path, at: int) -> int:
    """Erase in a child that dies at an instant, and return its exit code; it writes down how it ended."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            crash = CrashPoint(at)
            erase(root, crash)
            root.with_suffix(".json").write_text(json.dumps({"count": crash.count, "outcome": outcome(root)}))
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def sweep(folder: Path) -> tuple[int, list[str]]:
    """Die at each instant in turn; return how many there are, and what went wrong. Runs in its own process."""
    for module in ("deltalake", "duckdb", "pyarrow.parquet", "sqlalchemy", "open_data_contract_standard.model"):
        importlib.import_module(module)  # once, not in every child; none of them starts a thread when imported
    filled = folder / "filled"
    child = os.fork()
    if child == 0:
        fill(filled)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    shutil.copytree(filled, folder / "whole")
    assert forked(folder / "whole", 0) == 0
    expected = json.loads((folder / "whole.json").read_text())
    wrong = []
    for at in swept(expected["count"]):
        root = folder / f"at-{at}"
        shutil.copytree(filled, root)
        if forked(root, at) != EXIT_CODE:
            wrong.append(f"{at}: did not die")
        if forked(root, 0) != 0:
            wrong.append(f"{at}: the second run failed")
        elif (found := json.loads(root.with_suffix(".json").read_text())["outcome"]) != expected["outcome"]:
            wrong.append(f"{at}: ended elsewhere: {found}")
    return expected["count"], wrong


@pytest.mark.crash
def test_dying_at_any_write_leaves_an_erasure_that_the_next_one_finishes(tmp_path: Path) -> None:
    start = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\nfrom pathlib import Path\n"
    code = start + "import json, test_erase_crash as t\nprint(json.dumps(t.sweep(Path(sys.argv[1]))))"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    instants, wrong = json.loads(done.stdout)
    assert wrong == []
    assert instants == 10
    whole = json.loads((tmp_path / "whole.json").read_text())["outcome"]
    assert whole["erased"] == whole["destroyed"] != []
    assert (whole["left"], whole["done"], whole["known"], whole["problems"]) == (0, 1, [], [])
