"""The state database on a real PostgreSQL: conformance, other settings of the server, forks, damage."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from keelway.core import digest_bytes
from keelway.engines.sql import SqlState
from keelway.errors import IntegrityError, SettingsError, StorageError, UsageError
from keelway.ledger import SigningKey, audit
from keelway.testing import StateConformance
from keelway.testing.postgres import PostgresServer
from keelway.testing.records import NOW, SampleRecord
from keelway.testing.run_index import RunIndexConformance
from keelway.testing.state import step


@pytest.fixture
def url(postgres_server: PostgresServer) -> Iterator[str]:
    with postgres_server.lent() as lent:
        yield lent


@pytest.fixture
def state(url: str) -> Iterator[SqlState]:
    with closing(SqlState(url)) as opened:
        yield opened


class TestPostgresState(StateConformance):
    @pytest.fixture
    def state(self, url: str) -> Iterator[SqlState]:
        with closing(SqlState(url)) as opened:
            yield opened


class TestPostgresRunIndex(RunIndexConformance):
    @pytest.fixture
    def state(self, url: str) -> Iterator[SqlState]:
        with closing(SqlState(url)) as opened:
            yield opened


def name_of(url: str) -> str:
    return url.partition("@/")[2].partition("?")[0]


def test_an_altered_record_is_refused_with_both_digests(
    state: SqlState, url: str, postgres_server: PostgresServer
) -> None:
    with state.transaction() as tx:
        digest = tx.insert("a", SampleRecord("true"), at=NOW)
    postgres_server.run("UPDATE records SET body = replace(body, 'true', 'false')", database=name_of(url))
    with state.snapshot() as tx, pytest.raises(IntegrityError) as caught:
        tx.get(SampleRecord, "a")
    assert caught.value.expected == digest


@pytest.mark.parametrize(
    "setting",
    [
        "default_transaction_isolation = 'serializable'",
        "default_transaction_isolation = 'repeatable read'",
        "default_transaction_read_only = on",
        "synchronous_commit = off",
        "statement_timeout = '1h'",
    ],
)
def test_the_promises_hold_whatever_the_database_sets(url: str, setting: str, postgres_server: PostgresServer) -> None:
    postgres_server.run(f"ALTER DATABASE {name_of(url)} SET {setting}")
    with closing(SqlState(url)) as state:
        conformance = StateConformance()
        conformance.test_a_writer_begins_when_the_one_before_it_has_ended(state)
        with state.transaction() as tx:
            assert tx._connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"


def test_a_stricter_promise_of_the_server_is_not_loosened(url: str, postgres_server: PostgresServer) -> None:
    postgres_server.run(f"ALTER DATABASE {name_of(url)} SET synchronous_commit = remote_apply")
    with closing(SqlState(url)) as state, state.snapshot() as tx:
        assert tx._connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "remote_apply"


def test_a_locked_database_is_said_after_the_timeout(state: SqlState, url: str) -> None:
    with closing(SqlState(url, busy_timeout_ms=50)) as other:
        with state.transaction(), pytest.raises(StorageError, match="locked"), other.transaction():
            pass
        step(other, 1)


def test_a_known_database_opens_while_somebody_writes(state: SqlState, url: str) -> None:
    with state.transaction() as tx:
        tx.insert("a", SampleRecord("x"), at=NOW)
        with closing(SqlState(url, busy_timeout_ms=50)) as other, other.snapshot() as reading:
            assert reading.count(SampleRecord) == 0


def test_a_killed_writer_gives_the_lock_back_and_leaves_nothing(state: SqlState, url: str) -> None:
    step(state, 1)
    child = os.fork()
    if child == 0:
        with SqlState(url).transaction() as tx:
            tx.insert("never", SampleRecord("never"), at=NOW)
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert step(state, 2) == 1
    with state.snapshot() as tx:
        assert tx.count(SampleRecord) == tx.log.size() == 2


def test_a_child_has_connections_of_its_own(state: SqlState) -> None:
    step(state, 0)
    children = []
    for number in range(3):
        child = os.fork()
        if child == 0:
            code = 1
            with suppress(BaseException):
                for turn in range(10):
                    step(state, turn, pointer=f"child {number}")
                code = 0
            os._exit(code)
        children.append(child)
    for turn in range(10):
        step(state, turn, pointer="parent")
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    assert audit(state, key=SigningKey.generate().public).size == 41


def test_a_reader_in_the_middle_of_a_walk_sees_one_state(state: SqlState) -> None:
    with state.transaction() as tx:
        for number in range(1200):
            tx.log.add_leaf(number, b"%d" % number, [])
    grown = threading.Event()

    def grow() -> None:
        with state.transaction() as tx:
            tx.log.add_leaf(1200, b"late", [])
        grown.set()

    with state.snapshot() as tx:
        leaves = tx.log.leaves()
        next(leaves)
        thread = threading.Thread(target=grow)
        thread.start()
        assert grown.wait(60)
        assert 1 + sum(1 for _ in leaves) == tx.log.size() == 1200
        thread.join()


def test_what_the_server_refuses_is_said(postgres_server: PostgresServer, state: SqlState) -> None:
    with pytest.raises(StorageError, match="cannot be reached") as caught:
        SqlState(postgres_server.url("no_such_database"))
    assert "no_such_database" in str(caught.value)
    with pytest.raises(StorageError, match="cannot be reached"):
        SqlState("postgresql://postgres@/state?host=/no/such/folder")
    with state.snapshot() as tx, pytest.raises(UsageError, match="cannot hold"):
        tx.find(SampleRecord, "a\0b")


def test_a_database_that_cannot_hold_every_text_is_refused_before_it_is_used(postgres_server: PostgresServer) -> None:
    postgres_server.run(
        "CREATE DATABASE plain ENCODING 'SQL_ASCII' LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    )
    with pytest.raises(SettingsError, match="every text") as caught:
        SqlState(postgres_server.url("plain"))
    assert "UTF8" in caught.value.fix
    tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"
    assert postgres_server.run(tables, database="plain") == [(0,)]


def test_who_may_not_make_tables_is_told(postgres_server: PostgresServer) -> None:
    url = postgres_server.database(migrated=False)
    postgres_server.run("DROP ROLE IF EXISTS nobody_much")
    postgres_server.run("CREATE ROLE nobody_much LOGIN")
    with pytest.raises(StorageError, match="refused") as caught:
        SqlState(url.replace("postgres@", "nobody_much@"))
    assert "owns the tables" in caught.value.fix


def test_a_password_is_handed_over_and_never_shown(postgres_server: PostgresServer, url: str) -> None:
    state = SqlState(url, password="hunter2")  # the server trusts its socket and does not look at it
    assert state._engine.url.password == "hunter2"
    assert "hunter2" not in repr(state._engine.url)
    state.close()
    with pytest.raises(StorageError) as caught:
        SqlState(postgres_server.url("absent"), password="hunter2")
    assert "hunter2" not in f"{caught.value} {caught.value.fix} {caught.value.__cause__!r}"


def test_nothing_but_our_driver_is_taken(url: str) -> None:
    with pytest.raises(SettingsError):
        SqlState(url.replace("postgresql:", "postgresql+asyncpg:"))
    state = SqlState(url.replace("postgresql:", "postgresql+psycopg:"))
    with state.snapshot() as tx:
        assert tx.pointer(digest_bytes(b"")) is None
    state.close()
