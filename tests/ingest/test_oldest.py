"""Objects in the order in which they are taken: whole, each once, and told when there is no room for them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.errors import SourceError, StorageError
from keelway.ingest import ObjectInfo
from keelway.ingest.oldest import OldestFirst

MOMENT = datetime(1997, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
OBJECTS = st.lists(
    st.builds(ObjectInfo, TEXTS, st.integers(0, 2**62), MOMENTS, st.just("") | TEXTS), unique_by=lambda info: info.name
)


def in_order(objects: list[ObjectInfo]) -> list[ObjectInfo]:
    return sorted(objects, key=lambda info: (info.modified_at, info.name))


@given(objects=OBJECTS, count=st.integers(1, 5))
def test_what_goes_in_comes_out_as_it_was_oldest_first(objects: list[ObjectInfo], count: int) -> None:
    found: list[ObjectInfo] = []
    with OldestFirst() as ready:
        ready.fill(objects)
        while ready.left:
            assert ready.left == len(objects) - len(found)
            found += ready.take(count)
        assert ready.take(count) == []
    assert found == in_order(objects)


def test_of_one_moment_names_decide_as_python_sorts_them() -> None:
    names = ["Z", "a", "a/b", "a-b", "ä", "ﬀ", "🚢", "10", "9"]
    with OldestFirst() as ready:
        ready.fill(ObjectInfo(name, 1, MOMENT) for name in names)
        assert [info.name for info in ready.take(100)] == sorted(names)


def test_nothing_is_there_before_it_is_filled() -> None:
    with OldestFirst() as ready:
        assert (ready.left, ready.take(10)) == (0, [])


def test_a_moment_before_the_epoch_is_kept_to_the_microsecond() -> None:
    objects = [ObjectInfo(f"{days}", 1, MOMENT - timedelta(days=days)) for days in (1, 20_000, 15_000)]
    with OldestFirst() as ready:
        ready.fill(objects)
        assert ready.take(3) == in_order(objects)


def test_what_breaks_the_listing_leaves_as_it_is() -> None:
    def breaking() -> Iterator[ObjectInfo]:
        yield ObjectInfo("a", 1, MOMENT)
        raise SourceError("The store went away", found="nothing")

    with OldestFirst() as ready, pytest.raises(SourceError, match="went away"):
        ready.fill(breaking())


def test_a_full_disk_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = sqlite3.connect

    def narrow(place: str, **more: object) -> sqlite3.Connection:
        connection = opened(place, **more)  # type: ignore[arg-type]
        connection.execute("PRAGMA max_page_count = 8")  # SQLite says of it what it says of a full disk
        return connection

    monkeypatch.setattr(sqlite3, "connect", narrow)
    with OldestFirst() as ready, pytest.raises(StorageError, match="cannot be kept") as told:
        ready.fill(ObjectInfo(f"raw/{number:06}.csv", 1, MOMENT) for number in range(10_000))
    assert "TMPDIR" in told.value.fix
