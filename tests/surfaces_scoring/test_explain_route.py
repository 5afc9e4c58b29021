"""`/explain` over HTTP: what it takes, what it counts, and that it leaves no trace in the log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keelway.core import SimulatedClock
from keelway.serve import Explainers, LoadedVersion, RowExplainer, SampledExplainer
from keelway.serve.explain import MOST_UNDER_WAY
from keelway.serve.wire import WireLimits
from keelway.surfaces.scoring import ScoringApp
from keelway.testing.asgi import AsgiClient, ReadyLog, route_of
from keelway.testing.serving import NOW, FixedScorer, ScorerShelf, ServedTraffic

GOOD: dict[str, Any] = {"entity": "00042", "features": {"recency_d": 12.5, "plan": "gold"}}


class LongerIsMore(FixedScorer):
    """Answers by the length of the plan's name."""

    def predictions(self, rows: Any) -> list[Any]:
        return [min(1.0, len(plan or "") / 10 + 0.01 * (number or 0)) for number, plan in rows]


def sampled(version: LoadedVersion) -> RowExplainer:
    return SampledExplainer(version.scorer, [[0.0, ""]], permutations=4)


class World:
    def __init__(self, folder: Path, explainers: Explainers | None) -> None:
        traffic = ServedTraffic(folder)
        traffic.send(churn_1=100)
        self.log = ReadyLog()
        self.route = route_of(
            traffic, ScorerShelf(churn_1=LongerIsMore(0.0)), log=self.log, explainers=explainers,
            names=lambda people: [f"tok_{one}" for one in people],
        )  # fmt: skip
        limits = WireLimits(rows=100, explained_rows=3)
        self.client = AsgiClient(ScoringApp({"churn": self.route}, clock=SimulatedClock(NOW), limits=limits))

    def metrics(self) -> str:
        return self.client.get("/metrics").body.decode()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, Explainers(sampled))


def test_contributions_stand_under_the_features_that_were_declared(world: World) -> None:
    told = world.client.post("/explain", GOOD).json
    assert told["entity"] == "00042"  # under the name that was asked for, not its token
    assert (told["version"], told["arm"], told["method"]) == ("churn:1", "stable", "permutation")
    assert told["contributions"] == pytest.approx({"recency_d": 0.125, "plan": 0.4})
    assert told["base"] + sum(told["contributions"].values()) == pytest.approx(told["margin"])
    assert told["margin"] == pytest.approx(told["probability"])
    assert told["sampling"]["orders"] == 4


def test_an_explanation_is_no_prediction(world: World) -> None:
    assert world.client.post("/models/churn/explain", GOOD).status == 200
    assert world.log.lines == []
    text = world.metrics()
    assert 'keelway_explain_requests_total{environment="prod",model="churn",status="200"} 1.0' in text
    assert "keelway_requests_total{" not in text
    assert "keelway_predictions_total{" not in text


def test_the_same_answer_is_predicted(world: World) -> None:
    assert (
        world.client.post("/explain", GOOD).json["probability"]
        == world.client.post("/predict", GOOD).json["probability"]
    )


def test_several_rows_come_in_their_order_and_no_more_than_the_limit(world: World) -> None:
    several = [GOOD | {"entity": f"{number}"} for number in range(4)]
    told = world.client.post("/explain", {"instances": several[:3]}).json["explanations"]
    assert [each["entity"] for each in told] == ["0", "1", "2"]
    refused = world.client.post("/explain", {"instances": several})
    assert (refused.status, refused.json["field"]) == (422, "$.instances")
    assert world.client.post("/predict", {"instances": several}).status == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 400), ({"entity": "1"}, 422), (GOOD | {"features": {"recency_d": "x", "plan": ""}}, 422)],
)
def test_a_wrong_request_is_refused_as_a_prediction_is(world: World, body: Any, status: int) -> None:
    assert world.client.post("/explain", body).status == status


def test_more_than_may_be_explained_at_once_are_told_to_come_again(tmp_path: Path) -> None:
    explainers = Explainers(sampled)
    world = World(tmp_path, explainers)
    for _ in range(MOST_UNDER_WAY):
        explainers.enter()
    refused = world.client.post("/explain", GOOD)
    assert (refused.status, refused.headers[b"retry-after"]) == (503, b"1")
    assert 'keelway_shed_requests_total{environment="prod",model="churn"} 0.0' in world.metrics()


def test_a_version_that_cannot_be_explained_says_why(tmp_path: Path) -> None:
    def never(_version: LoadedVersion) -> RowExplainer:
        raise NotImplementedError("the rows of its training are gone")

    answer = World(tmp_path, Explainers(never)).client.post("/explain", GOOD)
    assert (answer.status, answer.json["found"]) == (501, "the rows of its training are gone")


def test_where_nothing_is_explained_there_is_no_such_path(tmp_path: Path) -> None:
    client = World(tmp_path, None).client
    assert client.post("/explain", GOOD).status == 404
    assert not [path for path in client.get("/openapi.json").json["paths"] if "explain" in path]


def test_a_deadline_holds_for_explanations_too(tmp_path: Path) -> None:
    class Slow(SampledExplainer):
        def explain(self, rows: Any) -> Any:
            import time

            time.sleep(0.2)
            return super().explain(rows)

    client = World(tmp_path, Explainers(lambda version: Slow(version.scorer, [[0.0, ""]], permutations=2))).client
    assert client.post("/explain", GOOD, x_request_timeout_ms="20").status == 504
    assert np.isfinite(client.post("/explain", GOOD).json["margin"])
