"""A year of a retailer goes in hour by hour, and the counts are exact."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice, pairwise
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pytest

from keelway.testing.crash import stride
from keelway.testing.intake import Intake

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "replay_journey.py"
DAYS = 8 // stride()
"""Days that are replayed hour by hour; the script replays the year."""


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("replay_journey", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["replay_journey"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["replay_journey"]


@pytest.fixture(scope="module")
def hours(script: ModuleType, data_folder: Path) -> list:
    return list(script.hours_of(script.journey(data_folder)))


@pytest.fixture
def intake(script: ModuleType, tmp_path: Path) -> Iterator[Intake]:
    found = script.open_intake(tmp_path)
    yield found
    found.state.close()


def counts_of(hours: list, script: ModuleType) -> object:
    """Return what is in the lines of some hours, as Arrow counts it."""
    lines = pa.concat_tables(lines for _, lines in hours)
    people = [len(lines[name].unique()) for name in ("household_id", "basket_id")]
    return script.Counts(lines.num_rows, *people)


def test_the_year_is_what_its_description_says(script: ModuleType, hours: list) -> None:
    assert len(hours) == script.HOURS
    assert counts_of(hours, script) == script.WHOLE_YEAR
    assert all(before < after for (before, _), (after, _) in pairwise(hours))


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_days_go_in_hour_by_hour(script: ModuleType, hours: list, intake: Intake, form: str) -> None:
    start = hours[0][0]
    first = [(hour, lines) for hour, lines in islice(hours, 24 * DAYS) if hour < start + timedelta(days=DAYS)]
    last = script.replay(intake, iter(first), form=form)
    assert last.number == len(first)
    assert script.counted(last, intake) == counts_of(first, script)
    assert intake.pull(last.taken_at) is None


def test_many_hours_go_in_at_once_exactly(script: ModuleType, hours: list, intake: Intake) -> None:
    part = hours[: len(hours) // stride()]
    last = script.at_once(intake, part, 4)
    assert script.counted(last, intake) == counts_of(part, script)
