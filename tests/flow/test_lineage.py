"""Runs as OpenLineage events: the official client reads every event and every facet, and writes them the same."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from keelway.core import StepFinished, canonical_json, digest_of
from keelway.errors import StepError
from keelway.flow import Context, Plan, Step, lineage_events, run_plan
from keelway.flow.lineage import FACETS, _columns, _dataset, _name, _Told
from keelway.ledger import Transaction
from keelway.testing.flow import Diary, step_context
from keelway.testing.openlineage import OFFICIAL, as_written, official_event, official_facet, without_empty
from keelway.testing.training import TrainingWorld

PLAN = Plan(
    "diary",
    (
        Step("load", "testing.note", parameters={"text": "load"}),
        Step("clean", "testing.note", {"after": ("load",)}, {"text": "clean"}),
    ),
)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return step_context(tmp_path)


def events(context: Context, **choices: Any) -> list[dict[str, Any]]:
    with context.state.snapshot() as tx:
        return list(lineage_events(tx, namespace="shop", **choices))


def check_official(event: dict[str, Any]) -> None:
    """Let the official client make the event, and compare what it would send with ours."""
    assert without_empty(as_written(official_event(event))) == without_empty(event)


def test_a_run_and_its_steps_start_and_complete(context: Context) -> None:
    run = run_plan(PLAN, context=context)
    found = events(context)
    assert [(each["eventType"], each["job"]["name"]) for each in found] == [
        ("START", "diary"),
        ("START", "diary.load"),
        ("COMPLETE", "diary.load"),
        ("START", "diary.clean"),
        ("COMPLETE", "diary.clean"),
        ("COMPLETE", "diary"),
    ]
    for each in found:
        check_official(each)
    assert found[0]["run"]["runId"] == str(uuid.UUID(run.run_id))
    assert found[1]["run"]["facets"]["parent"]["run"]["runId"] == str(uuid.UUID(run.run_id))
    assert found[1]["run"]["runId"] == found[2]["run"]["runId"] != found[3]["run"]["runId"]


def test_what_a_step_needed_is_its_input_and_what_it_left_its_output(context: Context) -> None:
    run_plan(PLAN, context=context)
    by_job = {each["job"]["name"]: each for each in events(context) if each["eventType"] == "COMPLETE"}
    [needed] = by_job["diary.clean"]["inputs"]
    [left] = by_job["diary.load"]["outputs"]
    assert needed == left
    with context.state.snapshot() as tx:
        digests = [step.output for step in tx.newest(StepFinished)]
    assert needed["facets"]["version"]["datasetVersion"] in digests
    assert len(by_job["diary"]["outputs"]) == 2


def test_a_step_that_failed_says_why(context: Context) -> None:
    Diary(context.root).trouble("clean")
    with pytest.raises(StepError):
        run_plan(PLAN, context=context)
    found = events(context)
    assert [each["eventType"] for each in found] == ["START", "START", "COMPLETE", "START", "FAIL", "FAIL"]
    for each in found:
        check_official(each)
    failed = found[-2]
    assert failed["run"]["facets"]["errorMessage"]["message"]
    assert failed["outputs"] == []


def test_a_step_that_the_cache_answered_did_not_run(context: Context) -> None:
    run_plan(PLAN, context=context)
    before = events(context)
    run_plan(PLAN, context=context)
    after = events(context)
    assert after[: len(before)] == before
    assert [(each["eventType"], each["job"]["name"]) for each in after[len(before) :]] == [
        ("START", "diary"),
        ("COMPLETE", "diary"),
    ]
    assert after[-1]["outputs"] == before[-1]["outputs"]


def test_only_what_happened_since_a_time_is_told(context: Context) -> None:
    run_plan(PLAN, context=context)
    every = events(context)
    assert events(context, since=None) == every
    with context.state.snapshot() as tx:
        last = max(step.ended_at for step in tx.newest(StepFinished))
    assert [each["job"]["name"] for each in events(context, since=last)] == ["diary.clean", "diary"]
    assert events(context, since=last + timedelta(days=1)) == []


def test_events_are_lines_of_json_without_what_is_no_number(context: Context) -> None:
    run_plan(PLAN, context=context)
    for each in events(context):
        assert json.loads(canonical_json(each)) == each


def test_records_of_the_lifecycle_are_called_by_what_they_are(tmp_path: Path) -> None:
    world = TrainingWorld(tmp_path, rows=300)
    trained = world.fit()
    version = world.register(trained)

    def shown(record: object, tx: Transaction) -> dict[str, Any]:
        told = _dataset(_Told(None, "shop", tx), digest_of(record), is_output=True)  # type: ignore[arg-type]
        assert told is not None
        for name, facet in {**told["facets"], **told.get("outputFacets", {})}.items():
            assert without_empty(as_written(official_facet(name, facet))) == without_empty(facet)
        return told

    with world.state.snapshot() as tx:
        table = shown(world.table, tx)
        assert (table["name"], table["outputFacets"]["outputStatistics"]["rowCount"]) == ("features/churn", 300)
        assert [each["name"] for each in table["facets"]["schema"]["fields"]] == ["recency_d", "plan", "spend"]
        assert shown(trained, tx)["name"] == "models/churn/logistic"
        assert shown(version, tx)["name"] == "versions/churn"
    assert _name("Snapshot", {"dataset": "orders"}) == "orders"
    assert _columns({"columns": {"amount": "double"}}) == [{"name": "amount", "type": "double"}]


def test_every_facet_that_is_written_is_one_of_the_official_client() -> None:
    assert set(FACETS) == set(OFFICIAL)
