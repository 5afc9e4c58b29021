"""The audit finds what was changed behind the ledger's back, and names the entry."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from keelway.core import Action, ArtifactKind, Decision, PrincipalId, digest_bytes
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.sql import SqlState
from keelway.errors import MissingRecordError
from keelway.ledger import SigningKey, audit, decisions, entry_of, publish_checkpoint, record_decision
from keelway.testing.state import NOW, step

KEY = SigningKey("keelway.example/ledger", bytes(range(32)))


@pytest.fixture
def state(tmp_path: Path):
    state = SqlState(f"sqlite:///{tmp_path}/state.db")
    for number in range(12):
        step(state, number, pointer=f"p{number % 2}")
        if number in (4, 8):
            with state.snapshot() as tx:
                publish_checkpoint(tx.log, origin="o", key=KEY, folder=tmp_path / "checkpoints")
    yield state
    state.close()


def tamper(folder: Path, *statements: str) -> None:
    connection = sqlite3.connect(folder / "state.db")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_a_sound_ledger_is_ok(state: SqlState, tmp_path: Path) -> None:
    report = audit(state, key=KEY.public, checkpoints=tmp_path / "checkpoints")
    assert report.ok
    assert (report.size, report.checkpoints, report.pointers, report.evidence) == (12, 3, 2, 12)
    assert (report.problems, report.first_bad) == ((), None)


def test_an_empty_ledger_is_ok(tmp_path: Path) -> None:
    assert audit(SqlState(f"sqlite:///{tmp_path}/empty.db"), key=KEY.public).ok


LEAF = "UPDATE log_leaves SET data = replace(data, 'user:ana', 'user:eve') WHERE \"index\" = 6"


@pytest.mark.parametrize(
    ("statement", "first_bad", "problem"),
    [
        (LEAF, 6, "hash it was stored with"),
        ('DELETE FROM log_leaves WHERE "index" = 11', None, "12 decision records for 11"),
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
    report = audit(state, key=KEY.public, checkpoints=tmp_path / "checkpoints")
    assert not report.ok
    assert any(problem in line for line in report.problems), report.problems
    if first_bad is not None:
        assert report.first_bad == first_bad


def test_lost_evidence_is_found_where_artifacts_are_given(state: SqlState, tmp_path: Path) -> None:
    tamper(tmp_path, "DELETE FROM records WHERE kind = 'SampleRecord' AND key = 'p1/5'")
    assert audit(state, key=KEY.public).unchecked == 1
    report = audit(state, key=KEY.public, artifacts=LocalArtifacts(tmp_path / "a"))
    assert report.first_bad == 5


def test_a_ledger_that_was_rewritten_as_a_whole_disagrees_with_its_checkpoints(state: SqlState, tmp_path: Path) -> None:
    forged = SqlState(f"sqlite:///{tmp_path}/forged.db")
    for number in range(12):
        step(forged, number + (number == 6), pointer=f"p{number % 2}")
    assert audit(forged, key=KEY.public).ok
    report = audit(forged, key=KEY.public, checkpoints=tmp_path / "checkpoints")
    assert report.first_bad == 5  # entries 0 to 4 agree with the first checkpoint
    assert "up to 8" in report.problems[0]
    forged.close()


def test_a_forged_checkpoint_is_a_problem(state: SqlState, tmp_path: Path) -> None:
    path = tmp_path / "checkpoints" / "latest"
    path.write_text(path.read_text().replace("o\n9\n", "o\n8\n"))
    assert not audit(state, key=KEY.public, checkpoints=tmp_path / "checkpoints").ok


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
