"""Rows that are answered together are journaled as they are: the lines that are sealed are those that would have been written at once."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.core import Digest, PrincipalId, SystemClock, time_text
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.local.journal import FileJournals
from keelway.engines.local.packing import PackingProcess
from keelway.engines.sql import SqlState
from keelway.errors import IntegrityError
from keelway.serve import (
    JournalLog,
    LineWriter,
    RequestMark,
    SealingPorts,
    WriterParts,
    answer_rows,
    entries_of,
    find_prediction,
    lines_in,
    predictions,
    seal_journals,
)
from keelway.serve.journal_entries import BLOCK_FROM
from keelway.serve.line import COLUMNS_FROM, LARGEST_PLAIN, SMALLEST_PLAIN, lines_of, number_texts
from keelway.testing.serving import FixedScorer, ServedTraffic

DIGEST = Digest("sha256:" + "0" * 64)
NOW = datetime(1998, 1, 1, tzinfo=UTC)
LATER = datetime(2026, 3, 1, 12, 30, 0, 250_001, tzinfo=UTC)
EDGES = [0.0, -0.0, 1.0, 1e-7, 5e-324, SMALLEST_PLAIN, LARGEST_PLAIN, 2.0**53, 1e21, 1.7976931348623157e308]
FINITE = st.floats(allow_nan=False, allow_infinity=False)
NUMBERS = st.none() | FINITE | st.sampled_from(EDGES) | st.integers(-(2**53), 2**53) | st.booleans()
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
VALUES = st.tuples(NUMBERS, st.none() | WORDS, st.lists(FINITE, max_size=3)).map(list)
ROWS = st.lists(st.tuples(WORDS, st.sampled_from([NOW, LATER]), VALUES), min_size=1)


def writer_of(*names: str, arm: str = "stable") -> LineWriter:
    return LineWriter(
        WriterParts(
            model="churn", version="churn:1", version_digest=DIGEST, deployment=DIGEST, environment="prod", arm=arm,
            features=names, policy='"é"',
        )
    )  # fmt: skip


def ids_of(count: int) -> list[str]:
    return [f"{place:032x}" for place in range(count)]


def lines_of_entries(entries: bytes) -> list[bytes]:
    return list(lines_in(entries.splitlines(keepends=True)))


def is_block(entries: bytes) -> bool:
    return entries.count(b"\n") == 1


@settings(max_examples=40)
@given(
    ROWS,
    st.permutations(["b", 'a "quoted" name', "é"]),
    st.lists(WORDS, min_size=1, max_size=3),
    st.sampled_from([BLOCK_FROM, COLUMNS_FROM, 256]),
)
def test_lines_of_a_block_are_those_that_would_have_been_written(
    few: list[Any], names: list[str], requests: list[str], least: int
) -> None:
    rows = few * (least // len(few) + 1)
    count = len(rows)
    writers, ids, texts = [writer_of(*names)] * count, ids_of(count), number_texts([at / count for at in range(count)])
    marks = [RequestMark(requests[place % len(requests)]) for place in range(count)]
    entries = entries_of(writers, ids, rows, texts, at=time_text(LATER), marks=marks)
    assert is_block(entries)
    assert b"".join(lines_of_entries(entries)) == lines_of(writers, ids, rows, texts, at=time_text(LATER), marks=marks)


def test_numbers_of_numpy_and_several_classes_come_back() -> None:
    rows = [("c1", NOW, [np.float64(0.1), np.float32(2.5), 7.0])] * BLOCK_FROM
    given: Any = ([writer_of("a", "b", "c")] * BLOCK_FROM, ids_of(BLOCK_FROM), rows, ["[0.25,0.75]"] * BLOCK_FROM)
    entries = entries_of(*given, at=time_text(NOW))
    assert is_block(entries)
    assert b"".join(lines_of_entries(entries)) == lines_of(*given, at=time_text(NOW))


LATENCIES = [0, 1, 999_999, 1_234_567, 86_400_000_001, None]


@pytest.mark.parametrize("taken", [*([each] for each in LATENCIES), LATENCIES])
def test_a_block_tells_of_each_request_how_long_it_took(taken: list[int | None]) -> None:
    count = 12
    rows, writers, ids = [("c1", NOW, [1.5])] * count, [writer_of("a")] * count, ids_of(count)
    began = time.perf_counter()
    marks = [RequestMark(str(each), None if each is None else began - each / 1e6) for each in taken] * (
        12 // len(taken)
    )
    entries = entries_of(writers, ids, rows, ["1"] * count, at=time_text(NOW), marks=marks)
    assert is_block(entries)
    lines = [json.loads(line) for line in lines_of_entries(entries)]
    assert [line["request_id"] for line in lines] == [mark.request_id for mark in marks]
    told = [line["latency_us"] for line in lines]
    assert told == (json.loads(entries)["latencies_us"] * (1 if len(taken) > 1 else count))
    for each, latency_us in zip(taken * count, told, strict=False):
        assert latency_us is None if each is None else each <= latency_us < each + 60e6


@pytest.mark.parametrize("odd", ["few rows", "two arms"])
def test_few_rows_and_those_of_several_arms_are_written_as_lines(odd: str) -> None:
    count = BLOCK_FROM - 1 if odd == "few rows" else BLOCK_FROM
    writers, marks = [writer_of("a")] * count, [RequestMark("r")] * count
    if odd == "two arms":
        writers[-1] = writer_of("a", arm="canary")
    rows = [("c1", NOW, [1.5])] * count
    entries = entries_of(writers, ids_of(count), rows, ["1"] * count, at=time_text(NOW), marks=marks)
    assert entries.count(b"\n") == count
    assert lines_of_entries(entries) == entries.splitlines(keepends=True)


def block() -> bytes:
    rows = [("c1", NOW, [1.5, "gold"])] * BLOCK_FROM
    writers = [writer_of("a", "b")] * BLOCK_FROM
    return entries_of(writers, ids_of(BLOCK_FROM), rows, ["0.25"] * BLOCK_FROM, at=time_text(NOW))


@pytest.mark.parametrize(
    ("before", "after"),
    [(b'"ids":["', b'"ids":["f","'), (b'"entities"', b'"others"'), (b'"as_of":["1998', b'"as_of":["98'),
     (b'[1.5,"gold"]', b"[1.5]"), (b'[1.5,"gold"]', b'[{},"gold"]'), (b'"c1"]', b'"c1"'), (b'"features":["a",', b'"features":[7,')],
)  # fmt: skip
def test_a_damaged_block_is_told_as_a_damaged_line_is(before: bytes, after: bytes) -> None:
    assert before in block()
    with pytest.raises(IntegrityError, match="journal is damaged"):
        lines_of_entries(block().replace(before, after, 1))


class World:
    """A state, a store and journals of the churn model in production."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = SqlState(f"sqlite:///{folder / 's.db'}")
        self.artifacts = LocalArtifacts(folder / "artifacts")
        self.pack = PackingProcess()
        self.ports = SealingPorts(self.state, self.artifacts, PrincipalId("user:ana"), pack=self.pack)
        self.journals = FileJournals(folder / "journals")
        self.lost: list[int] = []

    def log(self) -> JournalLog:
        return JournalLog(
            "churn", environment="prod", journals=self.journals, ports=self.ports, clock=SystemClock(),
            on_unlogged=self.lost.append,
        )  # fmt: skip

    def sealed(self) -> list[Any]:
        with self.state.snapshot() as tx:
            return list(predictions(tx, artifacts=self.artifacts, model="churn", environment="prod"))

    def close(self) -> None:
        self.pack.close()
        self.state.close()


@pytest.fixture
def world(tmp_path: Path) -> Any:
    made = World(tmp_path)
    yield made
    made.close()


def answered(world: World, log: JournalLog, count: int) -> list[str]:
    from keelway.serve import Router
    from keelway.testing.serving import PROD, ScorerShelf

    folder = world.folder / f"traffic {count}"
    folder.mkdir()
    traffic = ServedTraffic(folder)
    traffic.send(churn_1=100)
    shelf = ScorerShelf(churn_1=FixedScorer(0.25))
    loaded = Router("churn", PROD, state=traffic.state, load=shelf.load).loaded
    rows = [(f"c{place}", NOW, [place / 7, "gold"]) for place in range(count)]
    answers = answer_rows(
        rows, loaded, log=log, at=time_text(LATER), marks=[RequestMark("r", time.perf_counter())] * count
    )
    assert all(answer.logged for answer in answers)
    traffic.state.close()
    return [answer.prediction_id for answer in answers]


def test_what_was_answered_is_sealed_and_proven_row_by_row(world: World) -> None:
    log = world.log()
    given = [*answered(world, log, 2 * BLOCK_FROM), *answered(world, log, 3)]
    [segment] = log.seal()
    log.close()
    assert (segment.count, segment.torn_lines) == (len(given), 0)
    assert [each.prediction_id for each in world.sealed()] == given
    with world.state.snapshot() as tx:
        found, *_ = find_prediction(given[7], tx=tx, artifacts=world.artifacts)
    assert (found.entity, found.features, found.request_id) == ("c7", {"recency_d": 1.0, "plan": "gold"}, "r")


def test_what_a_dead_process_left_is_sealed_without_what_was_torn(world: World) -> None:
    journal = world.journals.create("churn", "prod")
    journal.append(block() + block()[:-9])
    journal.close()
    [segment] = seal_journals(world.journals, ports=world.ports, now=LATER)
    assert (segment.count, segment.torn_lines) == (BLOCK_FROM, 1)
    assert len(world.sealed()) == BLOCK_FROM


def test_predictions_are_counted_and_not_entries(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keelway.serve.log.SEAL_LINES", 2 * BLOCK_FROM)
    log = world.log()
    for _ in range(4):
        assert log.append(block(), count=BLOCK_FROM)
    assert [segment.count for segment in log.seal()] == [2 * BLOCK_FROM] * 2
    monkeypatch.setattr(world.journals, "create", refused)
    assert not log.append(block(), count=BLOCK_FROM)
    assert (log.unlogged, world.lost) == (BLOCK_FROM, [BLOCK_FROM])
    log.close()


def refused(*_: object) -> Any:
    from keelway.errors import StorageError

    raise StorageError("The disk is full")
