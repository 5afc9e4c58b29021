"""What people tell comes back as they told it: batch after batch, each subject by itself, each with its decision."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.core import Action, ArtifactKind, BusinessEvent, Outcome, PrincipalId, digest_of
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.sql import SqlState
from keelway.ledger import decisions
from keelway.monitor import EventBatch, OutcomeBatch
from keelway.monitor.batches import batches_of, keep_batch, put_lines, read_lines
from keelway.testing.memory import memory_folder
from keelway.testing.serving import NOW

BOT, DAY = PrincipalId("sp:till"), timedelta(days=1)
times = st.integers(0, 10**6).map(lambda seconds: NOW + timedelta(seconds=seconds))
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
events = st.builds(
    BusinessEvent, st.just("purchases"), names, st.floats(allow_nan=False, allow_infinity=False), times, times, names
)
outcomes = st.builds(Outcome, st.just("churned"), names, times, st.integers(0, 1), times, times)


class Books:
    def __init__(self, folder: Path) -> None:
        self.state, self.artifacts = SqlState(f"sqlite:///{folder / 'state.db'}"), LocalArtifacts(folder / "store")

    def outcomes(self, label: str, number: int, *told: Outcome) -> OutcomeBatch:
        """Keep a batch of outcomes."""
        data = put_lines(told, f"{label}-{number}.jsonl", self.artifacts)
        batch = OutcomeBatch(label, number, len(told), data, NOW + number * DAY, BOT)
        with self.state.transaction() as tx:
            keep_batch(batch, label, what="outcomes", comment=f"the {number}th", tx=tx)
        return batch

    def events(self, stream: str, number: int, *told: BusinessEvent) -> EventBatch:
        """Keep a batch of events."""
        data = put_lines(told, f"{stream}-{number}.jsonl", self.artifacts)
        batch = EventBatch(stream, number, len(told), NOW, data, NOW, BOT)
        with self.state.transaction() as tx:
            keep_batch(batch, stream, what="events", comment="", tx=tx)
        return batch


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    made = Books(tmp_path)
    yield made
    made.state.close()


def outcome(entity: str, value: int = 1) -> Outcome:
    return Outcome("churned", entity, NOW, value, NOW, NOW)


@given(st.lists(st.lists(events, max_size=3), max_size=3), st.lists(st.lists(outcomes, max_size=3), max_size=3))
def test_every_record_comes_back_as_it_was_told(told: list[list[BusinessEvent]], known: list[list[Outcome]]) -> None:
    with memory_folder() as folder:
        store = LocalArtifacts(folder)
        streams = [EventBatch("s", 1, len(each), NOW, put_lines(each, "s", store), NOW, BOT) for each in told]
        labels = [OutcomeBatch("y", 1, len(each), put_lines(each, "y", store), NOW, BOT) for each in known]
        assert read_lines(BusinessEvent, streams, store) == [one for each in told for one in each]
        assert read_lines(Outcome, labels, store) == [one for each in known for one in each]


def test_batches_come_in_the_order_they_were_told_also_beyond_ten(books: Books) -> None:
    told = [books.outcomes("churned", number, outcome(f"c{number}")) for number in range(1, 13)]
    with books.state.snapshot() as tx:
        assert batches_of(OutcomeBatch, "churned", tx) == told


def test_a_label_and_a_stream_of_one_name_are_two_subjects_and_another_label_a_third(books: Books) -> None:
    known = books.outcomes("sales", 1, outcome("a"))
    books.outcomes("churned", 1, outcome("b"))
    sold = books.events("sales", 1, BusinessEvent("sales", "a", 5.0, NOW, NOW, ""))
    with books.state.snapshot() as tx:
        assert batches_of(OutcomeBatch, "sales", tx) == [known]
        assert batches_of(EventBatch, "sales", tx) == [sold]


def test_taking_a_batch_in_is_a_decision_with_the_batch_as_evidence(books: Books) -> None:
    batch = books.outcomes("churned", 1, outcome("a"), outcome("b", 0))
    with books.state.snapshot() as tx:
        ((_, decision),) = decisions(tx)
    assert (decision.action, decision.subject, decision.allowed) == (Action.LOG_OUTCOMES, "churned", True)
    assert (decision.principal, decision.at, decision.comment) == (BOT, batch.recorded_at, "the 1th")
    assert decision.evidence == {"outcomes": digest_of(batch)}


def test_lines_are_canonical_so_the_same_records_are_the_same_artifact(books: Books) -> None:
    first = put_lines([outcome("a"), outcome("b")], "one", books.artifacts)
    assert put_lines([outcome("a"), outcome("b")], "two", books.artifacts) == first
    lines = books.artifacts.get(first).splitlines(keepends=True)
    assert [line[-1:] for line in lines] == [b"\n"] * 2
    assert (
        put_lines([], "none", books.artifacts) == books.artifacts.put(b"", kind=ArtifactKind.OUTCOMES, name="x").digest
    )
