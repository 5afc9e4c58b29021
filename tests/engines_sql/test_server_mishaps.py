"""A PostgreSQL server that goes away at a bad moment: nothing half-written, a clear error, and a retry that succeeds."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from keelway.core import Action, Decision, PointerMove, PrincipalId, digest_bytes
from keelway.engines.sql import SqlState
from keelway.errors import ConflictError, StorageError
from keelway.ledger import SigningKey, Transaction, audit, decisions, record_decision
from keelway.testing.postgres import PostgresServer, running_postgres
from keelway.testing.records import NOW, SampleRecord
from keelway.testing.state import step


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """Return a server of this module's own: it is ended now and then."""
    with running_postgres() as started:
        yield started


@pytest.fixture
def state(server: PostgresServer) -> Iterator[SqlState]:
    with server.lent() as url, closing(SqlState(url)) as opened:
        yield opened


def write_and(state: SqlState, meanwhile: Callable[[Transaction], object]) -> None:
    """Write in a transaction in the middle of which something happens."""
    with state.transaction() as tx:
        tx.insert("p/2", SampleRecord("p2"), at=NOW)
        tx.move("q", before=None, after=digest_bytes(b"2"), at=NOW)
        meanwhile(tx)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT], ids=["fast", "as in a crash"])
def test_a_restart_in_the_middle_of_a_transaction_leaves_nothing_and_a_retry_succeeds(
    server: PostgresServer, state: SqlState, number: int
) -> None:
    step(state, 1)
    with pytest.raises(StorageError) as caught:
        write_and(state, lambda tx: (server.restart(number), tx.log.size()))
    assert "run the command again" in caught.value.fix
    with state.snapshot() as tx:
        assert (tx.count(SampleRecord), tx.pointer("q"), tx.log.size()) == (1, None, 1)
    assert step(state, 2) == 1


def test_a_server_that_goes_down_before_the_commit_is_told_at_the_commit(
    server: PostgresServer, state: SqlState
) -> None:
    with pytest.raises(StorageError):
        write_and(state, lambda tx: server.restart())
    with state.snapshot() as tx:
        assert tx.count(SampleRecord) == 0
    with state.transaction() as tx:
        tx.insert("a", SampleRecord("x"), at=NOW)


def test_all_connections_of_the_pool_recover(server: PostgresServer, state: SqlState) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: step(state, n, pointer=f"p{n}"), range(16)))
        server.restart()
        assert sorted(pool.map(lambda n: step(state, n, pointer=f"q{n}"), range(16))) == list(range(16, 32))


def test_a_server_that_is_down_is_said_and_work_goes_on_when_it_is_back(
    server: PostgresServer, state: SqlState
) -> None:
    step(state, 1)
    server.stop()
    try:
        for _ in range(2):
            with pytest.raises(StorageError, match="cannot be reached"):
                step(state, 2)
            with pytest.raises(StorageError, match="cannot be reached"), state.snapshot():
                pass
    finally:
        server.start()
    assert step(state, 2) == 1


def test_a_session_that_the_server_ends_is_said_and_gives_the_lock_back(
    server: PostgresServer, state: SqlState
) -> None:
    def end_the_session(tx: Transaction) -> None:
        session = tx._connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()  # type: ignore[attr-defined]
        server.run(f"SELECT pg_terminate_backend({session}, 10000)")
        tx.log.size()

    with pytest.raises(StorageError, match="ended the query") as caught:
        write_and(state, end_the_session)
    assert "nothing is half-written" in caught.value.fix
    assert step(state, 1) == 0


def read_across_a_restart(tx: Transaction, server: PostgresServer) -> None:
    assert tx.log.size() == 3
    server.restart()
    with pytest.raises(StorageError):
        list(decisions(tx))
    tx.pointer("p")


def test_a_reader_whose_server_restarts_is_told_and_reads_again(server: PostgresServer, state: SqlState) -> None:
    for number in range(3):
        step(state, number)
    with pytest.raises(StorageError, match="went away"), state.snapshot() as tx:
        read_across_a_restart(tx, server)
    with state.snapshot() as tx:
        assert len(list(decisions(tx))) == 3


def put_once(name: str, tx: Transaction) -> None:
    """Store a record, a pointer and an entry of the ledger, where an earlier try has not done so."""
    if tx.pointer(name) is not None:
        return
    digest = tx.insert(name, SampleRecord(name), at=NOW)
    tx.move(name, before=None, after=digest, at=NOW)
    moved = (PointerMove(name, None, digest),)
    record_decision(Decision(Action.RUN, name, True, PrincipalId("user:ana"), NOW, moves=moved), tx=tx)


def test_what_was_acknowledged_outlives_crashes_of_the_server_while_many_write(
    server: PostgresServer, state: SqlState
) -> None:
    """Each writer goes on after an error: what it was told is there, what failed is there once or not at all."""
    told: list[str] = []

    def write(writer: int) -> None:
        for number in range(40):
            name = f"{writer}/{number}"
            for _ in range(200):
                try:
                    with state.transaction() as tx:
                        put_once(name, tx)
                except (StorageError, ConflictError):
                    continue
                told.append(name)
                break

    with ThreadPoolExecutor(4) as pool:
        writing = [pool.submit(write, number) for number in range(4)]
        for _ in range(3):
            server.restart()
            waited = len(told) + 5
            while len(told) < waited and not all(each.done() for each in writing):
                pass
        for each in writing:
            each.result()
    with state.snapshot() as tx:
        assert sorted(told) == [pointer.name for pointer in tx.pointers()]
        assert {pointer.revision for pointer in tx.pointers()} == {1}
        assert tx.count(SampleRecord) == tx.log.size() == len(told) == 160
    assert audit(state, key=SigningKey.generate().public).problems == ()
