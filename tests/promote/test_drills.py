"""Drills: who tried out which plan, when, and whether it worked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from keelway.core import Action, PrincipalId, digest_of
from keelway.engines.sql import SqlState
from keelway.errors import IdentityError, UsageError
from keelway.identity import Principal
from keelway.ledger import decisions
from keelway.promote import DRILL_KINDS, Drill, DrillReport, drills, drills_evidence, record_drill

NOW = datetime(2026, 5, 10, tzinfo=UTC)
CI = Principal(PrincipalId("sp:ci"), ("deployer",))
ANA = Principal(PrincipalId("user:ana"), ("data-scientist",))


@pytest.fixture
def state(tmp_path: Path) -> Iterator[SqlState]:
    made = SqlState(f"sqlite:///{tmp_path / 'state.db'}")
    yield made
    made.close()


def held(state: SqlState, *, days: int = 0, who: Principal = CI, **facts: Any) -> Drill:
    usual: dict[str, Any] = {"kind": "rollback", "passed": True}
    report = DrillReport(**usual | facts, held_at=NOW - timedelta(days=days))
    return record_drill("churn", "prod", report, principal=who, state=state, now=NOW)


def test_a_drill_is_recorded_with_its_decision(state: SqlState) -> None:
    made = held(state, seconds=42.5, participants=("user:omar",))
    with state.snapshot() as tx:
        [(_, told)] = decisions(tx)
        assert drills("churn", "prod", tx=tx) == [made]
        assert drills("churn", "staging", tx=tx) == []
    assert (told.action, told.subject, told.environment, told.allowed) == (Action.DRILL, "churn", "prod", True)
    assert told.evidence == {"drill": digest_of(made)}


def test_a_drill_that_failed_is_a_refusal_with_its_finding(state: SqlState) -> None:
    held(state, passed=False, findings="nobody answered the phone", kind="call")
    with state.snapshot() as tx:
        [(_, told)] = decisions(tx)
    assert (told.allowed, told.reasons) == (False, ("nobody answered the phone",))


def test_the_same_drill_is_recorded_once(state: SqlState) -> None:
    first = held(state)
    assert held(state) == first
    assert held(state, days=1).number == 2
    assert held(state, kind="restore").number == 3


@pytest.mark.parametrize(
    "wrong",
    [{"days": -1}, {"passed": False}, {"seconds": -1.0}, {"seconds": float("nan")}, {"seconds": float("inf")}],
    ids=str,
)
def test_a_drill_that_cannot_have_been_is_refused(state: SqlState, wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        held(state, **wrong)


def test_who_only_trains_records_no_drill(state: SqlState) -> None:
    with pytest.raises(IdentityError):
        held(state, who=ANA)


def test_policies_read_the_newest_drill_of_each_kind(state: SqlState) -> None:
    held(state, days=3)
    newest = held(state, days=2, passed=False, findings="too slow")
    held(state, days=100, kind="by_hand")
    with state.snapshot() as tx:
        found = drills_evidence("churn", "prod", tx=tx, now=NOW)
        elsewhere = drills_evidence("churn", "staging", tx=tx, now=NOW)
    assert set(found) == set(DRILL_KINDS)
    assert (found["restore"], found["call"]) == (None, None)
    assert (found["rollback"]["passed"], found["rollback"]["age_days"]) == (False, 2)
    assert (found["rollback"]["drill"], found["by_hand"]["age_days"]) == (digest_of(newest), 100)
    assert set(elsewhere.values()) == {None}
