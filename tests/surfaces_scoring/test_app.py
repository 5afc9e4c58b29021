"""The ASGI app by itself: every page, every refusal, and what is counted."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from keelway.core import SimulatedClock
from keelway.serve.wire import WireLimits
from keelway.surfaces.scoring import ScoringApp
from keelway.testing.asgi import AsgiAnswer, AsgiClient, ReadyLog, route_of
from keelway.testing.serving import NOW, FixedScorer, ScorerShelf, ServedTraffic

GOOD = {"entity": "00042", "as_of": "2026-02-01T00:00:00Z", "features": {"recency_d": 12.5, "plan": "gold"}}


@pytest.fixture
def traffic(tmp_path: Path) -> ServedTraffic:
    served = ServedTraffic(tmp_path)
    served.send(churn_1=100)
    return served


def client_of(traffic: ServedTraffic) -> tuple[AsgiClient, ReadyLog]:
    shelf = ScorerShelf(churn_1=FixedScorer(0.25), churn_2=FixedScorer(0.75))
    log = ReadyLog()
    app = ScoringApp({"churn": route_of(traffic, shelf, log=log)}, clock=SimulatedClock(NOW))
    return AsgiClient(app), log


def predict(client: AsgiClient, body: Any, pieces: int = 1) -> AsgiAnswer:
    answer = client.ask("POST", "/predict", body, pieces=pieces)
    assert answer is not None
    return answer


def test_one_row_in_one_answer_out(traffic: ServedTraffic) -> None:
    client, log = client_of(traffic)
    answer = predict(client, GOOD)
    assert answer.status == 200
    assert answer.json | {"prediction_id": ""} == {
        "entity": "00042", "prediction_id": "", "probability": 0.25, "model": "churn", "version": "churn:1",
        "arm": "stable", "logged": True,
    }  # fmt: skip
    assert answer.json["prediction_id"] == log.lines[0]["prediction_id"]
    assert log.lines[0]["as_of"] == "2026-02-01T00:00:00Z"
    assert b"server-timing" in answer.headers


def test_many_rows_are_answered_in_order(traffic: ServedTraffic) -> None:
    client, log = client_of(traffic)
    answer = predict(client, {"instances": [GOOD | {"entity": f"{number}"} for number in range(50)]}, pieces=7)
    assert [one["entity"] for one in answer.json["predictions"]] == [f"{number}" for number in range(50)]
    assert len(log.lines) == 50


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", ""),
        (b"not json", ""),
        (b"[1]", "$"),
        (b"\xff\xfe", ""),
        (GOOD | {"features": {"recency_d": "soon", "plan": "gold"}}, "$.features.recency_d"),
        (GOOD | {"features": {"recency_d": 1.0}}, "$.features.plan"),
        (GOOD | {"features": {"recency_d": 1.0, "plan": "gold", "more": 1}}, "$.features.more"),
        (GOOD | {"as_of": "yesterday"}, "$.as_of"),
        (GOOD | {"entity": 42}, "$.entity"),
        ({"instances": []}, "$.instances"),
        (b'{"entity":"1","features":{"recency_d":NaN,"plan":"a"}}', ""),
        (b'{"entity":"1","features":{"recency_d":1e999,"plan":"a"}}', ""),
        (b"[" * 20_000, ""),
    ],
)
def test_a_wrong_request_is_told_what_was_expected(traffic: ServedTraffic, body: Any, field: str) -> None:
    client, log = client_of(traffic)
    answer = predict(client, body)
    assert 400 <= answer.status < 500
    assert answer.json["error"]
    if field:
        assert answer.json["field"] == field
    assert log.lines == []


def test_a_body_that_is_too_large_is_refused(traffic: ServedTraffic) -> None:
    client, _ = client_of(traffic)
    assert predict(client, b" " * (WireLimits().body_bytes + 1), pieces=5).status == 413


def test_a_model_without_a_probability_is_a_bad_gateway(traffic: ServedTraffic) -> None:
    scorer = FixedScorer(0.25)
    log = ReadyLog()
    models = {"churn": route_of(traffic, ScorerShelf(churn_1=scorer), log=log)}
    client = AsgiClient(ScoringApp(models, clock=SimulatedClock(NOW)))
    scorer.answer = float("nan")  # it was loaded and warmed with a number
    answer = predict(client, GOOD)
    assert answer.status == 502
    assert b"NaN" not in answer.body
    assert log.lines == []


def test_health_and_readiness_are_two_things(traffic: ServedTraffic) -> None:
    client, log = client_of(traffic)
    assert (client.ask("GET", "/healthz").status, client.ask("GET", "/readyz").status) == (200, 200)
    log.full = True
    assert predict(client, GOOD).json["logged"] is False
    ready = client.ask("GET", "/readyz")
    assert (ready.status, ready.json["problems"]) == (503, ["predictions cannot be logged"])
    assert client.ask("GET", "/healthz").status == 200


def test_the_index_tells_the_schema(traffic: ServedTraffic) -> None:
    client, _ = client_of(traffic)
    index = client.ask("GET", "/").json
    assert index["traffic"] == {"churn:1": 100}
    assert [feature["name"] for feature in index["features"]] == ["recency_d", "plan"]


def test_metrics_count_by_version_arm_and_status(traffic: ServedTraffic) -> None:
    client, _ = client_of(traffic)
    predict(client, GOOD)
    predict(client, b"not json")
    text = client.ask("GET", "/metrics").body.decode()
    counted = 'keelway_predictions_total{arm="stable",environment="prod",model="churn",version="churn:1"} 1.0'
    assert counted in text
    assert 'keelway_requests_total{environment="prod",model="churn",status="400"} 1.0' in text
    assert "keelway_request_seconds_count" in text


def test_a_promoted_canary_counts_as_stable_from_then_on(traffic: ServedTraffic) -> None:
    client, _ = client_of(traffic)
    traffic.send(churn_1=1, churn_2=99)
    client.app.refresh()
    predict(client, {"instances": [GOOD | {"entity": f"{number}"} for number in range(200)]})
    traffic.send(churn_2=100)
    client.app.refresh()
    predict(client, GOOD)
    text = client.ask("GET", "/metrics").body.decode()
    assert 'arm="stable",environment="prod",model="churn",version="churn:2"' in text


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/predict", 405), ("POST", "/", 405), ("GET", "/x", 404)]
)
def test_what_is_not_here_is_said(traffic: ServedTraffic, method: str, path: str, status: int) -> None:
    client, _ = client_of(traffic)
    answer = client.ask(method, path)
    assert answer.status == status
    assert (b"allow" in answer.headers) == (status == 405)


def test_a_head_request_has_no_body(traffic: ServedTraffic) -> None:
    client, _ = client_of(traffic)
    assert client.ask("HEAD", "/healthz").body == b""


def test_no_request_fails_or_mixes_while_traffic_moves(traffic: ServedTraffic) -> None:
    client, log = client_of(traffic)
    done, answers = threading.Event(), list[AsgiAnswer]()

    def ask() -> None:
        while not done.is_set():
            answers.append(predict(client, {"instances": [GOOD, GOOD | {"entity": "7"}]}))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for number in range(20):
            traffic.send(**({"churn_2": 100} if number % 2 == 0 else {"churn_1": 100}))
            assert client.app.models["churn"].router.refresh()
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert {answer.status for answer in answers} == {200}
    pairs = [{(one["version"], one["probability"]) for one in answer.json["predictions"]} for answer in answers]
    assert all(pair in ({("churn:1", 0.25)}, {("churn:2", 0.75)}) for pair in pairs), "one deployment a request"
    assert len(log.lines) == 2 * len(answers)
