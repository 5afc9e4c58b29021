"""Every migration goes up and down on both databases, with rows in the tables; replicas may start at once."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import Connection, inspect, text

from keelway.core import RunQuery
from keelway.engines.sql import SqlState, migrate
from keelway.engines.sql.connect import BUSY_TIMEOUT_MS, connected, engine_of
from keelway.engines.sql.schema import VERSIONS, alembic_config, bring_to, version_of
from keelway.engines.sql.tables import HEAD, metadata
from keelway.errors import StorageError, UsageError
from keelway.ledger import SigningKey, audit
from keelway.testing.records import SampleRecord
from keelway.testing.run_index import NOW, tracked
from keelway.testing.state import step

KEPT = {
    "records": "SELECT seq, kind, key, parent, at, digest, body FROM records ORDER BY seq",
    "pointers": "SELECT name, target, revision, moved_at FROM pointers ORDER BY name",
    "leaves": 'SELECT "index", data, digest FROM log_leaves ORDER BY "index"',
    "nodes": 'SELECT level, "index", hash FROM log_nodes ORDER BY level, "index"',
}
"""What every version of the tables holds."""


def filled(url: str) -> SqlState:
    """Return a store with records, pointers, a log and runs."""
    state = SqlState(url)
    for number in range(5):
        step(state, number, pointer=f"p{number % 2}")
    with state.transaction() as tx:
        for number in range(4):
            tx.insert(f"r{number}", tracked(number, name="Ünder \0"), at=NOW)
    return state


@pytest.fixture
def connection(empty_url: str) -> Iterator[Connection]:
    """Return an open write transaction on a database without tables."""
    engine = engine_of(empty_url, password="", busy_timeout_ms=BUSY_TIMEOUT_MS)
    with connected(engine, "write") as opened:
        yield opened
    engine.dispose()


def kept(url: str) -> dict[str, list[Any]]:
    engine = engine_of(url, password="", busy_timeout_ms=BUSY_TIMEOUT_MS)
    with connected(engine, "read") as connection:
        found = {name: [tuple(row) for row in connection.execute(text(query))] for name, query in KEPT.items()}
    engine.dispose()
    return found


def shape(connection: Connection) -> dict[str, Any]:
    """Return tables with columns, keys and indexes, as the database tells of them."""
    told = inspect(connection)
    return {
        table: (
            [
                (each["name"], repr(each["type"]), getattr(each["type"], "collation", None), each["nullable"])
                for each in told.get_columns(table)
            ],
            sorted((str(each["name"]), each["column_names"]) for each in told.get_indexes(table)),
            told.get_pk_constraint(table)["constrained_columns"],
            told.get_unique_constraints(table),
        )
        for table in sorted(told.get_table_names())
        if table != "alembic_version"
    }


def test_each_step_down_gives_the_tables_that_the_step_up_found(connection: Connection) -> None:
    from alembic import command

    seen = {}
    for version in VERSIONS:
        bring_to(connection, version)
        assert version_of(connection) == version
        seen[version] = shape(connection)
    assert [version for version in VERSIONS[1:] if seen[version] == seen[VERSIONS[0]]] == []
    for version in reversed(VERSIONS[:-1]):
        bring_to(connection, version)
        assert shape(connection) == seen[version]
    command.downgrade(alembic_config(connection), "base")
    assert shape(connection) == {}


def test_what_every_version_holds_survives_each_step(empty_url: str) -> None:
    with closing(filled(empty_url)) as state, state.snapshot() as tx:
        runs = tx.runs.search(RunQuery())
    before = kept(empty_url)
    for version in (*reversed(VERSIONS), *VERSIONS[1:]):
        migrate(empty_url, version)
        assert kept(empty_url) == before
    with closing(SqlState(empty_url)) as state:
        assert audit(state, key=SigningKey.generate().public).ok
        with state.snapshot() as tx:
            assert tx.runs.search(RunQuery()) == runs
        assert step(state, 5, pointer="p1") == 5
        with state.transaction() as tx:
            tx.insert("r9", tracked(9), at=NOW)
            assert tx.runs.count() == 5


def test_going_back_says_where_it_came_from_and_what_there_is(empty_url: str) -> None:
    assert migrate(empty_url) == (None, HEAD)
    assert migrate(empty_url, "0001") == (HEAD, "0001")
    assert migrate(empty_url, "0001") == ("0001", "0001")
    with pytest.raises(UsageError, match="0001, 0002, 0003"):
        migrate(empty_url, "0009")
    SqlState(empty_url).close()
    assert migrate(empty_url) == (HEAD, HEAD)


def test_the_migrations_make_the_tables_that_the_code_expects(connection: Connection) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    bring_to(connection, HEAD)
    made = shape(connection)
    assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    collations = {
        f"{table}.{name}": collation for table, (columns, *_) in made.items() for name, kind, collation, _ in columns
        if kind.startswith(("VARCHAR", "TEXT")) and (table, name) != ("records", "body")
    }  # fmt: skip
    assert set(collations.values()) == ({"C"} if connection.dialect.name == "postgresql" else {None})


def test_a_key_that_older_tables_cannot_hold_stops_the_way_back(postgres_server: Any) -> None:
    url = postgres_server.database()
    with closing(SqlState(url)) as state, state.transaction() as tx:
        tx.insert("k" * 401, SampleRecord("x"), at=NOW)
    before = kept(url)
    with pytest.raises(StorageError, match="does not fit"):
        migrate(url, "0001")
    assert migrate(url) == (HEAD, HEAD)
    assert kept(url) == before


def test_a_database_of_a_newer_keelway_is_left_alone(empty_url: str, connection: Connection) -> None:
    bring_to(connection, HEAD)
    connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    connection.commit()
    with pytest.raises(StorageError, match="9999") as caught:
        SqlState(empty_url)
    assert "newer" in caught.value.fix


def start(url: str, gate: Any, told: Any) -> None:
    gate.wait()
    try:
        state = SqlState(url)
        told.put(step(state, 1, pointer=f"p{multiprocessing.current_process().pid}"))
        state.close()
    except BaseException as error:
        told.put(repr(error))


@pytest.mark.parametrize("version", [None, "0001"], ids=["no tables yet", "old tables"])
def test_replicas_that_start_at_once_migrate_once(empty_url: str, version: str | None) -> None:
    if version:
        filled(empty_url).close()
        migrate(empty_url, version)
    base = 5 if version else 0
    context = multiprocessing.get_context("fork")
    gate, told = context.Barrier(4), context.Queue()
    replicas = [context.Process(target=start, args=(empty_url, gate, told)) for _ in range(4)]
    for replica in replicas:
        replica.start()
    answers = [told.get(timeout=60) for _ in replicas]
    for replica in replicas:
        replica.join()
    assert sorted(answers) == list(range(base, base + 4))
    assert migrate(empty_url) == (HEAD, HEAD)
    with closing(SqlState(empty_url)) as state, state.snapshot() as tx:
        assert tx.runs.count() == (4 if version else 0)
