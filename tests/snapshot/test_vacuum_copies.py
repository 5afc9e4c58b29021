"""Copies of rows in the artifact store go with the versions that took them over, and no copy that anybody needs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from keelway.contract import CheckedBatch
from keelway.core import Action, Decision, Digest, digest_of
from keelway.errors import ConflictError
from keelway.ingest import Batch
from keelway.ledger import record_decision
from keelway.snapshot import Snapshot, snapshots, tag
from keelway.testing.crash import EXIT_CODE, stride
from keelway.testing.processes import exit_code_of, vacuum_and_die
from keelway.testing.shop import Shop
from keelway.testing.versions import ANA, Versions


@pytest.fixture
def orders(tmp_path: Path) -> Versions:
    """Three versions of a file each, then a compaction: three copies that nobody can ask for once 1 to 3 are gone."""
    made = Versions.open(tmp_path)
    for number in range(1, 4):
        made.numbers(number)
    made.compact()
    return made


def copies(orders: Versions, *, dataset: str = "") -> dict[Digest, bool]:
    """Return the rows of each checked batch, and whether they are there."""
    with orders.state.snapshot() as tx:
        every = tx.newest(CheckedBatch, parent=dataset or orders.name)
    return {item.rows: item.rows in orders.artifacts for item in reversed(every)}


def version(orders: Versions, number: int) -> Snapshot:
    with orders.state.snapshot() as tx:
        return next(each for each in snapshots(orders.name, tx) if each.number == number)


def test_copies_of_versions_that_are_gone_go(orders: Versions) -> None:
    sizes = sum(orders.artifacts.size_of(digest) or 0 for digest in copies(orders))
    tables = sum(file.size_bytes for file in orders.tables.stored("orders"))
    done = orders.vacuum()
    assert set(done.copies) == set(copies(orders))
    assert not any(copies(orders).values())
    kept = sum(file.size_bytes for file in orders.tables.stored("orders"))
    assert done.freed_bytes == sizes + tables - kept
    assert [row["amount"] for row in orders.rows(version(orders, 4))] == [1, 2, 3]


def test_a_dry_run_shows_them_and_deletes_none(orders: Versions) -> None:
    told = orders.vacuum(dry_run=True)
    assert set(told.copies) == set(copies(orders))
    assert all(copies(orders).values())
    assert orders.vacuum() == told


def test_copies_that_a_kept_version_lists_stay(tmp_path: Path) -> None:
    orders = Versions.open(tmp_path)
    for number in range(1, 4):
        orders.numbers(number)
    assert orders.vacuum().copies == ()
    assert all(copies(orders).values())


def test_copies_of_a_version_with_a_tag_stay(orders: Versions) -> None:
    tag(version(orders, 2), "audit", state=orders.state, now=orders.now, actor=ANA)
    assert len(orders.vacuum().copies) == 1
    assert list(copies(orders).values()) == [True, True, False]


def test_rows_of_a_batch_that_waits_stay(orders: Versions) -> None:
    waiting = orders.checked([{"customer": "c9", "amount": 9.0}])
    assert waiting.rows not in orders.vacuum().copies
    assert [row["amount"] for row in orders.rows(orders.take(waiting))] == [1, 2, 3, 9]


def test_rows_that_a_record_refers_to_stay(orders: Versions) -> None:

    first = next(iter(copies(orders)))
    with orders.state.transaction() as tx:
        record_decision(Decision(Action.APPROVE, "x", True, ANA, orders.now, evidence={"rows": first}), tx=tx)
    assert first not in orders.vacuum().copies
    assert copies(orders)[first]


def test_rows_that_another_dataset_was_given_as_well_stay(orders: Versions) -> None:
    other = Versions.open(orders.root, name="other")
    shared = next(iter(copies(orders)))
    with orders.state.snapshot() as tx:
        [like] = [item for item in tx.newest(CheckedBatch) if item.rows == shared]

    with other.state.transaction() as tx:
        tx.insert("other/000001", replace(like, dataset="other"), parent="other", at=other.now)
    assert shared not in orders.vacuum().copies
    assert copies(orders)[shared]


def test_once_gone_they_are_not_looked_for_again(orders: Versions) -> None:
    orders.vacuum()

    class Counting:
        asked = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(orders.artifacts, name)

        def size_of(self, digest: Digest) -> int | None:
            self.asked += 1
            return orders.artifacts.size_of(digest)

    counting = Counting()
    assert orders.through(artifacts=counting).vacuum().is_empty
    assert counting.asked == 0


class TestInterleavings:
    """Somebody comes between the record and the deletion."""

    def test_a_reference_that_comes_late_keeps_the_copy(self, orders: Versions) -> None:
        first = next(iter(copies(orders)))

        def late() -> None:

            with orders.state.transaction() as tx:
                record_decision(Decision(Action.APPROVE, "x", True, ANA, orders.now, evidence={"rows": first}), tx=tx)

        orders.through(tables=_BeforeRemoving(orders.tables, late)).vacuum()
        assert list(copies(orders).values()) == [True, False, False]

    def test_a_batch_with_the_same_rows_that_comes_late_keeps_them(self, orders: Versions) -> None:

        with orders.state.snapshot() as tx:
            like = tx.newest(CheckedBatch, parent="orders")[-1]

        def late() -> None:
            with orders.state.transaction() as tx:
                batch = Batch("orders", tx.count(Batch, parent="orders") + 1, (), (), orders.now, None)
                tx.insert(f"orders/{batch.number:06d}", batch, parent="orders", at=orders.now)
                again = replace(like, batch=digest_of(batch))
                tx.insert(f"orders/{batch.number:06d}", again, parent="orders", at=orders.now)

        orders.through(tables=_BeforeRemoving(orders.tables, late)).vacuum()
        assert copies(orders)[like.rows]

    def test_two_vacuums_at_once(self, orders: Versions) -> None:
        other = Versions.open(orders.root)
        orders.through(tables=_BeforeRemoving(orders.tables, other.vacuum)).vacuum()
        assert not any(copies(orders).values())
        assert orders.vacuum().is_empty

    def test_a_check_whose_rows_went_while_it_wrote_them_down_is_refused_and_then_succeeds(
        self, tmp_path: Path
    ) -> None:
        shop = Shop.open(tmp_path / "shop")
        shop.upload("1997-01-01", "1,1997-01-01,1,2.5\n")
        batch = shop.pull()

        class Vacuumed:
            """A state in which a vacuum takes the rows just before the outcome is recorded."""

            def __getattr__(self, name: str) -> Any:
                return getattr(shop.state, name)

            @contextmanager
            def transaction(self) -> Any:
                for path in (tmp_path / "shop").rglob("*"):
                    if path.is_file() and path.read_bytes()[:4] == b"PAR1":
                        path.unlink()
                with shop.state.transaction() as tx:
                    yield tx

        with pytest.raises(ConflictError, match="took the rows"):
            replace(shop, state=Vacuumed()).check(batch)
        assert shop.check(batch).rows in shop.artifacts


@pytest.mark.crash
def test_killed_at_any_moment_the_next_vacuum_finishes(tmp_path: Path) -> None:
    at, ended = 1 - stride(), 1
    while ended:
        at += stride()
        root = tmp_path / str(at)
        orders = Versions.open(root)
        for number in range(1, 3):
            orders.numbers(number)
        orders.compact()
        orders.state.close()
        ended = exit_code_of(vacuum_and_die, root, at)
        assert ended in (0, EXIT_CODE)
        again = Versions.open(root)
        again.vacuum()
        assert not any(copies(again).values()), f"killed at {at}"
        assert len(again.rows(version(again, 3))) == 2
        assert again.vacuum(now=again.now + timedelta(days=1)).is_empty
        again.state.close()
    assert at > 8


class _BeforeRemoving:
    """Tables in which something happens before files go."""

    def __init__(self, inner: Any, happening: Callable[[], object]) -> None:
        self._inner, self._happening = inner, happening

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def remove(self, table: str, paths: list[str]) -> None:
        self._happening()
        self._inner.remove(table, paths)
