"""What an object store holds can be collected: ages count from the last put, and no writer ever loses what was put."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import obstore
import pytest

from keelway.core import Action, ArtifactKind, Decision, Digest, PrincipalId, digest_bytes
from keelway.engines.obstore import ObjectArtifacts, OpenStore, open_store
from keelway.engines.obstore.holding import ASIDE, MARKS
from keelway.engines.sql import SqlState
from keelway.errors import IdentityError, MissingRecordError
from keelway.identity import Principal
from keelway.ledger import SigningKey, audit, decisions, record_decision
from keelway.register import RetentionRules, collect
from keelway.testing.seaweed import SeaweedServer

KIND = ArtifactKind.REPORT
DATA = b"something that is named by nobody"
FUTURE = timedelta(days=365)
ROOT = Principal(PrincipalId("user:root"), ("admin",))
ANA = Principal(PrincipalId("user:ana"), ("data-scientist",))
KEY = SigningKey("test", bytes(32))


class Shelf:
    """A store, and how it looks from outside."""

    def __init__(self, opened: OpenStore, cache: Path, *, tick: timedelta = timedelta(seconds=1)) -> None:
        self.opened = opened
        self.store = ObjectArtifacts(opened, cache)
        self.tick = tick

    def paths(self) -> list[str]:
        found = (meta["path"] for page in obstore.list(self.opened.client) for meta in page)
        return sorted(path for path in found if path != f"{MARKS}clock")

    def age(self, digest: Digest) -> datetime:
        return next(each.stored_at for each in self.store.held() if each.digest == digest)

    def old(self) -> tuple[Digest, datetime]:
        """Return an artifact, and a moment after it was put and before now; S3 counts whole seconds."""
        digest = self.store.put(DATA, kind=KIND).digest
        moment = self.age(digest) + self.tick
        while datetime.now(UTC) < moment:
            time.sleep(self.tick.total_seconds() / 20)
        return digest, moment


@pytest.fixture
def memory(tmp_path: Path) -> Shelf:
    return Shelf(open_store("memory:///"), tmp_path / "cache", tick=timedelta(milliseconds=1))


@pytest.fixture
def s3(seaweed: SeaweedServer, tmp_path: Path) -> Shelf:
    opened = open_store(f"s3://{seaweed.bucket()}/artifacts", seaweed.options)
    obstore.put(opened.client, "alive", b"")
    obstore.delete(opened.client, "alive")
    return Shelf(opened, tmp_path / "cache")


@pytest.fixture(params=["memory", "s3"])
def shelf(request: pytest.FixtureRequest) -> Shelf:
    found: Shelf = request.getfixturevalue(request.param)
    return found


def test_everything_that_is_held_is_told(shelf: Shelf) -> None:
    stored = {shelf.store.put(data, kind=KIND).digest: data for data in (b"", b"short", b"0123456789abcdef and more")}
    obstore.put(shelf.opened.client, "notes/readme.txt", b"no artifact")
    for _ in range(2):
        held = {each.digest: each for each in shelf.store.held()}
        assert {digest: (each.size_bytes, each.head) for digest, each in held.items()} == {
            digest: (len(data), data[:16]) for digest, data in stored.items()
        }


def test_what_is_put_again_counts_as_new_and_stays(shelf: Shelf, tmp_path: Path) -> None:
    digest, moment = shelf.old()
    (tmp_path / "file").write_bytes(DATA)
    shelf.store.put_file(tmp_path / "file", kind=KIND)
    assert shelf.age(digest) >= moment
    assert not shelf.store.remove_if_older(digest, moment)
    assert shelf.store.get(digest) == DATA


def test_what_is_old_goes_with_all_that_stands_beside_it(shelf: Shelf) -> None:
    shelf.store.put(DATA, kind=KIND)
    digest, _ = shelf.old()
    copy = shelf.store.path_of(digest)
    assert shelf.store.remove_if_older(digest, datetime.now(UTC) + FUTURE)
    assert (shelf.paths(), copy.exists(), digest in shelf.store) == ([], False, False)
    assert not shelf.store.remove_if_older(digest, datetime.now(UTC) + FUTURE), "it is gone already: no error"
    assert shelf.store.put(DATA, kind=KIND).digest == digest
    assert shelf.store.get(digest) == DATA


def test_deleting_for_good_leaves_no_copy_that_could_come_back(memory: Shelf) -> None:
    digest = memory.store.put(DATA, kind=KIND).digest
    obstore.copy(memory.opened.client, digest[7:9] + "/" + digest[9:], ASIDE + digest[7:9] + "/" + digest[9:])
    memory.store.delete(digest)
    assert (list(memory.store.held()), memory.paths()) == ([], [])


def test_the_clock_is_the_stores(shelf: Shelf) -> None:
    assert abs(shelf.store.clock() - datetime.now(UTC)) < timedelta(minutes=5)
    assert list(shelf.store.held()) == []


class Killed(BaseException):
    """The process is gone."""


Calls = Callable[..., Any]


@pytest.fixture
def before_call(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], object]], None]:
    """Let something happen before the nth request from then on; there are fewer requests than that: nothing happens."""
    waiting: list[tuple[int, Callable[[], object]]] = []
    count = [0]

    def hooked(real: Calls) -> Calls:
        def call(*words: Any, **named: Any) -> Any:
            count[0] += 1
            for number, act in list(waiting):
                if number == count[0]:
                    waiting.clear()
                    act()
            return real(*words, **named)

        return call

    for name in ("head", "get", "put", "copy", "delete"):
        monkeypatch.setattr(obstore, name, hooked(getattr(obstore, name)))

    def arrange(number: int, act: Callable[[], object]) -> None:
        waiting[:] = [(count[0] + number, act)]

    return arrange


@pytest.mark.parametrize("number", range(1, 9))
def test_whoever_puts_while_it_is_removed_has_it_afterwards(
    memory: Shelf, before_call: Callable[..., None], number: int
) -> None:
    digest, moment = memory.old()
    before_call(number, lambda: memory.store.put(DATA, kind=KIND))
    memory.store.remove_if_older(digest, moment)
    memory.store.put(b"another", kind=KIND)  # spends what was not reached
    if number <= 7:
        assert memory.store.get(digest) == DATA
    assert not [path for path in memory.paths() if path.startswith(ASIDE)]


def kill() -> None:
    raise Killed


@pytest.mark.parametrize("number", range(1, 9))
def test_a_killed_remover_loses_nothing(memory: Shelf, before_call: Callable[..., None], number: int) -> None:
    digest, moment = memory.old()
    before_call(number, kill)
    try:
        memory.store.remove_if_older(digest, moment)
    except Killed:
        memory.store.put(DATA, kind=KIND)  # a writer who comes now
        held = [each.digest for each in memory.store.held()]
        assert held == [digest]
        assert memory.store.get(digest) == DATA
    assert not [path for path in memory.paths() if path.startswith(ASIDE)]


@pytest.mark.parametrize("number", range(1, 9))
def test_a_killed_writer_harms_nobody(memory: Shelf, before_call: Callable[..., None], number: int) -> None:
    digest, _ = memory.old()
    before_call(number, kill)
    try:
        memory.store.put(DATA, kind=KIND)
    except Killed:
        assert memory.store.get(digest) == DATA
    assert [each.digest for each in memory.store.held()] == [digest]


def test_writers_and_removers_at_once_lose_nothing(s3: Shelf) -> None:
    digest, moment = s3.old()

    def write(_: int) -> None:
        s3.store.put(DATA, kind=KIND)

    with ThreadPoolExecutor(4) as pool:
        writing = pool.map(write, range(6))
        removing = pool.map(lambda _: s3.store.remove_if_older(digest, moment), range(6))
        list(writing), list(removing)
    assert [each.digest for each in s3.store.held()] == [digest]
    assert s3.store.get(digest) == DATA


@pytest.fixture
def state(tmp_path: Path) -> Iterator[SqlState]:
    made = SqlState(f"sqlite:///{tmp_path}/state.db")
    yield made
    made.close()


def test_a_collection_of_an_object_store_takes_what_nothing_names(shelf: Shelf, state: SqlState) -> None:
    named, loose = (shelf.store.put(data, kind=KIND).digest for data in (b"named", b"loose"))
    with state.transaction() as tx:
        told = Decision(Action.CHECK, "churn:1", True, ROOT.id, datetime.now(UTC), evidence={"report": named})
        record_decision(told, tx=tx)
    rules = RetentionRules(unreferenced=timedelta(days=30))

    def collected(principal: Principal = ROOT, *, days: int = 31, dry: bool = False) -> Any:
        return collect(
            store=shelf.store, state=state, rules=rules, principal=principal, dry_run=dry,
            now=shelf.store.clock() + timedelta(days=days),
        )  # fmt: skip

    assert collected(days=29).artifacts == (), "nothing is old enough"
    assert collected(ANA, dry=True).artifacts == (loose,)
    assert loose in shelf.store, "a dry run removes nothing"
    with pytest.raises(IdentityError):
        collected(ANA)
    assert loose in shelf.store
    done = collected()
    assert (done.artifacts, done.freed_bytes, done.kept) == ((loose,), 5, 1)
    assert shelf.store.get(named) == b"named"
    with pytest.raises(MissingRecordError):
        shelf.store.get(loose)
    assert collected().artifacts == ()
    assert audit(state, key=KEY.public, artifacts=shelf.store).problems == ()
    with state.snapshot() as tx:
        assert [each.action for _, each in decisions(tx)][-1] == Action.COLLECT
    assert digest_bytes(b"loose") == loose
