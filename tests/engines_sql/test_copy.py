"""A state moves from a file to a server and back, and out of a backup, whole; and work goes on there."""

from __future__ import annotations

import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from keelway.engines.sql import SqlState, copy_state, migrate
from keelway.errors import ConflictError, StorageError
from keelway.ledger import SigningKey, audit, decisions
from keelway.testing.postgres import PostgresServer
from keelway.testing.records import SampleRecord
from keelway.testing.run_index import NOW, tracked
from keelway.testing.state import step

STEPS = 25


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a copy go in many parts, as that of a large state does."""
    monkeypatch.setattr("keelway.engines.sql.copy.CHUNK", 7)


@pytest.fixture
def source(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'state.db'}"
    with closing(SqlState(url)) as state:
        for number in range(STEPS):
            step(state, number, pointer=f"p{number % 3}")
        with state.transaction() as tx:
            tx.insert("r1", tracked(1), at=NOW)
            tx.runs.mirrored(tracked(1).run_id, "shown")
    return url


def told(url: str) -> tuple[object, ...]:
    with closing(SqlState(url)) as state:
        report = audit(state, key=SigningKey.generate().public)
        with state.snapshot() as tx:
            return (
                report.root,
                report.problems,
                tx.pointers(),
                tx.newest(SampleRecord),
                tx.runs.named(tracked(1).run_id),
            )


def test_a_state_goes_to_a_server_and_back(source: str, postgres_server: PostgresServer, tmp_path: Path) -> None:
    before = told(source)
    back = f"sqlite:///{tmp_path / 'back.db'}"
    with postgres_server.lent() as url:
        assert copy_state(source, url)["log_leaves"] == STEPS
        assert told(url) == before
        assert before[1] == ()
        copy_state(url, back)
        with closing(SqlState(url)) as state:
            assert step(state, STEPS, pointer="p0") == STEPS
            with state.snapshot() as tx:
                assert len(list(decisions(tx))) == STEPS + 1
    assert told(back) == before


def test_a_dump_taken_while_somebody_writes_restores_one_state(
    source: str, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    dump = tmp_path / "state.dump"
    with postgres_server.lent() as url:
        copy_state(source, url)
        with closing(SqlState(url)) as state, state.transaction() as tx:
            tx.insert("not committed yet", SampleRecord("x"), at=NOW)
            subprocess.run([postgres_server.programs / "pg_dump", "-Fc", "-f", dump, url], check=True)
        restored = postgres_server.database(migrated=False)
        subprocess.run([postgres_server.programs / "pg_restore", "--exit-on-error", "-d", restored, dump], check=True)
        assert told(restored) == told(source)
        with closing(SqlState(restored)) as state:
            assert step(state, STEPS, pointer="p0") == STEPS


def test_a_backup_of_the_file_taken_while_somebody_writes_is_one_state(source: str, tmp_path: Path) -> None:
    copy = tmp_path / "backup.db"
    with closing(SqlState(source)) as state, state.transaction() as tx:
        tx.insert("not committed yet", SampleRecord("x"), at=NOW)
        with closing(sqlite3.connect(source.removeprefix("sqlite:///"))) as connection:
            connection.execute("VACUUM INTO ?", (str(copy),))
    restored = told(f"sqlite:///{copy}")
    with closing(SqlState(f"sqlite:///{copy}")) as state:
        assert step(state, STEPS, pointer="p0") == STEPS
    assert restored[1] == ()
    assert len(restored[3]) == STEPS


def test_a_database_with_a_state_is_not_written_over(source: str, tmp_path: Path) -> None:
    other = f"sqlite:///{tmp_path / 'other.db'}"
    with closing(SqlState(other)) as state:
        step(state, 1)
    before = told(other)
    with pytest.raises(ConflictError, match="already holds"):
        copy_state(source, other)
    assert told(other) == before


def test_a_source_without_the_newest_tables_is_told(source: str, tmp_path: Path) -> None:
    migrate(source, "0002")
    with pytest.raises(StorageError, match="version 0002"):
        copy_state(source, f"sqlite:///{tmp_path / 'target.db'}")
    with pytest.raises(StorageError, match="no state"):
        copy_state(f"sqlite:///{tmp_path / 'nothing.db'}", f"sqlite:///{tmp_path / 'target.db'}")
