"""The ways to spoil a file do what they say, and nothing else."""

from __future__ import annotations

import csv
import gzip
import io
from datetime import UTC, datetime
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.testing import spoil
from keelway.testing.feed import HEADER, Feed, hour

FEED = hour(3)


def read(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode(), newline="")))


def run(way: spoil.Spoil, seed: int = 0) -> list[list[str]]:
    return read(way(FEED, Random(seed)))


@settings(max_examples=20, deadline=None)
@given(share=st.floats(0.01, 1), seed=st.integers(0, 9), column=st.sampled_from(HEADER))
def test_cells_changes_a_share_of_one_column(share: float, seed: int, column: str) -> None:
    head, *rows = run(spoil.cells(column, lambda _: "spoilt", share=share), seed)
    at = HEADER.index(column)
    assert head == list(HEADER)
    assert sum(row[at] == "spoilt" for row in rows) == max(1, round(share * len(rows)))
    for before, after in zip(FEED.rows, rows, strict=True):
        assert [cell for n, cell in enumerate(after) if n != at] == [c for n, c in enumerate(before) if n != at]


def test_both_changes_two_columns_of_the_same_rows() -> None:
    _, *rows = run(spoil.both("unit_price", "amount", spoil.times(-1), share=0.1))
    changed = [row for before, row in zip(FEED.rows, rows, strict=True) if list(before) != row]
    assert len(changed) == round(0.1 * len(rows))
    assert all(row[5].startswith("-") and row[6].startswith("-") for row in changed)


def test_dearer_keeps_quantity_times_price_right() -> None:
    _, *rows = run(spoil.dearer(1.1))
    assert all(abs(int(row[4]) * float(row[5]) - float(row[6])) < 0.005 for row in rows)
    assert sum(float(row[6]) for row in rows) == pytest.approx(1.1 * sum(float(row[6]) for row in FEED.rows), rel=0.01)


def test_swapped_exchanges_cells_under_the_same_header() -> None:
    head, first, *_ = run(spoil.swapped("channel", "city"))
    assert head == list(HEADER)
    assert (first[2], first[3]) == (FEED.rows[0][3], FEED.rows[0][2])


def test_columns_writes_those_columns_in_that_order() -> None:
    head, first, *_ = run(spoil.columns(["amount", "order_id", "amount"]))
    assert head == ["amount", "order_id", "amount"]
    assert first == [FEED.rows[0][6], FEED.rows[0][0], FEED.rows[0][6]]


def test_added_puts_a_column_where_it_says() -> None:
    head, first, *_ = run(spoil.added("vat", "19", position=4))
    assert (head[4], first[4], len(head)) == ("vat", "19", 9)


def test_named_changes_the_header_alone() -> None:
    head, *rows = run(spoil.named("quantity", "pieces"))
    assert head[4] == "pieces"
    assert rows == [list(row) for row in FEED.rows]


@settings(max_examples=10, deadline=None)
@given(share=st.floats(0.01, 1))
def test_again_repeats_a_share_of_the_rows(share: float) -> None:
    _, *rows = run(spoil.rows(spoil.again(share)))
    assert len(rows) == len(FEED.rows) + max(1, round(share * len(FEED.rows)))
    assert {tuple(row) for row in rows} == set(FEED.rows)


def test_more_gives_each_row_a_number_of_its_own() -> None:
    _, *rows = run(spoil.more(3))
    assert len(rows) == len({row[0] for row in rows}) == 3 * len(FEED.rows)


def test_a_cut_gzip_file_is_the_beginning_of_a_whole_one() -> None:
    whole, half = (spoil.gzipped(share)(FEED, Random(0)) for share in (1.0, 0.5))
    assert gzip.decompress(whole) == FEED.csv()
    assert whole.startswith(half)
    with pytest.raises(EOFError):
        gzip.decompress(half)


def test_times_are_moved_and_written_anew() -> None:
    assert spoil.moved(hours=2)("2026-03-02T23:00:05Z") == "2026-03-03T01:00:05Z"
    assert spoil.written("%d.%m.%Y")("2026-03-02T23:00:05Z") == "02.03.2026"


def test_an_encoding_can_be_any() -> None:
    small = Feed(datetime(2026, 3, 2, tzinfo=UTC), ("city",), (("München",),))
    assert spoil.text(lambda whole, _: whole, encoding="latin-1")(small, Random(0)) == "city\nMünchen\n".encode(
        "latin-1"
    )
