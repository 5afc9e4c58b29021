"""What every state store promises of records; part of the suite for state stores."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keelway.core import (
    WrittenRecord,
    canonical_json,
    digest_bytes,
    digest_of,
)
from keelway.errors import (
    KeelwayError,
    MissingRecordError,
    RecordExistsError,
    UsageError,
)
from keelway.ledger import StateStore

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


class RecordConformance:
    """The promises of `Records`."""

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

    def test_a_record_never_holds_nan(self, state: StateStore) -> None:
        with pytest.raises(KeelwayError), state.transaction() as tx:
            tx.insert("a", SampleRecord("x", float("nan")), at=NOW)
