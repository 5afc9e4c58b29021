"""Sealed predictions are read by column and by time, and only where they can be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from keelway.core import Digest, Environment, Prediction, PrincipalId, VersionName, canonical_json
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.sql import SqlState
from keelway.errors import ErasedError, IntegrityError, MissingRecordError
from keelway.serve import (
    PredictionSegment,
    SealingPorts,
    columns_in,
    find_prediction,
    lines_of,
    prediction_table,
    predictions,
    strange_answers,
)
from keelway.serve.log_columns import columns_of
from keelway.serve.segment import seal_columns

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DIGEST = Digest("sha256:" + "0" * 64)
HOUR = timedelta(hours=1)
ROWS = 100


class CountedArtifacts(LocalArtifacts):
    """Counts what is read, and has lost the keys of some artifacts."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.read: list[Digest] = []
        self.erased: set[Digest] = set()

    def get(self, digest: Digest) -> bytes:
        self.read.append(digest)
        if digest in self.erased:
            raise ErasedError("The artifact was erased")
        return super().get(digest)


def hour(number: int, **more: Any) -> bytes:
    """Return the lines of the predictions of one hour."""
    found = [
        Prediction(
            prediction_id=f"{number * ROWS + place:032x}", model="churn", version=VersionName("churn:1"),
            version_digest=DIGEST, deployment=DIGEST, environment=Environment("prod"), arm="stable", entity=f"c{place}",
            as_of=NOW, features={"recency_d": float(place)}, value=place / ROWS,
            event_time=NOW + number * HOUR + timedelta(seconds=place),
        )
        for place in range(ROWS)
    ]  # fmt: skip
    return b"".join(canonical_json(replace(each, **more)) + b"\n" for each in found)


class Log:
    """Three sealed hours."""

    def __init__(self, folder: Path) -> None:
        self.state = SqlState(f"sqlite:///{folder / 's.db'}")
        self.artifacts = CountedArtifacts(folder / "artifacts")
        self.segments = [self.seal(number, hour(number)) for number in range(3)]

    def seal(self, number: int, data: bytes) -> PredictionSegment:
        return seal_columns(
            columns_of(data), data.splitlines(), journal=f"j{number}", model="churn", environment="prod",
            ports=SealingPorts(self.state, self.artifacts, PrincipalId("user:ana")), now=NOW + number * HOUR,
        )  # fmt: skip

    def table(self, *columns: str, **more: Any) -> Any:
        with self.state.snapshot() as tx:
            return prediction_table("churn", "prod", columns=columns, tx=tx, artifacts=self.artifacts, **more)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    made = Log(tmp_path)
    yield made
    made.state.close()


def test_the_columns_that_are_wanted_come_in_the_order_of_sealing(log: Log) -> None:
    found = log.table("value", "features.recency_d", "entity")
    assert found.column_names == ["value", "features.recency_d", "entity"]
    assert found.num_rows == 3 * ROWS
    assert found.slice(7, 1).to_pylist() == [{"value": 0.07, "features.recency_d": 7.0, "entity": "c7"}]


def test_segments_that_lie_outside_the_time_are_not_read(log: Log) -> None:
    begin = NOW + HOUR + timedelta(seconds=90)
    found = log.table("event_time", since=begin, until=NOW + 2 * HOUR + timedelta(seconds=5))
    assert found.num_rows == 10 + 5
    assert min(found["event_time"].to_pylist()) == begin, "the first moment is in"
    assert log.artifacts.read == [segment.data for segment in log.segments[1:]]
    assert log.table("entity", since=NOW + 3 * HOUR).num_rows == 0
    assert log.table("entity", until=NOW).num_rows == 0, "the last moment is not in"
    assert len(log.artifacts.read) == 2


def test_a_column_that_only_some_predictions_have_is_null_elsewhere(log: Log) -> None:
    log.seal(3, hour(3, features={"plan": "gold", "recency_d": None}))
    found = log.table("features.plan", "features.recency_d", "features.never")
    assert found["features.plan"].null_count == 3 * ROWS
    assert found["features.recency_d"].null_count == ROWS
    assert found["features.never"].null_count == 4 * ROWS


def test_a_model_that_answers_otherwise_by_now_has_nulls_before(log: Log) -> None:
    log.seal(3, hour(3, value=(0.25, 0.75)))
    found = log.table("value")["value"].to_pylist()
    assert found == [None] * 3 * ROWS + [[0.25, 0.75]] * ROWS


def test_what_expired_is_passed_over_and_asked_for_by_itself_refused(log: Log) -> None:
    log.artifacts.erased.add(log.segments[1].data)
    assert log.table("entity").num_rows == 2 * ROWS
    with log.state.snapshot() as tx:
        kept = list(predictions(tx, artifacts=log.artifacts, model="churn", environment="prod"))
        with pytest.raises(MissingRecordError):
            find_prediction(f"{ROWS + 1:032x}", tx=tx, artifacts=log.artifacts)
        with pytest.raises(ErasedError):
            lines_of(log.segments[1], tx=tx, artifacts=log.artifacts)
    assert len(kept) == 2 * ROWS


def test_a_prediction_is_found_in_the_only_segment_that_may_have_it(log: Log) -> None:
    with log.state.snapshot() as tx:
        found, line, segment, number = find_prediction(f"{ROWS + 7:032x}", tx=tx, artifacts=log.artifacts)
    assert (found.entity, found.value, segment, number) == ("c7", 0.07, log.segments[1], 7)
    assert line == hour(1).splitlines()[7]
    assert log.artifacts.read == [segment.data]


def test_a_segment_of_lines_is_told_to_be_of_an_earlier_form(log: Log) -> None:
    old = replace(log.segments[0], form="", first_event=None, last_event=None)
    with pytest.raises(IntegrityError, match="not read any more") as caught:
        columns_in(old, ["entity"], artifacts=log.artifacts)
    assert "found lines of JSON" in str(caught.value)


@pytest.mark.parametrize(
    ("answers", "task", "told"),
    [
        ([0.0, 0.5, 1.0], "binary", ()),
        ([0.5, 1.1, float("nan")], "binary", ("2 of 3 answers are no probability",)),
        ([-5.0, 1e300], "regression", ()),
        ([-5.0, float("inf")], "regression", ("1 of 2 answers are no finite number",)),
        ([[0.2, 0.3, 0.5]], "multiclass", ()),
        ([[0.33333334, 0.33333334, 0.33333334]], "multiclass", ()),
        ([[0.2, 0.3, 0.6], [1.2, -0.2, 0.0], [0.5, 0.5], [float("nan"), 0.5, 0.5]], "multiclass",
         ("4 of 4 answers are no 3 probabilities that sum to 1",)),
    ],
)  # fmt: skip
def test_a_smoke_test_knows_what_an_answer_of_each_task_is(
    answers: list[Any], task: Any, told: tuple[str, ...]
) -> None:
    assert strange_answers(answers, task, classes=3) == told
