"""`examples/tour.py` tells the whole loop and runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TOUR = Path(__file__).parents[2] / "examples" / "tour.py"


@pytest.mark.journey
def test_the_tour_runs_from_raw_files_to_a_proof(tmp_path: Path) -> None:
    told = subprocess.run([sys.executable, str(TOUR)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert "assessed by user:olga" in told.stdout
    assert "churn:1" in told.stdout
