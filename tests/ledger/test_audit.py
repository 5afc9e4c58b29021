"""The audit finds what was changed behind the ledger's back, and names the entry."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from keelway.core import Action, ArtifactKind, Decision, PrincipalId, canonical_json, digest_bytes
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.local.checkpoints import FolderCheckpoints
from keelway.engines.sql import SqlState
from keelway.engines.sql.log import SqlLog
from keelway.errors import IntegrityError, MissingRecordError
from keelway.ledger import (
    AuditReport,
    SigningKey,
    audit,
    decisions,
    entry_of,
    publish_checkpoint,
    published,
    record_decision,
)
from keelway.testing.records import NOW
from keelway.testing.state import step

KEY = SigningKey("keelway.example/ledger", bytes(range(32)))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ledger")
    state = SqlState(f"sqlite:///{folder}/state.db")
    for number in range(12):
        step(state, number, pointer=f"p{number % 2}")
        if number in (4, 8):
            with state.snapshot() as tx:
                publish_checkpoint(tx.log, origin="o", key=KEY, targets=[FolderCheckpoints(folder / "checkpoints")])
    state.close()
    return folder


@pytest.fixture
def state(built: Path, tmp_path: Path):
    shutil.copytree(built, tmp_path, dirs_exist_ok=True)
    state = SqlState(f"sqlite:///{tmp_path}/state.db")
    yield state
    state.close()


def checked(state: SqlState, folder: Path) -> AuditReport:
    return audit(state, key=KEY.public, checkpoints=published([FolderCheckpoints(folder / "checkpoints")]))


def tamper(folder: Path, *statements: str) -> None:
    connection = sqlite3.connect(folder / "state.db")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_a_sound_ledger_is_ok(state: SqlState, tmp_path: Path) -> None:
    report = checked(state, tmp_path)
    assert report.ok
    assert (report.size, report.checkpoints, report.pointers, report.evidence) == (12, 2, 2, 12)
    assert (report.problems, report.first_bad) == ((), None)


def test_an_empty_ledger_is_ok(tmp_path: Path) -> None:
    assert audit(SqlState(f"sqlite:///{tmp_path}/empty.db"), key=KEY.public).ok


LEAF = "UPDATE log_leaves SET data = replace(data, 'user:ana', 'user:eve') WHERE \"index\" = 6"


@pytest.mark.parametrize(
    ("statement", "first_bad", "problem"),
    [
        (LEAF, 6, "hash it was stored with"),
        ('DELETE FROM log_leaves WHERE "index" = 11', 11, "what is left of it shows that it was there"),
        ('DELETE FROM log_leaves WHERE "index" >= 7', 7, "signed checkpoint speaks of 9"),
        ('DELETE FROM log_leaves WHERE "index" = 3', 3, "is missing"),
        ("UPDATE pointers SET target = 'sha256:0' WHERE name = 'p1'", 11, "put p1 at"),
        ("INSERT INTO pointers VALUES ('q', 'sha256:0', 1, 0)", None, "without any ledger entry"),
        ("DELETE FROM pointers WHERE name = 'p0'", 10, "no such pointer"),
        ("DELETE FROM records WHERE kind = 'Decision' AND key = '000000000002'", 2, "has no record"),
        ("UPDATE records SET body = replace(body, 'p04', 'p0x') WHERE key = 'p0/4'", 4, "altered"),
        ("DELETE FROM log_nodes WHERE level = 3", None, "lost a subtree"),
    ],
)
def test_a_change_is_found(
    state: SqlState, tmp_path: Path, statement: str, first_bad: int | None, problem: str
) -> None:
    tamper(tmp_path, statement)
    report = checked(state, tmp_path)
    assert not report.ok
    assert any(problem in line for line in report.problems), report.problems
    if first_bad is not None:
        assert report.first_bad == first_bad


def test_lost_evidence_is_found_where_artifacts_are_given(state: SqlState, tmp_path: Path) -> None:
    tamper(tmp_path, "DELETE FROM records WHERE kind = 'SampleRecord' AND key = 'p1/5'")
    assert audit(state, key=KEY.public).unchecked == 1
    report = audit(state, key=KEY.public, artifacts=LocalArtifacts(tmp_path / "a"))
    assert report.first_bad == 5


def test_a_checkpoint_that_was_altered_is_a_problem(state: SqlState, tmp_path: Path) -> None:
    path = max((tmp_path / "checkpoints").glob("*.note"))
    path.chmod(0o644)
    path.write_text(path.read_text().replace("o\n9\n", "o\n8\n"))
    report = checked(state, tmp_path)
    assert (report.checkpoints, report.first_bad) == (1, None)
    assert path.name in report.problems[0]


def test_evidence_may_be_an_artifact(state: SqlState, tmp_path: Path) -> None:
    artifacts = LocalArtifacts(tmp_path / "a")
    evidence = {"document": artifacts.put(b"{}", kind=ArtifactKind.REPORT).digest}
    with state.transaction() as tx:
        told = Decision(
            Action.PROMOTE, "churn:3", False, PrincipalId("sp:ci"), NOW, evidence=evidence, reasons=("auc is 0.7",)
        )
        record_decision(told, tx=tx)
    assert audit(state, key=KEY.public, artifacts=artifacts).evidence == 13
    (path,) = [path for path in (tmp_path / "a").rglob("*") if path.is_file()]
    path.unlink()
    assert audit(state, key=KEY.public, artifacts=artifacts).first_bad == 12


def test_decisions_are_read_in_order(state: SqlState) -> None:
    with state.snapshot() as tx:
        assert [index for index, _ in decisions(tx, start=9)] == [9, 10, 11]
        entry = entry_of(3, tx=tx)
        assert tx.by_digest(Decision, entry.decision).subject == "p1"
        with pytest.raises(MissingRecordError):
            tx.by_digest(Decision, digest_bytes(b""))


def test_hashes_of_a_long_log_are_searched_for_and_not_read_through(state: SqlState, tmp_path: Path) -> None:
    from sqlalchemy import create_engine, event

    asked: list[tuple[str, object]] = []
    engine = create_engine(f"sqlite:///{tmp_path}/state.db")

    @event.listens_for(engine, "before_cursor_execute")
    def _note(_connection: object, _cursor: object, statement: str, parameters: object, *_rest: object) -> None:
        asked.append((statement, parameters))

    with engine.connect() as connection:
        SqlLog(connection, writable=False).nodes([(0, 3), (0, 5), (1, 1), (3, 0)])
    (query,) = asked
    with closing(sqlite3.connect(tmp_path / "state.db")) as plain:
        plan = " ".join(str(row) for row in plain.execute(f"EXPLAIN QUERY PLAN {query[0]}", query[1]))
    assert "SEARCH" in plan
    assert "SCAN log_nodes" not in plan
    engine.dispose()


def test_many_records_are_read_at_once_and_an_altered_one_is_refused(state: SqlState, tmp_path: Path) -> None:
    keys = [f"{number:012d}" for number in range(0, 2000, 3)]
    with state.snapshot() as tx:
        texts = tx.texts(Decision, keys)
        assert sorted(texts) == keys[:4]
        assert texts[keys[0]] == canonical_json(tx.get(Decision, keys[0])).decode()
        wanted = [digest_bytes(text.encode()) for text in texts.values()]
        found = tx.texts_of([*wanted, digest_bytes(b"nothing")])
        assert found == {digest_bytes(text.encode()): ("Decision", text) for text in texts.values()}
        assert tx.texts(Decision, []) == tx.texts_of([]) == {}
    tamper(tmp_path, f"UPDATE records SET body = replace(body, 'ana', 'eve') WHERE key = '{keys[1]}'")
    with state.snapshot() as tx:
        for work in (lambda: tx.texts(Decision, keys), lambda: tx.texts_of(wanted)):
            with pytest.raises(IntegrityError):
                work()
