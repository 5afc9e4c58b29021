"""What goes around a request: packing, deadlines, request ids, several models, versions by number, entities alone."""

from __future__ import annotations

import gzip
import time
import zlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from keelway.core import SimulatedClock
from keelway.errors import StorageError, UnavailableError
from keelway.serve import Row, Shedder, ShedRule
from keelway.serve.wire import WireLimits
from keelway.surfaces.scoring import ModelRoute, ScoringApp
from keelway.testing.asgi import AsgiClient, ReadyLog, route_of
from keelway.testing.serving import NOW, FixedScorer, ScorerShelf, ServedTraffic

ROW = {"recency_d": 12.5, "plan": "gold"}
GOOD = {"entity": "00042", "features": ROW}
INFER = "/v2/models/churn/infer"
TENSORS = {
    "inputs": [
        {"name": "recency_d", "shape": [1], "datatype": "FP64", "data": [12.5]},
        {"name": "plan", "shape": [1], "datatype": "BYTES", "data": ["gold"]},
    ]
}


@pytest.fixture
def traffic(tmp_path: Path) -> ServedTraffic:
    served = ServedTraffic(tmp_path)
    served.send(churn_1=60, churn_2=40)
    return served


def route(traffic: ServedTraffic, **more: Any) -> ModelRoute:
    return route_of(traffic, ScorerShelf(churn_1=FixedScorer(0.25), churn_2=FixedScorer(0.75)), **more)


def client_of(traffic: ServedTraffic, *, limits: WireLimits | None = None, **more: Any) -> AsgiClient:
    return AsgiClient(ScoringApp({"churn": route(traffic, **more)}, clock=SimulatedClock(NOW), limits=limits))


def client_of_scorer(traffic: ServedTraffic, scorer: FixedScorer) -> AsgiClient:
    models = {"churn": route_of(traffic, ScorerShelf(churn_1=scorer, churn_2=scorer))}
    return AsgiClient(ScoringApp(models, clock=SimulatedClock(NOW)))


def test_a_large_answer_is_packed_for_those_who_take_it(traffic: ServedTraffic) -> None:
    client = client_of(traffic)
    body = {"instances": [GOOD] * 50}
    answer = client.post("/predict", body, accept_encoding="br, gzip;q=0.5")
    assert (answer.headers[b"content-encoding"], answer.headers[b"vary"]) == (b"gzip", b"accept-encoding")
    assert len(answer.raw) == int(answer.headers[b"content-length"]) < len(answer.body) / 3
    assert len(answer.json["predictions"]) == 50
    for refusal in ("br", "gzip;q=0", "gzip; q=0.000, br", ""):
        plain = client.post("/predict", body, accept_encoding=refusal)
        assert b"content-encoding" not in plain.headers
        assert plain.headers[b"vary"] == b"accept-encoding"
    assert b"content-encoding" not in client.post("/predict", GOOD, accept_encoding="gzip").headers


@pytest.mark.parametrize(
    ("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("GZIP", gzip.compress)]
)
def test_a_packed_request_is_read(traffic: ServedTraffic, coding: str, pack: Any) -> None:
    body = pack(b'{"entity":"7","features":{"recency_d":1,"plan":"a"}}')
    answer = client_of(traffic).post("/predict", body, content_encoding=coding)
    assert (answer.status, answer.json["entity"]) == (200, "7")


def test_a_request_id_comes_back_and_one_is_made_otherwise(traffic: ServedTraffic) -> None:
    client = client_of(traffic)
    assert client.post("/predict", GOOD, x_request_id="r-1/~").headers[b"x-request-id"] == b"r-1/~"
    made = {client.get("/healthz").headers[b"x-request-id"] for _ in range(3)}
    assert len(made) == 3
    assert client.post("/nowhere", b"", x_request_id="r-2").headers[b"x-request-id"] == b"r-2"


def test_the_time_taken_is_told(traffic: ServedTraffic) -> None:
    name, _, duration = client_of(traffic).post("/predict", GOOD).headers[b"server-timing"].partition(b";dur=")
    assert name == b"app"
    assert float(duration) > 0


class SlowScorer(FixedScorer):
    """Takes its time."""

    def __init__(self, answer: float, wait_s: float) -> None:
        super().__init__(answer)
        self._wait_s = wait_s

    def predictions(self, rows: Sequence[Sequence[Any]]) -> list[Any]:
        time.sleep(self._wait_s)
        return super().predictions(rows)


@pytest.mark.parametrize("path_and_body", [("/predict", GOOD), (INFER, TENSORS), ("/invocations", {"inputs": [ROW]})])
def test_an_answer_that_comes_too_late_is_504(traffic: ServedTraffic, path_and_body: tuple[str, Any]) -> None:
    slow = SlowScorer(0.25, 0.1)
    app = ScoringApp({"churn": route_of(traffic, ScorerShelf(churn_1=slow, churn_2=slow))}, clock=SimulatedClock(NOW))
    path, body = path_and_body
    answer = AsgiClient(app).post(path, body, x_request_timeout_ms="50")
    assert (answer.status, answer.json["expected"]) == (504, "an answer within 50 ms")
    assert AsgiClient(app).post(path, body, x_request_timeout_ms="60000").status == 200


def test_a_caller_cannot_wait_longer_than_the_server_lets_it(traffic: ServedTraffic) -> None:
    slow = SlowScorer(0.25, 0.1)
    models = {"churn": route_of(traffic, ScorerShelf(churn_1=slow, churn_2=slow))}
    app = ScoringApp(models, clock=SimulatedClock(NOW), limits=WireLimits(timeout_ms=50))
    assert AsgiClient(app).post("/predict", GOOD, x_request_timeout_ms="60000").status == 504
    app = ScoringApp(models, clock=SimulatedClock(NOW), limits=WireLimits(timeout_ms=0))
    assert AsgiClient(app).post("/predict", GOOD).status == 200


def test_the_limit_of_rows_holds_for_every_protocol(traffic: ServedTraffic) -> None:
    client = client_of(traffic, limits=WireLimits(rows=2))
    wide = [{**each, "shape": [3], "data": each["data"] * 3} for each in TENSORS["inputs"]]
    for path, body in (
        ("/predict", {"instances": [GOOD] * 3}),
        ("/invocations", {"dataframe_records": [ROW] * 3}),
        ("/invocations", b"plan,recency_d\n" + b"a,1\n" * 3),
        (INFER, {"inputs": wide}),
    ):
        kind = "text/csv" if isinstance(body, bytes) else "application/json"
        assert client.post(path, body, content_type=kind).status == 422


def test_a_version_is_asked_for_by_its_number(traffic: ServedTraffic) -> None:
    client = client_of(traffic)
    for number, expected in (("1", 0.25), ("2", 0.75)):
        told = client.post(f"/v2/models/churn/versions/{number}/infer", TENSORS).json
        assert (told["model_version"], told["outputs"][0]["data"]) == (number, [expected])
    many = [{**each, "shape": [40], "data": each["data"] * 40} for each in TENSORS["inputs"]]
    told = client.post(INFER, {"inputs": many}).json
    assert "model_version" not in told
    assert set(told["outputs"][2]["data"]) == {"churn:1", "churn:2"}, "rows that name nobody are spread over the arms"
    assert client.get("/v2/models/churn").json["versions"] == ["1", "2"]


def test_who_names_a_version_is_in_no_arm_of_a_rollout(traffic: ServedTraffic) -> None:
    log = ReadyLog()
    client = client_of(traffic, log=log)
    for number in ("1", "2", "2"):
        assert client.post(f"/v2/models/churn/versions/{number}/infer", TENSORS).status == 200
    client.post("/predict", GOOD)
    told = [(line["version"], line["arm"]) for line in log.lines]
    assert told[:3] == [("churn:1", "asked"), ("churn:2", "asked"), ("churn:2", "asked")]
    assert told[3][1] in {"stable", "canary"}


def test_several_models_are_asked_by_name(traffic: ServedTraffic) -> None:
    models = {"churn": route(traffic), "other": route(traffic)}
    client = AsgiClient(ScoringApp(models, clock=SimulatedClock(NOW)))
    assert client.post("/models/other/predict", GOOD).status == 200
    assert client.post("/v2/models/churn/infer", TENSORS).status == 200
    answer = client.post("/predict", GOOD)
    assert (answer.status, answer.json["expected"]) == (404, "/models/churn/predict or /models/other/predict")
    assert client.post("/invocations", {"inputs": [ROW]}).status == 404
    assert [each["model"] for each in client.get("/").json["models"]] == ["churn", "churn"]
    assert "/predict" not in client.get("/openapi.json").json["paths"]


class ShelfLookup:
    """An online store with one entity."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.asked: list[str] = []

    def __call__(self, entities: Sequence[str], names: Sequence[str], now: datetime) -> list[Row]:
        self.asked += entities
        if self.failure:
            raise self.failure
        return [(entity, now - timedelta(days=1), [7.0, "online"]) for entity in entities]


def test_an_entity_alone_is_answered_with_its_online_features(traffic: ServedTraffic) -> None:
    log = ReadyLog()
    client = client_of(traffic, log=log, lookup=ShelfLookup())
    answer = client.post("/predict", {"instances": [{"entity": "7"}, GOOD]})
    assert [each["entity"] for each in answer.json["predictions"]] == ["7", "00042"]
    assert log.lines[0]["features"] == {"recency_d": 7.0, "plan": "online"}
    assert log.lines[0]["as_of"] == "2026-02-28T00:00:00Z"
    assert log.lines[1]["features"] == {"recency_d": 12.5, "plan": "gold"}


def test_people_are_looked_up_by_their_tokens(traffic: ServedTraffic) -> None:
    lookup, log = ShelfLookup(), ReadyLog()
    client = client_of(traffic, log=log, lookup=lookup, names=lambda entities: [f"tok_{each}" for each in entities])
    assert client.post("/predict", {"entity": "ana"}).json["entity"] == "ana"
    assert (lookup.asked, log.lines[0]["entity"]) == (["tok_ana"], "tok_ana")


def test_without_a_store_features_are_needed(traffic: ServedTraffic) -> None:
    answer = client_of(traffic).post("/predict", {"entity": "7"})
    assert (answer.status, answer.json["field"]) == (422, "$.features")


@pytest.mark.parametrize(
    "failure", [StorageError("The disk of ana is gone"), UnavailableError("The online features are too old")]
)
def test_a_store_that_cannot_answer_is_503(traffic: ServedTraffic, failure: Exception) -> None:
    log = ReadyLog()
    answer = client_of(traffic, log=log, lookup=ShelfLookup(failure)).post("/predict", {"entity": "7"})
    assert answer.status == 503
    assert int(answer.headers[b"retry-after"]) >= 1
    assert b"ana" not in answer.body
    assert log.lines == []


def test_too_much_work_is_refused_with_a_time_to_come_back(traffic: ServedTraffic) -> None:
    shedder = Shedder(ShedRule(most=1))
    client = AsgiClient(ScoringApp({"churn": route(traffic)}, clock=SimulatedClock(NOW), shedder=shedder))
    assert client.post("/predict", GOOD).status == 200
    shedder.enter(time.perf_counter())
    for path, body in (("/predict", GOOD), (INFER, TENSORS)):
        answer = client.post(path, body)
        assert (answer.status, answer.headers[b"retry-after"]) == (503, b"1")
    shedder.leave()
    assert client.post("/predict", GOOD).status == 200


class BrokenScorer(FixedScorer):
    """Answers while it is loaded, and fails as nothing should from then on."""

    broken = False

    def predictions(self, rows: Sequence[Sequence[Any]]) -> list[Any]:
        if self.broken:
            raise ZeroDivisionError
        return super().predictions(rows)


def test_an_error_that_nobody_expected_is_told_as_one(traffic: ServedTraffic) -> None:
    broken = BrokenScorer(0.5)
    client = client_of_scorer(traffic, broken)
    broken.broken = True
    answer = client.post("/predict", GOOD)
    assert answer.status in {500, 502}
    assert answer.json["error"]
    assert b"ZeroDivision" not in answer.body


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -0.5, 1.5])
def test_no_version_gives_what_is_no_probability_in_any_protocol(traffic: ServedTraffic, number: float) -> None:
    scorer = FixedScorer(0.5)
    client = client_of_scorer(traffic, scorer)
    scorer.answer = number
    for path, body in (("/predict", GOOD), (INFER, TENSORS), ("/invocations", {"inputs": [ROW]})):
        answer = client.post(path, body)
        assert answer.status == 502
        assert answer.json["error"]
