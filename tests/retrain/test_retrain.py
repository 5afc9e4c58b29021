"""Whether to train again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keelway.core import Action, PrincipalId, RunId, VersionName, digest_bytes, digest_of
from keelway.engines.sql import SqlState
from keelway.errors import UsageError
from keelway.ledger import decisions
from keelway.monitor import Alert
from keelway.project import ContingencyPlan
from keelway.retrain import (
    RetrainRequest,
    answer_retrain_request,
    open_retrain_request,
    retrain_request,
)

NOW = datetime(1998, 6, 1, tzinfo=UTC)
BOT = PrincipalId("sp:monitor")
V1, V2 = VersionName("churn:1"), VersionName("churn:2")
PLAN = ContingencyPlan("p", cooldown="30d")


@pytest.fixture
def state(tmp_path: Path) -> SqlState:
    return SqlState(f"sqlite:///{tmp_path / 'state.db'}")


def alert(number: int = 1, *, version: VersionName = V1, environment: str = "prod") -> Alert:
    return Alert("churn", environment, version, "drift", (f"x{number} moved",), digest_bytes(b"%d" % number), NOW)


def ask(state: SqlState, *alerts: Alert, now: datetime = NOW, plan: ContingencyPlan = PLAN) -> RetrainRequest | None:
    return retrain_request(alerts, plan=plan, champion=V1, state=state, now=now, actor=BOT)


def test_an_alert_asks_for_one_retraining_per_cooldown(state: SqlState) -> None:
    request = ask(state, alert(1))
    assert request is not None
    assert (request.because, request.alerts) == (("x1 moved",), (digest_of(alert(1)),))
    assert ask(state, alert(1), now=NOW + timedelta(days=99)) is None
    assert ask(state, alert(2), now=NOW + timedelta(days=29)) is None
    assert ask(state, alert(2), now=NOW + timedelta(days=30)) is not None
    with state.snapshot() as tx:
        assert [one.action for _, one in decisions(tx)] == [Action.RETRAIN] * 2


def test_what_is_not_about_the_champion_or_not_in_the_plan_asks_for_nothing(state: SqlState) -> None:
    assert ask(state) is None
    assert ask(state, alert(version=V2)) is None
    assert ask(state, alert(), plan=ContingencyPlan("quiet", on_drift=("alert",))) is None
    assert ask(state, replace(alert(), kind="quality"), plan=ContingencyPlan("quiet", on_drift=("alert",))) is not None


def test_alerts_of_two_environments_are_refused(state: SqlState) -> None:
    with pytest.raises(UsageError, match="one environment"):
        ask(state, alert(1), alert(2, environment="staging"))


def test_a_request_is_open_until_a_challenger_answers_it(state: SqlState) -> None:
    request = ask(state, alert())
    with state.snapshot() as tx:
        assert open_retrain_request("churn", "prod", tx=tx) == request
        assert open_retrain_request("churn", "staging", tx=tx) is None
    ports = {"state": state, "now": NOW, "actor": BOT}
    answer = answer_retrain_request(request, version=V2, run_id=RunId("r1"), **ports)
    assert answer_retrain_request(request, version=VersionName("churn:3"), run_id=RunId("r2"), **ports) == answer
    with state.snapshot() as tx:
        assert open_retrain_request("churn", "prod", tx=tx) is None
        assert tx.log.size() == 2
