"""kill -9 while a run logs: what was written before stands, the run is interrupted, and at most a batch is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from keelway.app.runs import RunRoom
from keelway.app.tracking import workspace_for

LOGGING = """
import sys, keelway
run = keelway.run("endless", parameters={"depth": 3})
with run:
    step = 0
    while True:
        run.log("loss", 1 / (step + 1), step=step)
        step += 1
        if step % 500 == 0:
            print(step, flush=True)
"""


@pytest.fixture(autouse=True)
def nobody_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("KEELWAY_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize("lines", [1, 7, 20])
def test_what_was_logged_before_a_kill_stands(tmp_path: Path, lines: int) -> None:
    process = subprocess.Popen([sys.executable, "-c", LOGGING], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    told = 0
    for _ in range(lines):
        told = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    process.communicate()

    at = workspace_for(tmp_path)
    (entry,) = RunRoom(at).list()
    assert (entry.name, entry.status, entry.kind) == ("endless", "interrupted", "script")
    points = RunRoom(at).show(entry.run_id).record["points"]
    assert points >= told - 1000  # a batch is a thousand values, or those of a second
    if points:
        assert entry.metrics["loss"] == pytest.approx(1 / points, rel=0.01)
        assert entry.parameters == {"depth": 3}
    at.close()


def test_a_run_that_goes_on_is_shown_as_running_to_others(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", LOGGING], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while int(process.stdout.readline()) < 3000:
        pass
    at = workspace_for(tmp_path)
    (entry,) = RunRoom(at).list()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert (entry.status, entry.parameters) == ("running", {"depth": 3})
    assert entry.metrics["loss"] > 0
    assert [each.status for each in RunRoom(at).list()] == ["interrupted"]
    at.close()
