"""Incidents: a story that is only added to, linked to decisions, with the law's deadlines counted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.core import Action, Decision, PrincipalId, digest_bytes, digest_of
from keelway.engines.sql import SqlState
from keelway.errors import IdentityError, MissingRecordError, RefusedError, UsageError
from keelway.identity import Principal
from keelway.ledger import decisions, record_decision
from keelway.promote import (
    DUTIES,
    SEVERITIES,
    Incident,
    IncidentNews,
    IncidentReport,
    IncidentUpdate,
    duties_of,
    incident_view,
    incident_views,
    incidents_evidence,
    open_incident,
    update_incident,
    view_of,
)

NOW = datetime(2026, 5, 10, 12, tzinfo=UTC)
AWARE = NOW - timedelta(hours=1)
OLGA = Principal(PrincipalId("user:olga"), ("risk-owner",))
ANA = Principal(PrincipalId("user:ana"), ("data-scientist",))
CAUSE = {"root_cause": "a column changed its unit", "corrective_action": "the contract checks the range"}


@pytest.fixture
def state(tmp_path: Path) -> Iterator[SqlState]:
    made = SqlState(f"sqlite:///{tmp_path / 'state.db'}")
    yield made
    made.close()


def report(**facts: Any) -> IncidentReport:
    usual: dict[str, Any] = {"title": "Wrong scores", "severity": "major", "model": "churn", "environment": "prod"}
    return IncidentReport(**usual | {"aware_at": AWARE} | facts)


def opened(state: SqlState, **facts: Any) -> Incident:
    return open_incident(report(**facts), principal=ANA, state=state, now=NOW)


def tell(
    state: SqlState, number: int = 1, *, who: Principal = OLGA, closes: bool = False, hours: int = 1, **news: Any
) -> Any:
    moment = NOW + timedelta(hours=hours)
    said = IncidentNews(**{"note": ""} | news)
    return update_incident(number, said, principal=who, state=state, now=moment, closes=closes)


def test_an_incident_names_the_decisions_it_bears_on(state: SqlState) -> None:
    with state.transaction() as tx:
        earlier = Decision(Action.PROMOTE, "churn:1", True, ANA.id, NOW)
        record_decision(earlier, tx=tx)
    made = opened(state, decisions=(0,), predictions={"p1": digest_bytes(b"segment")})
    assert made.decisions == {"0": digest_of(earlier)}
    with state.snapshot() as tx:
        told = list(decisions(tx))[1][1]
    assert told.evidence == {
        "incident": digest_of(made),
        "decision_0": digest_of(earlier),
        "segment_1": digest_bytes(b"segment"),
    }
    assert (told.action, told.subject, told.environment) == (Action.INCIDENT, "incident 1", "prod")


def test_an_entry_that_does_not_exist_is_refused(state: SqlState) -> None:
    with pytest.raises(MissingRecordError):
        opened(state, decisions=(7,))
    with state.snapshot() as tx:
        assert tx.log.size() == 0


@pytest.mark.parametrize("wrong", [{"title": " "}, {"aware_at": NOW + timedelta(seconds=1)}])
def test_a_report_makes_sense(state: SqlState, wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        opened(state, **wrong)


def test_reporting_the_same_twice_opens_one(state: SqlState) -> None:
    first = opened(state)
    assert opened(state, severity="minor") == first
    assert opened(state, environment="staging").number == 2
    tell(state, **CAUSE)
    tell(state, closes=True)
    assert opened(state).number == 3


@pytest.mark.parametrize(
    ("facts", "due"),
    [
        ({}, []),
        ({"personal_data": True}, [("gdpr-33", timedelta(hours=72))]),
        ({"high_risk_to_persons": True}, [("gdpr-33", timedelta(hours=72)), ("gdpr-34", None)]),
        ({"serious": "serious"}, [("eu-ai-act-73", timedelta(days=15))]),
        ({"serious": "infrastructure"}, [("eu-ai-act-73", timedelta(days=2))]),
        ({"serious": "death"}, [("eu-ai-act-73", timedelta(days=10))]),
        ({"health_data": True}, [("hipaa-breach", timedelta(days=60))]),
        ({"serious": "serious", "personal_data": True, "health_data": True},
         [("gdpr-33", timedelta(hours=72)), ("eu-ai-act-73", timedelta(days=15)), ("hipaa-breach", timedelta(days=60))]),
    ],
    ids=str,
)  # fmt: skip
def test_deadlines_run_from_when_somebody_became_aware(
    state: SqlState, facts: dict[str, Any], due: list[tuple[str, timedelta | None]]
) -> None:
    found = duties_of(opened(state, **facts))
    assert [(one.duty, one.due_at and one.due_at - AWARE) for one in found] == due
    assert all(one.reference for one in found)


def test_a_duty_is_late_from_the_moment_after_its_time(state: SqlState) -> None:
    opened(state, personal_data=True)
    due = AWARE + timedelta(hours=72)
    with state.snapshot() as tx:
        late = [incident_view(1, tx=tx, now=due + step).duties[0].late for step in (timedelta(0), timedelta(seconds=1))]
    assert late == [False, True]


def test_what_was_told_in_time_is_in_time_however_late_it_is_recorded(state: SqlState) -> None:
    opened(state, personal_data=True, serious="death")
    in_time = {"gdpr-33": AWARE + timedelta(hours=72)}
    view = tell(state, hours=1000, notified=in_time)
    states = {one.duty.duty: one for one in view.duties}
    assert (states["gdpr-33"].late, states["gdpr-33"].open) == (False, False)
    assert (states["eu-ai-act-73"].late, states["eu-ai-act-73"].open) == (True, True)


def test_a_waived_duty_is_neither_open_nor_late(state: SqlState) -> None:
    opened(state, personal_data=True)
    view = tell(state, hours=1000, waived={"gdpr-33": "the data was encrypted"})
    assert [(one.open, one.late, one.waived) for one in view.duties] == [(False, False, "the data was encrypted")]


def test_it_is_closed_when_everything_is_told(state: SqlState) -> None:
    opened(state, personal_data=True)
    with pytest.raises(RefusedError) as caught:
        tell(state, closes=True)
    assert len(caught.value.reasons) == 3
    tell(state, who=ANA, severity="critical", notified={"gdpr-33": NOW}, **CAUSE)
    view = tell(state, closes=True, hours=2)
    assert (view.closed_at, view.severity, view.missing) == (NOW + timedelta(hours=2), "critical", ())
    assert tell(state, closes=True, hours=9) == view
    with state.snapshot() as tx:
        told = [decision for _, decision in decisions(tx)]
    assert [one.allowed for one in told] == [True, False, True, True]
    assert "the root cause is missing" in told[1].reasons


def test_who_has_no_part_in_risk_cannot_close(state: SqlState) -> None:
    opened(state)
    tell(state, who=ANA, **CAUSE)
    with pytest.raises(IdentityError):
        tell(state, who=ANA, closes=True)
    with state.snapshot() as tx:
        assert incident_view(1, tx=tx, now=NOW).closed_at is None


@pytest.mark.parametrize(
    "news",
    [
        {},
        {"notified": {"gdpr-33": NOW}},
        {"waived": {"hipaa-breach": "no"}},
    ],
    ids=str,
)
def test_an_update_that_says_nothing_or_answers_no_duty_is_refused(state: SqlState, news: dict[str, Any]) -> None:
    opened(state)
    with pytest.raises(UsageError):
        tell(state, **news)


@pytest.mark.parametrize(
    "news", [{"notified": {"gdpr-33": NOW + timedelta(days=9)}}, {"waived": {"gdpr-33": " "}}], ids=str
)
def test_a_duty_is_not_answered_in_the_future_nor_waived_without_a_reason(
    state: SqlState, news: dict[str, Any]
) -> None:
    opened(state, personal_data=True)
    with pytest.raises(UsageError):
        tell(state, **news)


def test_a_closed_incident_stays_as_it_is(state: SqlState) -> None:
    opened(state)
    tell(state, **CAUSE)
    tell(state, closes=True)
    with pytest.raises(UsageError, match="closed"):
        tell(state, note="one more thing")
    with pytest.raises(MissingRecordError):
        tell(state, number=2, note="what?")


def test_policies_read_how_many_are_open_and_the_worst(state: SqlState) -> None:
    opened(state, severity="minor", personal_data=True)
    opened(state, title="Down", severity="critical", environment="staging")
    opened(state, title="Other", severity="critical", model="fraud")
    with state.snapshot() as tx:
        now, later, none = (
            incidents_evidence(model, tx=tx, now=moment)
            for model, moment in (("churn", NOW), ("churn", NOW + timedelta(days=30)), ("basket", NOW))
        )
        assert [one.incident.number for one in incident_views(tx=tx, now=NOW)] == [3, 2, 1]
    assert now == {"open": 2, "worst": "critical", "numbers": [1, 2], "late_notifications": 0}
    assert later["late_notifications"] == 1
    assert none == {"open": 0, "worst": None, "numbers": [], "late_notifications": 0}
    tell(state, number=2, **CAUSE)
    tell(state, number=2, closes=True)
    with state.snapshot() as tx:
        assert incidents_evidence("churn", tx=tx, now=NOW)["worst"] == "minor"


stories = st.lists(
    st.builds(
        IncidentUpdate,
        incident=st.just(digest_bytes(b"")),
        number=st.just(0),
        note=st.just(""),
        at=st.integers(0, 500).map(lambda hours: NOW + timedelta(hours=hours)),
        by=st.just(ANA.id),
        severity=st.sampled_from([None, *SEVERITIES]),
        root_cause=st.sampled_from(["", "a", "b"]),
        notified=st.dictionaries(st.sampled_from(DUTIES), st.just(NOW), max_size=2),
        closes=st.booleans(),
    ),
    max_size=5,
)


@given(stories, st.integers(0, 1000))
def test_a_view_is_what_the_last_word_on_each_thing_says(updates: list[IncidentUpdate], hours: int) -> None:
    incident = Incident(
        1, "x", "minor", "churn", "prod", {}, {}, AWARE, NOW, ANA.id, serious="serious", personal_data=True
    )  # fmt: skip
    view = view_of(incident, updates, now=NOW + timedelta(hours=hours))
    assert view.severity == ([one.severity for one in updates if one.severity] or ["minor"])[-1]
    assert view.root_cause == ([one.root_cause for one in updates if one.root_cause] or [""])[-1]
    assert (view.closed_at is None) == (not any(one.closes for one in updates))
    done = {duty for one in updates for duty in one.notified}
    assert {state.duty.duty for state in view.duties if state.open} == {"gdpr-33", "eu-ai-act-73"} - done
