"""Requests of one turn of the event loop: answered in one call, each as if it were alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from keelway.core import SimulatedClock
from keelway.errors import ServingError
from keelway.surfaces.scoring import ScoringApp
from keelway.surfaces.scoring.metrics import ScoringMetrics
from keelway.surfaces.scoring.turn import MOST_ROWS
from keelway.testing.asgi import AsgiClient, ReadyLog, route_of
from keelway.testing.serving import NOW, FixedScorer, ScorerShelf, ServedTraffic

BROKEN = 666.0


class NumberScorer(FixedScorer):
    """Answers with the first number of a row, and keeps how many rows came together; one row breaks it."""

    def __init__(self) -> None:
        super().__init__(0.0)
        self.calls: list[int] = []

    def predictions(self, rows: Sequence[Sequence[Any]]) -> list[Any]:
        self.calls.append(len(rows))
        if any(row[0] == BROKEN for row in rows):
            raise ServingError("A row broke the model")
        return [row[0] or 0.0 for row in rows]


class CountingLog(ReadyLog):
    """Counts how often it is written to."""

    writes = 0

    def append(self, entries: bytes, *, count: int | None = None) -> bool:
        self.writes += 1
        return super().append(entries, count=count)


class House:
    """An app with one model, its log and what it counted."""

    def __init__(self, traffic: ServedTraffic, log: CountingLog | None = None, **more: Any) -> None:
        self.log = log or CountingLog()
        self.scorer = NumberScorer()
        self.metrics = ScoringMetrics("churn", "prod")
        shelf = ScorerShelf(churn_1=self.scorer, churn_2=FixedScorer(0.5))
        self.route = route_of(traffic, shelf, log=self.log, metrics=self.metrics, **more)
        self.client = AsgiClient(ScoringApp({"churn": self.route}, clock=SimulatedClock(NOW)))
        self.scorer.calls.clear()  # it was warmed up

    def count(self, name: str) -> float:
        lines = [line for line in self.metrics.text().decode().splitlines() if line.startswith(f"keelway_{name}{{")]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


@pytest.fixture
def traffic(tmp_path: Path) -> ServedTraffic:
    served = ServedTraffic(tmp_path)
    served.send(churn_1=100)
    return served


def asked(entity: str, number: float) -> dict[str, Any]:
    return {"entity": entity, "features": {"recency_d": number, "plan": "gold"}}


def test_what_is_there_at_once_is_scored_and_logged_once(traffic: ServedTraffic) -> None:
    house = House(traffic)
    answers = house.client.post_together("/predict", [asked(f"c{at}", at / 100) for at in range(40)])
    assert [answer.json["probability"] for answer in answers] == [at / 100 for at in range(40)]
    assert [answer.json["entity"] for answer in answers] == [f"c{at}" for at in range(40)]
    assert (house.scorer.calls, house.log.writes) == ([40], 1)
    logged = {line["prediction_id"]: line["value"] for line in house.log.lines}
    assert logged == {answer.json["prediction_id"]: answer.json["probability"] for answer in answers}
    assert house.count("predictions_total") == house.count("answer_seconds_count") == 40
    assert house.count("requests_total") == house.count("request_seconds_count") == 40


def test_the_log_knows_of_each_row_the_request_that_asked_for_it(traffic: ServedTraffic) -> None:
    house = House(traffic)
    several = {"instances": [asked("a", 0.1), asked("b", 0.2)]}
    answers = house.client.post_together("/predict", [asked("c", 0.3), several, asked("d", 0.4)])
    of_entity = {line["entity"]: line for line in house.log.lines}
    wanted = {"c": answers[0], "a": answers[1], "b": answers[1], "d": answers[2]}
    for entity, answer in wanted.items():
        assert of_entity[entity]["request_id"] == answer.headers[b"x-request-id"].decode()
        assert 0 < of_entity[entity]["latency_us"] < 60e6
    assert of_entity["a"]["latency_us"] >= 0
    assert len({line["request_id"] for line in house.log.lines}) == 3


@pytest.mark.parametrize(
    ("given", "logged"),
    [
        ("4bf92f3577b34da6a3ce929d0e0e4736", "4bf92f3577b34da6a3ce929d0e0e4736"),
        ("0195c1b2-7f00-7abc-8def-0123456789ab", "0195c1b2-7f00-7abc-8def-0123456789ab"),
        ("order-7", "order-7"),
        ("ana@example.com", "[e-mail]"),
    ],
)
def test_a_request_id_that_a_caller_made_up_is_logged_without_what_names_a_person(
    traffic: ServedTraffic, given: str, logged: str
) -> None:
    house = House(traffic)
    answer = house.client.post("/predict", asked("c", 0.3), x_request_id=given)
    assert answer.headers[b"x-request-id"].decode() == given
    assert [line["request_id"] for line in house.log.lines] == [logged]


def test_requests_of_many_rows_share_a_call_up_to_a_limit(traffic: ServedTraffic) -> None:
    house = House(traffic)
    rows = 100
    bodies = [{"instances": [asked(f"{at}-{row}", 0.5) for row in range(rows)]} for at in range(5)]
    answers = house.client.post_together("/predict", bodies)
    assert [len(answer.json["predictions"]) for answer in answers] == [rows] * 5
    assert sum(house.scorer.calls) == 5 * rows
    assert max(house.scorer.calls) <= MOST_ROWS
    assert len(house.scorer.calls) == 3


def test_a_request_of_very_many_rows_is_answered_alone(traffic: ServedTraffic) -> None:
    house = House(traffic)
    large = {"instances": [asked(f"{row}", 0.5) for row in range(MOST_ROWS)]}
    house.client.post_together("/predict", [large, asked("a", 0.1), asked("b", 0.2)])
    assert sorted(house.scorer.calls) == [2, MOST_ROWS]


def test_one_that_breaks_the_model_fails_alone(traffic: ServedTraffic) -> None:
    house = House(traffic)
    numbers = [0.1, BROKEN, 0.3]
    answers = house.client.post_together("/predict", [asked(f"c{at}", each) for at, each in enumerate(numbers)])
    assert [answer.status for answer in answers] == [200, 502, 200]
    assert [line["entity"] for line in house.log.lines] == ["c0", "c2"]
    assert house.count("predictions_total") == 2


def test_one_that_is_refused_takes_no_part(traffic: ServedTraffic) -> None:
    house = House(traffic)
    answers = house.client.post_together("/predict", [asked("a", 0.1), {"entity": "b"}, asked("c", 0.3)])
    assert [answer.status for answer in answers] == [200, 422, 200]
    assert house.scorer.calls == [2]


def test_a_number_that_is_no_answer_fails_its_request_only(traffic: ServedTraffic) -> None:
    house = House(traffic)
    answers = house.client.post_together("/predict", [asked("a", 0.1), asked("b", 1.5), asked("c", 0.3)])
    assert [answer.status for answer in answers] == [200, 502, 200]
    assert [line["entity"] for line in house.log.lines] == ["a", "c"]


def test_a_fault_of_ours_reaches_every_caller(traffic: ServedTraffic) -> None:
    class FaultyLog(CountingLog):
        def append(self, entries: bytes, *, count: int | None = None) -> bool:
            raise RuntimeError("a fault")

    house = House(traffic, FaultyLog())
    answers = house.client.post_together("/predict", [asked("a", 0.1), asked("b", 0.2)])
    assert [answer.status for answer in answers] == [500, 500]


def test_a_log_that_refuses_is_told_to_all_and_asked_once(traffic: ServedTraffic) -> None:
    house = House(traffic, CountingLog(refuses=True))
    house.log.full = True
    answers = house.client.post_together("/predict", [asked("a", 0.1), asked("b", 0.2)])
    assert [answer.status for answer in answers] == [503, 503]
    assert house.log.writes == 1


def test_arms_that_are_compared_are_answered_one_by_one(traffic: ServedTraffic) -> None:
    traffic.send(churn_1=50, churn_2=50)
    house = House(traffic)
    answers = house.client.post_together("/predict", [asked(f"c{at}", 0.25) for at in range(20)])
    assert {answer.json["probability"] for answer in answers} == {0.25, 0.5}
    assert set(house.scorer.calls) == {1}
    assert house.log.writes == 20


def test_people_and_nameless_rows_keep_apart(traffic: ServedTraffic) -> None:
    house = House(traffic, names=lambda people: [f"token-{each}" for each in people])
    row = {"columns": ["recency_d", "plan"], "data": [[0.4, "gold"]]}
    named = house.client.post_together("/predict", [asked("ana", 0.1), asked("bo", 0.2)])
    assert [answer.json["entity"] for answer in named] == ["ana", "bo"]
    nameless = house.client.post_together("/invocations", [{"dataframe_split": row}] * 2)
    assert [answer.json["predictions"] for answer in nameless] == [[0.4], [0.4]]
    entities = [line["entity"] for line in house.log.lines]
    assert entities[:2] == ["token-ana", "token-bo"]
    assert all(each.startswith("anonymous:") for each in entities[2:])
    assert len(set(entities)) == 4
