"""The demo: measured figures, and a second one that changes nothing.

KEELWAY_DEMO names the folder of a demo that ran already, as in CI; its figures are shown again and judged.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from keelway.surfaces.cli.demo import FIGURES_FILE

EARLIER = os.environ.get("KEELWAY_DEMO", "")
pytestmark = [pytest.mark.journey, pytest.mark.timeout(600)]


def play(folder: Path) -> dict:
    told = subprocess.run(
        [sys.executable, "-m", "keelway", "demo", "--dir", str(folder), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout)


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    folder = Path(EARLIER).resolve() if EARLIER else tmp_path_factory.mktemp("demo")
    if EARLIER:
        assert (folder / "churn" / FIGURES_FILE).is_file(), f"no demo ran in {folder}"
    return folder, play(folder)


def test_the_demo_measures_what_it_tells(told) -> None:
    measured = told[1]["measured"]
    assert measured["production_auc"] >= 0.80
    assert measured["rows"] > 60_000
    assert measured["proof_bytes"] > 0


def test_a_second_demo_changes_nothing(told, desk_at) -> None:
    desk = desk_at(told[0] / "churn")
    before = desk.standing()
    play(told[0])
    after = desk.standing()
    assert after["pointers"] == before["pointers"]
    assert after["records"] == before["records"]
    assert after["log_leaves"] == before["log_leaves"]
    assert desk("audit")["report"]["problems"] == []
