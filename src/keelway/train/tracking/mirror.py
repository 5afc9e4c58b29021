"""Show recorded runs in the tracker: each once, now or whenever it can be reached again.

What is to be shown is read from the records and the index alone, so nothing is lost while the tracker is down.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from keelway.core import ArtifactStore, Digest, RunEntry, RunId
from keelway.errors import MissingRecordError
from keelway.ledger import StateStore
from keelway.train.tracking.record import TrackedRun
from keelway.train.tracking.settle import points_of

if TYPE_CHECKING:
    from keelway.train.ports import Tracker

TRACKED = ("autolog", "script", "trial")
MIRRORED_KINDS = (*TRACKED, "training")
BATCH = 100
_OF_TRAINING = "train_"


def mirror_waiting(*, state: StateStore, artifacts: ArtifactStore, tracker: Tracker) -> list[str]:
    """Show every run that is not shown yet, oldest first, and return their ids in the tracker.

    Raises:
        EngineError: The tracker failed; what was shown until then stays shown.
    """
    links: list[str] = []
    while True:
        with state.snapshot() as tx:
            waiting = tx.runs.unmirrored(MIRRORED_KINDS, limit=BATCH)
        for entry in waiting:
            link = mirror_one(entry, state=state, artifacts=artifacts, tracker=tracker)
            if not link:  # a tracker that keeps nothing
                return links
            links.append(link)
        if len(waiting) < BATCH:
            return links


def mirror_one(entry: RunEntry, *, state: StateStore, artifacts: ArtifactStore, tracker: Tracker) -> str:
    """Show one run and note that in the index; returns its id in the tracker, empty where nothing is kept.

    Raises:
        EngineError: The tracker failed.
    """
    if entry.kind in TRACKED:
        link = _mirror_tracked(entry, state=state, artifacts=artifacts, tracker=tracker)
    else:
        link = _mirror_training(entry, state=state, tracker=tracker)
    if link:
        with state.transaction() as tx:
            tx.runs.mirrored(entry.run_id, link)
    return link


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


def _mirror_training(entry: RunEntry, *, state: StateStore, tracker: Tracker) -> str:
    from keelway.train.fit import signature_of
    from keelway.train.record import TrainedModel

    with state.snapshot() as tx:
        trained = tx.by_digest(TrainedModel, entry.record)
    return tracker.record_training(
        trained.model,
        name=f"{trained.estimator} {entry.started_at:%Y-%m-%d}",
        parameters={"seed": trained.seed, **entry.parameters},
        metrics={name if name.startswith(_OF_TRAINING) else f"test_{name}": v for name, v in entry.metrics.items()},
        tags={
            "keelway.key": Digest(f"sha256:{entry.run_id}"),
            "keelway.project": trained.code.project_digest,
            "keelway.environment": trained.code.environment_digest,
            "keelway.commit": trained.code.commit,
        },
        dataset_digest=trained.feature_table,
        signature_json=signature_of(trained),
        artifacts={"pipeline": trained.pipeline, "profile": trained.profile},
    )
