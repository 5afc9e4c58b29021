"""A refusal for want of a role is an entry of the ledger, and is refused all the same."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from keelway.core import Action, Decision, PrincipalId
from keelway.engines.sql import SqlState
from keelway.errors import IdentityError, StorageError
from keelway.identity import Principal, on_record, require_role, require_service
from keelway.ledger import decisions

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ANA = Principal(PrincipalId("user:ana"), ("data-scientist",))
TOLD = "user:ana may not do this: expected role risk-owner, found data-scientist"


@pytest.fixture
def state(tmp_path: Path):
    state = SqlState(f"sqlite:///{tmp_path}/state.db")
    yield state
    state.close()


def entries(state: SqlState) -> list[Decision]:
    with state.snapshot() as tx:
        return [decision for _, decision in decisions(tx)]


def test_a_missing_role_is_told_and_recorded(state: SqlState) -> None:
    with (
        pytest.raises(IdentityError, match="may not do this"),
        on_record(Action.ASSESS, "churn", principal=ANA, state=state, now=NOW, environment="prod"),
    ):
        require_role(ANA, "risk-owner")
    assert entries(state) == [Decision(Action.ASSESS, "churn", False, ANA.id, NOW, reasons=(TOLD,), environment="prod")]


def test_a_person_where_a_service_belongs_is_recorded(state: SqlState) -> None:
    with pytest.raises(IdentityError), on_record(Action.DEPLOY, "churn:1", principal=ANA, state=state, now=NOW):
        require_service(ANA, what="move prod")
    [entry] = entries(state)
    assert "a service principal" in entry.reasons[0]


def test_whoever_has_the_role_leaves_no_entry(state: SqlState) -> None:
    with on_record(Action.ASSESS, "churn", principal=ANA, state=state, now=NOW):
        require_role(ANA, "data-scientist")
    assert entries(state) == []


def test_what_was_begun_inside_is_undone_and_the_entry_stays(state: SqlState) -> None:
    def half_done() -> None:
        with (
            on_record(Action.INCIDENT, "incident 1", principal=ANA, state=state, now=NOW),
            state.transaction() as tx,
        ):
            tx.insert("half", Decision(Action.CHECK, "half", True, ANA.id, NOW), at=NOW)
            require_role(ANA, "risk-owner")

    with pytest.raises(IdentityError):
        half_done()
    with state.snapshot() as tx:
        assert tx.find(Decision, "half") is None
    assert [entry.subject for entry in entries(state)] == ["incident 1"]


def test_another_error_is_none_of_its_business(state: SqlState) -> None:
    with pytest.raises(ValueError), on_record(Action.ASSESS, "churn", principal=ANA, state=state, now=NOW):
        raise ValueError
    assert entries(state) == []


class Down:
    """A state that nobody can write."""

    def transaction(self) -> None:
        raise StorageError("The state is down")


def test_a_state_that_is_down_hides_no_refusal() -> None:
    state: SqlState = Down()  # type: ignore[assignment]
    with pytest.raises(IdentityError), on_record(Action.DEPLOY, "churn", principal=ANA, state=state, now=NOW):
        require_role(ANA, "deployer")
