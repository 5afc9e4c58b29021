"""Whether to train again, and whether a challenger takes all traffic."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keelway.core import Action, Environment, Prediction, PrincipalId, RunId, VersionName, digest_bytes, digest_of
from keelway.engines.sql import SqlState
from keelway.errors import UsageError
from keelway.evaluate import Interval
from keelway.ledger import decisions
from keelway.monitor import Alert
from keelway.project import ContingencyPlan
from keelway.retrain import (
    ArmEvidence,
    CanaryGuard,
    RetrainRequest,
    answer_retrain_request,
    arm_evidence,
    challenger_verdict,
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


def arm(
    version: VersionName, requests: int = 1000, *, errors: int = 0, undefined: int = 0, high: int = 0
) -> ArmEvidence:
    answered = requests - errors - undefined - high
    return ArmEvidence(version, requests, errors, undefined, (answered // 2, answered - answered // 2, *[0] * 7, high))


def judged_by(value: float, low: float, high: float, *, outcomes: int = 500) -> dict[str, object]:
    return {"roc_auc": Interval(value, low, high, 0.95, "DeLong"), "outcomes": outcomes}


@pytest.mark.parametrize(
    ("canary", "verdict"),
    [
        (arm(V2), "advance"),
        (arm(V2, 50, errors=50), "wait"),
        (arm(V2, errors=50), "back"),
        (arm(V2, 200, errors=2), "advance"),
        (arm(V2, undefined=1), "back"),
        (arm(V2, high=600), "back"),
        (arm(V2, errors=1000), "back"),
        (replace(arm(V2), latency_p99_ms=31.0), "back"),
        (replace(arm(V2), latency_p99_ms=29.0), "advance"),
        (replace(arm(V2), **judged_by(0.6, 0.55, 0.65)), "back"),
        (replace(arm(V2), **judged_by(0.7, 0.65, 0.76)), "advance"),
        (replace(arm(V2), **judged_by(0.6, 0.55, 0.65, outcomes=20)), "advance"),
        (replace(arm(V2), **judged_by(float("nan"), 0.5, 0.9)), "back"),
    ],
    ids=[
        "alike", "too little traffic", "errors", "errors by chance", "undefined", "spread otherwise", "no answers",
        "slow", "not slow", "worse", "not clearly worse", "worse on few outcomes", "undefined quality",
    ],
)  # fmt: skip
def test_a_canary_takes_all_goes_back_or_waits(canary: ArmEvidence, verdict: str) -> None:
    stable = replace(arm(V1), latency_p99_ms=20.0, **judged_by(0.8, 0.75, 0.85))
    answer = challenger_verdict(stable, canary)
    assert answer.verdict == verdict
    assert answer.reasons


def test_every_sign_of_harm_is_told_at_once() -> None:
    reasons = challenger_verdict(arm(V1), arm(V2, errors=100, undefined=2), guard=CanaryGuard()).reasons
    assert len(reasons) == 2


def test_answers_are_counted_per_version_and_those_that_are_no_probability_apart() -> None:
    def answer(number: int, probability: float, version: VersionName = V2) -> Prediction:
        return Prediction(
            prediction_id=f"{number:032x}", model="churn", version=version, version_digest=digest_bytes(b"v"),
            deployment=digest_bytes(b"d"), environment=Environment("prod"), arm="canary", entity="c", as_of=NOW,
            features={}, probability=probability, event_time=NOW,
        )  # fmt: skip

    scores = (0.0, 0.05, 0.95, 1.0, 1.1, float("nan"))
    found = arm_evidence([*(answer(n, p) for n, p in enumerate(scores)), answer(9, 0.5, V1)], version=V2, errors=3)
    assert (found.requests, found.errors, found.undefined) == (9, 3, 2)
    assert found.probabilities == (2, 0, 0, 0, 0, 0, 0, 0, 0, 2)
