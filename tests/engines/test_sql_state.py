"""The state database on SQLite: conformance, damage, crashes and several processes."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from keelway.core import digest_bytes
from keelway.engines.sql import SqlState
from keelway.engines.sql.tables import HEAD, metadata
from keelway.errors import (
    IntegrityError,
    MissingExtraError,
    PointerMovedError,
    SettingsError,
    StorageError,
    UsageError,
)
from keelway.ledger import SigningKey, audit, decisions
from keelway.testing import StateConformance
from keelway.testing.records import NOW, SampleRecord
from keelway.testing.state import step

WRITER = """
import sys
from keelway.engines.sql import SqlState
from keelway.testing.state import step
state = SqlState(sys.argv[1])
for number in range(int(sys.argv[3])):
    print(step(state, number, pointer=sys.argv[2]), flush=True)
"""


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/folder/state.db"


def start_writer(url: str, pointer: str, count: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", WRITER, url, pointer, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def tamper(url: str, statement: str, *values: object) -> None:
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        connection.execute(statement, values)
    connection.close()


class TestSqliteState(StateConformance):
    @pytest.fixture
    def state(self, url: str):
        state = SqlState(url)
        yield state
        state.close()


def read_all(url: str) -> None:
    with SqlState(url).snapshot() as tx:
        tx.newest(SampleRecord)


def fill_up(state: SqlState) -> None:
    with state.transaction() as tx:
        for number in range(100):
            tx.insert(f"big/{number}", SampleRecord("x" * 5000), at=NOW)


def test_an_altered_record_is_refused_with_both_digests(url: str) -> None:
    state = SqlState(url)
    with state.transaction() as tx:
        digest = tx.insert("a", SampleRecord("true"), at=NOW)
    tamper(url, "UPDATE records SET body = replace(body, 'true', 'false')")
    with state.snapshot() as tx:
        for read in (
            lambda: tx.get(SampleRecord, "a"),
            lambda: tx.by_digest(SampleRecord, digest),
            lambda: tx.text_of(digest),
            lambda: tx.newest(SampleRecord),
        ):
            with pytest.raises(IntegrityError) as caught:
                read()
            assert caught.value.expected == digest
    state.close()


def test_a_known_database_opens_without_alembic(url: str) -> None:
    SqlState(url).close()
    code = (
        f"import sys; from keelway.engines.sql import SqlState; SqlState({url!r}); sys.exit('alembic' in sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_the_migrations_make_the_tables_that_the_code_expects(url: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from sqlalchemy import create_engine

    SqlState(url).close()
    with create_engine(url).connect() as connection:
        context = MigrationContext.configure(connection)
        assert context.get_current_revision() == HEAD
        assert compare_metadata(context, metadata) == []


def test_a_database_of_a_newer_keelway_is_left_alone(url: str) -> None:
    SqlState(url).close()
    tamper(url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StorageError, match="9999") as caught:
        SqlState(url)
    assert "newer" in caught.value.fix


@pytest.mark.parametrize("wrong", ["state.db", "sqlite://", "sqlite:///:memory:", "mysql://host/name"])
def test_a_wrong_url_is_said(wrong: str) -> None:
    with pytest.raises(SettingsError):
        SqlState(wrong)


def test_a_missing_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError) as caught:
        SqlState("postgresql://localhost/keelway")
    assert "keelway[postgres]" in caught.value.fix


def test_a_file_that_is_no_database_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"this is not a database" * 1000)
    with pytest.raises(IntegrityError):
        SqlState(f"sqlite:///{path}")


def test_a_broken_page_is_damage(url: str) -> None:
    state = SqlState(url)
    for number in range(200):
        step(state, number)
    state.close()
    path = Path(url.removeprefix("sqlite:///"))
    data = bytearray(path.read_bytes())
    for page in range(1, len(data) // 4096):
        data[page * 4096 : page * 4096 + 64] = b"\xee" * 64
    path.write_bytes(bytes(data))
    with pytest.raises(IntegrityError):
        read_all(url)


def test_a_locked_database_is_said_after_the_timeout(url: str) -> None:
    state, other = SqlState(url), SqlState(url, busy_timeout_ms=50)
    with state.transaction(), pytest.raises(StorageError, match="locked"), other.transaction():
        pass
    state.close()
    other.close()


def test_a_full_disk_is_said_and_nothing_is_half_written(url: str) -> None:
    state = SqlState(url)
    step(state, 1)
    with state.transaction() as tx:
        pages = tx._connection.exec_driver_sql("PRAGMA page_count").scalar()
        tx._connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageError, match="full") as caught:
        fill_up(state)
    assert "space" in caught.value.fix
    with state.snapshot() as tx:
        assert tx.count(SampleRecord) == tx.log.size() == 1
    state.close()


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError):
        SqlState(f"sqlite:///{tmp_path}/file/state.db")


def test_a_decision_about_a_pointer_that_did_not_move_is_refused(url: str) -> None:
    from keelway.core import Action, Decision, PointerMove, PrincipalId
    from keelway.ledger import record_decision

    state = SqlState(url)
    move = PointerMove("p", None, digest_bytes(b"x"))
    told = Decision(Action.DEPLOY, "churn:1", True, PrincipalId("user:ana"), NOW, moves=(move,))
    with pytest.raises(UsageError), state.transaction() as tx:
        record_decision(told, tx=tx)
    state.close()


def test_processes_append_without_gaps(url: str) -> None:
    writers = [start_writer(url, f"p{number}", 40) for number in range(2)]
    answers = [writer.communicate(timeout=60)[0] for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0]
    assert sorted(int(line) for answer in answers for line in answer.split()) == list(range(80))
    assert audit(SqlState(url), key=SigningKey.generate().public).ok


def test_a_killed_writer_loses_nothing_that_it_acknowledged(url: str) -> None:
    SqlState(url).close()
    acknowledged = 0
    dice = random.Random(20260301)
    for life in range(6):
        writer = start_writer(url, f"life{life}", 100_000)
        assert writer.stdout is not None
        first = writer.stdout.readline()
        time.sleep(dice.uniform(0, 0.1))
        os.kill(writer.pid, signal.SIGKILL)
        rest, _ = writer.communicate()
        lines = [line for line in (first + rest).split(b"\n")[:-1] if line]
        acknowledged = max(acknowledged, int(lines[-1]) + 1)
        state = SqlState(url)
        with state.snapshot() as tx:
            size = tx.log.size()
            # One more may have been committed and not yet said.
            assert acknowledged <= size <= acknowledged + 1
            assert tx.count(SampleRecord) == size == len(list(decisions(tx)))
        assert audit(state, key=SigningKey.generate().public).problems == ()
        state.close()
        acknowledged = size


def test_a_moved_pointer_names_both_values(url: str) -> None:
    state = SqlState(url)
    with pytest.raises(PointerMovedError) as caught, state.transaction() as tx:
        tx.move("p", before=digest_bytes(b"a"), after=digest_bytes(b"b"), at=NOW)
    assert caught.value.expected == digest_bytes(b"a")
    assert caught.value.found == "a free name"
    state.close()
