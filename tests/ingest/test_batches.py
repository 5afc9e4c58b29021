"""Batches: bounded, oldest first, the same however the fetching goes."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.core import Action, ArtifactKind, digest_bytes, digest_of
from keelway.errors import ConflictError, IntegrityError, SourceError
from keelway.ingest import Batch, ObjectInfo, SeenFile, SkipReason, pending
from keelway.ingest.fetch import SMALL_BYTES, TOGETHER, windows


def names(batch: Batch) -> list[str]:
    return [file.name for file in batch.files]


def test_a_batch_holds_at_most_so_many_files_and_the_oldest_come_first(quay) -> None:
    landed = [quay.land(f"{number:02}.csv", f"{number}", age_s=1000 + number) for number in range(25)]
    oldest_first = landed[::-1]
    batches = quay.all_batches(max_files=10)
    assert [sorted(names(batch)) for batch in batches] == [
        sorted(oldest_first[:10]),
        sorted(oldest_first[10:20]),
        sorted(oldest_first[20:]),
    ]
    assert [batch.number for batch in batches] == [1, 2, 3]


def test_a_pull_says_how_many_files_the_next_batches_will_take(quay) -> None:
    for number in range(25):
        quay.land(f"{number:02}.csv", f"{number}")
    assert quay.pull(max_files=10).later == 15
    quay.load()
    assert quay.pull(max_files=100).later == 0


def test_files_of_the_same_age_come_by_name(quay) -> None:
    for name in ("c.csv", "a.csv", "b.csv"):
        quay.land(name, name)
    assert names(quay.pull(max_files=2).batch) == ["raw/a.csv", "raw/b.csv"]


def test_a_batch_of_nothing_but_known_content_still_records_what_was_seen(quay) -> None:
    quay.land("a.csv", "1")
    quay.taken()
    for number in range(3):
        quay.land(f"copy-{number}.csv", "1", age_s=10)
    (batch,) = quay.all_batches()
    assert batch.files == ()
    assert {(file.reason, file.of) for file in batch.skipped} == {(SkipReason.DUPLICATE, "raw/a.csv")}
    quay.source.fetched.clear()
    assert quay.all_batches() == []
    assert quay.source.fetched == []


def test_a_copy_that_falls_into_a_later_batch_is_known(quay) -> None:
    quay.land("first.csv", "same", age_s=100)
    quay.land("other.csv", "other", age_s=90)
    quay.land("copy.csv", "same", age_s=80)
    first, second = quay.all_batches(max_files=2)
    assert names(first) == ["raw/first.csv", "raw/other.csv"]
    assert [(file.name, file.of) for file in second.skipped] == [("raw/copy.csv", "raw/first.csv")]


def test_new_content_under_a_known_name_is_kept_and_told_but_not_loaded(quay) -> None:
    name = quay.land("a.csv", "true")
    quay.taken()
    quay.land("a.csv", "other", age_s=0)
    (batch,) = quay.all_batches()
    assert batch.files == ()
    (changed,) = batch.skipped
    assert (changed.reason, changed.name, changed.of) == (SkipReason.CONTENT_CHANGED, name, name)
    assert quay.artifacts.get(changed.digest) == b"other"
    assert [action for action, _ in quay.actions()] == [Action.INGEST, Action.INGEST, Action.QUARANTINE]
    assert name in quay.actions()[-1][1]


def test_a_name_that_returns_to_its_first_content_is_no_news(quay) -> None:
    for content, reason in (("one", None), ("two", SkipReason.CONTENT_CHANGED), ("one", SkipReason.TOUCHED)):
        quay.wait(60)
        quay.land("a.csv", content, age_s=0)
        (batch,) = quay.all_batches()
        assert [file.reason for file in batch.skipped] == ([reason] if reason else [])


def test_of_many_changed_files_five_are_named(quay) -> None:
    for content in ("1", "2"):
        for number in range(8):
            quay.land(f"{number}.csv", content + str(number), age_s=0 if content == "2" else 60)
        quay.all_batches()
    comment = quay.actions()[-1][1]
    assert comment.count(".csv") == 5
    assert comment.endswith("and 3 more")


def test_only_the_etag_tells_some_changes(quay) -> None:
    quay.land("a.csv", "one", age_s=60)
    quay.taken()
    quay.source.fetched.clear()
    quay.land("a.csv", "two", age_s=60)  # as long, and at the same time
    (batch,) = quay.all_batches()
    assert [file.reason for file in batch.skipped] == [SkipReason.CONTENT_CHANGED]
    with quay.state.snapshot() as tx:
        assert len({sight.etag for sight in tx.newest(SeenFile)}) == 2


def test_nothing_is_known_before_it_was_pulled(quay) -> None:
    quay.land("ahead.csv", "1", age_s=-90.5)
    quay.land("behind.csv", "2", age_s=90)
    (batch,) = quay.all_batches()
    ahead, behind = batch.files
    assert (ahead.known_at, ahead.ahead_s) == (quay.now, 90.5)
    assert (behind.known_at, behind.ahead_s) == (quay.now - timedelta(seconds=90), 0)
    assert quay.actions()[0][1].endswith("the store's clock was up to 90.5 s ahead")


def test_a_late_file_in_an_old_folder_is_found(quay) -> None:
    for day in range(1, 29):
        quay.land(f"dt=1997-05-{day:02}/a.csv", f"{day}", age_s=86_400 * (29 - day))
    quay.all_batches()
    late = quay.land("dt=1997-05-03/late.csv", "late", age_s=0)
    early_stamp = quay.land("dt=1997-05-02/copied-with-its-time.csv", "stamp", age_s=86_400 * 300)
    (batch,) = quay.all_batches()
    assert sorted(names(batch)) == sorted([late, early_stamp])
    assert {file.name: file.late_days for file in batch.files} == {late: 28, early_stamp: 0}


@pytest.mark.parametrize(
    "partition", ["dt=1997-05-30", "date=1997-05-30", "year=1997/month=5/day=30", "dt=19970530/hour=5"]
)
def test_partitions_of_every_style_say_the_day(quay, partition: str) -> None:
    quay.land(f"{partition}/a.csv", "1", age_s=0)
    (batch,) = quay.all_batches()
    assert (batch.files[0].event_date, batch.files[0].late_days) == ("1997-05-30", 1)


def test_a_backfill_takes_what_lies_in_its_days_and_leaves_the_rest_untouched(quay) -> None:
    landed = [quay.land(f"dt=1997-05-0{day}/a.csv", f"{day}", age_s=0) for day in range(1, 8)]
    undated = quay.land("undated.csv", "x", age_s=0)
    assert quay.taken(since=date(1997, 5, 3), until=date(1997, 5, 5)) == landed[2:5]
    assert quay.taken(since=date(1997, 5, 3), until=date(1997, 5, 5)) == []
    assert quay.taken(since=quay.now.date(), until=quay.now.date()) == [undated]
    assert quay.taken() == landed[:2] + landed[5:]


def test_a_backfill_may_ask_for_hours(quay) -> None:
    landed = [quay.land(f"dt=1997-05-01/hour={hour:02}/a.csv", f"{hour}") for hour in range(24)]
    since = datetime(1997, 5, 1, 5, tzinfo=UTC)
    assert quay.taken(since=since, until=since + timedelta(hours=2)) == landed[5:7]


def test_a_batch_that_is_left_is_handed_out_before_a_backfill(quay) -> None:
    quay.land("dt=1997-05-01/a.csv", "1")
    left = quay.pull().batch
    assert quay.pull(since=date(1998, 1, 1)).batch == left == pending(quay.dataset, quay.state)


def test_a_preview_says_what_a_pull_would_take_and_does_nothing(quay) -> None:
    quay.declare(settle_s=60)
    landed = [quay.land(f"{number}.csv", f"{number}", age_s=1000 - number) for number in range(5)]
    young = quay.land("young.csv", "y", age_s=1)
    outlook = quay.preview(max_files=3)
    assert [info.name for info in outlook.files] == landed[:3]
    assert (outlook.later, [file.name for file in outlook.waiting]) == (2, [young])
    assert quay.source.fetched == []
    assert quay.actions() == []
    assert names(quay.pull(max_files=3).batch) == landed[:3]


def test_a_preview_of_a_span_agrees_with_the_pull(quay) -> None:
    for day in range(1, 8):
        quay.land(f"dt=1997-05-0{day}/a.csv", f"{day}")
    span = {"since": date(1997, 5, 3), "until": date(1997, 5, 5)}
    outlook = quay.preview(**span)
    assert sorted(info.name for info in outlook.files) == quay.taken(**span)
    assert quay.preview(**span).files == ()


def test_two_pulls_at_once_record_one_batch(quay) -> None:
    for number in range(20):
        quay.land(f"{number}.csv", f"{number}")

    def pulled(worker: int) -> Batch | None:
        try:
            return quay.pull(actor=f"user:{worker}").batch
        except ConflictError:
            return None

    with ThreadPoolExecutor(4) as pool:
        found = [batch for batch in pool.map(pulled, range(4)) if batch is not None]
    assert {digest_of(batch) for batch in found} == {digest_of(found[0])}
    with quay.state.snapshot() as tx:
        assert (tx.count(Batch), tx.count(SeenFile)) == (1, 20)
    assert [action for action, _ in quay.actions()] == [Action.INGEST]


def test_a_file_that_cannot_be_read_fails_the_pull_and_records_nothing(quay) -> None:
    broken = quay.land("3.csv", "3")
    for number in (1, 2, 4, 5):
        quay.land(f"{number}.csv", f"{number}")

    def fail() -> None:
        raise SourceError("3.csv cannot be read")

    quay.source.meddling[broken] = fail
    with pytest.raises(SourceError, match=r"3\.csv"):
        quay.pull()
    assert quay.actions() == []
    assert len(quay.taken()) == 5


def test_an_artifact_store_that_names_wrongly_is_not_believed(quay) -> None:
    class Wrong:
        def put_file(self, path, *, kind, name=""):
            return quay.artifacts.put(b"something else", kind=kind, name=name)

    quay.land("a.csv", "1")
    with pytest.raises(IntegrityError, match=r"a\.csv"):
        quay.pull(artifacts=Wrong())
    assert quay.actions() == []


def test_every_file_is_stored_as_a_raw_file_under_its_name(quay) -> None:
    stored = []

    class Noting:
        def put_file(self, path, *, kind, name=""):
            stored.append((name, kind))
            return quay.artifacts.put_file(path, kind=kind, name=name)

    landed = [quay.land(f"{number}.csv", f"{number}") for number in range(3)]
    quay.land("copy.csv", "1", age_s=0)
    quay.land("empty.csv", "")
    quay.pull(artifacts=Noting())
    assert sorted(stored) == [(name, ArtifactKind.RAW_FILE) for name in landed]


def test_what_a_batch_says_does_not_depend_on_which_file_arrives_first(new_quay) -> None:
    def pulled(delays: list[float]) -> Batch:
        quay = new_quay()
        for number in range(12):
            name = quay.land(f"{number:02}.csv", f"{number % 5}", age_s=100 - number)
            quay.source.meddling[name] = lambda delay=delays[number]: time.sleep(delay)
        batch = quay.pull().batch
        assert batch is not None
        return batch

    slow_first = pulled([0.03, 0.02, 0.01] + [0.0] * 9)
    slow_last = pulled([0.0] * 9 + [0.01, 0.02, 0.03])
    assert slow_first == slow_last
    assert names(slow_first) == [f"raw/{number:02}.csv" for number in range(5)]


SIZES = st.lists(st.sampled_from([0, 1, SMALL_BYTES, SMALL_BYTES + 1]), max_size=300)


@given(SIZES)
def test_windows_keep_every_object_in_its_order_and_large_ones_alone(sizes: list[int]) -> None:
    moment = datetime(1997, 1, 1, tzinfo=UTC)
    infos = [ObjectInfo(str(number), size, moment) for number, size in enumerate(sizes)]
    groups = list(windows(infos))
    assert [info for group in groups for info in group] == infos
    assert all(groups)
    assert all(len(group) <= TOGETHER for group in groups)
    assert all(len(group) == 1 for group in groups if any(info.size_bytes > SMALL_BYTES for info in group))


def test_digests_name_the_bytes(quay) -> None:
    quay.land("a.csv", "content")
    (batch,) = quay.all_batches()
    assert batch.files[0].digest == digest_bytes(b"content")
    assert quay.artifacts.get(batch.files[0].digest) == b"content"
