"""What every state store promises.

class TestMyState(StateConformance):
    @pytest.fixture
    def state(self, tmp_path): ...
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from keelway.core import (
    Action,
    Decision,
    PointerMove,
    PrincipalId,
    digest_bytes,
)
from keelway.errors import (
    ConflictError,
    KeelwayError,
    PointerMovedError,
    UsageError,
)
from keelway.ledger import StateStore, decisions, record_decision
from keelway.testing.log import LogConformance
from keelway.testing.records import NOW, RecordConformance, SampleRecord


def step(state: StateStore, number: int, *, pointer: str = "p") -> int:
    """Store a record, move a pointer to it and record that, in one transaction; returns the entry's index."""
    with state.transaction() as tx:
        digest = tx.insert(f"{pointer}/{number}", SampleRecord(f"{pointer}{number}"), at=NOW)
        held = tx.pointer(pointer)
        move = PointerMove(pointer, held.target if held else None, digest)
        tx.move(pointer, before=move.before, after=digest, at=NOW)
        told = Decision(
            Action.RUN, pointer, True, PrincipalId("user:ana"), NOW, evidence={"record": digest}, moves=(move,)
        )
        return record_decision(told, tx=tx).index


class StateConformance(RecordConformance, LogConformance):
    """The promises of `StateStore` and `Pointers`, and of what a transaction reads and writes besides."""

    @pytest.fixture
    def state(self) -> StateStore:
        """Return an empty store. To be overridden."""
        raise NotImplementedError

    def test_a_pointer_moves_by_compare_and_swap(self, state: StateStore) -> None:
        one, two = digest_bytes(b"1"), digest_bytes(b"2")
        with state.transaction() as tx:
            assert tx.move("p", before=None, after=one, at=NOW).revision == 1
            assert tx.move("p", before=one, after=two, at=NOW).revision == 2
            pointer = tx.pointer("p")
            assert pointer is not None
            assert (pointer.target, pointer.revision, pointer.moved_at) == (two, 2, NOW)
        for wrong in (None, one):
            with pytest.raises(PointerMovedError), state.transaction() as tx:
                tx.move("p", before=wrong, after=one, at=NOW)

    def test_pointers_are_listed_by_prefix(self, state: StateStore) -> None:
        with state.transaction() as tx:
            for name in ("environment/prod/b", "environment/prod/a", "environment_x", "Environment/prod/c"):
                tx.move(name, before=None, after=digest_bytes(b""), at=NOW)
            assert [p.name for p in tx.pointers(prefix="environment/")] == ["environment/prod/a", "environment/prod/b"]
            assert len(tx.pointers()) == 4

    def test_a_block_that_raises_changes_nothing(self, state: StateStore) -> None:
        with pytest.raises(KeelwayError, match="stop"), state.transaction() as tx:
            tx.insert("a", SampleRecord("x"), at=NOW)
            tx.move("p", before=None, after=digest_bytes(b""), at=NOW)
            tx.log.add_leaf(0, b"x", [])
            raise KeelwayError("stop")
        with state.snapshot() as tx:
            assert (tx.count(SampleRecord), tx.pointer("p"), tx.log.size()) == (0, None, 0)

    def test_a_snapshot_does_not_move_with_the_world(self, state: StateStore) -> None:
        step(state, 1)
        with state.snapshot() as before:
            step(state, 2)
            assert before.count(SampleRecord) == before.log.size() == 1
        with state.snapshot() as after:
            assert after.log.size() == 2

    def test_a_snapshot_refuses_writes(self, state: StateStore) -> None:
        with state.snapshot() as tx:
            with pytest.raises(UsageError):
                tx.insert("a", SampleRecord("x"), at=NOW)
            with pytest.raises(UsageError):
                tx.move("p", before=None, after=digest_bytes(b""), at=NOW)

    def test_a_transaction_inside_another_is_refused_at_once(self, state: StateStore) -> None:
        with pytest.raises(UsageError), state.transaction(), state.transaction():
            pass
        step(state, 1)

    def test_a_reader_never_waits_for_a_writer(self, state: StateStore) -> None:
        step(state, 1)
        with state.transaction() as writing:
            writing.insert("p/2", SampleRecord("p2"), at=NOW)
            with state.snapshot() as reading:
                assert reading.count(SampleRecord) == 1

    def test_a_writer_begins_when_the_one_before_it_has_ended(self, state: StateStore) -> None:
        """Who waits for the lock decides on what the other one left, not on what stood when it came."""
        told, opened = [], threading.Event()

        def late() -> None:
            opened.wait()
            with state.transaction() as tx:
                told.append("second begins")
                held = tx.pointer("p")
                assert held is not None
                assert tx.move("p", before=held.target, after=digest_bytes(b"2"), at=NOW).revision == 2

        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(late)
            with state.transaction() as tx:
                opened.set()
                tx.move("p", before=None, after=digest_bytes(b"1"), at=NOW)
                told.append("first ends")
            waiting.result()
        assert told == ["first ends", "second begins"]

    def test_names_are_ordered_by_their_bytes(self, state: StateStore) -> None:
        names = ["A", "B_", "Ba", "_", "a", "a b", "a-b", "a_b", "ab", "z", "\u00e4", "\u4e2d"]
        with state.transaction() as tx:
            for name in reversed(names):
                tx.move(name, before=None, after=digest_bytes(b""), at=NOW)
            assert [pointer.name for pointer in tx.pointers()] == names

    def test_threads_append_without_gaps(self, state: StateStore) -> None:
        with ThreadPoolExecutor(4) as pool:
            indices = list(pool.map(lambda n: step(state, n, pointer=f"p{n % 4}"), range(40)))
        assert sorted(indices) == list(range(40))
        with state.snapshot() as tx:
            assert [index for index, _ in decisions(tx)] == list(range(40))

    def test_of_two_writers_that_read_the_same_pointer_one_loses(self, state: StateStore) -> None:
        step(state, 1)
        with state.snapshot() as tx:
            seen = tx.pointer("p")
        assert seen is not None
        step(state, 2)
        with pytest.raises(ConflictError), state.transaction() as tx:
            tx.move("p", before=seen.target, after=digest_bytes(b"late"), at=NOW)
