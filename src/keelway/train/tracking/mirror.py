"""Show recorded runs in the tracker: each once, now or whenever it can be reached again.

What is to be shown is read from the records and the index alone, so nothing is lost while the tracker is down.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.core import ArtifactStore, Digest, RunEntry, RunId, RunStarted, RunStatus
from keelway.errors import MissingRecordError
from keelway.ledger import StateStore
from keelway.train.tracking.record import Machine, TrackedRun
from keelway.train.tracking.settle import points_of

if TYPE_CHECKING:
    from keelway.train.ports import Tracker

TRACKED = ("autolog", "notebook", "script", "trial")
MIRRORED_KINDS = (*TRACKED, "plan", "training")
BATCH = 100
_OF_TRAINING = ("train_", "system/")
_UNKNOWN = Machine(system="", processor="", cpus=0, memory_bytes=0, python="")
"""A plan's steps may have been executed on several machines."""


def mirror_waiting(*, state: StateStore, artifacts: ArtifactStore, tracker: Tracker, experiment: str = "") -> list[str]:
    """Show every run that is not shown yet, oldest first, and return their ids in the tracker.

    Args:
        experiment: What runs of plans are listed under; where empty these are not shown.

    Raises:
        EngineError: The tracker failed; what was shown until then stays shown.
    """
    links: list[str] = []
    while True:
        with state.snapshot() as tx:
            waiting = tx.runs.unmirrored([*TRACKED, "training", *(["plan"] if experiment else [])], limit=BATCH)
        for entry in waiting:
            link = mirror_one(entry, state=state, artifacts=artifacts, tracker=tracker, experiment=experiment)
            if not link:  # a tracker that keeps nothing
                return links
            links.append(link)
        if len(waiting) < BATCH:
            return links


def mirror_one(
    entry: RunEntry, *, state: StateStore, artifacts: ArtifactStore, tracker: Tracker, experiment: str = ""
) -> str:
    """Show one run and note that in the index; returns its id in the tracker, empty where nothing is kept.

    Args:
        experiment: What a run of a plan is listed under.

    Raises:
        EngineError: The tracker failed.
    """
    if entry.kind in TRACKED:
        link = _mirror_tracked(entry, state=state, artifacts=artifacts, tracker=tracker)
    elif entry.kind == "plan":
        link = _mirror_plan(entry, experiment, state=state, tracker=tracker)
    else:
        link = _mirror_training(entry, state=state, artifacts=artifacts, tracker=tracker)
    if link:
        with state.transaction() as tx:
            tx.runs.mirrored(entry.run_id, link)
    return link


def show_training(
    trained: Digest,
    *,
    state: StateStore,
    artifacts: ArtifactStore,
    tracker: Tracker,
    metrics: Mapping[str, float] | None = None,
) -> str:
    """Show a training that is recorded, unless it is shown already, and return its id in the tracker, if it keeps any.

    Args:
        trained: The record of the trained model.
        metrics: Finite figures that were just stored, for the case that it is shown already.

    Raises:
        EngineError: The tracker failed.
        MissingRecordError: No training has that record.
    """
    if not tracker.keeps:
        return ""
    with state.snapshot() as tx:
        entry = tx.runs.of_record(trained)
    if entry is None:
        raise MissingRecordError("There is no such training", expected="the record of a trained model", found=trained)
    if not entry.mirror:
        return mirror_one(entry, state=state, artifacts=artifacts, tracker=tracker)
    if metrics:
        tracker.log_metrics(entry.mirror, _shown_figures(metrics))
    return entry.mirror


def entry_of(run_id: RunId, state: StateStore) -> RunEntry:
    """Return the line of a run.

    Raises:
        MissingRecordError: There is none.
    """
    with state.snapshot() as tx:
        found = tx.runs.named(run_id)
    if not found:
        raise MissingRecordError("There is no such run", expected="the id of a run", found=repr(run_id))
    return found[0]


def _mirror_tracked(entry: RunEntry, *, state: StateStore, artifacts: ArtifactStore, tracker: Tracker) -> str:
    with state.snapshot() as tx:
        run = tx.by_digest(TrackedRun, entry.record)
    later = {name: value for name, value in entry.metrics.items() if name not in {**run.metrics, **run.not_finite}}
    files: dict[str, Path] = {name: artifacts.path_of(digest) for name, digest in run.artifacts.items()}
    return tracker.mirror(run, points_of(run, artifacts), files, metrics=later)


def _mirror_training(entry: RunEntry, *, state: StateStore, artifacts: ArtifactStore, tracker: Tracker) -> str:
    from keelway.features import Profile
    from keelway.train.record import TrainedModel
    from keelway.train.shown import shown_training

    with state.snapshot() as tx:
        trained = tx.by_digest(TrainedModel, entry.record)
        profile = tx.by_digest(Profile, trained.profile)
    return tracker.record_training(
        trained.model,
        metrics=_shown_figures(entry.metrics),
        seconds=entry.seconds or 0.0,
        **shown_training(trained, profile, key=Digest(f"sha256:{entry.run_id}"), artifacts=artifacts),
    )


def _shown_figures(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the figures of a training that are finite, those of its test rows under a name that says so."""
    return {
        name if name.startswith(_OF_TRAINING) else f"test_{name}": value
        for name, value in metrics.items()
        if isfinite(value)
    }


def _mirror_plan(entry: RunEntry, experiment: str, *, state: StateStore, tracker: Tracker) -> str:
    with state.snapshot() as tx:
        started = tx.get(RunStarted, entry.run_id)
    run = TrackedRun(
        run_id=entry.run_id,
        name=entry.name,
        kind="plan",
        experiment=experiment,
        model=entry.model,
        estimator="",
        status="succeeded" if entry.status == RunStatus.SUCCEEDED else "failed",
        parent=entry.parent,
        principal=started.principal,
        seed=started.seed,
        started_at=started.started_at,
        ended_at=max(entry.ended_at or started.started_at, started.started_at),
        code=started.code,
        machine=_UNKNOWN,
        script=(),
        requirements=(),
        parameters=entry.parameters,
        metrics={},
        not_finite={},
        tags={},
        dataset="",
        signature_json="",
        input_example_json="",
        artifacts={},
        warnings=(),
        error="",
        points=0,
        journal=entry.record,
    )
    return tracker.mirror(run, (), {}, metrics=entry.metrics)
