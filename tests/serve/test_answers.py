"""Routing, answering and batch scoring, with scorers that behave and a log that remembers."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from keelway.core import VersionName, digest_of
from keelway.errors import IntegrityError, MissingRecordError, ServingError
from keelway.serve import LoadedDeployment, Router, answer_rows
from keelway.testing.serving import FEATURES, PROD, FixedScorer, MemoryLog, ScorerShelf, ServedTraffic

NOW = datetime(2026, 3, 1, tzinfo=UTC)
AT = "2026-03-01T00:00:00Z"
ONE, TWO = VersionName("churn:1"), VersionName("churn:2")


@pytest.fixture
def traffic(tmp_path: Path) -> ServedTraffic:
    return ServedTraffic(tmp_path)


def router_of(traffic: ServedTraffic, shelf: ScorerShelf) -> Router:
    return Router("churn", PROD, state=traffic.state, load=shelf.load)


def rows_of(count: int) -> list[tuple[str, datetime, list[Any]]]:
    return [(f"{number:05d}", NOW, [float(number), "gold"]) for number in range(count)]


def loaded(traffic: ServedTraffic, shelf: ScorerShelf) -> LoadedDeployment:
    return router_of(traffic, shelf).loaded


def test_one_row_is_answered_and_logged_as_it_was_answered(traffic: ServedTraffic) -> None:
    deployment = traffic.send(churn_1=100)
    log = MemoryLog()
    (answer,) = answer_rows(rows_of(1), loaded(traffic, ScorerShelf(churn_1=FixedScorer(0.25))), log=log, at=AT)
    (line,) = log.lines
    assert (answer.value, answer.logged, answer.version.arm) == ("0.25", True, "stable")
    assert line["prediction_id"] == answer.prediction_id
    assert line["value"] == 0.25
    assert line["features"] == {"recency_d": 0, "plan": "gold"}
    assert line["deployment"] == digest_of(deployment)
    assert line["version_digest"] == deployment.versions[ONE]


def test_a_canary_gets_its_share_and_answers_keep_their_order(traffic: ServedTraffic) -> None:
    traffic.send(churn_1=80, churn_2=20)
    log = MemoryLog()
    rows = rows_of(2000)
    answers = answer_rows(
        rows, loaded(traffic, ScorerShelf(churn_1=FixedScorer(0.1), churn_2=FixedScorer(0.9))), log=log, at=AT
    )
    assert [answer.entity for answer in answers] == [row[0] for row in rows]
    canary = [answer for answer in answers if answer.version.version == TWO]
    assert {answer.value for answer in canary} == {"0.9"}
    assert abs(len(canary) / 2000 - 0.2) < 4 * math.sqrt(0.2 * 0.8 / 2000)
    assert {line["prediction_id"] for line in log.lines} == {answer.prediction_id for answer in answers}


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -0.1, 1.5])
def test_what_is_no_probability_is_never_given_and_never_logged(traffic: ServedTraffic, wrong: float) -> None:
    traffic.send(churn_1=100)
    log, scorer = MemoryLog(), FixedScorer(0.5)
    ready = loaded(traffic, ScorerShelf(churn_1=scorer))
    scorer.answer = wrong
    with pytest.raises(ServingError, match="no probability"):
        answer_rows(rows_of(3), ready, log=log, at=AT)
    assert log.lines == []


@pytest.mark.parametrize(("wrong", "undefined"), [(math.nan, True), (1.5, True), (None, False)])
def test_who_could_not_answer_is_told_with_whether_it_was_no_number(
    traffic: ServedTraffic, wrong: float | None, undefined: bool
) -> None:
    traffic.send(churn_1=100)
    scorer = FixedScorer(0.5)
    ready = loaded(traffic, ScorerShelf(churn_1=scorer))
    told: list[tuple[str, bool]] = []
    if wrong is None:
        scorer.predictions = lambda _rows: []  # type: ignore[method-assign]
    else:
        scorer.answer = wrong
    with pytest.raises(ServingError):
        answer_rows(
            rows_of(3),
            ready,
            log=MemoryLog(),
            at=AT,
            on_failure=lambda who, undefined: told.append((who.version, undefined)),
        )
    assert told == [(ONE, undefined)]


def test_a_canary_without_a_probability_keeps_the_whole_request_out_of_the_log(traffic: ServedTraffic) -> None:
    traffic.send(churn_1=80, churn_2=20)
    log = MemoryLog()
    shelf = ScorerShelf(churn_1=FixedScorer(0.1), churn_2=FixedScorer(0.9))
    ready = loaded(traffic, shelf)
    shelf.scorers[TWO].answer = math.nan
    with pytest.raises(ServingError, match="churn:2"):
        answer_rows(rows_of(200), ready, log=log, at=AT)
    assert log.lines == []


def test_an_answer_says_when_it_could_not_be_logged(traffic: ServedTraffic) -> None:
    traffic.send(churn_1=100)
    log = MemoryLog()
    log.full = True
    (answer,) = answer_rows(rows_of(1), loaded(traffic, ScorerShelf(churn_1=FixedScorer(0.5))), log=log, at=AT)
    assert not answer.logged


def test_nothing_is_served_without_a_deployment(traffic: ServedTraffic) -> None:
    with pytest.raises(MissingRecordError) as caught:
        router_of(traffic, ScorerShelf())
    assert "keelway deploy churn" in caught.value.fix


def test_an_altered_version_is_not_served_at_all(traffic: ServedTraffic) -> None:
    traffic.send(churn_1=100)
    shelf = ScorerShelf(churn_1=FixedScorer(0.5))
    shelf.altered.add(ONE)
    with pytest.raises(IntegrityError):
        router_of(traffic, shelf)


def test_a_new_deployment_is_taken_up_and_known_versions_are_not_loaded_again(traffic: ServedTraffic) -> None:
    traffic.send(churn_1=100)
    shelf = ScorerShelf(churn_1=FixedScorer(0.1), churn_2=FixedScorer(0.9))
    router = router_of(traffic, shelf)
    assert not router.refresh()
    traffic.send(churn_1=90, churn_2=10)
    assert router.refresh()
    assert set(router.loaded.versions) == {ONE, TWO}
    assert shelf.loads == [ONE, TWO]


def test_the_last_known_good_goes_on_when_the_new_version_is_altered(traffic: ServedTraffic) -> None:
    traffic.send(churn_1=100)
    shelf = ScorerShelf(churn_1=FixedScorer(0.1), churn_2=FixedScorer(0.9))
    router = router_of(traffic, shelf)
    shelf.altered.add(TWO)
    traffic.send(churn_2=100)
    assert not router.refresh()
    assert router.loaded.deployment.stable == ONE
    assert "churn:2 was altered" in router.problem
    shelf.altered.clear()
    assert router.refresh()
    assert (router.loaded.deployment.stable, router.problem) == (TWO, "")


def test_a_canary_that_asks_for_other_features_is_refused(traffic: ServedTraffic) -> None:
    traffic.send(churn_1=90, churn_2=10)
    shelf = ScorerShelf(churn_1=FixedScorer(0.1), churn_2=FixedScorer(0.9, FEATURES[:1]))
    with pytest.raises(ServingError, match="other requests"):
        router_of(traffic, shelf)


class FixedTask(FixedScorer):
    """Answers for another task than a binary one."""

    def __init__(self, answer: Any, task: Any, classes: tuple[str, ...] = ()) -> None:
        super().__init__(answer)
        self.task, self.classes = task, classes


@pytest.mark.parametrize(
    ("scorer", "text"),
    [
        (FixedTask(-12.5, "regression"), "-12.5"),
        (FixedTask(1e21, "regression"), "1e+21"),
        (FixedTask([0.25, 0.75], "multiclass", ("a", "b")), "[0.25,0.75]"),
    ],
    ids=["number", "large", "classes"],
)
def test_a_scorer_of_any_task_is_answered_for(traffic: ServedTraffic, scorer: FixedTask, text: str) -> None:
    traffic.send(churn_1=100)
    (answer,) = answer_rows(rows_of(1), loaded(traffic, ScorerShelf(churn_1=scorer)), log=MemoryLog(), at=AT)
    assert answer.value == text


@pytest.mark.parametrize("wrong", [[0.5, math.nan], [0.5, 1.5]])
def test_a_class_without_a_probability_is_never_given(traffic: ServedTraffic, wrong: list[float]) -> None:
    traffic.send(churn_1=100)
    scorer = FixedTask([0.5, 0.5], "multiclass", ("a", "b"))
    ready = loaded(traffic, ScorerShelf(churn_1=scorer))
    scorer.answer = wrong  # type: ignore[assignment]
    with pytest.raises(ServingError, match="no probability"):
        answer_rows(rows_of(1), ready, log=MemoryLog(), at=AT)


def test_what_cannot_answer_is_answered_for_by_its_first_backup_that_can(traffic: ServedTraffic) -> None:
    traffic.send(churn_1=100)
    ready = loaded(traffic, ScorerShelf(churn_1=FixedScorer(0.5)))
    failing, constant = FixedScorer(math.nan), FixedScorer(0.05)
    stable = ready.stable
    backups = tuple(replace(stable, scorer=each, fallback=mark) for each, mark in ((failing, "one"), (constant, "two")))
    broken = replace(stable, scorer=FixedScorer(math.nan), backups=backups)
    log = MemoryLog()
    answers = answer_rows(rows_of(2), replace(ready, versions={ONE: broken}), log=log, at=AT)
    assert [(answer.value, answer.version.fallback) for answer in answers] == [("0.05", "two")] * 2
    assert [line["value"] for line in log.lines] == [0.05, 0.05]
    alone = replace(broken, backups=backups[:1])
    with pytest.raises(ServingError, match="no probability"):
        answer_rows(rows_of(2), replace(ready, versions={ONE: alone}), log=log, at=AT)
    assert len(log.lines) == 2
