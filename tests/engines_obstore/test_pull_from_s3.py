"""Pulls from a real S3 server that misbehaves: whole batches or clean errors, and never a file twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import obstore
import pytest

from keelway.core import digest_bytes
from keelway.engines.obstore import ObjectArtifacts, OpenStore, Patience, StoreObjects, open_store
from keelway.errors import ObjectChangedError, SourceError
from keelway.ingest import Batch, ObjectInfo, Pulled, SeenFile, SkipReason, WaitReason, pull
from keelway.testing.faults import Fault, FaultProxy
from keelway.testing.seaweed import SeaweedServer
from keelway.testing.shop import ANA, HEADER, NOW, ORDERS, Shop

TODAY = NOW.replace(year=2100)
"""The server stamps its objects with the machine's clock, which is later than the shop's."""
FILES = {f"raw/orders/dt=1997-01-0{day}/orders.csv": f"{day},1997-01-0{day},1,2.5\n" for day in range(1, 5)}


class Remote:
    """A shop whose files arrive in S3."""

    def __init__(self, shop: Shop, opened: OpenStore) -> None:
        self.shop = shop
        self.opened = opened
        self.source = StoreObjects(opened)

    def upload(self, name: str, rows: str) -> None:
        obstore.put(self.opened.client, name, (HEADER + rows).encode())

    def pull(self, **more: object) -> Pulled:
        shop = self.shop
        arguments = {"source": self.source} | more
        return pull(
            ORDERS, state=shop.state, artifacts=shop.artifacts, now=TODAY, actor=ANA, **arguments  # type: ignore[arg-type]
        )  # fmt: skip

    def ingest(self) -> int:
        """Take in everything and return the number of rows."""
        rows = 0
        while (batch := self.pull().batch) is not None:
            rows = self.shop.take(self.shop.check(batch)).rows
        return rows

    def records(self) -> tuple[int, int]:
        with self.shop.state.snapshot() as tx:
            return tx.count(Batch), tx.count(SeenFile)


@pytest.fixture
def remote(seaweed: SeaweedServer, proxy: FaultProxy, haste: Patience, tmp_path: Path) -> Remote:
    options = seaweed.options | {"endpoint": proxy.endpoint}
    made = Remote(Shop.open(tmp_path), open_store(f"s3://{seaweed.bucket()}", options, patience=haste))
    for name, rows in FILES.items():
        made.upload(name, rows)
    proxy.requests.clear()
    return made


def test_a_pull_takes_what_is_there_once(remote: Remote) -> None:
    assert remote.ingest() == len(FILES)
    assert remote.pull() == Pulled(None)
    remote.upload("raw/orders/dt=1997-01-01/copy.csv", FILES["raw/orders/dt=1997-01-01/orders.csv"])
    again = remote.pull().batch
    assert again is not None
    assert [(file.reason, file.of) for file in again.skipped] == [
        (SkipReason.DUPLICATE, "raw/orders/dt=1997-01-01/orders.csv")
    ]


def test_other_bytes_in_the_same_second_and_of_the_same_size_are_found(remote: Remote) -> None:
    remote.ingest()
    name = next(iter(FILES))
    (before,) = remote.source.list(name)
    remote.upload(name, FILES[name].replace("2.5", "9.5"))
    (after,) = remote.source.list(name)
    assert after.size_bytes == before.size_bytes
    found = remote.pull(source=_Stamped(remote.source, {name: before})).batch
    assert found is not None
    assert [(file.name, file.reason) for file in found.skipped] == [(name, SkipReason.CONTENT_CHANGED)]


class _Stamped:
    """A source that says of some objects that they were written when they were listed before."""

    def __init__(self, inner: StoreObjects, stamps: dict[str, ObjectInfo]) -> None:
        self._inner = inner
        self._stamps = stamps

    def list(self, glob: str):
        for info in self._inner.list(glob):
            yield replace(info, modified_at=self._stamps.get(info.name, info).modified_at)

    def fetch(self, info: ObjectInfo, target: Path):
        return self._inner.fetch(info, target)


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("request_number", [0, 1, 3])
def test_one_fault_anywhere_changes_nothing(
    remote: Remote, proxy: FaultProxy, fault: Fault, request_number: int
) -> None:
    proxy.next(*[None] * request_number, fault)
    assert remote.ingest() == len(FILES)
    assert proxy.suffered == [fault]
    assert remote.records() == (1, len(FILES))


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.SLOW])
def test_a_file_that_cannot_be_read_leaves_no_partial_version(
    remote: Remote, proxy: FaultProxy, haste: Patience, fault: Fault
) -> None:
    proxy.always(fault, where="GET /.*1997-01-03/")
    with pytest.raises(SourceError) as caught:
        remote.ingest()
    assert not isinstance(caught.value, ObjectChangedError)
    assert "dt=1997-01-03" in caught.value.what
    assert caught.value.fix
    assert len(proxy.suffered) == haste.retries + 1
    assert remote.records() == (0, 0)
    proxy.heal()
    assert remote.ingest() == len(FILES)
    assert remote.records() == (1, len(FILES))


@pytest.mark.parametrize("fault", [Fault.UNAVAILABLE, Fault.HALF_A_BODY, Fault.SILENCE])
def test_a_listing_that_fails_records_nothing(remote: Remote, proxy: FaultProxy, fault: Fault) -> None:
    proxy.always(fault, where="list-type=2")
    with pytest.raises(SourceError):
        remote.pull()
    assert remote.records() == (0, 0)
    proxy.heal()
    assert remote.ingest() == len(FILES)


class _Meddling:
    """A source behind whose back somebody does something between the listing and the reading."""

    def __init__(self, remote: Remote, name: str, meddle) -> None:
        self._remote = remote
        self._name = name
        self._meddle = meddle

    def list(self, glob: str):
        return self._remote.source.list(glob)

    def fetch(self, info: ObjectInfo, target: Path):
        if info.name == self._name:
            self._meddle(info.name)
        return self._remote.source.fetch(info, target)


def test_an_object_that_is_replaced_while_it_is_pulled_is_left_for_the_next_pull(remote: Remote) -> None:
    name = "raw/orders/dt=1997-01-02/orders.csv"
    meddling = _Meddling(remote, name, lambda name: remote.upload(name, "7,1997-01-02,1,7.5\n8,1997-01-02,1,8.5\n"))
    pulled = remote.pull(source=meddling)
    assert pulled.batch is not None
    assert [file.name for file in pulled.batch.files] == sorted(FILES.keys() - {name})
    assert pulled.waits == {WaitReason.CHANGED: 1}
    assert [file.name for file in pulled.waiting] == [name]
    remote.shop.take(remote.shop.check(pulled.batch))
    assert remote.ingest() == len(FILES) + 1


def test_an_object_that_is_deleted_while_it_is_pulled_is_left_out(remote: Remote) -> None:
    name = "raw/orders/dt=1997-01-02/orders.csv"
    meddling = _Meddling(remote, name, lambda name: obstore.delete(remote.opened.client, name))
    pulled = remote.pull(source=meddling)
    assert pulled.batch is not None
    assert name not in [file.name for file in pulled.batch.files]
    remote.shop.take(remote.shop.check(pulled.batch))
    assert remote.pull() == Pulled(None)


def test_raw_files_can_be_kept_in_the_object_store_too(remote: Remote, haste: Patience, tmp_path: Path) -> None:
    artifacts = ObjectArtifacts(remote.opened, tmp_path / "cache")
    remote.shop = remote.shop.through(artifacts=artifacts)
    assert remote.ingest() == len(FILES)
    for rows in FILES.values():
        assert artifacts.get(digest_bytes((HEADER + rows).encode()))
