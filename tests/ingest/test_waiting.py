"""Files that are not ready yet wait, are told, and are lost by nobody."""

from __future__ import annotations

from datetime import timedelta

import pytest

from keelway.ingest import Pulled, SkipReason, WaitingFile, WaitReason


def test_a_file_that_may_still_be_growing_waits_until_it_is_old_enough(quay) -> None:
    quay.declare(settle_s=60)
    young = quay.land("young.csv", "1", age_s=59)
    old = quay.land("old.csv", "2", age_s=60)
    pulled = quay.pull()
    assert [file.name for file in pulled.batch.files] == [old]
    assert pulled.waiting == (WaitingFile(young, WaitReason.SETTLING, quay.now - timedelta(seconds=59)),)
    assert pulled.waits == {WaitReason.SETTLING: 1}
    assert quay.source.fetched == [old]
    quay.load()
    quay.wait(1)
    assert quay.taken() == [young]
    assert quay.pull() == Pulled(None)


def test_a_file_that_grows_pull_after_pull_is_taken_once_and_whole(quay) -> None:
    quay.declare(settle_s=60)
    for length in range(1, 6):
        name = quay.land("growing.csv", "row\n" * length, age_s=0)
        assert quay.taken() == []
        quay.wait(30)
    quay.wait(30)
    (batch,) = quay.all_batches()
    assert [(file.name, file.size_bytes) for file in batch.files] == [(name, 20)]
    assert batch.skipped == ()


def test_without_a_time_to_settle_nothing_waits(quay) -> None:
    name = quay.land("young.csv", "1", age_s=0)
    assert quay.taken() == [name]


def test_a_store_whose_clock_is_a_little_ahead_does_not_make_files_settled(quay) -> None:
    quay.declare(settle_s=60)
    name = quay.land("ahead.csv", "1", age_s=-300)
    assert quay.pull().waits == {WaitReason.SETTLING: 1}
    quay.wait(359)
    assert quay.taken() == []
    quay.wait(1)
    assert quay.taken() == [name]


def test_a_file_stamped_in_a_far_future_does_not_wait_for_it(quay) -> None:
    quay.declare(settle_s=60)
    name = quay.land("2099.csv", "1", age_s=-80 * 365 * 86_400)
    assert quay.taken() == [name]


@pytest.mark.parametrize("source", ["raw/**/*.csv", "raw/*/*.csv", "raw/**"])
def test_files_wait_for_the_marker_of_their_own_folder(quay, source: str) -> None:
    quay.declare(marker="_SUCCESS", source=source)
    marked = quay.land("dt=1997-05-01/a.csv", "1")
    unmarked = quay.land("dt=1997-05-02/a.csv", "2")
    quay.land("dt=1997-05-01/_SUCCESS", "")
    pulled = quay.pull()
    assert [file.name for file in pulled.batch.files] == [marked]
    assert pulled.batch.skipped == ()
    assert [(file.name, file.reason) for file in pulled.waiting] == [(unmarked, WaitReason.UNMARKED)]
    quay.load()
    quay.land("dt=1997-05-02/_SUCCESS", "")
    assert quay.taken() == [unmarked]


def test_the_marker_of_a_folder_does_not_speak_for_the_folders_below(quay) -> None:
    quay.declare(marker="_SUCCESS")
    quay.land("_SUCCESS", "")
    quay.land("dt=1997-05-01/a.csv", "1")
    top = quay.land("b.csv", "2")
    assert quay.taken() == [top]


def test_a_late_file_in_a_marked_folder_is_taken(quay) -> None:
    quay.declare(marker="_SUCCESS")
    quay.land("dt=1997-05-01/a.csv", "1")
    quay.land("dt=1997-05-01/_SUCCESS", "")
    quay.taken()
    assert quay.taken() == []
    late = quay.land("dt=1997-05-01/late.csv", "2", age_s=0)
    assert quay.taken() == [late]


def test_a_marker_that_comes_during_the_listing_counts_at_the_next_pull(quay) -> None:
    quay.declare(marker="_SUCCESS")
    quay.land("a.csv", "1")
    listing, quay.source.list = quay.source.list, None

    def list_and_mark(glob: str):
        yield from listing(glob)
        quay.land("_SUCCESS", "")  # written just after the markers were looked for

    quay.source.list = list_and_mark
    assert quay.taken() == []
    assert quay.taken() == ["raw/a.csv"]


def test_a_file_that_changes_while_it_is_read_is_left_and_the_others_are_taken(quay) -> None:
    names = [quay.land(f"{number}.csv", f"{number}") for number in range(5)]
    quay.source.meddling[names[2]] = lambda: quay.land("2.csv", "2 and more")
    pulled = quay.pull()
    assert [file.name for file in pulled.batch.files] == [*names[:2], *names[3:]]
    assert pulled.waits == {WaitReason.CHANGED: 1}
    assert [file.name for file in pulled.waiting] == [names[2]]
    quay.load()
    assert quay.taken() == [names[2]]
    assert quay.all_batches() == []


def test_a_pull_in_which_every_file_changes_records_nothing(quay) -> None:
    for number in range(3):
        name = quay.land(f"{number}.csv", f"{number}")
        quay.source.meddling[name] = lambda number=number: quay.land(f"{number}.csv", "longer")
    pulled = quay.pull()
    assert pulled.batch is None
    assert pulled.waits == {WaitReason.CHANGED: 3}
    assert quay.actions() == []


def test_a_file_that_goes_away_is_left_out(quay) -> None:
    name = quay.land("a.csv", "1")
    quay.source.meddling[name] = lambda: quay.source.objects.pop(name)
    assert quay.pull().waits == {WaitReason.CHANGED: 1}
    assert quay.pull() == Pulled(None)


def test_of_very_many_waiting_files_some_are_named_and_all_are_counted(quay) -> None:
    quay.declare(settle_s=60)
    for number in range(250):
        quay.land(f"{number:03}.csv", f"{number}", age_s=1)
    pulled = quay.pull()
    assert pulled.batch is None
    assert pulled.waits == {WaitReason.SETTLING: 250}
    assert len(pulled.waiting) == 100


def test_a_file_that_was_seen_does_not_wait(quay) -> None:
    quay.land("a.csv", "1", age_s=1)
    quay.taken()
    quay.declare(settle_s=60, marker="_SUCCESS")
    assert quay.pull() == Pulled(None)


def test_zero_bytes_are_noted_once_and_filled_later(quay) -> None:
    name = quay.land("a.csv", "")
    (batch,) = quay.all_batches()
    assert [(file.name, file.reason) for file in batch.skipped] == [(name, SkipReason.EMPTY)]
    quay.land("a.csv", "1", age_s=0)
    assert quay.taken() == [name]


def test_many_empty_files_are_no_duplicates_of_each_other(quay) -> None:
    quay.land("a.csv", "")
    quay.land("b.csv", "")
    (batch,) = quay.all_batches()
    assert {file.reason for file in batch.skipped} == {SkipReason.EMPTY}
    filled = [quay.land("a.csv", "1", age_s=0), quay.land("b.csv", "2", age_s=0)]
    assert quay.taken() == filled
