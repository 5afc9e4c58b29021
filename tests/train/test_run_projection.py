"""What a record says in the index, and that records of other things say nothing."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from keelway.core import RunEntry, RunUpdate, digest_bytes, plain
from keelway.testing.run_index import tracked
from keelway.train.tracking import entry_from, machine, requirements, run_change, training_id
from keelway.train.tracking.machine import LIBRARIES, system_meter

NOW = datetime(2026, 3, 1, tzinfo=UTC)
RECORD = digest_bytes(b"record")


@pytest.mark.parametrize("kind", ["Snapshot", "StepFinished", "FeatureTable", "Decision", ""])
def test_records_of_other_things_change_nothing(kind: str) -> None:
    assert run_change(kind, "key", {"metrics": {"auc": 1.0}}, digest=RECORD, at=NOW) is None


def test_a_scorecard_adds_the_figures_that_have_a_value() -> None:
    metrics = {
        "roc_auc": {"value": 0.8, "low": 0.7, "high": 0.9},
        "ece": {"value": None},
        "rows": 12,
        "odd": {"value": float("nan")},
    }
    change = run_change("Scorecard", "key", {"trained": RECORD, "metrics": metrics}, digest=RECORD, at=NOW)
    assert change == RunUpdate("", RECORD, {"roc_auc": 0.8, "rows": 12.0})


def test_a_tracked_run_is_one_line_with_what_is_no_number_too() -> None:
    run = tracked(4, not_finite={"gain": "-inf"})
    entry = run_change("TrackedRun", run.run_id, plain(run), digest=RECORD, at=NOW)
    assert isinstance(entry, RunEntry)
    assert entry.metrics == {"auc": 0.4, "log_loss": 0.6, "gain": float("-inf")}
    assert (entry.record, entry.seconds, entry.commit, entry.dirty) == (RECORD, 2.5, "c0ffee", True)
    assert entry_from(run, status="running").status == "running"


def test_a_training_is_named_by_all_digits_of_its_key() -> None:
    assert training_id(RECORD) == RECORD.removeprefix("sha256:")
    assert len(training_id(RECORD)) == 64


def test_the_machine_is_told_as_it_is() -> None:
    told = machine()
    assert told.cpus >= 1
    assert told.memory_bytes > 1 << 20
    assert set(told.libraries) <= set(LIBRARIES)
    assert f"scikit-learn=={told.libraries['scikit-learn']}" in requirements()
    names = [line.partition("==")[0] for line in requirements()]
    assert names == sorted(names)


def test_the_meter_measures_this_process() -> None:
    measure = system_meter()
    sum(number * number for number in range(200_000))
    told = measure()
    assert told["system/process_cpu_utilization_percentage"] > 0
    assert told["system/process_memory_usage_megabytes"] > 10
