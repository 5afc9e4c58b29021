"""Manifests go on from each other: every version lists its files, few are read, and little is written down."""

from __future__ import annotations

from pathlib import Path

import pytest

from keelway.core import canonical_json, digest_bytes, digest_of
from keelway.errors import IntegrityError, MissingRecordError
from keelway.snapshot import Snapshot, digests, files_of, newest, snapshots
from keelway.snapshot.read import manifest_at, manifests_of
from keelway.testing.versions import Versions

LOADS = 40


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Versions, list[Snapshot]]:
    orders = Versions.open(tmp_path_factory.mktemp("grown"))
    return orders, [orders.numbers(number) for number in range(LOADS)]


def test_every_version_lists_its_files_in_the_order_they_came(grown: tuple[Versions, list[Snapshot]]) -> None:
    orders, taken = grown
    last = files_of(taken[-1], orders.artifacts)
    assert len({file.path for file in last}) == LOADS
    for number, version in enumerate(taken, 1):
        assert files_of(version, orders.artifacts) == last[:number]


def test_few_manifests_are_read(grown: tuple[Versions, list[Snapshot]]) -> None:
    orders, taken = grown
    for version in taken:
        chain = [manifest for _, manifest in manifests_of(version.snapshot_id, orders.artifacts)]
        assert len(chain) == chain[0].turn.bit_count() + 1 <= 7
        assert chain[-1].turn == 0


def test_little_is_written_down(grown: tuple[Versions, list[Snapshot]]) -> None:
    orders, taken = grown
    entries = sum(len(manifest_at(version.snapshot_id, orders.artifacts).files) for version in taken)
    assert entries <= LOADS * 4, "every version writing all of its files would be 820"


def test_an_id_is_the_digest_of_its_manifest(grown: tuple[Versions, list[Snapshot]]) -> None:
    orders, taken = grown
    for version in taken:
        assert digest_bytes(canonical_json(manifest_at(version.snapshot_id, orders.artifacts))) == version.snapshot_id
    assert len({version.snapshot_id for version in taken}) == LOADS


def test_a_manifest_that_others_go_on_from_is_checked_too(tmp_path: Path) -> None:
    orders = Versions.open(tmp_path)
    first, last = orders.numbers(1), orders.numbers(2)
    path = orders.artifacts.path_of(first.snapshot_id)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"rows", b"sows"))
    with pytest.raises(IntegrityError):
        orders.read(last)
    path.unlink()
    with pytest.raises(MissingRecordError):
        orders.read(last)


def test_a_compaction_and_a_widening_begin_anew(tmp_path: Path) -> None:
    orders = Versions.open(tmp_path, columns={"customer": "string", "amount": "int64"})
    for number in range(3):
        orders.add([{"customer": "c", "amount": number}])
    wide = orders.add([{"customer": "c", "amount": 0.5}], amount="double")
    assert manifest_at(wide.snapshot_id, orders.artifacts).after is None
    orders.numbers(7)
    made = orders.compact()
    assert manifest_at(made.snapshot_id, orders.artifacts).after is None
    orders.numbers(8)
    with orders.state.snapshot() as tx:
        last = newest("orders", tx)
    assert last is not None
    assert manifest_at(last.snapshot_id, orders.artifacts).turn == 1
    assert [row["amount"] for row in orders.rows(last)] == [0, 1, 2, 0.5, 7, 8]


def test_a_batch_without_rows_is_a_version_of_its_own(tmp_path: Path) -> None:
    orders = Versions.open(tmp_path)
    versions = [orders.numbers(1), orders.add([]), orders.add([])]
    assert len({version.snapshot_id for version in versions}) == 3
    assert len({version.table_version for version in versions}) == 1
    assert {version.rows for version in versions} == {1}


def test_every_record_is_named_by_the_next_one(grown: tuple[Versions, list[Snapshot]]) -> None:
    orders, taken = grown
    with orders.state.snapshot() as tx:
        found = digests(snapshots("orders", tx), tx)
        assert digests([], tx) == {}
    assert list(found.values()) == taken[::-1]
    assert all(digest == digest_of(each) for digest, each in found.items())
