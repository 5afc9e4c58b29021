"""One run looks once, however many batches it makes, in memory that does not grow; the next run looks anew."""

from __future__ import annotations

import tracemalloc
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keelway.core import Digest
from keelway.errors import SourceError
from keelway.ingest import MAX_FILES, Listing, ObjectInfo, SeenFile, Span, WaitReason
from keelway.project import Dataset

NAMES = 200_000
NOON = datetime(1997, 6, 1, 12, tzinfo=UTC)
ORDERS = Dataset("orders", contract="orders.yaml", source="raw/**/*.csv", event_time="date")
ROOM = 24 << 20
"""Bytes: one batch of names, some pages of the listing, and nothing that grows with it."""


class Warehouse:
    """A source of very many small files, listed by name and written in another order, that counts its listings."""

    def __init__(self, names: int) -> None:
        self.names = names
        self.listings = 0

    def list(self, glob: str) -> Iterator[ObjectInfo]:
        assert glob == ORDERS.source
        self.listings += 1
        for number in range(self.names):
            age = timedelta(seconds=number * 7919 % self.names)
            yield ObjectInfo(f"raw/{number:07}.csv", 100, NOON - age, f"{number:x}")

    def fetch(self, info: ObjectInfo, target: Path) -> Digest:
        raise SourceError(f"{info.name} is not for reading", found=str(target))


class Blank:
    """What a state that has seen nothing answers."""

    def missing(self, kind: type[object], keys: Collection[str]) -> set[str]:
        assert kind is SeenFile
        return set(keys)


def test_two_hundred_thousand_names_are_listed_once_and_lie_on_the_disk() -> None:
    source, count, last = Warehouse(NAMES), 0, datetime.min.replace(tzinfo=UTC)
    tracemalloc.start()
    try:
        with Listing() as listing:
            later = NAMES
            while later:
                outlook = listing.next(
                    ORDERS, source=source, tx=Blank(), now=NOON, span=Span(), max_files=MAX_FILES  # type: ignore[arg-type]
                )  # fmt: skip
                moments = [info.modified_at for info in outlook.files]
                assert moments == sorted(moments)
                assert last < moments[0]
                assert len({info.name for info in outlook.files}) == len(moments) == MAX_FILES
                count, later, last = count + len(moments), outlook.later, moments[-1]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (count, source.listings) == (NAMES, 1)
    assert peak < ROOM


def test_the_batches_of_a_run_are_those_of_as_many_looks(quay, new_quay) -> None:
    looks = new_quay()
    for number in range(23):
        for each in (quay, looks):
            each.land(f"{number * 7 % 23:02}.csv", f"{number}", age_s=1000 + number % 5)
    with Listing() as listing:
        once = quay.all_batches(listing=listing, max_files=4)
    anew = looks.all_batches(max_files=4)
    assert [batch.files for batch in once] == [batch.files for batch in anew]
    assert len(once) == 6


def test_each_batch_tells_how_many_files_are_left(quay) -> None:
    for number in range(5):
        quay.land(f"{number}.csv", f"{number}")
    told = []
    with Listing() as listing:
        while (pulled := quay.pull(listing=listing, max_files=2)).batch is not None:
            told.append(pulled.later)
            quay.load()
    assert told == [3, 1, 0]


def test_a_file_that_comes_late_is_found_by_the_next_run_whatever_its_date(quay) -> None:
    for number in range(4):
        quay.land(f"{number}.csv", f"{number}", age_s=100)
    with Listing() as listing:
        quay.taken(listing=listing, max_files=2)
        late = quay.land("dt=1990-01-01/late.csv", "late", age_s=999_999)
        assert len(quay.taken(listing=listing, max_files=2)) == 2
        assert quay.taken(listing=listing) == []
    assert quay.taken() == [late]


def test_what_another_process_took_meanwhile_is_not_taken_again(quay) -> None:
    names = [quay.land(f"{number}.csv", f"{number}", age_s=100 - number) for number in range(6)]
    with Listing() as listing:
        assert quay.taken(listing=listing, max_files=2) == names[:2]
        assert quay.taken(max_files=2) == names[2:4], "by somebody who looked for themselves"
        assert quay.taken(listing=listing, max_files=2) == names[4:]
        assert quay.taken(listing=listing) == []
    assert sorted(quay.source.fetched) == names


def test_a_file_that_changes_while_it_is_read_is_told_to_the_end_and_taken_by_the_next_run(quay) -> None:
    names = [quay.land(f"{number}.csv", f"{number}", age_s=100 - number) for number in range(4)]
    quay.source.meddling[names[0]] = lambda: quay.land("0.csv", "longer", age_s=50)
    with Listing() as listing:
        first = quay.pull(listing=listing, max_files=2)
        quay.load()
        last = quay.pull(listing=listing, max_files=2)
        quay.load()
    assert [file.name for file in first.batch.files] == names[1:2]
    for pulled in (first, last):
        assert pulled.waits == {WaitReason.CHANGED: 1}
        assert [file.name for file in pulled.waiting] == names[:1]
    assert quay.taken() == names[:1]


@pytest.mark.parametrize("count", [1, 3])
def test_a_batch_of_which_every_file_changes_does_not_hide_the_others(quay, count: int) -> None:
    names = [quay.land(f"{number}.csv", f"{number}", age_s=100 - number) for number in range(4)]
    for name in names[:count]:
        quay.source.meddling[name] = lambda name=name: quay.source.objects.pop(name)
    with Listing() as listing:
        lost = [quay.pull(listing=listing, max_files=1) for _ in range(count)]
        assert [(pulled.batch, pulled.later) for pulled in lost] == [(None, 3 - number) for number in range(count)]
        assert quay.taken(listing=listing, max_files=1) == [names[count]]


def test_what_waits_is_counted_once_however_many_batches_there_are(quay) -> None:
    quay.declare(settle_s=60)
    quay.land("young.csv", "young", age_s=1)
    for number in range(4):
        quay.land(f"{number}.csv", f"{number}")
    with Listing() as listing:
        told = [quay.pull(listing=listing, max_files=2).waits, quay.load(), quay.pull(listing=listing).waits]
    assert told[0] == told[2] == {WaitReason.SETTLING: 1}
