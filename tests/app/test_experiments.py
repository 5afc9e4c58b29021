"""Experiments as the project knows them: stored records become a report, and traffic and baselines are measured for plans."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from keelway.app.experiment_figures import measured_figures
from keelway.app.experiments import ExperimentRoom
from keelway.core import (
    Action,
    BusinessEvent,
    Decision,
    Environment,
    Outcome,
    Prediction,
    PrincipalId,
    VersionName,
    canonical_json,
    digest_bytes,
)
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.local.journal import FileJournals
from keelway.engines.sql import SqlState
from keelway.errors import KeelwayError, MissingRecordError, UsageError
from keelway.ledger import record_decision
from keelway.monitor import record_events, record_outcomes
from keelway.project import Analysis, BusinessMetric, Guardrail, Metric, Rollout, Task
from keelway.report import ExperimentRecords, PlanWish
from keelway.serve import ArmRequests, RequestFigures, SealingPorts, seal_journals
from keelway.serve.tally import keep_figures
from keelway.testing.experiment_records import BEGAN, WHO, store_rollout, told, trial
from keelway.testing.experiments import canary

NOW = BEGAN + timedelta(days=40)
REVENUE = BusinessMetric("revenue", stream="purchases", window="7d")
PROD = Environment("prod")
PLAN = Rollout.canary("prod", steps=(25,), analysis=Analysis((Guardrail("latency", "quantile", margin=0.25),)))


class World:
    """A project with a state of its own, as a use case sees it."""

    def __init__(self, folder: Path, rollout: Rollout | None = None) -> None:
        self.state: Any = SqlState(f"sqlite:///{folder / 'state.db'}")
        self.artifacts: Any = LocalArtifacts(folder / "artifacts")
        model = SimpleNamespace(
            name="churn",
            business=(REVENUE,),
            label=SimpleNamespace(name="churned"),
            rollout_for=lambda _environment: rollout,
        )
        self.project = SimpleNamespace(model=lambda name: {"churn": model}[name])
        self.settings = SimpleNamespace(project=SimpleNamespace(name="shop"))
        self.clock = NOW

    def now(self) -> datetime:
        return self.clock

    def environment(self, name: str) -> str:
        return {"prod": name}[name]

    def keep(self, records: ExperimentRecords, rollout: str = "r1") -> None:
        store_rollout(records, self.state, rollout=rollout)

    def keep_requests(self, *, requests: int, failed: int, since: datetime = NOW - timedelta(days=2)) -> None:
        arm = ArmRequests(VersionName("churn:1"), "stable", requests - failed, failed, (10,), (requests - failed,))
        keep_figures(RequestFigures("churn", PROD, since, NOW, requests, failed, 0, (arm,)), state=self.state)

    def keep_answers(self, folder: Path, *, entities: int, each: int = 2, value: float = 0.25) -> None:
        """Seal answers given in the ten days before the last ten, several to each entity."""
        journals = FileJournals(folder)
        journal = journals.create("churn", "prod")
        for number in range(entities * each):
            at = NOW - timedelta(days=20) + timedelta(days=10) * number / (entities * each)
            answer = Prediction(
                f"{number:032x}", "churn", VersionName("churn:1"), digest_bytes(b"v"), digest_bytes(b"d"), PROD, "stable",
                f"c{number % entities}", at, {"frequency": 1.0}, value, at,
            )  # fmt: skip
            journal.append(canonical_json(answer) + b"\n")
        journal.close()
        seal_journals(journals, ports=SealingPorts(self.state, self.artifacts, WHO), now=NOW)

    def keep_purchases(self, amounts: dict[str, tuple[float, float]], answered: datetime) -> None:
        """Record what entities spent in the days before and after a moment."""
        days = {0: timedelta(days=-1), 1: timedelta(days=1)}
        given = [
            BusinessEvent("purchases", entity, spent[place], answered + days[place], NOW)
            for entity, spent in amounts.items()
            for place in days
        ]
        early = BusinessEvent("purchases", "somebody", 1.0, answered - timedelta(days=300), NOW)
        record_events(
            [early, *given], "purchases", complete_until=NOW, state=self.state, artifacts=self.artifacts, now=NOW, actor=WHO
        )  # fmt: skip

    def keep_outcomes(self, values: list[int] | list[str], task: Task = "binary") -> None:
        given = [Outcome("churned", f"c{number}", BEGAN, value, BEGAN, BEGAN) for number, value in enumerate(values)]
        record_outcomes(
            given, task=task, state=self.state, artifacts=self.artifacts, now=NOW, actor=PrincipalId("user:ana")
        )


def decision(at: datetime, *, allowed: bool = True, **more: Any) -> Decision:
    return Decision(Action.DEPLOY, subject="churn", allowed=allowed, principal=WHO, at=at, environment="prod", **more)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.state.close()


@pytest.fixture(scope="module")
def slow() -> ExperimentRecords:
    return told([canary(seed=2, share=0.25, fault="latency", per_look=400, looks=20)], PLAN)


def room(world: World) -> ExperimentRoom:
    return ExperimentRoom(world)  # type: ignore[arg-type]


def test_a_stored_rollout_becomes_a_report(world: World, slow: ExperimentRecords) -> None:
    world.keep(slow)
    report = room(world).report("churn", "prod")
    assert report.verdict == "churn:2 was taken back: time to answer got worse than allowed."
    assert (report.state, report.project, report.at) == ("back", "shop", NOW)
    assert [list(step.shares) for step in report.shares] == [["churn:1", "churn:2"], ["churn:1"]]
    assert [line.entry for line in report.decisions] == [0, 1]
    assert report.looks[-1].move == "back"


def test_the_newest_rollout_is_meant_unless_one_is_named(world: World, slow: ExperimentRecords) -> None:
    world.keep(slow)
    world.keep(trial(seed=1, looks=1), "r2")
    found = room(world)
    assert found.report("churn", "prod").rollout == "r2"
    assert found.report("churn", "prod", rollout="r1").rollout == "r1"
    with pytest.raises(MissingRecordError, match="no rollout r9 of churn in prod") as caught:
        found.report("churn", "prod", rollout="r9")
    assert caught.value.expected == "r2, r1"
    lines = found.listed("churn", "prod")
    assert [(line.rollout, line.strategy, line.state) for line in lines] == [
        ("r2", "ab", "running"),
        ("r1", "canary", "back"),
    ]
    assert lines[1].outcome == {"churn:2": "failure"}


def test_a_model_without_rollouts_says_so(world: World) -> None:
    assert room(world).listed("churn", "prod") == []
    with pytest.raises(MissingRecordError, match="There is no rollout of churn in prod"):
        room(world).report("churn", "prod")


def test_refusals_while_it_ran_belong_to_it_and_others_do_not(world: World, slow: ExperimentRecords) -> None:
    world.keep(slow)
    others = [
        decision(BEGAN + timedelta(minutes=1), allowed=False, reasons=("retired",)),
        decision(BEGAN - timedelta(days=1), allowed=False, reasons=("before",)),
        decision(NOW, allowed=False, reasons=("long after",)),
        replace(decision(BEGAN + timedelta(minutes=1), allowed=False), subject="other"),
        replace(decision(BEGAN + timedelta(minutes=1), allowed=False), environment="staging"),
        decision(BEGAN + timedelta(minutes=1), comment="something else that was allowed"),
    ]
    with world.state.transaction() as tx:
        for one in others:
            record_decision(one, tx=tx)
    assert [line.text for line in room(world).report("churn", "prod").decisions] == [
        "as the rollout says",
        "as the rollout says",
        "retired",
    ]


def test_a_report_is_written_by_what_its_file_is_called(world: World, slow: ExperimentRecords, tmp_path: Path) -> None:
    world.keep(slow)
    found = room(world)
    report = found.report("churn", "prod")
    page = found.write(report, tmp_path / "deep" / "report.html").read_text("utf8")
    assert page.startswith("<!doctype html>")
    assert page == found.write(found.report("churn", "prod"), tmp_path / "again.HTML").read_text("utf8")
    told_again = json.loads(found.write(report, tmp_path / "report.json").read_text("utf8"))
    assert told_again["verdict"] == report.verdict
    assert told_again["arms"][0]["figures"][0]["points"]
    with pytest.raises(UsageError, match="HTML or JSON"):
        found.write(report, tmp_path / "report.pdf")


def test_traffic_and_baseline_are_measured(world: World) -> None:
    world.keep_requests(requests=4_000, failed=8)
    world.keep_outcomes([1, 0, 0, 0, 1] * 40)
    found = room(world).plan(PlanWish("", "10%"), "churn", "prod", over=timedelta(days=28))
    assert found.metric == "churned"
    assert found.assumptions["baseline"].value == pytest.approx(0.4)
    assert found.assumptions["baseline"].told == "200 outcomes that are known"
    assert found.assumptions["per_day"].value == pytest.approx(2_000)
    assert found.assumptions["per_day"].source == "measured"
    assert found.effect == pytest.approx(0.04)
    assert any("Requests are counted, not entities" in line for line in found.warnings)
    assert any("measured over 48 hours" in line or "2.0 days" in line for line in found.warnings)


def test_a_label_of_classes_has_no_baseline_that_could_be_measured(world: World) -> None:
    world.keep_outcomes(["cat", "dog"] * 50, "multiclass")
    with pytest.raises(UsageError, match="baseline"):
        room(world).plan(PlanWish("", "10%"), "churn", "prod", over=timedelta(days=28))


def test_entities_are_counted_by_the_log_where_there_is_one(world: World, tmp_path: Path) -> None:
    world.keep_requests(requests=4_000, failed=0)
    world.keep_answers(tmp_path / "journals", entities=200)
    found = room(world).plan(PlanWish("", "10%"), "churn", "prod", over=timedelta(days=28))
    assert found.assumptions["per_day"].value == pytest.approx(200 / 20, rel=0.01)
    assert found.assumptions["per_day"].told == "200 different entities were answered in 20 days"
    assert found.assumptions["baseline"].value == pytest.approx(0.25)
    assert "because no outcome is known yet" in found.assumptions["baseline"].told
    assert any("as right as the model is calibrated" in line for line in found.warnings)


def test_a_business_metric_is_measured_with_what_was_spent_before(world: World, tmp_path: Path) -> None:
    world.keep_answers(tmp_path / "journals", entities=4, each=1)
    spent = {"c0": (10.0, 12.0), "c1": (20.0, 18.0), "c2": (30.0, 33.0), "c3": (40.0, 37.0)}
    world.keep_purchases(spent, NOW - timedelta(days=20))
    found = room(world).plan(PlanWish("revenue", "10%"), "churn", "prod", over=timedelta(days=28))
    assert found.plan.question.kind == "mean"
    assert found.assumptions["baseline"].told == "4 entities whose window of 7d is over"
    only_c0 = 12 / 4  # what the others bought came before their window
    assert found.assumptions["baseline"].value == pytest.approx(only_c0)
    assert found.assumptions["deviation"].value == pytest.approx(6.0)
    assert found.assumptions["correlation"].source == "measured"
    assert any("rests on 4 entities only" in line for line in found.warnings)
    share = room(world).plan(PlanWish("revenue", "10%", "rate"), "churn", "prod", over=timedelta(days=28))
    assert share.plan.question.kind == "rate"


def test_a_window_that_is_not_over_tells_nothing(world: World, tmp_path: Path) -> None:
    world.keep_answers(tmp_path / "journals", entities=4, each=1)
    world.keep_purchases({"c0": (1.0, 2.0)}, NOW - timedelta(days=20))
    world.clock = NOW - timedelta(days=19)
    with pytest.raises(UsageError, match="The baseline of revenue is not known"):
        room(world).plan(PlanWish("revenue", "10%"), "churn", "prod", over=timedelta(days=28))


def test_the_error_rate_is_measured_by_what_servers_counted(world: World) -> None:
    world.keep_requests(requests=4_000, failed=8)
    found = room(world).plan(PlanWish("error_rate", "50%"), "churn", "prod", over=timedelta(days=28))
    assert found.assumptions["baseline"].value == pytest.approx(0.002)
    assert found.assumptions["baseline"].told == "8 of 4,000 requests failed"


def test_what_is_older_than_asked_is_not_read(world: World) -> None:
    world.keep_requests(requests=4_000, failed=8)
    with pytest.raises(UsageError, match="traffic a day"):
        room(world).plan(PlanWish("", "10%", given={"baseline": 0.1}), "churn", "prod", over=timedelta(hours=1))


def test_nothing_is_guessed(world: World) -> None:
    with pytest.raises(UsageError, match="The baseline of churned is not known") as caught:
        room(world).plan(PlanWish("", "10%"), "churn", "prod", over=timedelta(days=28))
    assert "--baseline" in caught.value.fix
    with pytest.raises(UsageError, match="The baseline of basket is not known"):
        room(world).plan(PlanWish("basket", "10%"), "churn", "prod", over=timedelta(days=28))


@pytest.mark.parametrize("place", [("other", "prod"), ("churn", "moon")])
def test_a_model_or_environment_that_is_not_there_is_refused(world: World, place: tuple[str, str]) -> None:
    for ask in (room(world).report, room(world).listed):
        with pytest.raises((KeelwayError, KeyError)):
            ask(*place)


METRICS = (Metric("conversion"),)


@pytest.mark.parametrize(
    ("rollout", "expected"),
    [
        (PLAN, {"alpha": 0.05, "treatments": 1.0, "share": 0.25}),
        (Rollout.ab("prod", analysis=Analysis(metrics=METRICS, alpha=0.1, comparisons=3)),
         {"alpha": 0.1, "treatments": 3.0, "share": 0.75}),
        (Rollout.blue_green("prod"), {"alpha": 0.05, "treatments": 1.0}),
        (None, {}),
    ],
    ids=["canary", "ab", "blue and green", "none"],
)  # fmt: skip
def test_what_the_rollout_of_the_model_declares_is_taken(
    tmp_path: Path, rollout: Rollout | None, expected: dict[str, float]
) -> None:
    world = World(tmp_path, rollout)
    model: Any = world.project.model("churn")
    at: Any = world
    found = measured_figures(model, "prod", PlanWish("other", "1"), over=timedelta(days=1), at=at)
    assert {name: each.value for name, each in found.numbers.items()} == pytest.approx(expected)
    assert {each.source for each in found.numbers.values()} <= {"declared"}
    world.state.close()
