"""Listings that break off, stall or are refused: whole in the end, or a clean error."""

from __future__ import annotations

import obstore
import pytest

from keelway.engines.obstore import Patience, StoreObjects, open_store
from keelway.errors import SourceError
from keelway.testing.faults import Fault, FaultProxy
from keelway.testing.seaweed import SeaweedServer

NAMES = ["raw/a-b.csv", "raw/a/1.csv", "raw/a/2.csv", "raw/b.csv"]


@pytest.fixture
def source(seaweed: SeaweedServer, proxy: FaultProxy, haste: Patience) -> StoreObjects:
    """A source behind the fault proxy, with a few objects."""
    store = open_store(f"s3://{seaweed.bucket()}", seaweed.options | {"endpoint": proxy.endpoint}, patience=haste)
    for name in NAMES:
        obstore.put(store.client, name, b"1")
    proxy.requests.clear()
    return StoreObjects(store)


def names(source: StoreObjects) -> list[str]:
    return sorted(info.name for info in source.list("raw/**"))


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("fault", Fault)
def test_a_listing_survives_a_few_faults(source: StoreObjects, proxy: FaultProxy, fault: Fault, times: int) -> None:
    proxy.next(*[fault] * times)
    assert names(source) == NAMES
    assert proxy.suffered == ([fault] if fault is Fault.SLOW and times == 1 else [fault] * len(proxy.suffered))


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.SLOW])
def test_a_listing_that_keeps_failing_is_a_clean_error(
    source: StoreObjects, proxy: FaultProxy, haste: Patience, fault: Fault
) -> None:
    proxy.always(fault)
    with pytest.raises(SourceError, match="keeps failing") as caught:
        names(source)
    assert caught.value.fix
    assert len(proxy.requests) == haste.retries + 1


class Breaking:
    """A client whose listing breaks off behind some objects, as often as it is told to."""

    def __init__(self, *pages: list[str], breaks: int, gone: str = "") -> None:
        self.pages = pages
        self.breaks = breaks
        self.gone = gone

    def list(self, *_: object, **__: object):
        yield [meta(name) for name in self.pages[0] if name != self.gone or self.breaks]
        if self.breaks:
            self.breaks -= 1
            raise obstore.exceptions.GenericError("Generic S3 error: HTTP error: request or response body error")
        for page in self.pages[1:]:
            yield [meta(name) for name in page]


def meta(name: str) -> dict[str, object]:
    from datetime import UTC, datetime

    return {"path": name, "last_modified": datetime(1997, 1, 1, tzinfo=UTC), "size": 1, "e_tag": None, "version": None}


def broken(client: Breaking, monkeypatch: pytest.MonkeyPatch) -> StoreObjects:
    monkeypatch.setattr(obstore, "list", client.list)
    return StoreObjects(open_store("memory:///", patience=Patience(retries=2, first_pause_s=0.001)))


def test_what_came_before_the_break_does_not_come_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    source = broken(Breaking(["z", "b"], ["a", "c"], breaks=2), monkeypatch)
    assert [info.name for info in source.list("**")] == ["z", "b", "a", "c"]


def test_a_listing_that_breaks_too_often_is_a_clean_error(monkeypatch: pytest.MonkeyPatch) -> None:
    source = broken(Breaking(["a"], ["b"], breaks=3), monkeypatch)
    with pytest.raises(SourceError, match="keeps failing"):
        list(source.list("**"))


def test_a_place_that_is_gone_after_the_break_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    source = broken(Breaking(["a", "b"], ["c"], breaks=1, gone="b"), monkeypatch)
    with pytest.raises(SourceError, match="changed while it was listed"):
        list(source.list("**"))
