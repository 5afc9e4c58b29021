"""Vacuum deletes what nobody refers to, and nothing else, whoever comes between and wherever it is killed."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.core import Action, Decision, Digest, RunId, digest_of
from keelway.errors import ConflictError, MissingRecordError
from keelway.ledger import decisions, record_decision
from keelway.snapshot import DoomedFile, ExpiredSnapshot, Snapshot, files_of, must_be_kept, newest, snapshots, tag
from keelway.testing.crash import EXIT_CODE, stride
from keelway.testing.processes import exit_code_of, vacuum_and_die
from keelway.testing.versions import ANA, HOUR, Versions


@dataclass(frozen=True, slots=True)
class Somebody:
    """A record of another slice that refers to versions, such as a feature table."""

    run: RunId
    uses: tuple[Digest, ...]


@pytest.fixture
def orders(tmp_path: Path) -> Versions:
    """Three versions of a file each, then a compaction: versions 1 to 3 can go, with three files."""
    made = Versions.open(tmp_path)
    for number in range(1, 4):
        made.numbers(number)
    made.compact()
    return made


def version(orders: Versions, number: int) -> Snapshot:
    with orders.state.snapshot() as tx:
        return tx.get(Snapshot, f"orders/{number:06d}")


def refer(orders: Versions, *digests: Digest) -> None:
    """Record something that refers to digests, as other slices do."""
    with orders.state.transaction() as tx:
        must_be_kept(digests, tx)
        tx.insert(str(digests), Somebody(RunId("r"), digests), at=orders.now)


def stored(orders: Versions) -> set[str]:
    return {file.path for file in orders.tables.stored("orders")}


def paths(orders: Versions, *numbers: int) -> set[str]:
    return {file.path for number in numbers for file in files_of(version(orders, number), orders.artifacts)}


def readable(orders: Versions) -> set[int]:
    with orders.state.snapshot() as tx:
        every = snapshots("orders", tx)
    found = set()
    for each in every:
        try:
            orders.read(each)
        except MissingRecordError:
            continue
        found.add(each.number)
    return found


def test_what_nobody_refers_to_goes(orders: Versions) -> None:
    gone = paths(orders, 3)
    done = orders.vacuum()
    assert done.expired == (1, 2, 3)
    assert set(done.files) == gone
    assert done.freed_bytes > 0
    assert stored(orders) == paths(orders, 4)
    assert readable(orders) == {4}


def test_the_newest_version_never_goes(orders: Versions) -> None:
    orders.vacuum()
    again = orders.vacuum(now=orders.now + timedelta(days=9999))
    assert again.expired == ()
    assert len(orders.rows(version(orders, 4))) == 3


def test_files_that_a_kept_version_lists_stay(tmp_path: Path) -> None:
    orders = Versions.open(tmp_path)
    for number in range(1, 4):
        orders.numbers(number)
    done = orders.vacuum()
    assert done.expired == (1, 2)
    assert done.files == ()
    assert len(orders.read(version(orders, 3))) == 3


@pytest.mark.parametrize("by", ["record", "manifest"])
def test_a_version_that_a_record_refers_to_stays(orders: Versions, by: str) -> None:
    second = version(orders, 2)
    refer(orders, digest_of(second) if by == "record" else second.snapshot_id)
    done = orders.vacuum()
    assert done.expired == (1, 3)
    assert done.referred == (2,)
    assert readable(orders) == {2, 4}
    assert stored(orders) == paths(orders, 2, 4)


def test_a_version_with_a_tag_stays_even_when_the_tag_moves_on(orders: Versions) -> None:
    tag(version(orders, 1), "audit", state=orders.state, now=orders.now, actor=ANA)
    tag(version(orders, 2), "audit", state=orders.state, now=orders.now, actor=ANA, move=True)
    assert orders.vacuum().expired == (3,)
    assert readable(orders) == {1, 2, 4}


def test_a_version_that_a_decision_refers_to_stays(orders: Versions) -> None:
    decision = Decision(
        Action.APPROVE, "churn:1", True, ANA, orders.now, evidence={"on": digest_of(version(orders, 1))}
    )
    with orders.state.transaction() as tx:
        record_decision(decision, tx=tx)
    assert orders.vacuum().expired == (2, 3)


def test_how_a_version_was_made_is_no_reference(orders: Versions) -> None:
    with orders.state.snapshot() as tx:
        made = [decision.action for _, decision in decisions(tx)]
    assert made == [Action.SNAPSHOT, Action.SNAPSHOT, Action.SNAPSHOT, Action.COMPACT]
    assert orders.vacuum().referred == ()


def test_versions_are_kept_for_the_time_asked(orders: Versions) -> None:
    # Version n was the newest until hour n after the start; now is hour 4.
    assert orders.vacuum(keep=3 * HOUR, dry_run=True).expired == (1,)
    assert orders.vacuum(keep=2 * HOUR, dry_run=True).expired == (1, 2)
    assert orders.vacuum(keep=timedelta(days=30)).expired == ()
    assert readable(orders) == {1, 2, 3, 4}


def test_a_dry_run_changes_nothing(orders: Versions) -> None:
    before = stored(orders)
    told = orders.vacuum(dry_run=True)
    assert stored(orders) == before
    with orders.state.snapshot() as tx:
        assert tx.count(ExpiredSnapshot) == tx.count(DoomedFile) == 0
    assert orders.vacuum() == told


def test_an_expired_version_says_so(orders: Versions) -> None:
    orders.vacuum()
    with pytest.raises(MissingRecordError, match="Version 1 of orders is no longer kept") as told:
        orders.read(version(orders, 1))
    assert "user:ana" in told.value.found
    assert "tag" in told.value.fix


def test_the_decision_is_taken_before_a_file_goes(orders: Versions) -> None:
    class Watched:
        """Tables that look into the ledger when something is deleted."""

        seen: list[Action]

        def remove(self, table: str, paths: list[str]) -> None:
            with orders.state.snapshot() as tx:
                self.seen = [decision.action for _, decision in decisions(tx)]
                assert tx.count(DoomedFile) == len(paths) == 3
            orders.tables.remove(table, paths)

        def __getattr__(self, name: str) -> Any:
            return getattr(orders.tables, name)

    watched = Watched()
    orders.through(tables=watched).vacuum()
    assert watched.seen[-1] is Action.VACUUM


def test_nothing_to_do_is_not_recorded(orders: Versions) -> None:
    orders.vacuum()
    with orders.state.snapshot() as tx:
        entries = tx.log.size()
    assert orders.vacuum().expired == ()
    with orders.state.snapshot() as tx:
        assert tx.log.size() == entries


def test_the_table_goes_on_growing_and_is_vacuumed_again(orders: Versions) -> None:
    orders.vacuum()
    orders.numbers(7)
    orders.compact()
    assert orders.vacuum().expired == (4, 5)
    assert readable(orders) == {6}
    assert [row["amount"] for row in orders.rows(version(orders, 6))] == [1, 2, 3, 7]


class TestOrphans:
    """Files that no version lists."""

    def orphan(self, orders: Versions, *, age: timedelta) -> str:
        path = orders.root / "tables/orders/rows-lost.parquet"
        path.write_bytes(b"lost")
        moment = (orders.now - age).timestamp()
        os.utime(path, (moment, moment))
        return path.name

    def test_an_old_one_goes(self, orders: Versions) -> None:
        name = self.orphan(orders, age=timedelta(days=1))
        done = orders.vacuum(keep=timedelta(days=30))
        assert done.orphans == (name,)
        assert name not in stored(orders)

    def test_a_young_one_stays(self, orders: Versions) -> None:
        name = self.orphan(orders, age=timedelta(hours=23))
        assert orders.vacuum().orphans == ()
        assert name in stored(orders)

    def test_what_a_killed_writer_committed_stays_while_the_table_lists_it(self, orders: Versions) -> None:
        with pytest.raises(KeyboardInterrupt):
            orders.through(state=_Interrupted(orders.state)).numbers(5)
        assert len(orders.tables.files("orders")) == 2
        late = orders.now + timedelta(days=400 * 365)
        assert orders.vacuum(now=late).orphans == ()
        assert set(orders.tables.files("orders")) <= stored(orders)

    def test_a_writer_that_slept_for_too_long_is_refused_and_then_succeeds(self, orders: Versions) -> None:
        checked = orders.checked([{"customer": "late", "amount": 5.0}])

        def vacuumed_meanwhile() -> None:
            for path in (orders.root / "tables/orders").glob("*.parquet"):
                os.utime(path, (0, 0))
            assert len(orders.vacuum(keep=timedelta(days=30)).orphans) == 1

        with pytest.raises(ConflictError, match="about to be added"):
            orders.through(tables=_AfterStaging(orders.tables, vacuumed_meanwhile)).take(checked)
        taken = orders.take(checked)
        assert orders.rows(taken)[-1]["amount"] == 5.0
        assert any(name.endswith("-1.parquet") for name in paths(orders, taken.number))
        assert orders.vacuum(keep=timedelta(days=30)).orphans == ()
        assert orders.rows(taken)[-1]["amount"] == 5.0


class TestInterleavings:
    """Somebody comes between two steps of a vacuum."""

    def test_a_reference_that_appears_after_the_look_is_seen(self, orders: Versions) -> None:
        state = _BeforeTransaction(orders.state, lambda: refer(orders, digest_of(version(orders, 2))))
        assert orders.through(state=state).vacuum().expired == (1, 3)
        assert readable(orders) == {2, 4}

    def test_a_reference_that_comes_after_the_record_is_refused(self, orders: Versions) -> None:
        second = version(orders, 2)
        refused = []

        def late() -> None:
            with pytest.raises(MissingRecordError, match="no longer kept"):
                refer(orders, digest_of(second))
            refused.append(True)

        orders.through(tables=_BeforeRemoving(orders.tables, late)).vacuum()
        assert refused == [True]
        assert readable(orders) == {4}
        with orders.state.snapshot() as tx:
            assert tx.count(Somebody) == 0

    def test_a_version_that_appears_meanwhile_is_untouched(self, orders: Versions) -> None:
        late = Versions.open(orders.root)
        orders.through(state=_BeforeTransaction(orders.state, lambda: late.numbers(9))).vacuum()
        with orders.state.snapshot() as tx:
            last = newest("orders", tx)
        assert last is not None
        assert [row["amount"] for row in orders.rows(last)] == [1, 2, 3, 9]

    def test_a_load_between_record_and_deletion_is_untouched(self, orders: Versions) -> None:
        late = Versions.open(orders.root)
        orders.through(tables=_BeforeRemoving(orders.tables, lambda: late.numbers(9))).vacuum()
        with orders.state.snapshot() as tx:
            last = newest("orders", tx)
        assert last is not None
        assert [row["amount"] for row in orders.rows(last)] == [1, 2, 3, 9]

    def test_two_vacuums_at_once_expire_each_version_once(self, orders: Versions) -> None:
        other = Versions.open(orders.root)
        done = []
        state = _BeforeTransaction(orders.state, lambda: done.append(other.vacuum()))
        mine = orders.through(state=state).vacuum()
        assert (mine.expired, done[0].expired) == ((), (1, 2, 3))
        assert stored(orders) == paths(orders, 4)

    def test_a_tag_set_meanwhile_is_seen(self, orders: Versions) -> None:
        def tagged() -> None:
            tag(version(orders, 1), "audit", state=orders.state, now=orders.now, actor=ANA)

        orders.through(state=_BeforeTransaction(orders.state, tagged)).vacuum()
        assert readable(orders) == {1, 4}


@pytest.mark.crash
def test_killed_at_any_moment_the_next_vacuum_finishes(tmp_path: Path) -> None:
    expected = None
    at = 0
    while True:
        root = tmp_path / str(at)
        orders = Versions.open(root)
        for number in range(1, 4):
            orders.numbers(number)
        orders.compact()
        orders.state.close()
        code = exit_code_of(vacuum_and_die, root, at)
        assert code in (0, EXIT_CODE)
        again = Versions.open(root)
        again.vacuum()
        found = (stored(again), readable(again))
        expected = expected or found
        assert found == expected, f"killed at {at}"
        again.state.close()
        if at and code == 0:
            break
        at += stride() if at else 1
    assert at > 6


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_whatever_happens_what_is_referred_to_can_be_read(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    orders = Versions.open(tmp_path_factory.mktemp("history"))
    expected: dict[int, list[dict[str, Any]]] = {}
    referred: set[int] = set()
    orders.numbers(0)
    for turn in range(1, data.draw(st.integers(2, 8))):
        with orders.state.snapshot() as tx:
            last = newest("orders", tx)
            every = snapshots("orders", tx)
        assert last is not None
        expected[last.number] = orders.rows(last)
        action = data.draw(st.sampled_from(["add", "compact", "refer", "vacuum"]))
        if action == "add":
            orders.numbers(turn)
        elif action == "compact":
            orders.compact()
        elif action == "vacuum":
            orders.vacuum()
        else:
            chosen = data.draw(st.sampled_from(every))
            try:
                refer(orders, digest_of(chosen))
                referred.add(chosen.number)
            except MissingRecordError:
                assert chosen.number not in readable(orders)
    orders.vacuum()
    with orders.state.snapshot() as tx:
        last = newest("orders", tx)
    assert last is not None
    assert referred | {last.number} <= readable(orders)
    for number in readable(orders) & expected.keys():
        assert orders.rows(version(orders, number)) == expected[number]
    assert stored(orders) == paths(orders, *readable(orders))


class _BeforeTransaction:
    """A state in which something happens just before the first transaction that may write."""

    def __init__(self, inner: Any, happening: Callable[[], object]) -> None:
        self._inner, self._happening = inner, happening

    @contextmanager
    def transaction(self) -> Any:
        happening, self._happening = self._happening, lambda: None
        happening()
        with self._inner.transaction() as tx:
            yield tx

    def snapshot(self) -> Any:
        return self._inner.snapshot()


class _Interrupted:
    """A state that is cut off just before the second transaction commits: the first one stores the batch."""

    def __init__(self, inner: Any) -> None:
        self._inner, self._count = inner, 0

    @contextmanager
    def transaction(self) -> Any:
        with self._inner.transaction() as tx:
            yield tx
            self._count += 1
            if self._count == 2:
                raise KeyboardInterrupt

    def snapshot(self) -> Any:
        return self._inner.snapshot()


class _Between:
    """Tables that do as others do."""

    def __init__(self, inner: Any, happening: Callable[[], object]) -> None:
        self._inner, self._happening = inner, happening

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _AfterStaging(_Between):
    """Tables in which something happens once a file is staged."""

    def stage(self, table: str, rows: Path, *, path: str) -> None:
        self._inner.stage(table, rows, path=path)
        self._happening()


class _BeforeRemoving(_Between):
    """Tables in which something happens before files go."""

    def remove(self, table: str, paths: list[str]) -> None:
        self._happening()
        self._inner.remove(table, paths)
