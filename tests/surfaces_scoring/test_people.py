"""Where entities are people, the log and the routing know them by their tokens, and the answer by what was asked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from keelway.core import SimulatedClock
from keelway.errors import StorageError
from keelway.surfaces.scoring import ScoringApp
from keelway.testing.asgi import AsgiClient, ReadyLog, route_of
from keelway.testing.serving import NOW, FixedScorer, ScorerShelf, ServedTraffic

ROW = {"as_of": "2026-02-01T00:00:00Z", "features": {"recency_d": 12.5, "plan": "gold"}}


def tokens(entities: Sequence[str]) -> list[str]:
    return [f"tok_{entity[::-1]}" for entity in entities]


def no_tokens(entities: Sequence[str]) -> list[str]:
    raise StorageError("The vault is shut", found=f"no key of {entities[0]}")


class PeopleApp:
    """An app whose entities are people, and what it logged."""

    def __init__(self, folder: Path, names: Any, **percent: int) -> None:
        traffic = ServedTraffic(folder)
        traffic.send(**percent)
        shelf = ScorerShelf(churn_1=FixedScorer(0.25), churn_2=FixedScorer(0.75))
        self.log = ReadyLog()
        self.route = route_of(traffic, shelf, log=self.log, names=names)
        self.client = AsgiClient(ScoringApp({"churn": self.route}, clock=SimulatedClock(NOW)))

    def ask(self, body: Any, path: str = "/predict") -> tuple[int, Any]:
        answer = self.client.post(path, body)
        return answer.status, answer.json


def test_a_person_is_logged_by_token_and_answered_by_name(tmp_path: Path) -> None:
    people = PeopleApp(tmp_path, tokens, churn_1=100)
    status, answer = people.ask({"entity": "ana", **ROW})
    assert (status, answer["entity"]) == (200, "ana")
    assert [line["entity"] for line in people.log.lines] == ["tok_ana"]
    assert answer["prediction_id"] == people.log.lines[0]["prediction_id"]


def test_many_people_keep_their_order(tmp_path: Path) -> None:
    people = PeopleApp(tmp_path, tokens, churn_1=100)
    names = [f"p{number}" for number in range(20)]
    status, answer = people.ask({"instances": [{"entity": name, **ROW} for name in names]})
    assert status == 200
    assert [one["entity"] for one in answer["predictions"]] == names
    assert [line["entity"] for line in people.log.lines] == tokens(names)


def test_a_person_stays_in_the_arm_of_their_token(tmp_path: Path) -> None:
    people = PeopleApp(tmp_path, tokens, churn_1=50, churn_2=50)
    plain = PeopleApp(tmp_path / "plain", None, churn_1=50, churn_2=50)
    plain.route.router = people.route.router  # the same deployment, and so the same salt
    names = [f"p{number}" for number in range(40)]
    _, by_name = people.ask({"instances": [{"entity": name, **ROW} for name in names]})
    _, by_token = plain.ask({"instances": [{"entity": token, **ROW} for token in tokens(names)]})
    arms = [[one["arm"] for one in answer["predictions"]] for answer in (by_name, by_token)]
    assert arms[0] == arms[1]
    assert len(set(arms[0])) == 2


def test_without_its_keys_nothing_is_answered_and_nobody_is_named(tmp_path: Path) -> None:
    people = PeopleApp(tmp_path, no_tokens, churn_1=100)
    status, answer = people.ask({"entity": "zebedee", **ROW})
    assert status == 502
    assert "zebedee" not in json.dumps(answer)
    assert people.log.lines == []


@pytest.mark.parametrize("names", [tokens, None], ids=["people", "things"])
def test_a_wrong_request_is_refused_either_way(tmp_path: Path, names: Any) -> None:
    people = PeopleApp(tmp_path, names, churn_1=100)
    assert people.ask({"entity": "ana"})[0] == 422
    assert people.log.lines == []


def test_a_row_that_names_nobody_asks_for_no_token(tmp_path: Path) -> None:
    asked: list[str] = []

    def counted(entities: Sequence[str]) -> list[str]:
        asked.extend(entities)
        return tokens(entities)

    people = PeopleApp(tmp_path, counted, churn_1=100)
    records = [{"recency_d": 1.0, "plan": "gold"}]
    assert people.ask({"dataframe_records": records}, "/invocations") == (200, {"predictions": [0.25]})
    assert people.ask({"dataframe_records": [records[0] | {"entity": "ana"}]}, "/invocations")[0] == 200
    assert asked == ["ana"]
    assert people.log.lines[0]["entity"].startswith("anonymous:")
    assert people.log.lines[1]["entity"] == "tok_ana"
