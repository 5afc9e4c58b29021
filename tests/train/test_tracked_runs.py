"""A run tells of itself while it goes on, and is recorded whole however it ends."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.core import CodeState, PrincipalId, RunId, SimulatedClock, digest_bytes
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.local.run_journals import FileRunJournals
from keelway.engines.sql import SqlState
from keelway.errors import IntegrityError, StorageError, UsageError
from keelway.train.tracking import (
    ActiveRun,
    RunOpening,
    current_run,
    machine,
    points_of,
    running_run,
    settle,
    settle_leftovers,
)
from keelway.train.tracking.lines import encode, number_told, opening_line, read_journal

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def opening(number: int = 1) -> RunOpening:
    return RunOpening(
        RunId(f"{number:032x}"), "baseline", "script", "churn", "churn", "", "", PrincipalId("user:ana"), 7, NOW,
        CodeState(digest_bytes(b"project"), digest_bytes(b"environment")), machine(),
    )  # fmt: skip


class Lab:
    """A place for runs in a folder, with a clock that stands still."""

    def __init__(self, folder: Path) -> None:
        self.journals = FileRunJournals(folder / "runs")
        self.artifacts = LocalArtifacts(folder / "artifacts")
        self.state = SqlState(f"sqlite:///{folder / 'state.db'}")
        self.clock = SimulatedClock(NOW)

    def run(self, number: int = 1, *, flush_s: float = 0) -> ActiveRun:
        return ActiveRun(
            opening(number), journal=self.journals.create(RunId(f"{number:032x}")), artifacts=self.artifacts,
            clock=self.clock, flush_s=flush_s,
            record=lambda journal: settle(journal, artifacts=self.artifacts, state=self.state),
        )  # fmt: skip

    def leftovers(self):
        return settle_leftovers(self.journals, artifacts=self.artifacts, state=self.state)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.state.close()


def test_everything_told_is_in_the_record(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "plot.svg").write_text("<svg/>")
    with lab.run() as run:
        assert current_run() is run
        run.log("loss", 0.5)
        lab.clock.advance(timedelta(seconds=1))
        run.log("loss", np.float32(0.25))
        run.log({"auc": 0.8, "rows": np.int64(12)}, step=9)
        run.parameters({"depth": np.int64(3), "layers": [1, 2], "seed": 2**60, "scale": True, "none": None})
        run.parameter("depth", 4)
        run.tag("stage", "draft")
        run.warn("careful")
        plot = run.artifact(tmp_path / "plot.svg")
        run.artifact(b"{}", name="report/figures.json")
    assert current_run() is None
    record = run.close()
    assert record.parameters == {"depth": 4, "layers": "[1, 2]", "seed": str(2**60), "scale": True, "none": None}
    assert {name: record.metrics[name] for name in ("loss", "auc", "rows")} == {"loss": 0.25, "auc": 0.8, "rows": 12.0}
    assert record.tags == {"stage": "draft"}
    assert record.warnings == ("careful",)
    assert record.artifacts == {"plot.svg": plot, "report/figures.json": digest_bytes(b"{}")}
    assert lab.artifacts.get(plot) == b"<svg/>"
    assert (record.status, record.seed, record.ended_at) == ("succeeded", 7, NOW + timedelta(seconds=1))
    course = [(each.step, each.value, each.at) for each in points_of(record, lab.artifacts) if each.name == "loss"]
    assert course == [(0, 0.5, NOW), (1, 0.25, NOW + timedelta(seconds=1))]
    assert not list((tmp_path / "runs").glob("*.journal"))


def test_figures_that_are_no_numbers_are_kept_and_told(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    with lab.run() as run:
        for step, value in enumerate((1.0, math.nan, math.inf, math.nan)):
            run.log("loss", value, step=step)
        run.log("gain", -math.inf)
        run.log("fine", 1)
    record = run.close()
    assert record.not_finite == {"loss": "nan", "gain": "-inf"}
    assert record.metrics["fine"] == 1.0
    assert record.warnings == ("loss is nan from step 1 on", "gain is -inf from step 0 on")
    assert "loss is nan from step 1 on" in caplog.text
    assert (
        str([each.value for each in points_of(record, lab.artifacts) if each.name == "loss"]) == "[1.0, nan, inf, nan]"
    )


def test_a_block_that_raises_makes_a_failed_run(lab: Lab) -> None:
    def work() -> None:
        with run:
            run.log("loss", 1)
            raise ZeroDivisionError("division by zero")

    run = lab.run()
    with pytest.raises(ZeroDivisionError):
        work()
    record = run.close()
    assert (record.status, record.error) == ("failed", "ZeroDivisionError: division by zero")
    assert record.metrics["loss"] == 1.0


@pytest.mark.parametrize("value", ["high", None, [1.0, 2.0], object()])
def test_a_value_that_is_no_number_is_refused_where_it_is_logged(lab: Lab, value: object) -> None:
    with lab.run() as run, pytest.raises(UsageError, match="'loss' is no number"):
        run.log("loss", value)


def test_a_run_that_ended_takes_nothing_more(lab: Lab) -> None:
    run = lab.run()
    first = run.close()
    for late in (lambda: run.log("loss", 1), lambda: run.parameter("a", 1), lambda: run.artifact(b"", name="a")):
        with pytest.raises(UsageError, match="has ended"):
            late()
    assert run.close() is first


def test_what_cannot_be_kept_is_refused(lab: Lab, tmp_path: Path) -> None:
    with lab.run() as run:
        with pytest.raises(UsageError, match="no such file"):
            run.artifact(tmp_path / "nothing.txt")
        with pytest.raises(UsageError, match="need a name"):
            run.artifact(b"bytes")
        with pytest.raises(UsageError, match="not a name"):
            run.parameter("", 1)


def test_a_thousand_values_are_written_without_waiting_for_a_clock(lab: Lab) -> None:
    run = lab.run(flush_s=0)
    for step in range(1999):
        run.log("loss", step)
    (data,) = lab.journals.running()
    assert len(read_journal(data).points) == 1000
    run.flush()
    assert running_run(lab.journals.running()[0]).points == 1999
    assert running_run(b'["open"') is None
    run.close()


def test_values_reach_the_journal_by_themselves(lab: Lab) -> None:
    run = lab.run(flush_s=0.01)
    run.log("loss", 0.5)
    waited = threading.Event()
    for _ in range(1000):
        if read_journal(lab.journals.running()[0]).last.get("loss") == 0.5:
            break
        waited.wait(0.01)
    else:
        raise AssertionError("the value was never written")
    run.close()


def test_threads_log_side_by_side_and_nothing_is_lost(lab: Lab) -> None:
    run = lab.run(flush_s=0.001)

    def work(name: str) -> None:
        for step in range(2500):
            run.log(name, step, step=step)

    threads = [threading.Thread(target=work, args=(f"loss{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    points = points_of(run.close(), lab.artifacts)
    for number in range(4):
        assert [each.step for each in points if each.name == f"loss{number}"] == list(range(2500))


def test_a_run_inside_a_run_is_the_current_one_until_it_ends(lab: Lab) -> None:
    with lab.run(1) as outer:
        with lab.run(2) as inner:
            assert current_run() is inner
        assert current_run() is outer


def test_a_run_without_an_end_is_recorded_as_interrupted(lab: Lab) -> None:
    run = lab.run()
    run.log("loss", 0.5)
    lab.clock.advance(timedelta(seconds=5))
    run.log("loss", 0.4)
    run.flush()
    assert lab.leftovers() == []  # its process lives
    run._journal.close()
    (record,) = lab.leftovers()
    assert (record.status, record.metrics, record.ended_at) == (
        "interrupted",
        {"loss": 0.4},
        NOW + timedelta(seconds=5),
    )
    assert lab.leftovers() == []
    with lab.state.snapshot() as tx:
        assert tx.runs.named(record.run_id)[0].status == "interrupted"


def test_a_crash_between_record_and_removal_is_mended(lab: Lab, tmp_path: Path) -> None:
    run = lab.run()
    run.log("loss", 0.5)
    run.flush()
    run._journal.close()
    (path,) = (tmp_path / "runs").glob("*.journal")
    kept = path.read_bytes()
    (first,) = lab.leftovers()
    path.write_bytes(kept)
    assert lab.leftovers() == [first]
    assert not path.exists()


def test_a_line_cut_short_is_left_out(lab: Lab, tmp_path: Path) -> None:
    run = lab.run()
    run.log("loss", 0.5)
    run.flush()
    run._journal.close()
    (path,) = (tmp_path / "runs").glob("*.journal")
    path.write_bytes(path.read_bytes() + b'["m","loss",0.1')
    assert lab.leftovers()[0].metrics == {"loss": 0.5}


def test_a_journal_that_died_before_its_first_line_is_no_run(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / f"{1:032x}.journal").write_bytes(b'["open",{"run')
    assert lab.leftovers() == []
    assert not list((tmp_path / "runs").glob("*.journal"))


@pytest.mark.parametrize(
    "data", [b'["m","loss",1,1,1]\n', b"nonsense\n", opening_line(opening()) + b'["x"]\n', b'["open",{"run_id":1}]\n']
)
def test_an_altered_journal_is_told_and_stays(lab: Lab, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "runs").mkdir()
    path = tmp_path / "runs" / f"{1:032x}.journal"
    path.write_bytes(data)
    with pytest.raises(IntegrityError):
        lab.leftovers()
    assert path.read_bytes() == data


def test_a_disk_that_is_full_for_a_while_loses_nothing(lab: Lab) -> None:
    class FullJournal:
        """A journal whose disk is full until told otherwise."""

        def __init__(self, inner: object) -> None:
            self.inner, self.full = inner, False

        def append(self, lines: bytes) -> None:
            if self.full:
                raise StorageError("A run cannot be logged", found="No space left on device")
            self.inner.append(lines)

        def __getattr__(self, name: str) -> object:
            return getattr(self.inner, name)

    run = lab.run()
    run._journal = journal = FullJournal(run._journal)
    run.log("loss", 1)
    run.parameter("depth", 3)
    journal.full = True
    with pytest.raises(StorageError):
        run.flush()
    run.log("loss", 2)
    journal.full = False
    record = run.close()
    assert record.parameters == {"depth": 3}
    assert [each.value for each in points_of(record, lab.artifacts) if each.name == "loss"] == [1.0, 2.0]


VALUES = st.floats() | st.integers(-(2**53), 2**53).map(float)
EVENTS = st.lists(st.tuples(st.text(max_size=10), VALUES, st.integers(-5, 2**40)), max_size=20)


@given(EVENTS)
def test_a_journal_is_read_as_it_was_written(points: list[tuple[str, float, int]]) -> None:
    lines = encode([["m", name, number_told(value), step, 5.0] for name, value, step in points])
    content = read_journal(opening_line(opening()) + lines)
    assert content.opening == opening()
    assert [(name, step) for name, _, step, _ in content.points] == [(name, step) for name, _, step in points]
    for (_, value, _), (_, found, _, _) in zip(points, content.points, strict=True):
        assert found == value or (math.isnan(found) and math.isnan(value))


def test_data_is_described_without_a_row_of_it(lab: Lab) -> None:
    import pandas as pd

    frame = pd.DataFrame(
        {"age": [31, 47, 90], "spend": [1.5, None, 2.5], "plan": ["a", "b", "b"], "new": [True, False, True]}
    )
    with lab.run() as run:
        run.data(frame, np.array([0, 1, 0]))
    record = run.close()
    assert json.loads(record.input_example_json) == {
        "columns": ["age", "spend", "plan", "new"], "data": [[47, 1.5, "b", True]]
    }  # fmt: skip
    told = json.loads(record.signature_json)
    assert [(each["name"], each["type"]) for each in told["inputs"]] == [
        ("age", "long"), ("spend", "double"), ("plan", "string"), ("new", "boolean")
    ]  # fmt: skip
    assert [each["type"] for each in told["outputs"]] == ["long"]
    with lab.run(2) as again:
        again.data(frame.copy())
    with lab.run(3) as other:
        other.data(frame.assign(age=[31, 47, 91]))
    assert record.dataset == again.close().dataset != other.close().dataset


@pytest.mark.parametrize("data", [["a", "b"], None, iter(()), 3], ids=["list", "none", "iterator", "number"])
def test_data_of_an_unusual_kind_is_not_described_and_no_error(lab: Lab, data: object) -> None:
    with lab.run() as run:
        run.data(data)
    assert run.close().dataset == ""


def test_data_may_be_named_by_a_digest(lab: Lab) -> None:
    with lab.run() as run:
        run.data(digest_bytes(b"table"))
    assert run.close().dataset == digest_bytes(b"table")
