"""A store that fails, breaks off or loses its answer: a commit happens once, or not at all and says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import obstore
import pytest

from keelway.core import digest_file
from keelway.engines.delta import DeltaTables, folders
from keelway.engines.delta import tables as module
from keelway.engines.delta.folders import ObjectFolder
from keelway.engines.obstore import Patience, open_store
from keelway.errors import IntegrityError, KeelwayError, StorageError
from keelway.testing.faults import Fault, FaultProxy
from keelway.testing.seaweed import SeaweedServer, seaweed
from keelway.testing.tables import Orders

__all__ = ["seaweed"]  # the fixture

COMMIT = "PUT .*_delta_log.*"
ROWS = "(PUT|POST) .*rows-.*"
BROKEN = [Fault.FAILURE, Fault.UNAVAILABLE, Fault.RESET, Fault.LOST_ANSWER]
PATIENCE = Patience(retries=2, first_pause_s=0.05, request_timeout_s=1)


@pytest.fixture
def proxy(seaweed: SeaweedServer) -> Iterator[FaultProxy]:
    with FaultProxy(seaweed.port) as standing:
        yield standing


@pytest.fixture
def orders(seaweed: SeaweedServer, proxy: FaultProxy, tmp_path: Path) -> Orders:
    """A table of one row, whose writer sees the store through the proxy."""
    bucket = seaweed.bucket()
    obstore.put(open_store(f"s3://{bucket}", seaweed.options).client, "ready", b"")
    url = f"s3://{bucket}/tables"
    options = seaweed.options | {"endpoint": proxy.endpoint}
    store = open_store(url, options, patience=PATIENCE).client
    folder = ObjectFolder(url, "orders", store, options={**options, "allow_http": "true"}, cache=tmp_path / "cache")
    orders = Orders(DeltaTables(lambda table: folder), tmp_path / "rows")
    orders.append(1)
    proxy.requests.clear()
    return orders


@pytest.mark.parametrize("fault", BROKEN)
def test_a_commit_survives_a_fault_and_happens_once(orders: Orders, proxy: FaultProxy, fault: Fault) -> None:
    file = orders.staged(2)
    proxy.next(fault)
    assert orders.commit(*orders.seen.files, file) == 1
    assert proxy.suffered == [fault]
    assert len(orders.tables.files("orders")) == 2
    assert orders.append(3) == 2


@pytest.mark.parametrize("fault", [Fault.FAILURE, Fault.UNAVAILABLE, Fault.RESET])
def test_a_commit_that_keeps_failing_changes_nothing(orders: Orders, proxy: FaultProxy, fault: Fault) -> None:
    file, seen = orders.staged(2), orders.seen
    proxy.always(fault, where=COMMIT)
    with pytest.raises(StorageError):
        orders.commit(*seen.files, file)
    proxy.heal()
    assert orders.seen == seen
    assert len(orders.tables.files("orders")) == 1
    assert orders.commit(*seen.files, file) == 1


def test_a_commit_whose_every_answer_is_lost_is_found_again(orders: Orders, proxy: FaultProxy) -> None:
    file, seen = orders.staged(2), orders.seen
    proxy.always(Fault.LOST_ANSWER, where=COMMIT)
    with pytest.raises(StorageError):
        orders.commit(*seen.files, file)
    proxy.heal()
    assert len(orders.tables.files("orders")) == 2, "it was done, though nobody knew"
    assert orders.commit(*seen.files, file) == 1, "and is found, not done again"


def test_a_commit_is_not_tried_again_when_its_time_is_up(
    orders: Orders, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, seen = orders.staged(2), orders.seen
    proxy.always(Fault.SILENCE, where=COMMIT)
    monkeypatch.setattr(folders, "COMMIT_WITHIN_S", 0.5)
    proxy.requests.clear()
    with pytest.raises(StorageError):
        orders.commit(*seen.files, file)
    assert len(proxy.requests) == 1
    proxy.heal()
    assert orders.commit(*seen.files, file) == 1


@pytest.mark.parametrize("fault", BROKEN)
def test_an_upload_survives_a_fault(orders: Orders, proxy: FaultProxy, fault: Fault) -> None:
    proxy.next(fault)
    file = orders.staged(2)
    assert proxy.suffered == [fault]
    assert digest_file(orders.tables.path_of("orders", file.path, digest=file.digest)) == file.digest


@pytest.mark.parametrize("fault", [Fault.FAILURE, Fault.RESET, Fault.SILENCE])
def test_an_upload_that_keeps_failing_leaves_no_file(orders: Orders, proxy: FaultProxy, fault: Fault) -> None:
    proxy.always(fault, where=ROWS)
    with pytest.raises(StorageError):
        orders.staged(2)
    proxy.heal()
    assert [file.path for file in orders.tables.stored("orders")] == orders.tables.files("orders")


@pytest.mark.parametrize("fault", list(Fault))
def test_a_read_is_whole_or_an_error(orders: Orders, proxy: FaultProxy, tmp_path: Path, fault: Fault) -> None:
    (file,) = orders.seen.files
    proxy.next(fault, fault)
    try:
        found = orders.tables.path_of("orders", file.path, digest=file.digest)
    except (StorageError, IntegrityError):
        assert not list((tmp_path / "cache").glob("*")), "nothing half is left"
        proxy.heal()
        found = orders.tables.path_of("orders", file.path, digest=file.digest)
    assert digest_file(found) == file.digest


def test_a_fault_while_the_table_is_looked_at_is_a_clean_error_or_none(
    orders: Orders, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = Orders(orders.tables, orders.folder, orders.seen)
    orders.append(2)
    proxy.next(None, Fault.UNAVAILABLE)
    try:
        late.append(3)
    except KeelwayError:
        proxy.heal()
        late.append(3)
    assert len(orders.tables.files("orders")) == 2
    assert module.CHECKPOINT_EVERY == 100
