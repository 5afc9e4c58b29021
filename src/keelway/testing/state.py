"""What every state store promises.

class TestMyState(StateConformance):
    @pytest.fixture
    def state(self, tmp_path): ...
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keelway.core import (
    Action,
    Decision,
    PointerMove,
    PrincipalId,
    WrittenRecord,
    canonical_json,
    digest_bytes,
    digest_of,
)
from keelway.errors import (
    ConflictError,
    KeelwayError,
    MissingRecordError,
    PointerMovedError,
    RecordExistsError,
    UsageError,
)
from keelway.ledger import StateStore, decisions, record_decision
from keelway.testing.log import LogConformance

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class SampleRecord:
    """A record with the types that records use."""

    name: str
    figure: float | None = None
    tags: tuple[str, ...] = ()
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class OtherRecord:
    """A record of another class."""

    name: str


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


class StateConformance(LogConformance):
    """The promises of `StateStore`, `Records` and `Pointers`."""

    @pytest.fixture
    def state(self) -> StateStore:
        """Return an empty store. To be overridden."""
        raise NotImplementedError

    def test_a_record_comes_back(self, state: StateStore) -> None:
        record = SampleRecord("ä\u2028", 0.1 + 0.2, ("x", "y"), NOW + timedelta(microseconds=1))
        with state.transaction() as tx:
            digest = tx.insert("a", record, at=NOW)
        assert digest == digest_of(record)
        with state.snapshot() as tx:
            assert tx.get(SampleRecord, "a") == tx.find(SampleRecord, "a") == record
            assert tx.by_digest(SampleRecord, digest) == record
            assert tx.text_of(digest) == ("SampleRecord", canonical_json(record).decode())

    def test_the_same_content_is_stored_once_and_other_content_never(self, state: StateStore) -> None:
        with state.transaction() as tx:
            assert tx.insert("a", SampleRecord("x"), at=NOW) == tx.insert("a", SampleRecord("x"), at=NOW)
            assert tx.count(SampleRecord) == 1
        with pytest.raises(RecordExistsError), state.transaction() as tx:
            tx.insert("a", SampleRecord("y"), at=NOW)

    def test_a_record_that_was_written_before_is_stored_as_itself(self, state: StateStore) -> None:
        written = WrittenRecord.of(SampleRecord("ä", 0.1 + 0.2))
        with state.transaction() as tx:
            assert tx.insert("a", written, at=NOW) == tx.insert("a", written.record, at=NOW) == written.digest
            assert tx.get(SampleRecord, "a") == written.record
            assert tx.text_of(written.digest) == ("SampleRecord", written.body.decode())

    def test_kinds_do_not_share_keys(self, state: StateStore) -> None:
        with state.transaction() as tx:
            tx.insert("a", SampleRecord("x"), at=NOW)
            tx.insert("a", OtherRecord("y"), at=NOW)
            assert tx.get(OtherRecord, "a").name == "y"

    def test_what_is_missing_is_said(self, state: StateStore) -> None:
        with state.snapshot() as tx:
            assert tx.find(SampleRecord, "a") is None
            assert tx.text_of(digest_bytes(b"")) is None
            assert tx.pointer("p") is None
            with pytest.raises(MissingRecordError):
                tx.get(SampleRecord, "a")
            with pytest.raises(MissingRecordError):
                tx.by_digest(SampleRecord, digest_bytes(b""))

    def test_newest_comes_first(self, state: StateStore) -> None:
        moments = [NOW, NOW + timedelta(microseconds=500_000), NOW - timedelta(days=1), NOW]
        with state.transaction() as tx:
            for number, at in enumerate(moments):
                tx.insert(str(number), SampleRecord(str(number)), parent="even" if number % 2 == 0 else "odd", at=at)
            assert [record.name for record in tx.newest(SampleRecord)] == ["1", "3", "0", "2"]
            assert [record.name for record in tx.newest(SampleRecord, limit=1)] == ["1"]
            assert [record.name for record in tx.newest(SampleRecord, parent="even", limit=9)] == ["0", "2"]
            assert tx.count(SampleRecord, parent="odd") == 2
            assert tx.count(OtherRecord) == 0

    def test_those_of_a_span_come_oldest_first(self, state: StateStore) -> None:
        with state.transaction() as tx:
            for number, hours in enumerate([0, 2, 1, 3, 1]):
                tx.insert(str(number), SampleRecord(str(number)), parent="p", at=NOW + timedelta(hours=hours))
            tx.insert("other", SampleRecord("other"), parent="q", at=NOW)

            def names(**span: Any) -> str:
                return "".join(record.name for record in tx.between(SampleRecord, parent="p", **span))

            assert names() == "02413"
            assert names(since=NOW + timedelta(hours=1)) == "2413"
            assert names(since=NOW + timedelta(hours=1), until=NOW + timedelta(hours=2)) == "241"
            assert names(until=NOW + timedelta(microseconds=-1)) == ""
            assert names(since=NOW + timedelta(microseconds=1), limit=2) == "24"
            assert tx.between(OtherRecord, parent="p") == []

    def test_missing_keys_are_found_among_many(self, state: StateStore) -> None:
        with state.transaction() as tx:
            for number in range(0, 1200, 2):
                tx.insert(str(number), SampleRecord(str(number)), at=NOW)
            absent = tx.missing(SampleRecord, (str(number) for number in range(1200)))
            assert absent == {str(number) for number in range(1, 1200, 2)}
            assert tx.missing(SampleRecord, []) == set()

    def test_records_that_name_a_digest_are_found_among_all(self, state: StateStore) -> None:
        one, two, other = (digest_bytes(text) for text in (b"1", b"2", b"other"))
        with state.transaction() as tx:
            tx.insert("a", SampleRecord("a", tags=("x", one)), at=NOW)
            tx.insert("b", OtherRecord(f"in the middle {two} of a text"), at=NOW)
            tx.insert("c", SampleRecord("c", tags=(other,)), at=NOW)
            tx.insert("d", SampleRecord(one), at=NOW)
            tx.insert("e", SampleRecord("names nothing"), at=NOW)
        with state.snapshot() as tx:
            assert [(kind, "middle" in text) for kind, text in tx.naming([one, two])] == [
                ("SampleRecord", False),
                ("OtherRecord", True),
                ("SampleRecord", False),
            ]
            assert [kind for kind, _ in tx.naming([one, two], besides=["SampleRecord"])] == ["OtherRecord"]
            assert list(tx.naming([digest_bytes(b"nobody")])) == []

    def test_records_are_found_while_others_are_looked_up(self, state: StateStore) -> None:
        wanted = digest_bytes(b"1")
        with state.transaction() as tx:
            for number in range(1100):
                tx.insert(str(number), SampleRecord(str(number), tags=(wanted,)), at=NOW)
            found = 0
            for _, text in tx.naming([wanted]):
                assert tx.text_of(digest_bytes(text.encode())) is not None
                found += 1
        assert found == 1100

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

    def test_texts_of_any_kind_come_back(self, state: StateStore) -> None:
        for number, text in enumerate(
            ("\0", "\0\1\x1f\x7f", "\ufeff\u2028\U0001f600", "'; DROP TABLE records; --", "%\\_")
        ):
            with state.transaction() as tx:
                tx.insert(str(number), SampleRecord(text, tags=(text,)), at=NOW)
            with state.snapshot() as tx:
                assert tx.get(SampleRecord, str(number)) == SampleRecord(text, tags=(text,))

    def test_a_key_may_be_long_and_holds_no_nul(self, state: StateStore) -> None:
        long = "raw/" + "ü" * 998
        with state.transaction() as tx:
            tx.insert(long, SampleRecord("x"), parent=long, at=NOW)
            tx.move(long, before=None, after=digest_bytes(b""), at=NOW)
            for wrong in ("a\0b", long + "x"):
                with pytest.raises(UsageError):
                    tx.insert(wrong, SampleRecord("x"), at=NOW)
                with pytest.raises(UsageError):
                    tx.insert("a", SampleRecord("x"), parent=wrong, at=NOW)
                with pytest.raises(UsageError):
                    tx.move(wrong, before=None, after=digest_bytes(b""), at=NOW)
        with state.snapshot() as tx:
            assert tx.find(SampleRecord, long) == tx.newest(SampleRecord, parent=long)[0] == SampleRecord("x")
            assert [pointer.name for pointer in tx.pointers(prefix="raw/")] == [long]

    def test_names_are_ordered_by_their_bytes(self, state: StateStore) -> None:
        names = ["A", "B_", "Ba", "_", "a", "a b", "a-b", "a_b", "ab", "z", "\u00e4", "\u4e2d"]
        with state.transaction() as tx:
            for name in reversed(names):
                tx.move(name, before=None, after=digest_bytes(b""), at=NOW)
            assert [pointer.name for pointer in tx.pointers()] == names

    def test_a_record_never_holds_nan(self, state: StateStore) -> None:
        with pytest.raises(KeelwayError), state.transaction() as tx:
            tx.insert("a", SampleRecord("x", float("nan")), at=NOW)

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
