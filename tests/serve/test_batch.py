"""A batch is scored part by part in columns; what it logs is what single requests would have logged."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from keelway.core import Digest, Prediction, PrincipalId, SimulatedClock, VersionName, canonical_json
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.errors import ServingError, StorageError, UndefinedAnswerError
from keelway.features import FeatureColumn
from keelway.ledger import MemoryTree
from keelway.serve import (
    LoadedDeployment,
    LoadedVersion,
    PredictionSegment,
    RequestTally,
    SealingPorts,
    SegmentLog,
    batch_name,
    compact_segments,
    find_prediction,
    lines_of,
    predictions,
    replaced_data,
    score,
)
from keelway.serve.log_columns import LogColumns
from keelway.serve.log_lines import lines_of_columns, split_lines
from keelway.serve.ports import AnswersKept
from keelway.testing.asgi import route_of
from keelway.testing.crash import EXIT_CODE, CrashingArtifacts, CrashingState, CrashPoint, stride
from keelway.testing.processes import exit_code_of
from keelway.testing.serving import NOW, PROD, FixedScorer, ScorerShelf, ServedTraffic

AS_OF = datetime(2026, 2, 1, tzinfo=UTC)
ANA = PrincipalId("user:ana")
DIGEST = Digest("sha256:" + "0" * 64)
INK = FeatureColumn("ink", "array", 2)


class ColumnsLog:
    """Remembers the lines of the columns that it was given, by their place, until its disk is full."""

    def __init__(self, most: int = 10**9) -> None:
        self.lines: list[bytes] = []
        self.most = most
        self.places: dict[str, AnswersKept] = {}

    def kept(self, place: str) -> AnswersKept | None:
        return self.places.get(place)

    def keep(self, columns: LogColumns, *, place: str) -> None:
        if len(self.lines) >= self.most:
            raise StorageError("No space left on device")
        self.lines += split_lines(lines_of_columns(columns.table, columns.names))
        values = np.array(columns.table["value"].to_pylist())
        self.places[place] = AnswersKept(columns.table["version"][0].as_py(), values)


class SpendScorer(FixedScorer):
    """Answers from the values, for any task, and remembers what it was asked."""

    def __init__(self, task: Any = "binary", features: Sequence[FeatureColumn] | None = None) -> None:
        super().__init__(0.0, *([features] if features else []))
        self.task, self.classes = task, ("high", "low") if task == "multiclass" else ()
        self.asked: list[Any] = []

    def predictions(self, rows: Sequence[Sequence[Any]]) -> list[Any]:
        self.asked += rows
        found = [(row[0] or 0.0) / 100 for row in rows]
        return [[each, 1 - each] for each in found] if self.task == "multiclass" else found


class ColumnarScorer(SpendScorer):
    """The same, asked in columns."""

    def predictions_in(self, columns: Sequence[Sequence[Any]]) -> list[Any]:
        return self.predictions(
            [[None if each != each else each for each in row] for row in zip(*columns, strict=True)]
        )


def part(first: int, count: int, **more: Any) -> pa.Table:
    numbers = range(first, first + count)
    given = {
        "entity": [f"c{number}" for number in numbers],
        "plan": ["gold" if number % 2 else 'a "b"' for number in numbers],
        "recency_d": pa.array([None if number % 5 == 0 else number % 50 for number in numbers], pa.int64()),
    }
    return pa.table(given | more)


@pytest.fixture
def traffic(tmp_path: Path) -> ServedTraffic:
    made = ServedTraffic(tmp_path)
    made.send(churn_1=100)
    return made


def loaded(traffic: ServedTraffic, **scorers: FixedScorer) -> LoadedDeployment:
    return route_of(traffic, ScorerShelf(**scorers)).router.loaded


def expected(row: dict[str, Any], version: LoadedVersion, prediction_id: str, deployment: Any) -> bytes:
    number = None if row["recency_d"] is None else float(row["recency_d"])
    return canonical_json(
        Prediction(
            prediction_id=prediction_id, model="churn", version=version.version, version_digest=version.digest,
            deployment=deployment, environment=PROD, arm=version.arm, entity=row["entity"], as_of=AS_OF, features={"recency_d": number, "plan": row["plan"]},
            value=(number or 0.0) / 100, event_time=NOW,
        )
    )  # fmt: skip


@pytest.mark.parametrize("scorer", [SpendScorer(), ColumnarScorer()], ids=["rows", "columns"])
def test_what_is_logged_is_the_canonical_line_of_each_row(traffic: ServedTraffic, scorer: SpendScorer) -> None:
    ready, log, told = loaded(traffic, churn_1=scorer), ColumnsLog(), part(0, 60)
    scorer.asked.clear()
    report = score([told], ready, as_of=AS_OF, log=log, now=NOW)
    assert scorer.asked[:2] == [[None, 'a "b"'], [1.0, "gold"]]
    ids = [json.loads(line)["prediction_id"] for line in log.lines]
    deployment = json.loads(log.lines[0])["deployment"]
    rows = zip(told.to_pylist(), ids, strict=True)
    assert log.lines == [expected(row, ready.stable, one, deployment) for row, one in rows]
    assert len(set(ids)) == 60
    assert (report.rows, report.by_version, report.model) == (60, {"churn:1": 60}, "churn")
    assert report.mean_value == pytest.approx(sum(json.loads(line)["value"] for line in log.lines) / 60)


def test_each_arm_scores_and_logs_its_own_entities(traffic: ServedTraffic) -> None:
    traffic.send(churn_1=70, churn_2=30)
    ready, log = loaded(traffic, churn_1=FixedScorer(0.25), churn_2=FixedScorer(0.75)), ColumnsLog()
    report = score([part(0, 300), part(300, 200)], ready, as_of=AS_OF, log=log, now=NOW)
    assert sum(report.by_version.values()) == len(log.lines) == 500
    assert 90 < report.by_version[VersionName("churn:2")] < 210
    for line in log.lines:
        told = json.loads(line)
        version = ready.version_for(told["entity"])
        assert (told["version"], told["arm"]) == (version.version, version.arm)
        assert told["value"] == (0.25 if version.version == "churn:1" else 0.75)


@pytest.mark.parametrize(("task", "mean"), [("regression", -0.1), ("multiclass", (0.2, 0.8))])
def test_every_task_is_scored(traffic: ServedTraffic, task: str, mean: Any) -> None:
    ready, log = loaded(traffic, churn_1=SpendScorer(task)), ColumnsLog()
    number = -10 if task == "regression" else 20
    report = score([part(0, 10, recency_d=[number] * 10)], ready, as_of=AS_OF, log=log, now=NOW)
    assert report.mean_value == pytest.approx(mean)
    assert f'"value":{"-0.1" if task == "regression" else "[0.2,0.8]"}'.encode() in log.lines[0]


def test_arrays_go_in_and_are_logged(traffic: ServedTraffic) -> None:
    scorer = SpendScorer(features=(FeatureColumn("recency_d", "numeric"), INK))
    ready, log = loaded(traffic, churn_1=scorer), ColumnsLog()
    scorer.asked.clear()
    ink = pa.array([[1, 0.5]] * 3, pa.list_(pa.float32()))
    score([part(0, 3, ink=ink)], ready, as_of=AS_OF, log=log, now=NOW)
    assert scorer.asked[1] == [1.0, [1.0, 0.5]]
    assert b'"features":{"ink":[1,0.5],"recency_d":1}' in log.lines[1]


def test_a_number_that_is_none_is_missing(traffic: ServedTraffic) -> None:
    scorer = SpendScorer()
    ready, log = loaded(traffic, churn_1=scorer), ColumnsLog()
    scorer.asked.clear()
    score([part(0, 2, recency_d=[float("nan"), 1.0])], ready, as_of=AS_OF, log=log, now=NOW)
    assert [row[0] for row in scorer.asked] == [None, 1.0]
    assert b'"recency_d":null' in log.lines[0]


@pytest.mark.parametrize("answer", [1.5, -0.1, float("nan"), float("inf")])
def test_an_answer_that_is_none_stops_the_batch(traffic: ServedTraffic, answer: float) -> None:
    scorer = FixedScorer(0.5)
    ready, log = loaded(traffic, churn_1=scorer), ColumnsLog()

    def parts() -> Iterator[pa.Table]:
        yield part(0, 5)
        scorer.answer = answer
        yield part(5, 5)

    with pytest.raises(UndefinedAnswerError, match="no answer"):
        score(parts(), ready, as_of=AS_OF, log=log, now=NOW)
    assert len(log.lines) == 5, "what was scored before is logged"


def test_backups_answer_for_a_version_that_cannot(traffic: ServedTraffic) -> None:
    ready = loaded(traffic, churn_1=FixedScorer(0.5))
    backup = replace(ready.stable, scorer=FixedScorer(0.125), arm="fallback:one", fallback="one")
    broken = replace(ready.stable, scorer=FixedScorer(7.0), backups=(backup,))
    log = ColumnsLog()
    swapped = replace(ready, versions={broken.version: broken}, arms={"stable": broken})
    assert score([part(0, 4)], swapped, as_of=AS_OF, log=log, now=NOW).mean_value == 0.125
    assert b'"arm":"fallback:one"' in log.lines[0]


def test_answers_and_failures_of_a_batch_are_counted(traffic: ServedTraffic) -> None:
    ready = loaded(traffic, churn_1=FixedScorer(0.5))
    backup = replace(ready.stable, scorer=FixedScorer(0.125), arm="fallback:one", fallback="one")
    broken = replace(ready.stable, scorer=FixedScorer(7.0), backups=(backup,))
    tally = RequestTally(SimulatedClock(NOW))
    for version in (ready.stable, broken):
        swapped = replace(ready, versions={version.version: version}, arms={"stable": version})
        score([part(0, 4), part(4, 4)], swapped, as_of=AS_OF, log=ColumnsLog(), now=NOW, tally=tally)
    figures = tally.take("churn", PROD)
    assert figures is not None
    found = {each.arm: (each.answers, each.unclocked, each.failed, each.undefined) for each in figures.arms}
    assert found == {"stable": (8, 8, 2, 2), "fallback:one": (8, 8, 0, 0)}


def test_what_the_log_did_not_take_is_not_counted_as_answered(traffic: ServedTraffic) -> None:
    ready, tally = loaded(traffic, churn_1=FixedScorer(0.5)), RequestTally(SimulatedClock(NOW))
    with pytest.raises(StorageError):
        score([part(0, 10), part(10, 10)], ready, as_of=AS_OF, log=ColumnsLog(most=10), now=NOW, tally=tally)
    figures = tally.take("churn", PROD)
    assert figures is not None
    assert [each.answers for each in figures.arms] == [10]


def test_a_full_disk_stops_the_batch_and_tells_how_far_it_came(traffic: ServedTraffic) -> None:
    ready, log = loaded(traffic, churn_1=FixedScorer(0.5)), ColumnsLog(most=10)
    with pytest.raises(StorageError, match="10 rows logged before"):
        score([part(0, 10), part(10, 10)], ready, as_of=AS_OF, log=log, now=NOW)


def test_nothing_to_score_is_a_report_of_nothing(traffic: ServedTraffic) -> None:
    report = score([], loaded(traffic, churn_1=FixedScorer(0.5)), as_of=AS_OF, log=ColumnsLog(), now=NOW)
    assert (report.rows, report.by_version, report.mean_value) == (0, {}, 0.0)


def test_parts_are_taken_as_they_come_and_progress_is_told(
    traffic: ServedTraffic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keelway.serve.batch.TOLD_EVERY", 100)
    ready, log, told = loaded(traffic, churn_1=FixedScorer(0.25)), ColumnsLog(), []

    def coming() -> Iterator[pa.Table]:
        for number in range(5):
            assert len(log.lines) == number * 50, "the part before is logged before the next is read"
            yield part(number * 50, 50)

    score(coming(), ready, as_of=AS_OF, log=log, now=NOW, progress=told.append)
    assert told == ["100 rows scored", "200 rows scored"]


def test_a_batch_is_sealed_found_and_proven(traffic: ServedTraffic, tmp_path: Path) -> None:
    artifacts = LocalArtifacts(tmp_path / "artifacts")
    log = SegmentLog(
        "churn", "prod", batch="b", ports=SealingPorts(traffic.state, artifacts, ANA), clock=SimulatedClock(NOW)
    )
    score([part(0, 300), part(300, 5)], loaded(traffic, churn_1=SpendScorer()), as_of=AS_OF, log=log, now=NOW)
    with traffic.state.snapshot() as tx:
        segments = tx.newest(PredictionSegment, parent="prod/churn")
        found = list(predictions(tx, artifacts=artifacts, model="churn", environment="prod"))
        assert [segment.count for segment in segments] == [5, 300]
        assert {each.entity for each in found} == {f"c{number}" for number in range(305)}
        _, line, segment, number = find_prediction(found[17].prediction_id, tx=tx, artifacts=artifacts)
        lines = lines_of(segment, tx=tx, artifacts=artifacts)
    assert lines[number] == line
    assert MemoryTree(lines).root().hex() == segment.root
    assert (segment.first_event, segment.last_event) == (NOW, NOW)


def test_a_scorer_that_gives_too_few_answers_is_told(traffic: ServedTraffic) -> None:
    scorer = SpendScorer()
    ready = loaded(traffic, churn_1=scorer)
    scorer.predictions = lambda rows: [0.5] * (len(rows) - 1)  # type: ignore[method-assign]
    with pytest.raises(ServingError, match="no answer"):
        score([part(0, 3)], ready, as_of=AS_OF, log=ColumnsLog(), now=NOW)


def sealed(traffic: ServedTraffic, folder: Path, batch: str = "b") -> SegmentLog:
    ports = SealingPorts(traffic.state, LocalArtifacts(folder / "artifacts"), ANA)
    return SegmentLog("churn", "prod", batch=batch, ports=ports, clock=SimulatedClock(NOW))


def rows_at(*counts: int) -> Iterator[pa.Table]:
    first = 0
    for count in counts:
        yield part(first, count)
        first += count


def entities(traffic: ServedTraffic, folder: Path) -> list[str]:
    artifacts = LocalArtifacts(folder / "artifacts")
    with traffic.state.snapshot() as tx:
        found = predictions(tx, artifacts=artifacts, model="churn", environment="prod")
        return sorted((each.entity for each in found), key=lambda entity: int(entity[1:]))


@pytest.mark.parametrize("task", ["binary", "multiclass"])
@pytest.mark.parametrize("arms", [{"churn_1": 100}, {"churn_1": 60, "churn_2": 40}], ids=["one arm", "two arms"])
def test_a_batch_that_was_stopped_goes_on_and_logs_nothing_twice(
    traffic: ServedTraffic, tmp_path: Path, arms: dict[str, int], task: str
) -> None:
    traffic.send(**arms)
    scorers = {name: SpendScorer(task) for name in arms}
    ready, counts, tally = loaded(traffic, **scorers), (100, 30, 100), RequestTally(SimulatedClock(NOW))
    score(rows_at(*counts[:2]), ready, as_of=AS_OF, log=sealed(traffic, tmp_path), now=NOW)
    for scorer in scorers.values():
        scorer.asked.clear()
    report = score(rows_at(*counts), ready, as_of=AS_OF, log=sealed(traffic, tmp_path), now=NOW, tally=tally)
    assert (report.rows, report.kept) == (230, 130)
    assert sum(len(scorer.asked) for scorer in scorers.values()) == 100, "what is sealed is not scored again"
    assert entities(traffic, tmp_path) == [f"c{number}" for number in range(230)]
    figures = tally.take("churn", PROD)
    assert figures is not None
    assert sum(each.answers for each in figures.arms) == 100
    log = ColumnsLog()
    whole = score(rows_at(*counts), ready, as_of=AS_OF, log=log, now=NOW)
    assert (report.by_version, len(log.lines)) == (whole.by_version, 230)
    assert report.mean_value == pytest.approx(whole.mean_value)


def test_few_rows_that_a_compaction_moved_are_not_scored_again(traffic: ServedTraffic, tmp_path: Path) -> None:
    scorer = SpendScorer()
    ready = loaded(traffic, churn_1=scorer)
    score(rows_at(5, 7), ready, as_of=AS_OF, log=sealed(traffic, tmp_path), now=NOW)
    ports = SealingPorts(traffic.state, LocalArtifacts(tmp_path / "artifacts"), ANA)
    done = compact_segments("churn", "prod", before=NOW + timedelta(hours=1), ports=ports, now=NOW + timedelta(hours=1))
    assert done.segments == 2
    with traffic.state.snapshot() as tx:
        gone = replaced_data(tx, before=NOW + timedelta(hours=1))
    for digest in gone:
        ports.artifacts.delete(digest)
    scorer.asked.clear()
    report = score(rows_at(5, 7), ready, as_of=AS_OF, log=sealed(traffic, tmp_path), now=NOW)
    assert (report.rows, report.kept, scorer.asked) == (12, 12, [])
    assert len(entities(traffic, tmp_path)) == 12


def test_another_batch_is_scored_for_itself(traffic: ServedTraffic, tmp_path: Path) -> None:
    ready = loaded(traffic, churn_1=SpendScorer())
    names = {batch_name(DIGEST, ready.deployment, as_of=moment) for moment in (AS_OF, NOW)}
    names.add(batch_name(Digest("sha256:" + "1" * 64), ready.deployment, as_of=AS_OF))
    traffic.send(churn_1=50, churn_2=50)
    other = loaded(traffic, churn_1=SpendScorer(), churn_2=SpendScorer())
    names.add(batch_name(DIGEST, other.deployment, as_of=AS_OF))
    assert len(names) == 4
    assert batch_name(DIGEST, ready.deployment, as_of=AS_OF) in names
    for name in sorted(names):
        assert score(rows_at(80), ready, as_of=AS_OF, log=sealed(traffic, tmp_path, name), now=NOW).kept == 0


PARTS = (70, 70, 20)
"""Two parts that are sealed as columns, and one as lines."""


def score_and_die(folder: Path, crash: CrashPoint) -> None:
    """Score three parts, and die at the chosen instant; to be run in a process of its own where there is one."""
    traffic = ServedTraffic(folder)
    traffic.send(churn_1=100)
    ready = loaded(traffic, churn_1=SpendScorer())
    artifacts = CrashingArtifacts(LocalArtifacts(folder / "artifacts"), crash)
    ports = SealingPorts(CrashingState(traffic.state, crash), artifacts, ANA)
    log = SegmentLog("churn", "prod", batch="b", ports=ports, clock=SimulatedClock(NOW))
    score(rows_at(*PARTS), ready, as_of=AS_OF, log=log, now=NOW)
    traffic.state.close()


def test_killed_at_any_moment_a_batch_becomes_whole(tmp_path: Path) -> None:
    counted = tmp_path / "counted"
    counted.mkdir()
    score_and_die(counted, crash := CrashPoint())
    assert crash.count == len(PARTS) * (2 + 3), "a file and a transaction for each part"
    for at in range(1, crash.count + 1, stride()):
        folder = tmp_path / str(at)
        folder.mkdir()
        assert exit_code_of(score_and_die, folder, CrashPoint(at)) == EXIT_CODE
        traffic = ServedTraffic(folder)
        sealed_before = len(entities(traffic, folder))
        assert sealed_before in (0, 70, 140, 160)
        ready = loaded(traffic, churn_1=SpendScorer())
        report = score(rows_at(*PARTS), ready, as_of=AS_OF, log=sealed(traffic, folder), now=NOW)
        assert (report.rows, report.kept) == (160, sealed_before), f"killed at {at}"
        assert entities(traffic, folder) == [f"c{number}" for number in range(160)]
        traffic.state.close()
