"""The online store on Redis: the suite, a server that forgets, is full, gone or wants a password, and writers that race."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from keelway.errors import EngineError, FeatureError, IntegrityError, KeelwayError, StorageError
from keelway.testing.online import ENTITIES, OnlineStoreConformance, online_cut, online_rows
from keelway.testing.redis_server import RedisServer, redis_server, running_redis

redis = pytest.importorskip("redis", reason="the package `redis` is not installed (pip install 'keelway[redis]')")

from keelway.engines.redis import RedisOnlineStore  # noqa: E402 - only where the package is there
from keelway.engines.redis.failures import translate  # noqa: E402

__all__ = ["redis_server"]


@pytest.fixture
def prefix(redis_server: RedisServer) -> str:
    return redis_server.prefix()


def opened(server: RedisServer, prefix: str, **given: Any) -> RedisOnlineStore:
    return RedisOnlineStore(server.url, **{"prefix": prefix, "password": server.password} | given)


@pytest.fixture
def store(redis_server: RedisServer, prefix: str) -> Iterator[RedisOnlineStore]:
    with closing(opened(redis_server, prefix)) as made:
        yield made


def keys(server: RedisServer, prefix: str) -> dict[str, int]:
    """Return all keys below a prefix, and in how many seconds each is forgotten; -1 for never."""
    with server.client() as client:
        return {key.decode().removeprefix(prefix): client.ttl(key) for key in client.scan_iter(match=f"{prefix}*")}


class TestRedisOnlineStore(OnlineStoreConformance):
    @pytest.fixture
    def store(self, redis_server: RedisServer) -> Iterator[RedisOnlineStore]:
        with closing(opened(redis_server, redis_server.prefix())) as made:
            yield made


def test_a_replaced_cut_leaves_no_rows_behind(store: Any, redis_server: RedisServer, prefix: str) -> None:
    for day in range(4):
        store.write(online_cut(day), online_rows(day))
    assert keys(redis_server, prefix) == {":{churn}:cut": -1, ":{churn}:last": -1, ":{churn}:rows:4": -1}


def test_a_refused_cut_leaves_no_rows_behind(store: Any, redis_server: RedisServer, prefix: str) -> None:
    store.write(online_cut(1), online_rows(1))
    with pytest.raises(FeatureError, match="another number of rows"):
        store.write(online_cut(2), online_rows(2, ENTITIES[1:]))
    assert ":{churn}:rows:2" not in keys(redis_server, prefix)


def test_the_rows_of_a_writer_that_was_killed_are_forgotten(store: Any, redis_server: RedisServer, prefix: str) -> None:
    store.write(online_cut(1), online_rows(1))
    program = (
        "import os, sys\n"
        "from keelway.engines.redis import RedisOnlineStore, online\n"
        "from keelway.testing.online import online_cut, online_rows\n"
        "online.BATCH, online.COMMANDS = 1, 1\n"
        "def dying():\n"
        "    yield from online_rows(2)[:20]\n"
        "    os.kill(os.getpid(), 9)\n"
        f"store = RedisOnlineStore({redis_server.url!r}, prefix={prefix!r}, password=sys.stdin.read())\n"
        "store.write(online_cut(2), dying())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], input=redis_server.password, text=True, check=False)
    assert done.returncode == -9
    assert 0 < keys(redis_server, prefix)[":{churn}:rows:2"] <= 3600
    assert store.read("churn", ["e0"])["e0"].values["spent"] == 1.0
    assert store.write(online_cut(2), online_rows(2))


def test_a_cut_is_served_for_as_long_as_was_said(redis_server: RedisServer, prefix: str) -> None:
    with closing(opened(redis_server, prefix, ttl_s=500)) as store:
        store.write(online_cut(1), online_rows(1))
        lasting = keys(redis_server, prefix)
        assert 490 < lasting[":{churn}:cut"] == lasting[":{churn}:rows:1"] <= 500
        with redis_server.client() as client:
            for key in ("cut", "rows:1"):
                client.pexpire(f"{prefix}:{{churn}}:{key}", 1)
                while client.exists(f"{prefix}:{{churn}}:{key}"):
                    pass
        assert store.read("churn", ["e0"]) == {}
        assert store.cut("churn") is None
        assert store.write(online_cut(1), online_rows(1))


def test_a_cut_for_ever_takes_the_place_of_one_that_ends(redis_server: RedisServer, prefix: str) -> None:
    with closing(opened(redis_server, prefix, ttl_s=500)) as first, closing(opened(redis_server, prefix)) as second:
        first.write(online_cut(1), online_rows(1))
        second.write(online_cut(2), online_rows(2))
        assert set(keys(redis_server, prefix).values()) == {-1}
        assert first.read("churn", ["e3"])["e3"].values["spent"] == 2.0


def test_rows_that_the_server_threw_away_are_no_unknown_entities(
    store: Any, redis_server: RedisServer, prefix: str
) -> None:
    store.write(online_cut(1), online_rows(1))
    with redis_server.client() as client:
        client.delete(f"{prefix}:{{churn}}:rows:1")
    with pytest.raises(StorageError, match="lost the rows"):
        store.read("churn", ["e0"])


def test_what_is_no_row_is_told(store: Any, redis_server: RedisServer, prefix: str) -> None:
    store.write(online_cut(1), online_rows(1))
    with redis_server.client() as client:
        client.hset(f"{prefix}:{{churn}}:rows:1", "e0", b"\xc1 no row")
    assert store.read("churn", ["e1"])
    with pytest.raises(IntegrityError, match="damaged"):
        store.read("churn", ["e0"])


def test_of_writers_that_race_the_newest_stands(redis_server: RedisServer, prefix: str) -> None:
    begin = threading.Barrier(6)

    def racing(day: int) -> bool:
        with closing(opened(redis_server, prefix)) as own:
            begin.wait()
            return own.write(online_cut(day), online_rows(day))

    with ThreadPoolExecutor(6) as pool:
        wrote = list(pool.map(racing, range(6)))
    assert wrote[5]
    with closing(opened(redis_server, prefix)) as store:
        assert store.cut("churn") == online_cut(5)
        assert {row.values["spent"] for row in store.read("churn", ENTITIES).values()} == {5.0}
    assert sum(":rows:" in key for key in keys(redis_server, prefix)) == 1


def test_projects_on_one_server_do_not_see_each_other(redis_server: RedisServer) -> None:
    with (
        closing(opened(redis_server, redis_server.prefix())) as mine,
        closing(opened(redis_server, redis_server.prefix())) as theirs,
    ):
        mine.write(online_cut(1), online_rows(1))
        assert theirs.cut("churn") is None


def test_reading_no_entities_asks_nothing(store: Any) -> None:
    store.write(online_cut(1), online_rows(1))
    assert store.read("churn", []) == {}


def test_a_wrong_password_and_an_absent_server_are_told(redis_server: RedisServer, prefix: str) -> None:
    with closing(opened(redis_server, prefix, password="wrong")) as store, pytest.raises(StorageError) as refused:
        store.cut("churn")
    assert "login" in str(refused.value)
    assert redis_server.password not in str(refused.value)
    with closing(RedisOnlineStore("redis://127.0.0.1:1/0")) as store, pytest.raises(StorageError, match="reached"):
        store.cut("churn")


def test_a_server_without_room_leaves_the_cut_that_was_there(tmp_path: Path, redis_server: RedisServer) -> None:
    program = shutil.which("redis-server")
    assert program
    many = [f"entity {number:060}" for number in range(60_000)]
    with (
        running_redis(program, tmp_path, maxmemory="4mb", maxmemory_policy="noeviction") as small,
        closing(opened(small, "full")) as store,
    ):
        store.write(online_cut(1), online_rows(1))
        with pytest.raises(StorageError, match="full"):
            store.write(online_cut(2, rows=len(many)), online_rows(2, many))
        assert store.read("churn", ["e0"])["e0"].values["spent"] == 1.0
        assert ":{churn}:rows:2" not in keys(small, "full")


LOGIN, STANDING, FULL, REACH, FAILED = "refused the login", "no writes now", "is full", "be reached", "store failed"
MEANT = {
    "AskError": STANDING, "AuthenticationError": LOGIN, "AuthenticationWrongNumberOfArgsError": LOGIN,
    "AuthorizationError": LOGIN, "BusyLoadingError": STANDING, "ClusterCrossSlotError": FAILED,
    "ClusterDownError": STANDING, "ClusterError": STANDING, "ConnectionError": REACH, "DataError": FAILED,
    "ExecAbortError": FAILED, "ExternalAuthProviderError": LOGIN, "InvalidResponse": FAILED, "LockError": FAILED,
    "LockNotOwnedError": FAILED, "MasterDownError": STANDING,
    "MaxConnectionsError": REACH, "ModuleError": FAILED, "MovedError": STANDING, "NoPermissionError": LOGIN,
    "NoScriptError": FAILED, "NoSuchFieldsetError": FAILED, "OutOfMemoryError": FULL, "PubSubError": FAILED,
    "ReadOnlyError": STANDING, "ResponseError": FAILED, "TimeoutError": REACH,
    "TryAgainError": STANDING, "WatchError": FAILED,
}  # fmt: skip
"""Every error of the client, and what it means; one that is new has to be put here."""


def errors_of_redis() -> dict[str, type[Exception]]:
    found, waiting = {}, list(redis.RedisError.__subclasses__())
    while waiting:
        kind = waiting.pop()
        if kind.__module__ == "redis.exceptions":
            found[kind.__name__] = kind
        waiting += kind.__subclasses__()
    return found


def test_every_error_of_the_client_has_a_meaning() -> None:
    assert errors_of_redis().keys() == MEANT.keys()


@pytest.mark.parametrize("name", sorted(MEANT))
def test_an_error_of_the_client_is_told_in_our_words(name: str) -> None:
    kind = errors_of_redis()[name]
    error = kind.__new__(kind)
    error.args = ("something",)
    told = translate(error, "redis://somewhere")
    assert isinstance(told, EngineError)
    assert isinstance(told, KeelwayError)
    assert MEANT[name] in told.what
    assert "redis://somewhere" in told.found


def test_a_cut_without_rows_is_a_cut(store: Any) -> None:
    store.write(online_cut(1, rows=0), [])
    assert store.cut("churn") == online_cut(1, rows=0)
    assert store.read("churn", ["e0"]) == {}


def test_a_reader_that_slept_finds_the_cut_of_today(redis_server: RedisServer, prefix: str) -> None:
    many = [*ENTITIES, *(f"unknown {number}" for number in range(25_000))]
    with closing(opened(redis_server, prefix)) as reader, closing(opened(redis_server, prefix)) as writer:
        for day, asked in enumerate((ENTITIES, many, ENTITIES)):
            writer.write(online_cut(day), online_rows(day))
            rows = reader.read("churn", asked)
            assert {(row.as_of, row.values["spent"]) for row in rows.values()} == {(online_cut(day).as_of, float(day))}
            assert len(rows) == len(ENTITIES)
