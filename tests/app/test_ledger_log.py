"""Decisions are chosen by what they are about, and handed on as CSV that no spreadsheet misreads."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.app.ledger_log import CSV_HEAD, LedgerLine, LogQuery, as_csv, check_environment, chosen
from keelway.core import Action, Decision, PointerMove, PrincipalId, digest_bytes
from keelway.engines.sql import SqlState
from keelway.errors import UsageError
from keelway.ledger import record_decision

START = datetime(2026, 3, 1, tzinfo=UTC)
ANA, CI = PrincipalId("user:ana"), PrincipalId("sp:ci")
TOLD = [
    Decision(Action.REGISTER, "churn:1", True, ANA, START),
    Decision(Action.PROMOTE, "churn:1", False, CI, START + timedelta(hours=1), reasons=("a", "b"), environment="prod"),
    Decision(Action.PROMOTE, "churn:1", True, CI, START + timedelta(hours=2), environment="prod", comment="=1+1"),
    Decision(Action.REGISTER, "churn:2", True, ANA, START + timedelta(hours=3)),
    Decision(Action.DEPLOY, "churn", True, CI, START + timedelta(hours=4), environment="prod"),
    Decision(Action.REGISTER, "churner:1", True, ANA, START + timedelta(hours=5)),
]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory):
    state = SqlState(f"sqlite:///{tmp_path_factory.mktemp('log')}/state.db")
    with state.transaction() as tx:
        for decision in TOLD:
            record_decision(decision, tx=tx)
    yield state
    state.close()


@pytest.mark.parametrize(
    ("query", "entries"),
    [
        (LogQuery(), [0, 1, 2, 3, 4, 5]),
        (LogQuery(limit=2), [4, 5]),
        (LogQuery(action="promote"), [1, 2]),
        (LogQuery(subject="churn:1"), [0, 1, 2]),
        (LogQuery(subject="churn"), [0, 1, 2, 3, 4]),
        (LogQuery(principal="sp:ci"), [1, 2, 4]),
        (LogQuery(environment="prod", limit=1), [4]),
        (LogQuery(refused=True), [1]),
        (LogQuery(since=START + timedelta(hours=3)), [3, 4, 5]),
        (LogQuery(until=START + timedelta(hours=2)), [0, 1]),
        (LogQuery(since=START + timedelta(hours=1), until=START + timedelta(hours=4), action="promote"), [1, 2]),
        (LogQuery(subject="nothing"), []),
    ],
    ids=str,
)
def test_a_query_takes_what_it_asks_for(state: SqlState, query: LogQuery, entries: list[int]) -> None:
    with state.snapshot() as tx:
        found = chosen(query, tx=tx)
    assert [line.index for line in found] == entries
    assert [line.decision for line in found] == [TOLD[entry] for entry in entries]


def test_an_action_that_there_is_not_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        LogQuery(action="promotion")
    assert "promote" in caught.value.expected


def read(lines: list[LedgerLine]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO("".join(f"{line}\r\n" for line in as_csv(lines)), newline="")))


def test_csv_holds_every_field(state: SqlState, tmp_path: Path) -> None:
    digest, other = digest_bytes(b"1"), digest_bytes(b"2")
    moves = (PointerMove("environment/prod/churn", None, digest), PointerMove("p", digest, other))
    told = Decision(Action.PROMOTE, "churn:1", True, CI, START, {"b": digest, "a": other}, policy=digest, moves=moves)
    with state.snapshot() as tx:
        rows = read([*chosen(LogQuery(), tx=tx), LedgerLine(6, told)])
    assert list(rows[0]) == list(CSV_HEAD)
    assert [row["entry"] for row in rows] == [str(number) for number in range(7)]
    assert (rows[1]["allowed"], rows[1]["reasons"], rows[2]["allowed"]) == ("no", "a; b", "yes")
    assert rows[2]["comment"] == "'=1+1"  # no spreadsheet takes it for a formula
    assert rows[6]["evidence"] == f"a={other}; b={digest}"
    assert rows[6]["moves"] == f"environment/prod/churn: - -> {digest}; p: {digest} -> {other}"
    assert (rows[6]["at"], rows[6]["policy"]) == ("2026-03-01T00:00:00Z", digest)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")))
def test_any_comment_comes_back_from_csv(comment: str) -> None:
    (row,) = read([LedgerLine(0, Decision(Action.RUN, "x", True, ANA, START, comment=comment))])
    assert row["comment"].removeprefix("'") == comment.removeprefix("'")


@pytest.mark.parametrize("name", ["prod", "staging"])
def test_an_environment_is_known_by_a_decision_or_by_the_settings(state: SqlState, name: str) -> None:
    with state.snapshot() as tx:
        check_environment(name, known=["staging"], tx=tx)


def test_an_environment_that_nobody_knows_is_told_with_those_that_there_are(state: SqlState) -> None:
    with state.snapshot() as tx, pytest.raises(UsageError, match="expected prod, staging, found pord"):
        check_environment("pord", known=["staging"], tx=tx)
