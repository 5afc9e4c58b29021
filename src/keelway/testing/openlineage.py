"""OpenLineage events as the official client makes them, for comparison with ours.

assert without_empty(as_written(official_event(event))) == without_empty(event)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attr
from openlineage.client import event_v2
from openlineage.client.generated import (
    base,
    dataset_version_dataset,
    error_message_run,
    job_type_job,
    nominal_time_run,
    output_statistics_output_dataset,
    parent_run,
    schema_dataset,
)
from openlineage.client.serde import Serde

OFFICIAL: dict[str, Any] = {
    "jobType": job_type_job.JobTypeJobFacet,
    "nominalTime": nominal_time_run.NominalTimeRunFacet,
    "errorMessage": error_message_run.ErrorMessageRunFacet,
    "version": dataset_version_dataset.DatasetVersionDatasetFacet,
    "schema": schema_dataset.SchemaDatasetFacet,
    "outputStatistics": output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet,
    "parent": parent_run.ParentRunFacet,
}
"""Name to the client's class, which knows the facet's schema and refuses fields that are missing or strange."""


def official_event(event: Mapping[str, Any]) -> event_v2.RunEvent:
    """Return one of our events as the client's, every facet included.

    Raises:
        TypeError: A part has a field that the specification does not have, or lacks one.
        ValueError: A value is not what its field wants, such as a run's id that is no UUID.
    """
    assert set(event) == {field.name for field in attr.fields(event_v2.RunEvent)}
    run, job = event["run"], event["job"]
    return event_v2.RunEvent(
        eventTime=event["eventTime"],
        eventType=event_v2.RunState(event["eventType"]),
        producer=event["producer"],
        run=event_v2.Run(**{**run, "facets": _facets(run["facets"])}),
        job=event_v2.Job(**{**job, "facets": _facets(job["facets"])}),
        inputs=[event_v2.InputDataset(**_dataset(each)) for each in event["inputs"]],
        outputs=[event_v2.OutputDataset(**_dataset(each)) for each in event["outputs"]],
    )


def official_facet(name: str, told: Mapping[str, Any]) -> Any:
    """Return one facet as the client's: of the specification, or one of our own with our schema."""
    given = {key: value for key, value in told.items() if not key.startswith("_")}
    producer = told["_producer"]
    if name == "parent":
        run, job = parent_run.Run(**given["run"]), parent_run.Job(**given["job"])
        return parent_run.ParentRunFacet(run=run, job=job, producer=producer)
    if name == "schema":
        fields = [schema_dataset.SchemaDatasetFacetFields(**each) for each in given["fields"]]
        return schema_dataset.SchemaDatasetFacet(fields, producer=producer)
    if name in OFFICIAL:
        return OFFICIAL[name](**given, producer=producer)
    assert name.startswith("keelway_"), "the specification asks for a prefix"
    return _own(told["_schemaURL"])(producer=producer).with_additional_properties(**given)


def as_written(made: Any) -> dict[str, Any]:
    """Return what the client would send."""
    found: dict[str, Any] = Serde.to_dict(made)
    return found


def without_empty(value: Any) -> Any:
    """Leave out what is empty: the client writes some of it, and the specification does not ask for it."""
    if isinstance(value, dict):
        return {name: without_empty(each) for name, each in value.items() if each not in ({}, [], None)}
    return [without_empty(each) for each in value] if isinstance(value, list) else value


def _facets(told: Mapping[str, Any]) -> dict[str, Any]:
    return {name: official_facet(name, each) for name, each in told.items()}


def _dataset(told: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _facets(each) if name.lower().endswith("facets") else each for name, each in told.items()}


def _own(schema: str) -> type[Any]:
    @attr.define
    class OwnFacet(base.BaseFacet):
        @staticmethod
        def _get_schema() -> str:
            return schema

    return OwnFacet
