"""Features of every entity at one moment, from the newest snapshots: what batch scoring and drift look at."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keelway.app.wire import Workspace
    from keelway.features import FeatureTable
    from keelway.project import Model
    from keelway.snapshot import Snapshot


def checked_paths(snapshot: Snapshot, *, at: Workspace) -> list[Path]:
    """Return the files of a snapshot, their bytes checked."""
    from keelway.snapshot import read

    return read(snapshot, tables=at.tables, artifacts=at.artifacts, state=at.state)


def newest_snapshots(model: Model, *, at: Workspace) -> dict[str, Snapshot]:
    """Return the newest snapshot of every dataset of a model, by name; a dataset without one is left out."""
    from keelway.snapshot import newest

    with at.state.snapshot() as tx:
        found = {dataset.name: newest(dataset.name, tx=tx) for dataset in model.datasets}
    return {name: snapshot for name, snapshot in found.items() if snapshot is not None}


def scoring_table(model: Model, *, as_of: datetime, at: Workspace) -> FeatureTable:
    """Compute the features of every entity of a model at one moment."""
    from keelway.features import build_features
    from keelway.privacy import WORK

    return build_features(
        model,
        newest_snapshots(model, at=at),
        as_ofs=(as_of,),
        purpose="scoring",
        with_label=False,
        paths_of=lambda snapshot: checked_paths(snapshot, at=at),
        artifacts=at.artifacts,
        state=at.state,
        now=at.now(),
        work=at.root / WORK,
        progress=at.progress,
    )
