"""New files are pulled exactly once."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keelway.core import Action, digest_of
from keelway.ingest import SkipReason
from keelway.ledger import decisions
from keelway.testing.shop import Shop


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop.open(tmp_path)


def ledger_actions(shop: Shop) -> list[Action]:
    with shop.state.snapshot() as tx:
        return [decision.action for _, decision in decisions(tx)]


def test_a_second_pull_with_nothing_new_writes_nothing(shop: Shop) -> None:
    shop.upload("1997-01-01", "1,1997-01-01,1,2.5\n")
    assert shop.ingest() is not None
    before = ledger_actions(shop)
    assert shop.pull() is None
    assert ledger_actions(shop) == before == [Action.INGEST, Action.SNAPSHOT]


def test_an_unfinished_batch_is_handed_out_again(shop: Shop) -> None:
    shop.upload("1997-01-01", "1,1997-01-01,1,2.5\n")
    first = shop.pull()
    shop.upload("1997-01-02", "1,1997-01-02,1,2.5\n")
    assert shop.pull() == first
    assert first is not None
    shop.take(shop.check(first))
    second = shop.pull()
    assert second is not None
    assert (second.number, second.parent) == (2, digest_of(first))


def test_the_same_bytes_under_another_name_are_left_out(shop: Shop) -> None:
    original = shop.upload("1997-01-01", "1,1997-01-01,1,2.5\n")
    shop.upload("1997-01-01", "1,1997-01-01,1,2.5\n", name="a-copy.csv", after_h=26)
    batch = shop.pull()
    assert batch is not None
    assert [file.name for file in batch.files] == [original]
    assert [(file.reason, file.of) for file in batch.skipped] == [(SkipReason.DUPLICATE, original)]


def test_a_duplicate_of_an_earlier_batch_is_left_out(shop: Shop) -> None:
    original = shop.upload("1997-01-01", "1,1997-01-01,1,2.5\n")
    shop.ingest()
    shop.upload("1997-01-02", "1,1997-01-01,1,2.5\n")
    batch = shop.pull()
    assert batch is not None
    assert not batch.files
    assert batch.skipped[0].of == original


def test_new_content_under_a_known_name_is_quarantined(shop: Shop) -> None:
    name = shop.upload("1997-01-01", "1,1997-01-01,1,2.5\n")
    shop.ingest()
    shop.upload("1997-01-01", "1,1997-01-01,1,9999\n")
    snapshot = shop.ingest()
    assert snapshot is not None
    assert (snapshot.rows, snapshot.rows_added) == (1, 0)
    assert ledger_actions(shop)[2:] == [Action.INGEST, Action.QUARANTINE, Action.SNAPSHOT]
    with shop.state.snapshot() as tx:
        comments = [d.comment for _, d in decisions(tx) if d.action is Action.QUARANTINE]
    assert name in comments[0]
    assert shop.pull() is None


def test_a_touched_file_is_read_once_more_and_left_out(shop: Shop) -> None:
    shop.upload("1997-01-01", "1,1997-01-01,1,2.5\n")
    shop.ingest()
    shop.upload("1997-01-01", "1,1997-01-01,1,2.5\n", after_h=99)
    batch = shop.pull()
    assert batch is not None
    assert [file.reason for file in batch.skipped] == [SkipReason.TOUCHED]


def test_an_empty_file_may_be_filled_later(shop: Shop) -> None:
    shop.upload("1997-01-01", b"")
    first = shop.pull()
    assert first is not None
    assert [file.reason for file in first.skipped] == [SkipReason.EMPTY]
    shop.take(shop.check(first))
    shop.upload("1997-01-01", "1,1997-01-01,1,2.5\n")
    snapshot = shop.ingest()
    assert snapshot is not None
    assert snapshot.rows == 1


def test_lateness_is_measured_against_the_files_own_day(shop: Shop) -> None:
    shop.upload("1997-01-01", "1,1997-01-01,1,2.5\n", after_h=47)
    late = shop.upload("1997-01-05", "1,1997-01-05,1,2.5\n", after_h=24 * 4 + 1)
    batch = shop.pull()
    assert batch is not None
    assert [(file.name, file.late_days) for file in batch.late] == [(late, 3)]


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(5)))
def test_the_order_of_arrival_does_not_change_the_snapshot(
    order: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    def snapshot_id(days: list[int]) -> str:
        shop = Shop.open(tmp_path_factory.mktemp("shop"))
        for day in days:
            shop.upload(f"1997-01-0{day + 1}", f"{day},1997-01-0{day + 1},1,2.5\nx,,,\n")
        snapshot = shop.ingest()
        assert snapshot is not None
        return digest_of(snapshot)

    assert snapshot_id(order) == snapshot_id([0, 1, 2, 3, 4])
