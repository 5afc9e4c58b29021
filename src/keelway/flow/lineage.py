"""Runs and their steps as OpenLineage events, so that a lineage catalogue shows them beside those of other tools.

A run is a run of the job named after its plan, a step one of the job `PLAN.STEP` with the run as its parent. Each gives a
START and, once it is closed, a COMPLETE or FAIL; what a step needed are its input datasets, what it left its output. An
event is told from records alone, so the same runs give the same events, however often they are sent.

The layout is that of the OpenLineage specification 2-0-2 with the facets named in `FACETS`; what it has no place for
stands in facets whose names begin with `keelway_`, as the specification asks of custom ones.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from keelway.core import Digest, Run, RunId, RunStarted, RunStatus, StepFinished, parse_json, time_text
from keelway.flow.history import run_view
from keelway.flow.plan import Step
from keelway.flow.records import Nothing, RunView

if TYPE_CHECKING:
    from keelway.ledger import Transaction

PRODUCER = "https://keelway.dev/lineage/v1"
"""An identifier, as the specification asks for, and no address: nothing need be served there."""
SPECIFICATION = "https://openlineage.io/spec/"
EVENT_SCHEMA = f"{SPECIFICATION}2-0-2/OpenLineage.json#/$defs/RunEvent"
FACETS = {
    "jobType": "facets/2-0-4/JobTypeJobFacet",
    "parent": "facets/1-2-0/ParentRunFacet",
    "nominalTime": "facets/1-0-1/NominalTimeRunFacet",
    "errorMessage": "facets/1-0-1/ErrorMessageRunFacet",
    "version": "facets/1-0-1/DatasetVersionDatasetFacet",
    "schema": "facets/1-2-0/SchemaDatasetFacet",
    "outputStatistics": "facets/1-0-2/OutputStatisticsOutputDatasetFacet",
}
_FOLDERS = {
    "FeatureTable": "features",
    "TrainedModel": "models",
    "Scorecard": "scorecards",
    "Tuning": "tunings",
    "ModelVersion": "versions",
}
"""Where the dataset of a record is called after its model; a snapshot is called as its dataset is."""


class LineageTarget(Protocol):
    """Takes events, one after another.

    Promises: `send` returns once the event was taken, and raises `EngineError` where it was not. Sending an event again
    does no harm: catalogues join events by run and kind.
    """

    def send(self, event: Mapping[str, Any]) -> None:
        """Hand over one event."""
        ...


@dataclass(frozen=True, slots=True)
class _Told:
    """What the events of one run share."""

    view: RunView
    namespace: str
    tx: Transaction


def lineage_events(tx: Transaction, *, namespace: str, since: datetime | None = None) -> Iterator[dict[str, Any]]:
    """Yield the events of all runs, run by run from the oldest; those before `since` are left out.

    Args:
        namespace: Where jobs and datasets are called so, such as the project's name.
    """
    for started in reversed(tx.newest(RunStarted)):
        told = _Told(run_view(started.run_id, tx=tx), namespace, tx)
        for moment, event in _events(told):
            if since is None or moment >= since:
                yield event


def _events(told: _Told) -> Iterator[tuple[datetime, dict[str, Any]]]:
    """Yield the events of a run by time: it starts, its steps start and end, it ends."""
    started, run = told.view.started, told.view.run
    yield started.started_at, _run_event(told, "START", started.started_at, None)
    steps = [
        (step, closed)
        for step in told.view.plan.in_order()
        if (closed := told.view.steps[step.name]) is not None and closed.cached_from is None
    ]
    for step, closed in sorted(steps, key=lambda each: each[1].started_at):
        yield closed.started_at, _step_event(told, step, closed, "START", closed.started_at)
        yield closed.ended_at, _step_event(told, step, closed, _ended(closed.status), closed.ended_at)
    if run is not None:
        ended = run.ended_at or started.started_at
        yield ended, _run_event(told, _ended(run.status), ended, run)


def _run_event(told: _Told, kind: str, moment: datetime, run: Run | None) -> dict[str, Any]:
    started = told.view.started
    facets = {
        "nominalTime": _facet("nominalTime", nominalStartTime=time_text(started.now)),
        "keelway_run": _own_facet(
            "RunFacet",
            principal=started.principal,
            seed=started.seed,
            plan=started.plan_digest,
            project=started.code.project_digest,
            environment=started.code.environment_digest,
            commit=started.code.commit,
            metrics=dict(run.metrics) if run else {},
        ),
    }
    made = [_dataset(told, digest) for digest in run.outputs.values()] if run else []
    return _event(
        kind,
        moment,
        run={"runId": _run_id(started.run_id), "facets": facets},
        job=_job(told, started.plan, "PLAN"),
        outputs=[each for each in made if each],
    )


def _step_event(told: _Told, step: Step, closed: StepFinished, kind: str, moment: datetime) -> dict[str, Any]:
    started = told.view.started
    parent = {
        "run": {"runId": _run_id(started.run_id)},
        "job": {"namespace": told.namespace, "name": started.plan},
    }
    facets = {
        "parent": _facet("parent", **parent),
        "keelway_step": _own_facet("StepFacet", uses=step.uses, parameters=dict(step.parameters), key=closed.cache_key),
    }
    if kind == "FAIL":
        facets["errorMessage"] = _facet("errorMessage", message=closed.error, programmingLanguage="PYTHON")
    needed = [told.view.steps[name] for name in step.needed()]
    inputs = [_dataset(told, each.output) for each in needed if each is not None and each.status is RunStatus.SUCCEEDED]
    made = _dataset(told, closed.output, is_output=True) if kind == "COMPLETE" else None
    return _event(
        kind,
        moment,
        run={"runId": str(uuid.uuid5(uuid.UUID(_run_id(started.run_id)), step.name)), "facets": facets},
        job=_job(told, f"{started.plan}.{step.name}", "STEP"),
        inputs=[each for each in inputs if each],
        outputs=[made] if made else [],
    )


def _event(kind: str, moment: datetime, **parts: Any) -> dict[str, Any]:
    told = {"eventType": kind, "eventTime": time_text(moment), "producer": PRODUCER, "schemaURL": EVENT_SCHEMA}
    return {**told, "inputs": [], "outputs": [], **parts}


def _job(told: _Told, name: str, kind: str) -> dict[str, Any]:
    facet = _facet("jobType", processingType="BATCH", integration="KEELWAY", jobType=kind)
    return {"namespace": told.namespace, "name": name, "facets": {"jobType": facet}}


def _dataset(told: _Told, digest: Digest, *, is_output: bool = False) -> dict[str, Any] | None:
    """Return the dataset that a record is shown as; None for a step that left nothing."""
    stored = told.tx.text_of(digest)
    if stored is None or stored[0] == Nothing.__name__:
        return None
    kind, record = stored[0], parse_json(stored[1].encode())
    facets: dict[str, Any] = {"version": _facet("version", datasetVersion=digest)}
    if columns := _columns(record):
        facets["schema"] = _facet("schema", fields=columns)
    found: dict[str, Any] = {"namespace": told.namespace, "name": _name(kind, record), "facets": facets}
    if is_output and isinstance(rows := record.get("rows"), int):
        found["outputFacets"] = {"outputStatistics": _facet("outputStatistics", rowCount=rows)}
    return found


def _name(kind: str, record: Mapping[str, Any]) -> str:
    if kind == "Snapshot":
        return str(record["dataset"])
    parts = [str(record[each]) for each in ("model", "estimator") if each in record]
    return "/".join([_FOLDERS[kind], *parts]) if kind in _FOLDERS else f"records/{kind}"


def _columns(record: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the columns that a record tells of: those of a snapshot, or the features."""
    if isinstance(columns := record.get("columns"), dict):
        return [{"name": name, "type": str(kind)} for name, kind in columns.items()]
    features = record.get("features")
    if not isinstance(features, list) or not all(isinstance(each, dict) for each in features):
        return []
    return [{"name": str(each["name"]), "type": str(each["kind"])} for each in features]


def _facet(name: str, **told: Any) -> dict[str, Any]:
    """Return a facet of the specification."""
    place = FACETS[name]
    schema = f"{SPECIFICATION}{place}.json#/$defs/{place.rpartition('/')[2]}"
    return {"_producer": PRODUCER, "_schemaURL": schema, **told}


def _own_facet(name: str, **told: Any) -> dict[str, Any]:
    return {"_producer": PRODUCER, "_schemaURL": f"{PRODUCER}#{name}", **told}


def _run_id(run_id: RunId) -> str:
    """Return a run's id as the UUID that it is."""
    return str(uuid.UUID(run_id))


def _ended(status: RunStatus) -> str:
    return "COMPLETE" if status is RunStatus.SUCCEEDED else "FAIL"
