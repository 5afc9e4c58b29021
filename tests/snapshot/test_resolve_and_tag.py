"""A person's words lead to one version; tags keep versions and move only on purpose."""

from __future__ import annotations

import importlib
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.core import Action, Digest, digest_of, short, time_text
from keelway.errors import ConflictError, MissingRecordError, UsageError
from keelway.ledger import decisions
from keelway.snapshot import Snapshot, SnapshotTag, resolve, tag, tags
from keelway.snapshot.tag import looks_like_id
from keelway.testing.versions import ANA, HOUR, START, Versions


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Versions, list[Snapshot]]:
    orders = Versions.open(tmp_path_factory.mktemp("orders"))
    return orders, [orders.numbers(number) for number in range(1, 5)]


@pytest.fixture
def orders(tmp_path: Path) -> Versions:
    return Versions.open(tmp_path)


def find(orders: Versions, wanted: str) -> Snapshot:
    with orders.state.snapshot() as tx:
        return resolve("orders", wanted, tx)


def named(orders: Versions, snapshot: Snapshot, name: str, *, move: bool = False) -> SnapshotTag:
    return tag(snapshot, name, state=orders.state, now=orders.now, actor=ANA, move=move)


@pytest.mark.parametrize(
    ("wanted", "number"),
    [
        ("", 4),
        ("newest", 4),
        (" 2 ", 2),
        ("1", 1),
        ("2026-01-01", 1),
        ("2026-01-01T01:30:00Z", 2),
        ("2026-01-01T02:00:00Z", 3),
        ("2026-01-01 02:59", 3),
        ("2026-01-01T03:00:00+01:00", 3),
        ("2030-01-01", 4),
    ],
)
def test_words_lead_to_a_version(taken: tuple[Versions, list[Snapshot]], wanted: str, number: int) -> None:
    orders, _ = taken
    assert find(orders, wanted).number == number


def test_an_id_leads_to_its_version(taken: tuple[Versions, list[Snapshot]]) -> None:
    orders, versions = taken
    for version in versions:
        for wanted in (version.snapshot_id, short(version.snapshot_id), version.snapshot_id[:15]):
            assert find(orders, wanted) == version


@pytest.mark.parametrize(
    "wanted",
    ["5", "0", "-1", "2025-12-31", "2025-12-31T23:59:59Z", "nobody", "ffffffffffff", "abcdef1", "a" * 64, "*", "x/y"],
)
def test_what_leads_nowhere_is_told(taken: tuple[Versions, list[Snapshot]], wanted: str) -> None:
    orders, _ = taken
    with pytest.raises(MissingRecordError, match="no such version of orders") as told:
        find(orders, wanted)
    assert told.value.fix == "See `keelway snapshots list orders`."


def test_a_time_that_is_none_is_told(taken: tuple[Versions, list[Snapshot]]) -> None:
    orders, _ = taken
    with pytest.raises(UsageError):
        find(orders, "2026-13-45")


def test_a_dataset_without_versions_has_none(orders: Versions) -> None:
    for wanted in ("", "1", "2030-01-01"):
        with pytest.raises(MissingRecordError) as told:
            find(orders, wanted)
        assert told.value.fix == "Run `keelway ingest` first."


@given(minutes=st.integers(-60, 400))
def test_time_travel_finds_the_newest_taken_by_then(taken: tuple[Versions, list[Snapshot]], minutes: int) -> None:
    orders, versions = taken
    moment = START + timedelta(minutes=minutes)
    by_then = [version for version in versions if version.taken_at <= moment]
    if by_then:
        assert find(orders, time_text(moment)) == by_then[-1]
    else:
        with pytest.raises(MissingRecordError):
            find(orders, time_text(moment))


def test_two_ids_that_begin_alike_are_told_apart_by_asking(
    taken: tuple[Versions, list[Snapshot]], monkeypatch: pytest.MonkeyPatch
) -> None:
    orders, versions = taken
    alike = [Digest("sha256:" + "0" * 20 + version.snapshot_id[27:]) for version in versions]
    twins = [
        type(version)(**{name: getattr(version, name) for name in version.__slots__} | {"snapshot_id": made})
        for version, made in zip(versions, alike, strict=True)
    ]
    module = importlib.import_module("keelway.snapshot.resolve")
    monkeypatch.setattr(module, "snapshots", lambda dataset, tx: twins)
    with pytest.raises(UsageError, match="Several versions"):
        find(orders, "0" * 12)
    assert find(orders, alike[2]) == twins[2]


def test_a_tag_leads_to_its_version(orders: Versions) -> None:
    first, second = orders.numbers(1), orders.numbers(2)
    named(orders, first, "audit")
    assert find(orders, "audit") == first
    named(orders, second, "q1-2026")
    assert find(orders, "q1-2026") == second
    with orders.state.snapshot() as tx:
        assert [(each.name, each.number) for each in tags("orders", tx)] == [("audit", 1), ("q1-2026", 2)]


def test_setting_a_tag_again_changes_nothing(orders: Versions) -> None:
    first = orders.numbers(1)
    made = named(orders, first, "audit")
    with orders.state.snapshot() as tx:
        entries = len(list(decisions(tx)))
    assert named(orders, first, "audit") == made
    with orders.state.snapshot() as tx:
        assert len(list(decisions(tx))) == entries


def test_a_tag_moves_only_on_purpose(orders: Versions) -> None:
    first, second = orders.numbers(1), orders.numbers(2)
    named(orders, first, "audit")
    with pytest.raises(ConflictError, match="tagged audit") as told:
        named(orders, second, "audit")
    assert told.value.found == "version 1"
    assert find(orders, "audit") == first
    assert named(orders, second, "audit", move=True).turn == 2
    assert find(orders, "audit") == second
    assert named(orders, first, "audit", move=True).turn == 3


def test_every_move_of_a_tag_is_in_the_ledger(orders: Versions) -> None:
    first, second = orders.numbers(1), orders.numbers(2)
    named(orders, first, "audit")
    named(orders, second, "audit", move=True)
    with orders.state.snapshot() as tx:
        told = [decision for _, decision in decisions(tx) if decision.action is Action.TAG]
    assert [decision.evidence["snapshot"] for decision in told] == [digest_of(first), digest_of(second)]
    assert [move.name for decision in told for move in decision.moves] == ["tag/orders/audit"] * 2
    assert told[1].moves[0].before == told[0].moves[0].after


@pytest.mark.parametrize("name", ["newest", "deadbeef", "0123456789ab", "", "1", "2026-01-01", "Audit", "a/b", "a b"])
def test_a_tag_is_a_word_that_means_nothing_else(orders: Versions, name: str) -> None:
    first = orders.numbers(1)
    with pytest.raises(UsageError):
        named(orders, first, name)
    with orders.state.snapshot() as tx:
        assert tags("orders", tx) == []


def test_a_tag_of_one_dataset_is_none_of_another(tmp_path: Path) -> None:
    orders = Versions.open(tmp_path)
    others = Versions.open(tmp_path, name="orders-of-others")
    first = orders.numbers(1)
    others.numbers(1)
    named(orders, first, "audit")
    with others.state.snapshot() as tx:
        assert tags("orders-of-others", tx) == []
        with pytest.raises(MissingRecordError):
            resolve("orders-of-others", "audit", tx)


def test_an_expired_version_cannot_be_tagged_but_is_still_found(orders: Versions) -> None:
    first = orders.numbers(1)
    orders.numbers(2)
    orders.compact()
    assert orders.vacuum().expired == (1, 2)
    assert find(orders, "1") == first
    with pytest.raises(MissingRecordError, match="no longer kept"):
        named(orders, first, "audit")


def test_the_hour_between_versions_belongs_to_the_one_before(orders: Versions) -> None:
    first, second = orders.numbers(1), orders.numbers(2)
    assert second.taken_at - first.taken_at == HOUR
    assert find(orders, time_text(second.taken_at - timedelta(microseconds=1))) == first


@given(st.text(alphabet="0123456789abcdef", min_size=8, max_size=64))
def test_the_start_of_any_id_looks_like_one(text: str) -> None:
    assert looks_like_id(text)
